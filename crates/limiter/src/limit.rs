//! Limits as people write them: `{ rate = "100/20s" }`, in TOML or in JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::quota::Quota;
use crate::core::rate::{Error as RateError, Margin, Rate};
use crate::core::units::{Units, units_in};

/// One limit of an API.
///
/// ```
/// use slowlane_limiter::Limits;
///
/// let limits = Limits::from_json(
///     r#"[{"rate": "100/20s"}, {"rate": "30000/1m", "largest": 4000}, {"quota": "15000/1d"}]"#,
/// )?;
/// assert_eq!(limits[0].rate().ok_or("no rate")?.units, 100);
/// // A call of 1,800 tokens is one call to the first, and 1,800 units to the second.
/// let tokens = std::num::NonZeroU32::new(1_800);
/// assert_eq!((limits[0].units(tokens), limits[1].units(tokens)), (1, 1_800));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub measure: Measure,
    /// Whose calls count.
    pub scope: Scope,
    /// Tenants who have so many times as much, where each tenant has a limit of its own.
    pub weights: Weights,
}

/// Tenants, each with how many times as much it has as one that is not among them.
pub type Weights = BTreeMap<String, NonZeroU32>;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// So many in a span of time, evenly: `100/20s`.
    Rate {
        /// How many calls or units.
        units: NonZeroU64,
        /// In how long.
        per: Duration,
        /// What the API's bucket holds, if it counts by one. Otherwise it counts by windows.
        bucket: Option<NonZeroU64>,
        /// The most units of one call. Without it, each call counts as one.
        largest: Option<NonZeroU64>,
    },
    /// So many until a reset: `15000/1d`. Resets are counted from 1970-01-01T00:00:00Z.
    Quota {
        /// How many calls or units.
        units: NonZeroU64,
        /// From reset to reset.
        per: Duration,
        /// The most units of one call. Without it, each call counts as one.
        largest: Option<NonZeroU64>,
    },
    /// Calls at once.
    Concurrency(NonZeroU32),
    /// Calls at once, as many as the API turns out to take.
    Adaptive,
}

/// Whose calls a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The target's.
    Target,
    /// Each tenant's.
    Tenant,
    /// Those of all targets and stacks whose limit has this name: 1 to 64 letters, digits, `.`, `_`
    /// and `-`.
    Shared(String),
}

impl Measure {
    /// The field that says it: `rate`, `quota`, `concurrency` or `adaptive`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Quota { .. } => "quota",
            Self::Concurrency(_) => "concurrency",
            Self::Adaptive => "adaptive",
        }
    }
}

impl Limit {
    /// The rate to keep, if it is one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let Measure::Rate { units, per, bucket, largest } = self.measure else { return None };
        let mut rate = match largest {
            Some(largest) => Rate::tokens(units.get(), per, largest.get()),
            None => Rate::new(units.get(), per),
        };
        if let Some(capacity) = bucket {
            rate = Rate { largest: rate.largest, ..Rate::bucket(capacity.get(), rate.units, per) };
        }
        Some(rate)
    }

    /// The quota to keep, if it is one.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        match self.measure {
            Measure::Quota { units, per, largest } => {
                let largest = largest.map(NonZeroU64::get);
                Some(Quota { largest, ..Quota::every(units.get(), per) })
            }
            _ => None,
        }
    }

    /// What a call counts for. Where the limit counts units, a call that does not say how many it
    /// has counts as the largest: then the limit is kept all the same.
    #[must_use]
    pub fn units(&self, of_call: Option<NonZeroU32>) -> u64 {
        match self.measure {
            Measure::Rate { largest: Some(largest), .. }
            | Measure::Quota { largest: Some(largest), .. } => {
                of_call.map_or(largest.get(), |units| units.get().into())
            }
            _ => 1,
        }
    }

    /// Whether it cannot stand beside `earlier`: it is the same, or another value of what there can
    /// be only one of. Several rates or quotas are several windows.
    #[must_use]
    pub fn repeats(&self, earlier: &Self) -> bool {
        let single = matches!(self.measure, Measure::Concurrency(_) | Measure::Adaptive);
        let of_one_kind =
            self.scope == earlier.scope && self.measure.word() == earlier.measure.word();
        self == earlier || (single && of_one_kind)
    }

    /// Checks that its numbers can be kept.
    fn checked(self) -> Result<Self, String> {
        if let Some(rate) = self.rate() {
            let take = rate.take(Units::LARGEST, &Margin::default());
            take.map_err(|error| match error {
                RateError::DoesNotFit { .. } => format!("{error}; raise the rate, or lower them"),
                error => error.to_string(),
            })?;
        }
        match self.measure {
            Measure::Quota { units, largest: Some(largest), .. } if largest > units => {
                Err("one call is more than the whole quota; lower `largest`".to_owned())
            }
            _ => Ok(self),
        }
    }
}

/// A list of limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Limits(Vec<Limit>);

/// What is wrong with a list of limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not JSON.
    #[error("this is no JSON: {0}")]
    NotJson(String),
    /// An entry, or a field of it.
    #[error("{place}: {problem}")]
    Entry {
        /// The entry, counted from 1, and the field: `limits[2].rate`.
        place: String,
        /// What is wrong with it, and what to write.
        problem: String,
    },
}

impl Limits {
    /// Reads a JSON array of limits.
    ///
    /// # Errors
    /// The first mistake, with its entry and field.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        // By way of a value, whose errors do not tell a place in the text beside the entry's.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Error::NotJson(error.to_string()))?;
        let limits: Vec<Limit> = serde_path_to_error::deserialize(value).map_err(|error| {
            Error::Entry { place: place(error.path()), problem: error.inner().to_string() }
        })?;
        Self::try_from(limits)
    }

    /// The target's calls at once, if they are limited to a number.
    #[must_use]
    pub fn concurrency(&self) -> Option<u32> {
        self.of_target().find_map(|limit| match limit.measure {
            Measure::Concurrency(at_once) => Some(at_once.get()),
            _ => None,
        })
    }

    /// Whether the target's calls at once are as many as the API turns out to take.
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        self.of_target().any(|limit| limit.measure == Measure::Adaptive)
    }

    fn of_target(&self) -> impl Iterator<Item = &Limit> {
        self.iter().filter(|limit| limit.scope == Scope::Target)
    }

    /// As [`from_json`](Self::from_json) reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let entries: Vec<String> = self.0.iter().map(Limit::to_string).collect();
        format!("[{}]", entries.join(","))
    }
}

impl TryFrom<Vec<Limit>> for Limits {
    type Error = Error;

    fn try_from(limits: Vec<Limit>) -> Result<Self, Error> {
        for (index, limit) in limits.iter().enumerate() {
            let problem = limits[..index].iter().find_map(|earlier| limit.clashes_with(earlier));
            if let Some(problem) = problem {
                return Err(Error::Entry { place: format!("limits[{}]", index + 1), problem });
            }
        }
        Ok(Self(limits))
    }
}

impl FromIterator<Limit> for Limits {
    /// Of limits that stood in one list.
    fn from_iter<T: IntoIterator<Item = Limit>>(limits: T) -> Self {
        Self(limits.into_iter().collect())
    }
}

impl Deref for Limits {
    type Target = [Limit];

    fn deref(&self) -> &[Limit] {
        &self.0
    }
}

impl FromStr for Limits {
    type Err = Error;

    /// As [`from_json`](Limits::from_json).
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_json(text)
    }
}

/// `limits[2].rate`, counted from 1 as people do.
fn place(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold("limits".to_owned(), |place, segment| match segment {
        Segment::Seq { index } => format!("{place}[{}]", index + 1),
        Segment::Map { key } => format!("{place}.{key}"),
        Segment::Enum { .. } | Segment::Unknown => place,
    })
}

/// An entry of a list of limits. It has one of `rate`, `quota`, `concurrency` and `adaptive`, and
/// perhaps `per` or `name` beside it.
#[derive(Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Limit"))]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Calls in a span of time, evenly: `100/20s`, `2/s`. With `largest`, units.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<UnitsIn>,
    /// What the API's bucket holds, where it counts by one that fills at the `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<NonZeroU64>,
    /// Calls until a reset: `15000/1d`. With `largest`, units.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<UnitsIn>,
    /// The most units of one call, beside a `rate` or a `quota` that counts units, such as tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<NonZeroU64>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    /// Calls at once, as many as the API turns out to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<bool>,
    /// Each tenant has a limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<Per>,
    /// Tenants who have so many times as much of each limit of tenants: `{ acme = 3 }`. It stands beside
    /// `per`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    weights: BTreeMap<String, u32>,
    /// Targets and stacks whose limit has this name share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Per {
    /// A call's tenant.
    Tenant,
}

/// A number of calls or units and a span of time: `100/20s`, `2/s`.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
struct UnitsIn {
    units: NonZeroU64,
    per: Duration,
}

/// The longest span of time of a limit: a leap year's.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl TryFrom<String> for UnitsIn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (units, per) = text.split_once('/')?;
            Some(Self { units: units.trim().parse().ok()?, per: span(per.trim())? })
        };
        let read = read().ok_or_else(|| {
            format!(
                "`{text}` is no number of calls in a span of time; write `100/20s` or `15000/1d`"
            )
        })?;
        let whole = read.per.subsec_nanos() % 1_000_000 == 0;
        if read.per.is_zero() || read.per > LONGEST || !whole {
            return Err(format!(
                "a limit's span of time has 1 ms to 366 days; write another in `{text}`"
            ));
        }
        Ok(read)
    }
}

/// `20s`, `1 day`; `s` is short for `1s`. A day has 24 hours.
fn span(text: &str) -> Option<Duration> {
    let unit_only = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let text = if unit_only { format!("1{text}") } else { text.to_owned() };
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

impl From<UnitsIn> for String {
    fn from(UnitsIn { units, per }: UnitsIn) -> Self {
        units_in(units.get(), per)
    }
}

impl TryFrom<Fields> for Limit {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { rate, bucket, quota, largest, concurrency, adaptive, per, weights, name } =
            fields;
        let measure = match (rate, quota, concurrency, adaptive) {
            (Some(UnitsIn { units, per }), None, None, None) => {
                Measure::Rate { units, per, bucket, largest }
            }
            (None, Some(UnitsIn { units, per }), None, None) => {
                Measure::Quota { units, per, largest }
            }
            (None, None, Some(at_once), None) => {
                let none = "a concurrency of 0 lets nothing through; write `concurrency = 1`, or \
                            pause the target instead";
                Measure::Concurrency(NonZeroU32::new(at_once).ok_or(none)?)
            }
            (None, None, None, Some(true)) => Measure::Adaptive,
            (None, None, None, Some(false)) => {
                return Err("a limit that is not there is left out; take the entry out".to_owned());
            }
            _ => {
                return Err(
                    "a limit is one thing; write one of `rate`, `quota`, `concurrency` and \
                            `adaptive` in each entry"
                        .to_owned(),
                );
            }
        };
        if bucket.is_some() && rate.is_none() {
            return Err("a bucket fills at a rate; write `bucket` beside `rate`".to_owned());
        }
        if largest.is_some() && rate.is_none() && quota.is_none() {
            let problem = "only a rate or a quota counts units; write `largest` beside one of them";
            return Err(problem.to_owned());
        }
        let scope = match (per, name) {
            (None, None) => Scope::Target,
            (Some(Per::Tenant), None) => Scope::Tenant,
            (None, Some(name)) => Scope::Shared(shared_name(name)?),
            (Some(_), Some(_)) => {
                let problem = "a limit is shared or each tenant's; write `per` or `name`, not both";
                return Err(problem.to_owned());
            }
        };
        if !weights.is_empty() && scope != Scope::Tenant {
            let problem = "only tenants have weights; write `weights` beside `per = \"tenant\"`";
            return Err(problem.to_owned());
        }
        let weights = weights.into_iter().map(weight).collect::<Result<_, _>>()?;
        Limit { measure, scope, weights }.checked()
    }
}

/// The most that a tenant has, times what one without a weight has.
const MOST_WEIGHT: u32 = 1_000;

fn weight((tenant, weight): (String, u32)) -> Result<(String, NonZeroU32), String> {
    match NonZeroU32::new(weight).filter(|weight| weight.get() <= MOST_WEIGHT) {
        Some(weight) => Ok((tenant, weight)),
        None => Err(format!("the weight of `{tenant}` is {weight}; write 1 to {MOST_WEIGHT}")),
    }
}

/// It becomes a part of a stored key, and of the text in which limits travel.
fn shared_name(name: String) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
        true => Ok(name),
        false => Err("a shared limit cannot have this name; write 1 to 64 letters, digits, `.`, \
                      `_` and `-`"
            .to_owned()),
    }
}

impl From<&Limit> for Fields {
    fn from(limit: &Limit) -> Self {
        let mut fields = Self::default();
        match limit.measure {
            Measure::Rate { units, per, bucket, largest } => {
                fields.rate = Some(UnitsIn { units, per });
                (fields.bucket, fields.largest) = (bucket, largest);
            }
            Measure::Quota { units, per, largest } => {
                fields.quota = Some(UnitsIn { units, per });
                fields.largest = largest;
            }
            Measure::Concurrency(at_once) => fields.concurrency = Some(at_once.get()),
            Measure::Adaptive => fields.adaptive = Some(true),
        }
        match &limit.scope {
            Scope::Target => {}
            Scope::Tenant => fields.per = Some(Per::Tenant),
            Scope::Shared(name) => fields.name = Some(name.clone()),
        }
        let weights = limit.weights.iter();
        fields.weights = weights.map(|(tenant, weight)| (tenant.clone(), weight.get())).collect();
        fields
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Limit {
    /// Reads it inside a visitor, since only there an error of a TOML file gets the entry's place.
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

/// An entry of a list of limits.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Fields::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Fields::json_schema(generator)
    }
}

impl fmt::Display for Limit {
    /// As it is written: `{"rate":"100/20s"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}
