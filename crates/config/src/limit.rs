//! One entry of `limits`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use slowlane_profile::Period;

/// A limit below the target's ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub measure: Measure,
    /// For whom.
    pub scope: Scope,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Calls in a span of time, evenly: `100/20s`.
    Rate {
        /// How many calls.
        calls: NonZeroU32,
        /// In how long.
        per: Duration,
    },
    /// Calls until a reset: `15000/1d`.
    Quota {
        /// How many calls.
        calls: NonZeroU32,
        /// In how long.
        per: Duration,
    },
    /// Calls at once.
    Concurrency(NonZeroU32),
    /// Calls at once, as many as the API turns out to take.
    Adaptive,
}

impl Measure {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Measure::Rate { .. } => "rate",
            Measure::Quota { .. } => "quota",
            Measure::Concurrency(_) => "concurrency",
            Measure::Adaptive => "adaptive",
        }
    }
}

/// Whose calls a limit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The target's.
    Target,
    /// Each tenant's.
    Tenant,
    /// Those of all targets and stacks whose limit has this name.
    Shared(String),
}

/// An entry of `limits`. It has one of `rate`, `quota`, `concurrency` and `adaptive`, and perhaps
/// `per` or `name` beside it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// Calls in a span of time, evenly: `100/20s`, `2/s`.
    rate: Option<CallsIn>,
    /// Calls until a reset: `15000/1d`.
    quota: Option<CallsIn>,
    /// Calls at once.
    concurrency: Option<u32>,
    /// Calls at once, as many as the API turns out to take.
    adaptive: Option<bool>,
    /// Each tenant has a limit of its own.
    per: Option<Per>,
    /// Targets and stacks whose limit has this name share it.
    name: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// A message's `tenant`.
    Tenant,
}

/// A number of calls and a span of time: `100/20s`, `2/s`.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct CallsIn {
    calls: NonZeroU32,
    per: Duration,
}

impl TryFrom<String> for CallsIn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (calls, per) = text.split_once('/')?;
            let per = per.trim();
            // `2/s` is short for `2/1s`.
            let unit_only = per.starts_with(|c: char| c.is_ascii_alphabetic());
            let per = if unit_only { format!("1{per}") } else { per.to_owned() };
            let Period(per) = per.parse().ok()?;
            let calls = calls.trim().parse().ok()?;
            (!per.is_zero()).then_some(CallsIn { calls, per })
        };
        read().ok_or_else(|| {
            format!(
                "`{text}` is no number of calls in a span of time; write `100/20s` or `15000/1d`"
            )
        })
    }
}

impl TryFrom<Fields> for Limit {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let measure = match (fields.rate, fields.quota, fields.concurrency, fields.adaptive) {
            (Some(CallsIn { calls, per }), None, None, None) => Measure::Rate { calls, per },
            (None, Some(CallsIn { calls, per }), None, None) => Measure::Quota { calls, per },
            (None, None, Some(at_once), None) => {
                let none = "a concurrency of 0 lets nothing through; write `concurrency = 1`, or \
                            pause the target instead";
                Measure::Concurrency(NonZeroU32::new(at_once).ok_or(none)?)
            }
            (None, None, None, Some(true)) => Measure::Adaptive,
            (None, None, None, Some(false)) => {
                return Err("a limit that is not there is left out; take the entry out");
            }
            _ => {
                return Err(
                    "a limit is one thing; write one of `rate`, `quota`, `concurrency` and \
                            `adaptive` in each entry",
                );
            }
        };
        let scope = match (fields.per, fields.name) {
            (None, None) => Scope::Target,
            (Some(Per::Tenant), None) => Scope::Tenant,
            (None, Some(name)) => Scope::Shared(name),
            (Some(_), Some(_)) => {
                return Err("a limit is shared or each tenant's; write `per` or `name`, not both");
            }
        };
        Ok(Limit { measure, scope })
    }
}

impl<'de> Deserialize<'de> for Limit {
    /// Reads it inside a visitor, since only there an error gets the entry's place.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Limit, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                fields.try_into().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
