//! What a run is about: a limit, an API, loads, a way of dispatch, and what goes wrong. It is read
//! from a small TOML file; every field has a default.

mod api;
mod dispatch;
mod load;
mod mutant;
mod read;
mod times;
mod told;
mod vendor;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slowlane_aws_simulator::cloud::parameters::{self, Parameters};
use slowlane_aws_simulator::faults::Rates;
use slowlane_aws_simulator::time::Moment;
use slowlane_limiter::Overrides;
use slowlane_message::Priority;

pub use api::{Api, Others, Outage, OutageKind, Per, Rate, Window};
pub use dispatch::Dispatch;
pub use load::{Drawn, Load, Units};
pub use mutant::Mutant;
pub use times::Times;
pub use told::{Kept, Lowered, Pause, Told, ToldRate};

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
    /// The limit that the stack is deployed with, calls at the same time: the worker's reserved
    /// concurrency, and what the API takes unless its own settings differ.
    pub limit: u32,
    /// How a call finds its slot.
    pub dispatch: Dispatch,
    /// The API: how long it takes, and what it takes.
    pub api: Api,
    /// What those who feed the API are told of its limits, beside `limit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Told>,
    /// When operators pause the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// When operators let fewer calls be made, at once or in a span of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lowered: Vec<Lowered>,
    /// When the table of limits that have a name cannot be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_table_out: Vec<Pause>,
    /// Whether it is counted what calls use, and how much of it each tenant may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metering: Option<Metering>,
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
            api: Api::fixed(200.0),
            limits: Vec::new(),
            pauses: Vec::new(),
            lowered: Vec::new(),
            shared_table_out: Vec::new(),
            metering: None,
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

/// What is counted of calls' usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metering {
    /// How many units each tenant may use in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_a_day: Option<u64>,
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
    /// The scenario tells of something that is not kept.
    #[error(
        "{way} does not keep {kind} yet, so that a run would say nothing; take it out of the \
         scenario, or choose another --dispatch, such as limiter"
    )]
    NotKept {
        /// The way of dispatch.
        way: &'static str,
        /// What is not kept.
        kind: Kept,
    },
    /// The API would refuse some calls for ever; the text says which and why.
    #[error("some calls would never be taken: {0}")]
    NeverTaken(String),
    /// What is asked of a vendor's API; the text says what is wrong with it.
    #[error("{0}")]
    Vendor(String),
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
        scenario.check_that_every_call_is_taken()?;
        scenario.check_vendor()?;
        Ok(scenario)
    }

    /// What is told in this scenario and is not kept on its way of dispatch, if anything. The worker
    /// must not be measured by what it does not claim.
    pub fn tells_more_than_is_kept(&self) -> Option<Kept> {
        let told = self.limits.iter().map(Told::kind);
        let paused = self.pauses.iter().map(|_| Kept::Pause);
        let lowered = self.lowered.iter().map(Lowered::kind);
        told.chain(paused).chain(lowered).find(|kind| !self.dispatch.takes(*kind))
    }

    /// What operators have set in place of what was told, at a moment.
    pub(crate) fn set_live_at(&self, now: Moment) -> Overrides {
        let on =
            self.lowered.iter().filter(|lowered| lowered.begins() <= now && now < lowered.ends());
        on.map(Lowered::overrides).fold(Overrides::default(), |set, more| Overrides {
            concurrency: more.concurrency.or(set.concurrency),
            rates: more.rates.or(set.rates),
            tenant_rates: more.tenant_rates.or(set.tenant_rates),
            ..set
        })
    }

    /// A scenario may be read whatever its way of dispatch, which the command line may change.
    pub(crate) fn check_that_it_is_kept(&self) -> Result<(), Error> {
        self.check_vendor()?;
        let missing = self.tells_more_than_is_kept();
        let way = self.dispatch.name();
        missing.map_or(Ok(()), |kind| Err(Error::NotKept { way, kind }))
    }

    /// An API that refuses a call however long it waits is no slow API, and a run would not end.
    fn check_that_every_call_is_taken(&self) -> Result<(), Error> {
        let Api { concurrency, concurrency_steps, others, rates, .. } = &self.api;
        for (load, rate) in self.load.iter().flat_map(|load| rates.iter().map(move |r| (load, r))) {
            let (most, capacity) = (load.most_units(), rate.capacity());
            if most > capacity {
                return Err(Error::NeverTaken(format!(
                    "a {} call has up to {most} units, and a rate of the API takes {capacity} at \
                     most; lower its units' p99, or raise the rate",
                    load.priority
                )));
            }
        }
        let last = concurrency_steps.last().map(|(_, concurrency)| *concurrency);
        let at_once = last.or(*concurrency).unwrap_or(self.limit);
        let others = others.as_ref().map_or(0, |others| others.least);
        if others >= at_once {
            return Err(Error::NeverTaken(format!(
                "the API takes {at_once} calls at once, and others make {others} of them always; \
                 lower `least` of the others"
            )));
        }
        Ok(())
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
        Scenario {
            name: "flood".to_owned(),
            load: vec![
                Load::new(Priority::Batch, 240, 0.0),
                Load::new(Priority::Normal, 60, 0.0),
                Load::new(Priority::High, 30, 400.0),
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

    /// The tenant who has most of the calls of his load, if there is one.
    pub fn noisy_tenant(&self) -> Option<u32> {
        let noisy = self.load.iter().find(|load| load.noisy.is_some());
        noisy.map(|load| load.first_tenant)
    }

    /// How many calls there are.
    pub fn calls(&self) -> u64 {
        self.load.iter().map(|load| load.calls).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            include_str!("../scenarios/short.toml"),
            include_str!("../scenarios/urgent.toml"),
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
            ("[api]\nmedian_ms = 1\nothers = { most = 5, every_secs = 9, least = 5 }", "others"),
            (
                "api = { median_ms = 1, rates = [{ units = 10, per_secs = 1 }] }\n[[load]]\n\
                 priority = \"HIGH\"\ncalls = 1\nunits = { median = 5, p99 = 11 }",
                "11 units",
            ),
        ];
        for (text, name) in mistakes {
            let error = Scenario::parse(text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_mistake_in_what_the_api_takes_is_told_with_its_line() {
        let rate = |fields: &str| {
            format!("[api]\nmedian_ms = 200\n\n[[api.rates]]\nunits = 100\nper_secs = 10\n{fields}")
        };
        let load = |fields: &str| {
            format!("limit = 2\n\n[[load]]\npriority = \"HIGH\"\ncalls = 1\n{fields}")
        };
        let limits = |fields: &str| format!("dispatch = \"limiter\"\n\n[[limits]]\n{fields}");
        let mistakes = [
            (limits("per = \"tenant\""), "line 3", "one thing"),
            (limits("adaptive = true\nrate = { units = 1, per_secs = 1 }"), "line 3", "one thing"),
            (limits("rate = { units = 1, per_secs = 0 }"), "line 4", "more than 0"),
            (rate("burst = 20"), "line 4", "only a bucket has a burst"),
            (rate("window = \"leaky\""), "line 7", "unknown variant `leaky`"),
            (rate("units_ = 1"), "line 7", "unknown field `units_`"),
            ("[api]\nmedian_ms = 2\nrates = [{ units = 0, per_secs = 1 }]".into(), "line 3", "0"),
            ("[api]\nmedian_ms = 2\nconcurrency = 0".into(), "line 3", "more than 0"),
            ("[api]\nmedian_ms = 2\nconcurrency_steps = [[9, 1], [3, 2]]".into(), "line 3", "rise"),
            ("[api]\nmedian_ms = 2\nconcurrency_steps = [[9, 0]]".into(), "line 3", "nothing"),
            (load("noisy = 0.5"), "line 3", "quiet ones"),
            (load("estimate_error = 0.3"), "line 3", "one unit"),
            (load("units = { median = 5, p99 = 4 }"), "line 3", "more than their p99"),
        ];
        for (text, line, what) in mistakes {
            let error = Scenario::parse(&text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(what), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_not_kept_is_refused_by_name() {
        let text = |dispatch: &str, told: &str| format!("dispatch = \"{dispatch}\"\n{told}");
        let adaptive = "[[limits]]\nadaptive = true";
        let check = |text: String| Scenario::parse(&text).unwrap().check_that_it_is_kept();
        let error = check(text("limiter", adaptive)).unwrap_err().to_string();
        assert!(error.contains("limiter does not keep an adaptive concurrency"), "{error}");
        let rate = "[[limits]]\nrate = { units = 100, per_secs = 60 }";
        let pause = "[[pauses]]\nfrom_secs = 60\nfor_secs = 600";
        for told in [rate, pause] {
            check(text("limiter", told)).unwrap();
            assert!(check(text("semaphore", told)).is_err());
        }
    }

    #[test]
    fn what_the_api_takes_is_read_and_written() {
        let text = r#"
            limit = 10

            [api]
            median_ms = 200
            concurrency = 10
            concurrency_steps = [[60, 4], [660, 10]]
            others = { most = 3, every_secs = 60 }
            rates = [
                { units = 100, per_secs = 60 },
                { units = 20, per_secs = 0.5, window = "bucket", burst = 40, per = "tenant" },
            ]
            outages = [{ from_secs = 120, for_secs = 1800, kind = "5xx" }]

            [[load]]
            priority = "BATCH"
            calls = 5000
            tenants = 21
            noisy = 0.9
            units = { median = 3, p99 = 40 }
            estimate_error = 0.3
        "#;
        let scenario = Scenario::parse(text).unwrap();
        let rates = &scenario.api.rates;
        assert_eq!(rates[0], Rate::new(100, 60.0, Window::Fixed));
        assert_eq!((rates[1].per(), rates[1].capacity()), (Duration::from_millis(500), 40));
        assert_eq!(scenario.api.outages[0].kind, OutageKind::ServerErrors);
        assert_eq!(Scenario::parse(&scenario.to_toml().unwrap()).unwrap(), scenario);
    }
}
