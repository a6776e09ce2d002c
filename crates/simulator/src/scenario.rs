//! What a run is about: a limit, an API, loads, a way of dispatch, and what goes wrong. It is read
//! from a small TOML file; every field has a default.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slowlane_aws_simulator::chance::Latency;
use slowlane_aws_simulator::cloud::parameters::{self, Parameters};
use slowlane_aws_simulator::faults::Rates;
use slowlane_message::Priority;

use crate::faults::Fault;

/// One scenario. `Scenario::default()` is a quiet afternoon: limit 5, calls of 200 ms, no faults,
/// no loads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What it is called in reports.
    pub name: String,
    /// What its unconfirmed facts are called in reports.
    pub facts: String,
    /// Rules everything that is left to chance.
    pub seed: u64,
    /// The API's limit: calls at the same time.
    pub limit: u32,
    /// How a call finds its slot.
    pub dispatch: Dispatch,
    /// How long the API takes for a call.
    pub api: Times,
    /// How long an AWS request takes, there and back.
    pub aws: Times,
    /// How long a new environment takes until it can handle its first event.
    pub cold_start: Times,
    /// The template's `ApiTimeoutSeconds`.
    pub api_timeout_secs: u64,
    /// How long a call may wait.
    pub deadline_secs: u64,
    /// The template's `ShareEvery`.
    pub share_every: u32,
    /// The template's `MaxDeferrals`.
    pub max_deferrals: u32,
    /// The template's `MaxWaitSeconds`.
    pub max_wait_secs: u64,
    /// The template's `MaxAttempts`.
    pub max_attempts: u32,
    /// How often the SDK sends a request that fails in a way which may pass.
    pub sdk_attempts: u32,
    /// The share of calls that the API may be asked for twice without harm (PUT); the others
    /// (POST) have an effect each time.
    pub repeatable: f64,
    /// A mistake that is built in on purpose, to see that an invariant notices it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutant: Option<Mutant>,
    /// Strikes of faults that are left out, by their number: how a failing run is shrunk.
    pub spare: BTreeSet<u64>,
    /// The calls.
    pub load: Vec<Load>,
    /// Probability of each fault at each of its occasions, by name.
    pub faults: BTreeMap<String, f64>,
    /// Unconfirmed facts, by name.
    pub parameters: BTreeMap<String, f64>,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            name: String::new(),
            facts: "as assumed".to_owned(),
            seed: 1,
            limit: 5,
            dispatch: Dispatch::Doorbell,
            api: Times::fixed(200.0),
            aws: Times { median_ms: 6.0, p99_ms: Some(40.0) },
            cold_start: Times { median_ms: 80.0, p99_ms: Some(250.0) },
            api_timeout_secs: 30,
            deadline_secs: 21_600,
            share_every: 10,
            max_deferrals: 10,
            max_wait_secs: 900,
            max_attempts: 5,
            sdk_attempts: 3,
            repeatable: 0.5,
            mutant: None,
            spare: BTreeSet::new(),
            load: Vec::new(),
            faults: BTreeMap::new(),
            parameters: BTreeMap::new(),
        }
    }
}

/// How a call finds its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// A ring wakes a slot, which settles one call while the next is at the API.
    Doorbell,
    /// A ring wakes a slot, which does one thing after another.
    DoorbellPlain,
    /// A mapping for each queue; a slot woken by a lower call runs the higher one instead.
    DeferralSwap,
    /// A mapping for each queue; a slot woken by a lower call gives it back and ends.
    DeferralYield,
    /// No queue: the state's Retry ([`strategies`](crate::strategies)).
    Direct,
    /// No queue: three functions with ever slower Retries.
    Cascade,
    /// No queue: a counter in DynamoDB and a spin.
    Semaphore,
    /// No queue: a distributed Map.
    Map,
}

impl Dispatch {
    /// All of them, as reports list them.
    pub const ALL: [Dispatch; 8] = [
        Dispatch::Direct,
        Dispatch::Cascade,
        Dispatch::Semaphore,
        Dispatch::Map,
        Dispatch::DeferralYield,
        Dispatch::DeferralSwap,
        Dispatch::DoorbellPlain,
        Dispatch::Doorbell,
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// There is none; the text says which there are.
    pub fn named(name: &str) -> Result<Dispatch, String> {
        let known = Dispatch::ALL.into_iter().find(|dispatch| dispatch.name() == name);
        known.ok_or_else(|| format!("one of {}", Dispatch::ALL.map(Dispatch::name).join(", ")))
    }

    /// Its name in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Dispatch::Doorbell => "doorbell",
            Dispatch::DoorbellPlain => "doorbell-plain",
            Dispatch::DeferralSwap => "deferral-swap",
            Dispatch::DeferralYield => "deferral-yield",
            Dispatch::Direct => "direct",
            Dispatch::Cascade => "cascade",
            Dispatch::Semaphore => "semaphore",
            Dispatch::Map => "map",
        }
    }
}

/// A mistake in the programs or their settings. Each breaks one invariant of the
/// [`ledger`](crate::ledger).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutant {
    /// The worker's reserved concurrency is one more than the API's limit.
    OneSlotTooMany,
    /// The enqueuer does not ring.
    NoRing,
    /// The target calls every request repeatable: no mark before it leaves, no reconciliation.
    EverythingRepeatable,
    /// The target takes a lost answer for a call that was not executed.
    LostMeansNotDone,
    /// `maxReceiveCount` is typed in as 2.
    FewReceives,
    /// The worker takes the BATCH queue for the HIGH one, and the other way round.
    LowestFirst,
    /// The target names a record that it has not made.
    WrongRecord,
    /// The target rejects what the API accepts.
    Rejects,
    /// The target says that the API is at work for half a minute at most.
    SettlesSoon,
    /// The target takes any 400 for a call that was not executed.
    EveryRefusalRejects,
    /// Nobody rings for what waits when the stack is switched to the doorbell.
    NoRingAfterSwitch,
}

/// A distribution of times: fixed if it has a median only, else log-normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Half of the times are below.
    pub median_ms: f64,
    /// 99 of 100 are below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

impl Times {
    /// Always `millis`.
    pub fn fixed(millis: f64) -> Times {
        Times { median_ms: millis, p99_ms: None }
    }

    /// The distribution to draw from.
    pub fn latency(self) -> Latency {
        match self.p99_ms {
            Some(p99_ms) => Latency::LogNormal { median_ms: self.median_ms, p99_ms },
            None => Latency::Fixed(Duration::from_micros((self.median_ms * 1000.0) as u64)),
        }
    }
}

/// Calls of one priority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// HIGH, NORMAL or BATCH.
    #[serde(deserialize_with = "priority")]
    pub priority: Priority,
    /// How many.
    pub calls: u64,
    /// When the first one's workflow starts, in milliseconds of the run.
    #[serde(default)]
    pub start_ms: u64,
    /// The gap between one and the next; 0 is all at once.
    #[serde(default)]
    pub every_ms: f64,
    /// Whether the gaps are exponential with that mean, instead of all equal.
    #[serde(default)]
    pub random: bool,
}

fn priority<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("a priority is HIGH, NORMAL or BATCH"))
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML of this form; the text says where.
    #[error("the scenario cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// No fault has this name.
    #[error("no fault is called {0:?}")]
    UnknownFault(String),
    /// A parameter is unknown or out of its range.
    #[error(transparent)]
    Parameter(#[from] parameters::Error),
    /// A number makes no sense; the text says which.
    #[error("{0}")]
    Senseless(&'static str),
}

impl Scenario {
    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// The text is no scenario, or names a fault or parameter that is unknown.
    pub fn parse(text: &str) -> Result<Scenario, Error> {
        let scenario: Scenario = toml::from_str(text)?;
        scenario.rates()?;
        scenario.parameters()?;
        if scenario.limit == 0 || scenario.max_attempts == 0 || scenario.sdk_attempts == 0 {
            return Err(Error::Senseless("limit, max_attempts and sdk_attempts are 1 or more"));
        }
        Ok(scenario)
    }

    /// The probabilities of the faults.
    ///
    /// # Errors
    /// One of them has an unknown name.
    pub fn rates(&self) -> Result<Rates, Error> {
        let mut rates = Rates::default();
        for (name, probability) in &self.faults {
            let fault = Fault::named(name).ok_or_else(|| Error::UnknownFault(name.clone()))?;
            rates.set(fault, *probability);
        }
        Ok(rates)
    }

    /// The unconfirmed facts.
    ///
    /// # Errors
    /// One of them has an unknown name or is out of its range.
    pub fn parameters(&self) -> Result<Parameters, Error> {
        let mut parameters = Parameters::default();
        for (name, value) in &self.parameters {
            parameters.set(name, *value)?;
        }
        Ok(parameters)
    }

    /// The flood that every comparison begins with: 240 BATCH and 60 NORMAL at once, then a HIGH
    /// every 400 ms, 30 of them.
    pub fn flood() -> Scenario {
        let load = |priority, calls, every_ms| Load {
            priority,
            calls,
            start_ms: 0,
            every_ms,
            random: false,
        };
        Scenario {
            name: "flood".to_owned(),
            load: vec![
                load(Priority::Batch, 240, 0.0),
                load(Priority::Normal, 60, 0.0),
                load(Priority::High, 30, 400.0),
            ],
            ..Scenario::default()
        }
    }

    /// Scales the loads so that there are about `calls` calls in all.
    pub fn scale_to(&mut self, calls: u64) {
        let now = self.calls().max(1);
        for load in &mut self.load {
            load.calls = (load.calls * calls).div_ceil(now);
        }
    }

    /// The scenario as TOML, to be read again by [`Scenario::parse`].
    ///
    /// # Errors
    /// A number of it cannot be written in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// How many calls there are.
    pub fn calls(&self) -> u64 {
        self.load.iter().map(|load| load.calls).sum()
    }
}

#[cfg(test)]
mod tests {
    use slowlane_aws_simulator::faults::Fault as AwsFault;

    use super::*;

    #[test]
    fn a_scenario_is_read_from_toml() {
        let text = r#"
            name = "flood"
            limit = 2
            dispatch = "deferral-swap"
            api = { median_ms = 50, p99_ms = 400 }

            [[load]]
            priority = "BATCH"
            calls = 100

            [[load]]
            priority = "HIGH"
            calls = 10
            every_ms = 400

            [faults]
            crash = 0.01

            [parameters]
            throttle_backoff_cap_ms = 10000
        "#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!((scenario.limit, scenario.calls()), (2, 110));
        assert_eq!(scenario.dispatch, Dispatch::DeferralSwap);
        assert_eq!(scenario.rates().unwrap().of(AwsFault::Crash), 0.01);
        assert_eq!(Scenario::parse(&scenario.to_toml().unwrap()).unwrap(), scenario);
    }

    #[test]
    fn the_scenarios_that_are_kept_are_sound() {
        for text in [
            include_str!("../scenarios/flood.toml"),
            include_str!("../scenarios/million.toml"),
            include_str!("../scenarios/one.toml"),
        ] {
            Scenario::parse(text).unwrap();
        }
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            ("limt = 5", "limt"),
            ("limit = 0", "limit"),
            ("[faults]\nflood = 0.1", "flood"),
            ("[parameters]\nthrottle_backoff_cap_ms = 1", "throttle_backoff_cap_ms"),
            ("[[load]]\npriority = \"URGENT\"\ncalls = 1", "priority"),
        ];
        for (text, name) in mistakes {
            let error = Scenario::parse(text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
