//! What an answer says of the API's limits.

use std::num::NonZeroU8;
use std::time::Duration;

use http::header::HeaderName;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use sfv::{BareItem, ListEntry, Parser};

use crate::answer::Seen;
use crate::call::{Call, scalar};
use crate::pointer::Pointer;
use crate::source::Source;
use crate::wait::TimeForm;

/// Where one limit stands in answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitRule {
    /// The limit's name, for metrics.
    pub name: String,
    /// What it limits.
    pub kind: LimitKind,
    /// Where its size stands.
    limit: Option<Source>,
    /// Where it stands how much of it is left.
    remaining: Option<Source>,
    /// Where both stand as `used/limit`: `32/40`.
    used_of_limit: Option<Source>,
    /// Where it stands when all of it is there again.
    resets: Option<Source>,
    /// How that is written; seconds if left out.
    resets_as: Option<TimeForm>,
    /// How what was used comes back; all at once if left out.
    #[serde(default)]
    refills: Refills,
    /// Where this is written.
    pub source: Option<String>,
}

/// How what was used of a limit comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refills {
    /// All of it at the reset.
    #[default]
    AtOnce,
    /// Bit by bit until then, as in a bucket.
    Evenly,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Calls in a second, or in a window of minutes.
    Rate,
    /// Calls at once.
    Concurrency,
    /// Calls in a day, or longer.
    DailyQuota,
    /// Tokens, points or seconds of execution: calls weigh differently.
    Cost,
    /// Credit or a spending limit: waiting does not help, a person does.
    Money,
    /// The API is down for maintenance, or overloaded.
    Maintenance,
}

/// What an answer said of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenLimit {
    /// The limit's name, from the profile or from the answer.
    pub name: String,
    /// What it limits.
    pub kind: LimitKind,
    /// Its size, in calls or units.
    pub limit: Option<u64>,
    /// How much of it is left.
    pub remaining: Option<u64>,
    /// In how long all of it is there again.
    pub resets_in: Option<Duration>,
    /// Whether it comes back bit by bit until then, and not all at once.
    pub refills_evenly: bool,
}

impl LimitRule {
    pub(crate) fn read(&self, seen: &Seen<'_>, now: Timestamp) -> Option<SeenLimit> {
        let number = |source: &Option<Source>| {
            source.as_ref().and_then(|source| whole_number(&source.text(seen)?))
        };
        let mut limit = number(&self.limit);
        let mut remaining = number(&self.remaining);
        if let Some(text) = self.used_of_limit.as_ref().and_then(|source| source.text(seen)) {
            let (used, size) = text.split_once('/')?;
            let (used, size) = (whole_number(used)?, whole_number(size)?);
            (limit, remaining) = (Some(size), Some(size.saturating_sub(used)));
        }
        let resets_in = self.resets.as_ref().and_then(|source| {
            self.resets_as.unwrap_or(TimeForm::Seconds).read(&source.text(seen)?, now)
        });
        (limit.is_some() || remaining.is_some()).then(|| SeenLimit {
            name: self.name.clone(),
            kind: self.kind,
            limit,
            remaining,
            resets_in,
            refills_evenly: self.refills == Refills::Evenly,
        })
    }
}

/// Where an answer says what the call has used of limits that count more than calls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageRule {
    /// Where the tokens stand that were read. The first that the answer holds counts.
    #[serde(default)]
    input: Vec<Source>,
    /// Where the tokens stand that were read from the vendor's cache.
    #[serde(default)]
    cached: Vec<Source>,
    /// Where the tokens stand that were read and put into the vendor's cache.
    #[serde(default)]
    cache_written: Vec<Source>,
    /// Whether the cache's tokens stand beside `input`, and not in it. Those that were read from it then
    /// count in no limit of units.
    #[serde(default)]
    cache_beside_input: bool,
    /// Where the tokens stand that were written.
    #[serde(default)]
    output: Vec<Source>,
    /// Where the points stand that the call has cost.
    #[serde(default)]
    cost: Vec<Source>,
    /// Where the call says of which model it asks. The first that it holds counts.
    #[serde(default)]
    model: Vec<CallPlace>,
    /// Where the vendor says so.
    pub(crate) source: Option<String>,
}

/// A place in the call: `{ body = "/model" }` or `{ segment = 2 }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CallPlace {
    /// A JSON pointer into its body.
    Body(Pointer),
    /// A part of its path, from 1.
    Segment(NonZeroU8),
}

impl CallPlace {
    fn text(&self, call: &Call) -> Option<String> {
        let text = match self {
            CallPlace::Body(pointer) => {
                let body = call.body.as_ref()?;
                pointer.find(body).into_iter().find_map(scalar)?.into_owned()
            }
            CallPlace::Segment(number) => {
                let path = call.resource.split(['?', '#']).next()?;
                let index = usize::from(number.get()) - 1;
                let segment = path.trim_start_matches('/').split('/').nth(index)?;
                percent_decode_str(segment).decode_utf8_lossy().into_owned()
            }
        };
        (!text.is_empty()).then_some(text)
    }
}

/// What a call has used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that it asked for, where the profile says how it does.
    pub model: Option<String>,
    /// Tokens that were read, those of the vendor's cache among them.
    pub input: Option<u64>,
    /// Of these, the tokens that came from the vendor's cache.
    pub cached: Option<u64>,
    /// Of `input`, the tokens that were put into the vendor's cache.
    pub cache_written: Option<u64>,
    /// Of `input`, the tokens that count in no limit of units.
    pub unlimited: u64,
    /// Tokens that were written.
    pub output: Option<u64>,
    /// Points.
    pub cost: Option<u64>,
}

impl Usage {
    /// The units that count against a limit of units: points, or tokens read and written. A call whose
    /// units were reserved before is settled to this.
    pub fn units(&self) -> Option<u64> {
        let tokens = match (self.input, self.output) {
            (None, None) => None,
            (input, output) => {
                let limited = input.unwrap_or(0).saturating_sub(self.unlimited);
                Some(limited.saturating_add(output.unwrap_or(0)))
            }
        };
        self.cost.or(tokens)
    }
}

impl UsageRule {
    /// Whether a call's body may say of which model it asks.
    pub(crate) fn has_model_in_body(&self) -> bool {
        self.model.iter().any(|place| matches!(place, CallPlace::Body(_)))
    }

    /// The model that a call names.
    pub(crate) fn model_of(&self, call: &Call) -> Option<String> {
        self.model.iter().find_map(|place| place.text(call))
    }

    /// The model that a call names in its body, and the call as it asks `model` in the place of that.
    pub(crate) fn asked_of(&self, call: &Call, model: &str) -> Option<(String, Call)> {
        let mut call = call.clone();
        let body = call.body.as_mut()?;
        let first = self.model.iter().find_map(|place| {
            let CallPlace::Body(pointer) = place else { return None };
            let named = body.pointer_mut(&pointer.to_string())?;
            let first = named.as_str()?.to_owned();
            *named = model.into();
            Some(first)
        })?;
        Some((first, call))
    }

    pub(crate) fn read(&self, call: &Call, seen: &Seen<'_>) -> Option<Usage> {
        let number =
            |places: &[Source]| places.iter().find_map(|place| whole_number(&place.text(seen)?));
        let (cached, cache_written) = (number(&self.cached), number(&self.cache_written));
        let (mut input, mut unlimited) = (number(&self.input), 0);
        if self.cache_beside_input {
            unlimited = cached.unwrap_or(0);
            let beside = unlimited.saturating_add(cache_written.unwrap_or(0));
            input = input.map(|input| input.saturating_add(beside));
        }
        let usage = Usage {
            model: self.model_of(call),
            input,
            cached,
            cache_written,
            unlimited,
            output: number(&self.output),
            cost: number(&self.cost),
        };
        let some = usage.input.or(usage.output).or(usage.cost).is_some();
        some.then_some(usage)
    }
}

/// Units that a vendor counts in halves are rounded down.
fn whole_number(text: &str) -> Option<u64> {
    let number: f64 = text.trim().parse().ok()?;
    // u64 has no `From<f64>`; a float cast saturates.
    (number >= 0.0).then_some(number as u64)
}

/// Reads `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): lists of
/// structured fields (RFC 9651) such as `"minute";r=50;t=30` and `"minute";q=100;w=60`.
pub(crate) fn ietf(seen: &Seen<'_>) -> Vec<SeenLimit> {
    const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
    const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
    let policies = items(seen.header(&POLICY));
    let limits = items(seen.header(&RATE_LIMIT)).into_iter().map(|(name, values)| {
        let policy = policies.iter().find(|(policy, _)| *policy == name);
        let value = |key| values.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
        let quota = policy.and_then(|(_, values)| values.iter().find(|(key, _)| key == "q"));
        SeenLimit {
            kind: LimitKind::Rate,
            limit: quota.map(|(_, quota)| *quota),
            remaining: value("r"),
            resets_in: value("t").map(Duration::from_secs),
            refills_evenly: false,
            name,
        }
    });
    limits.collect()
}

type Named = (String, Vec<(String, u64)>);

fn items(header: Option<&str>) -> Vec<Named> {
    let Some(list) = header.and_then(|text| Parser::new(text).parse::<sfv::List>().ok()) else {
        return Vec::new();
    };
    let named = list.into_iter().filter_map(|entry| {
        let ListEntry::Item(item) = entry else { return None };
        let name = match item.bare_item {
            BareItem::String(name) => String::from(name),
            BareItem::Token(name) => String::from(name),
            _ => return None,
        };
        let values = item.params.into_iter().filter_map(|(key, value)| {
            let number = i64::from(value.as_integer()?);
            Some((String::from(key), u64::try_from(number).ok()?))
        });
        Some((name, values.collect()))
    });
    named.collect()
}
