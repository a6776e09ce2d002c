//! What those who feed the API are told of its limits, and what operators do meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slowlane_aws_simulator::time::Moment;
use slowlane_limiter::{Limit, Measure, Overrides, Scope};

use super::api::{Per, Rate, Window};
use super::dispatch::Dispatch;
use super::read::{self, Entry, positive};

/// A limit below the ceiling, as it is told. It may be the API's own, a stricter one, or wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Told {
    /// Units in a span of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<ToldRate>,
    /// Units until a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<ToldRate>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Calls at once, as many as the API turns out to take.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adaptive: bool,
    /// Whether each tenant has such a limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Tenants who have so many times as much of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// The name under which several stacks share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Units in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldRate {
    /// Units.
    #[serde(deserialize_with = "positive")]
    pub units: u64,
    /// In so many seconds.
    #[serde(deserialize_with = "positive")]
    pub per_secs: f64,
    /// That it is a bucket, and how much it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u64>,
    /// The most units of one call; one, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u64>,
}

/// An operator pauses the target, and resumes it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// From which second of the run on.
    pub from_secs: u64,
    /// For how long.
    #[serde(deserialize_with = "positive")]
    pub for_secs: u64,
}

/// An operator lets fewer calls be made at once, or in a span of time, and later as many as were
/// configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Lowered {
    /// From which second of the run on.
    pub from_secs: u64,
    /// For how long.
    #[serde(deserialize_with = "positive")]
    pub for_secs: u64,
    /// Calls at once meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The target's only rate meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<ToldRate>,
    /// Whether that is each tenant's own instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
}

/// A kind of thing that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A rate of the target's.
    Rate,
    /// A rate of the target's that counts units.
    Units,
    /// A rate of each tenant's.
    TenantRate,
    /// A rate of each tenant's that counts units.
    TenantUnits,
    /// A quota.
    Quota,
    /// Calls at once, below the ceiling.
    Concurrency,
    /// Calls at once, as found out.
    Adaptive,
    /// A limit that several stacks share by its name.
    SharedName,
    /// An operator's pause.
    Pause,
    /// That nothing fails while the API is out of order.
    Breaker,
}

/// What the worker keeps beside its ceiling. Whoever teaches it another kind adds it here: then
/// scenarios may tell it, invariants watch it, and `bench --limits` judges it.
const KEPT_BY_THE_WORKER: &[Kept] = &[
    Kept::Rate,
    Kept::Units,
    Kept::TenantRate,
    Kept::Quota,
    Kept::Concurrency,
    Kept::Adaptive,
    Kept::SharedName,
    Kept::Pause,
    Kept::Breaker,
];

/// What a function with `slowlane-limiter` in it keeps.
const KEPT_BY_THE_LIMITER: &[Kept] =
    &[Kept::Rate, Kept::Units, Kept::TenantRate, Kept::TenantUnits, Kept::Pause, Kept::Breaker];

impl Dispatch {
    /// Whether this way is the worker's.
    pub fn is_the_workers(self) -> bool {
        matches!(self, Dispatch::Doorbell | Dispatch::DeferralSwap | Dispatch::DeferralYield)
    }

    /// Whether calls on this way keep such a thing.
    pub fn keeps(self, kind: Kept) -> bool {
        let kept = match self {
            way if way.is_the_workers() => KEPT_BY_THE_WORKER,
            Dispatch::Limiter => KEPT_BY_THE_LIMITER,
            _ => &[],
        };
        kept.contains(&kind)
    }

    /// Whether this way can be told of such a thing, whether or not it keeps it.
    pub(super) fn takes(self, kind: Kept) -> bool {
        let counts = self == Dispatch::CheckAndReject && matches!(kind, Kept::Rate | Kept::Units);
        // Who retries does not look at limits.
        let is_deaf = matches!(self, Dispatch::Direct | Dispatch::Cascade) && kind != Kept::Pause;
        counts || is_deaf || self.keeps(kind)
    }
}

impl Told {
    /// A rate.
    pub fn rate(units: u64, per_secs: f64) -> Told {
        Told::of(ToldRate { units, per_secs, bucket: None, largest: None })
    }

    /// A rate of the target's.
    pub fn of(rate: ToldRate) -> Told {
        Told { rate: Some(rate), ..Told::default() }
    }

    /// The same as it is configured; none if its numbers are no limit's.
    pub fn limit(&self) -> Option<Limit> {
        let Told { rate, quota, concurrency, per, name, .. } = self;
        let measure = match (rate, quota, concurrency) {
            (Some(rate), ..) => Measure::Rate {
                units: NonZeroU64::new(rate.units)?,
                per: rate.per(),
                bucket: rate.bucket.and_then(NonZeroU64::new),
                largest: rate.largest.and_then(NonZeroU64::new),
            },
            (_, Some(quota), _) => Measure::Quota {
                units: NonZeroU64::new(quota.units)?,
                per: quota.per(),
                largest: quota.largest.and_then(NonZeroU64::new),
            },
            (.., Some(concurrency)) => Measure::Concurrency(NonZeroU32::new(*concurrency)?),
            _ => Measure::Adaptive,
        };
        let scope = match (per, name) {
            (Some(Per::Tenant), _) => Scope::Tenant,
            (None, Some(name)) => Scope::Shared(name.clone()),
            (None, None) => Scope::Target,
        };
        let weight =
            |(tenant, weight): (&String, &u32)| Some((tenant.clone(), NonZeroU32::new(*weight)?));
        let weights = self.weights.iter().map(weight).collect::<Option<_>>()?;
        Some(Limit { measure, scope, weights })
    }

    /// The kind of limit.
    pub fn kind(&self) -> Kept {
        match self {
            Told { name: Some(_), .. } => Kept::SharedName,
            Told { rate: Some(rate), per: Some(_), .. } if rate.largest.is_some() => {
                Kept::TenantUnits
            }
            Told { rate: Some(_), per: Some(_), .. } => Kept::TenantRate,
            Told { rate: Some(rate), .. } if rate.largest.is_some() => Kept::Units,
            Told { rate: Some(_), .. } => Kept::Rate,
            Told { quota: Some(_), .. } => Kept::Quota,
            Told { concurrency: Some(_), .. } => Kept::Concurrency,
            Told { .. } => Kept::Adaptive,
        }
    }

    /// Whether who keeps this rate makes no more calls in any time than a rate of the API's allows.
    pub fn is_within(&self, rate: &Rate) -> bool {
        self.rate.is_some_and(|told| {
            let of_windows = told.bucket.is_none() && rate.window != Window::Bucket;
            of_windows && told.per_secs == rate.per_secs && told.units <= rate.units
        })
    }

    /// Whether whoever keeps this limit also keeps a rate of the API's, with calls of so many
    /// units.
    pub fn tells(&self, rate: &Rate, most_units: u64) -> bool {
        let bucket = (rate.window == Window::Bucket).then(|| rate.capacity());
        self.per == rate.per
            && self.rate.is_some_and(|told| {
                (told.units, told.per_secs) == (rate.units, rate.per_secs)
                    && told.bucket.is_some() == bucket.is_some()
                    && told.bucket <= bucket
                    && told.largest.unwrap_or(1) >= most_units
            })
    }
}

impl ToldRate {
    /// The span of time.
    pub fn per(&self) -> Duration {
        Duration::from_secs_f64(self.per_secs)
    }
}

impl Pause {
    /// When the operator pauses.
    pub fn begins(&self) -> Moment {
        Moment::from_millis(self.from_secs * 1_000)
    }

    /// When he resumes.
    pub fn ends(&self) -> Moment {
        Moment::from_millis((self.from_secs + self.for_secs) * 1_000)
    }
}

impl Lowered {
    /// When the operator lowers it.
    pub fn begins(&self) -> Moment {
        Moment::from_millis(self.from_secs * 1_000)
    }

    /// When he sets it back.
    pub fn ends(&self) -> Moment {
        Moment::from_millis((self.from_secs + self.for_secs) * 1_000)
    }

    /// The kind of limit.
    pub fn kind(&self) -> Kept {
        self.told().map_or(Kept::Concurrency, |told| told.kind())
    }

    /// The rate that is set, as it would be told.
    pub fn told(&self) -> Option<Told> {
        self.rate.map(|rate| Told { per: self.per, ..Told::of(rate) })
    }

    /// What is set meanwhile in place of what was configured.
    pub fn overrides(&self) -> Overrides {
        let rate = self.told().and_then(|told| told.limit()?.rate());
        let rates = rate.map(|rate| vec![rate]);
        let (rates, tenant_rates) = match self.per {
            None => (rates, None),
            Some(Per::Tenant) => (None, rates),
        };
        let concurrency = self.concurrency;
        Overrides { concurrency, rates, tenant_rates, ..Overrides::default() }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kept::Rate => "a rate",
            Kept::Units => "a rate that counts units",
            Kept::TenantRate => "a rate of each tenant's",
            Kept::TenantUnits => "a rate of each tenant's that counts units",
            Kept::Quota => "a quota",
            Kept::Concurrency => "a concurrency below the ceiling",
            Kept::Adaptive => "an adaptive concurrency",
            Kept::SharedName => "a limit shared by its name",
            Kept::Pause => "a pause",
            Kept::Breaker => "a breaker",
        })
    }
}

impl Entry for Told {
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Told, D::Error> {
        Told::deserialize(deserializer)
    }

    fn mistake(&self) -> Option<&'static str> {
        let Told { rate, quota, concurrency, adaptive, per, weights, name } = self;
        let measures = [rate.is_some(), quota.is_some(), concurrency.is_some(), *adaptive];
        if measures.into_iter().filter(|is_there| *is_there).count() != 1 {
            return Some(
                "a limit is one thing; write one of rate, quota, concurrency and adaptive",
            );
        }
        if *concurrency == Some(0) {
            return Some("a concurrency of 0 lets nothing through");
        }
        if !weights.is_empty() && per.is_none() {
            return Some("only tenants have weights");
        }
        if weights.values().any(|weight| *weight == 0) {
            return Some("a weight of 0 lets nothing through");
        }
        let both = per.is_some() && name.is_some();
        both.then_some("a limit is shared by its name or each tenant's, not both")
    }
}

impl Entry for Lowered {
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lowered, D::Error> {
        Lowered::deserialize(deserializer)
    }

    fn mistake(&self) -> Option<&'static str> {
        if self.concurrency.is_some() == self.rate.is_some() {
            return Some("one thing is lowered; write concurrency or rate");
        }
        if self.per.is_some() && self.rate.is_none() {
            return Some("what is each tenant's is a rate");
        }
        (self.concurrency == Some(0)).then_some("a concurrency of 0 lets nothing through")
    }
}

impl<'de> Deserialize<'de> for Lowered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lowered, D::Error> {
        read::entry(deserializer)
    }
}

impl Serialize for Lowered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Lowered::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Told, D::Error> {
        read::entry(deserializer)
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Told::serialize(self, serializer)
    }
}
