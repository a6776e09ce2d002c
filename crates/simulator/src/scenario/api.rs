//! The API of a scenario: how long it takes, what it takes, and when it is out of order.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slowlane_aws_simulator::chance::Latency;
use slowlane_aws_simulator::time::Moment;

use super::read::{self, Entry, positive};
use super::times::Times;

/// The API behind the worker, and what it enforces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The vendor's whose sandbox it is, by the name of a profile that comes with Slowlane: the worker
    /// calls it by that profile, and each call is the sandbox's sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What goes wrong at a vendor's, in the words of its sandbox: `drop-after-commit:2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Half of its calls take less.
    pub median_ms: f64,
    /// 99 of 100 calls take less; without it all take the median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// What it takes at once; the scenario's limit, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_positive")]
    pub concurrency: Option<u32>,
    /// What it takes at once from a second of the run on: `[[60, 4], [660, 10]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "steps")]
    pub concurrency_steps: Vec<(u64, u32)>,
    /// Others who use the same limit of calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Others>,
    /// What it takes in a span of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// Whether a 429 for a rate says how long to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry_after: bool,
    /// Whether its answers say what is left of its rates, and in how long all of it is there again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub says_left: bool,
    /// When it is out of order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<Outage>,
}

/// What the API takes in a span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Rate {
    /// Units; a call has one, unless its load says otherwise.
    #[serde(deserialize_with = "positive")]
    pub units: u64,
    /// In so many seconds.
    #[serde(deserialize_with = "positive")]
    pub per_secs: f64,
    /// How they are counted.
    #[serde(default)]
    pub window: Window,
    /// How much a bucket holds; what `units` says, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Whether each tenant has such a rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// From which second of the run to which it holds, if not always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<(u64, u64)>,
}

/// How the units of a rate are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// In windows that follow each other; the seed draws where they begin.
    #[default]
    Fixed,
    /// In the window that ends now.
    Sliding,
    /// A bucket that fills evenly.
    Bucket,
}

/// Who has a limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Each tenant.
    Tenant,
}

/// Other users of the API's limit of calls at once, who take some of it, anew each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Others {
    /// The fewest calls at once that they make.
    #[serde(default)]
    pub least: u32,
    /// The most.
    pub most: u32,
    /// How long until they make more or fewer.
    #[serde(deserialize_with = "positive")]
    pub every_secs: u64,
}

/// A time in which the API is out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// From which second of the run on.
    pub from_secs: u64,
    /// For how long.
    #[serde(deserialize_with = "positive")]
    pub for_secs: u64,
    /// What it does instead of its work.
    pub kind: OutageKind,
}

/// What an API that is out of order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutageKind {
    /// It answers 401 to everybody.
    RefusedCredentials,
    /// It takes no connection: who calls learns at once that nothing was sent.
    NoConnection,
    /// It takes the request and never answers: who calls has to give up. Nothing was done.
    Silence,
    /// It answers 503.
    #[serde(rename = "5xx")]
    ServerErrors,
}

impl Api {
    /// An API whose calls take `times`, and whose limit is the scenario's.
    pub fn new(times: Times) -> Api {
        Api {
            profile: None,
            faults: Vec::new(),
            median_ms: times.median_ms,
            p99_ms: times.p99_ms,
            concurrency: None,
            concurrency_steps: Vec::new(),
            others: None,
            rates: Vec::new(),
            retry_after: false,
            says_left: false,
            outages: Vec::new(),
        }
    }

    /// An API whose calls always take `millis`.
    pub fn fixed(millis: f64) -> Api {
        Api::new(Times::fixed(millis))
    }

    /// The distribution of its times.
    pub fn latency(&self) -> Latency {
        Times { median_ms: self.median_ms, p99_ms: self.p99_ms }.latency()
    }

    /// Whether it may refuse, or fail, what the worker's own limit lets through.
    pub fn is_harder_than_its_limit(&self) -> bool {
        let Api { profile, concurrency, concurrency_steps, others, rates, outages, .. } = self;
        profile.is_some()
            || concurrency.is_some()
            || !concurrency_steps.is_empty()
            || others.is_some()
            || !rates.is_empty()
            || !outages.is_empty()
    }
}

impl Outage {
    /// Whether it is on at a moment.
    pub fn is_on(&self, now: Moment) -> bool {
        self.begins() <= now && now < self.ends()
    }

    /// When it begins.
    pub fn begins(&self) -> Moment {
        Moment::from_millis(self.from_secs * 1_000)
    }

    /// When the API is in order again.
    pub fn ends(&self) -> Moment {
        Moment::from_millis((self.from_secs + self.for_secs) * 1_000)
    }
}

impl Rate {
    /// `units` in `per_secs`, counted in such windows.
    pub fn new(units: u64, per_secs: f64, window: Window) -> Rate {
        Rate { units, per_secs, window, burst: None, per: None, between: None }
    }

    /// The span of time.
    pub fn per(&self) -> Duration {
        Duration::from_secs_f64(self.per_secs)
    }

    /// Whether it holds in a second of the run.
    pub fn holds_in(&self, second: u64) -> bool {
        self.between.is_none_or(|(from, until)| from <= second && second < until)
    }

    /// The most units that it ever takes at once: a call that has more is refused for ever.
    pub fn capacity(&self) -> u64 {
        self.burst.unwrap_or(self.units)
    }
}

impl Entry for Rate {
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        Rate::deserialize(deserializer)
    }

    fn mistake(&self) -> Option<&'static str> {
        match (self.burst, self.window) {
            (Some(0), _) => Some("a bucket that holds nothing takes no call; burst is 1 or more"),
            (Some(_), Window::Fixed | Window::Sliding) => {
                Some("only a bucket has a burst; write window = \"bucket\", or leave burst out")
            }
            _ if self.between.is_some_and(|(from, until)| from >= until) => {
                Some("between names the second from which a rate holds, and a later one")
            }
            _ => None,
        }
    }
}

impl Entry for Others {
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Others, D::Error> {
        Others::deserialize(deserializer)
    }

    fn mistake(&self) -> Option<&'static str> {
        (self.least > self.most).then_some("`least` of the others is more than their `most`")
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        read::entry(deserializer)
    }
}

impl<'de> Deserialize<'de> for Others {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Others, D::Error> {
        read::entry(deserializer)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Rate::serialize(self, serializer)
    }
}

impl Serialize for Others {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Others::serialize(self, serializer)
    }
}

fn some_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    positive(deserializer).map(Some)
}

/// Reads steps whose times rise; the last one must let something through.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u64, u32)>, D::Error> {
    let steps = Vec::<(u64, u32)>::deserialize(deserializer)?;
    if !steps.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(serde::de::Error::custom("the seconds of the steps must rise"));
    }
    if steps.last().is_some_and(|(_, concurrency)| *concurrency == 0) {
        return Err(serde::de::Error::custom("after the last step nothing would ever get through"));
    }
    Ok(steps)
}
