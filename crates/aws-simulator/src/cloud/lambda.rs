//! Lambda: who may run, in which environment, and what it costs.

use std::collections::VecDeque;
use std::time::Duration;

use super::parameters::{Parameters, Unconfirmed};
use crate::chance::Latency;
use crate::time::Moment;

/// A function, by its position in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(pub u32);

/// The age at which an asynchronous invocation is dropped unless the function says otherwise (doc).
pub const DEFAULT_EVENT_AGE: Duration = Duration::from_secs(21_600);

/// What a function is created with.
#[derive(Clone, Debug)]
pub struct FunctionSettings {
    /// The name that requests know it by.
    pub name: String,
    /// How many invocations may run at once. Only *reserved* concurrency is a cap (doc).
    pub concurrency: u32,
    /// Age at which an invocation is killed.
    pub timeout: Duration,
    /// Age at which an asynchronous invocation that has not run is dropped
    /// (`MaximumEventAgeInSeconds`: 60 to 21,600 s).
    pub event_age: Duration,
    /// Memory, for the price.
    pub memory_mb: u32,
    /// How long a new environment takes until it can handle its first event.
    pub cold_start: Latency,
}

impl FunctionSettings {
    /// Lambda's defaults (doc): 1,000 invocations at once, which an account has for all its
    /// functions, 3 s, 128 MB, events for six hours. A cold start takes a Rust function's time:
    /// median 80 ms, p99 250 ms.
    pub fn new(name: &str) -> FunctionSettings {
        FunctionSettings {
            name: name.to_owned(),
            concurrency: 1_000,
            timeout: Duration::from_secs(3),
            event_age: DEFAULT_EVENT_AGE,
            memory_mb: 128,
            cold_start: Latency::LogNormal { median_ms: 80.0, p99_ms: 250.0 },
        }
    }
}

/// Why an invocation gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// 429 `ReservedFunctionConcurrentInvocationLimitExceeded` (model): it did not run.
    #[error("the function's concurrency is used up")]
    Throttled,
    /// It was killed at the function's timeout.
    #[error("the function timed out")]
    TimedOut,
    /// It ran, and the caller never heard of it.
    #[error("the function's answer was lost")]
    Unheard,
    /// Its process died.
    #[error("the function's process died")]
    Crashed,
    /// It answered with an error.
    #[error("the function answered {0}")]
    Error(String),
}

/// The concurrency and the environments of one function. `E` is what lives in an environment
/// between invocations.
#[derive(Debug)]
pub struct Function<E> {
    settings: FunctionSettings,
    running: u32,
    /// Idle environments, the one used last at the back: it is the next to be used.
    idle: VecDeque<Idle<E>>,
    version: u32,
    bill: Bill,
}

#[derive(Debug)]
struct Idle<E> {
    environment: E,
    since: Moment,
}

/// What a function's invocations add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Invocations that ran.
    pub invocations: u64,
    /// Invocations that were throttled.
    pub throttled: u64,
    /// New environments.
    pub cold_starts: u64,
    /// Memory times duration, INIT included (it is billed).
    pub gigabyte_seconds: f64,
}

/// Leave to run one invocation. It must come back through [`Function::release`].
#[derive(Debug)]
pub struct Admission<E> {
    /// The environment to run in; none if a new one has to be made.
    pub environment: Option<E>,
    /// The version that was deployed when the invocation was admitted.
    pub version: u32,
}

impl<E> Function<E> {
    /// A function with no environments.
    pub fn new(settings: FunctionSettings) -> Function<E> {
        Function { settings, running: 0, idle: VecDeque::new(), version: 0, bill: Bill::default() }
    }

    /// What it was created with.
    pub fn settings(&self) -> &FunctionSettings {
        &self.settings
    }

    /// How many invocations hold a slot.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// What its invocations add up to.
    pub fn bill(&self) -> Bill {
        self.bill
    }

    /// Takes a slot, and the environment that was used last (it is the likeliest to be kept).
    ///
    /// # Errors
    /// All slots are taken.
    pub fn admit(&mut self, now: Moment, parameters: &Parameters) -> Result<Admission<E>, Failure> {
        if self.running >= self.settings.concurrency {
            self.bill.throttled += 1;
            return Err(Failure::Throttled);
        }
        self.running += 1;
        self.bill.invocations += 1;
        let longest = parameters.duration(Unconfirmed::EnvironmentIdle);
        while (self.idle.front()).is_some_and(|idle| now.since(idle.since) > longest) {
            self.idle.pop_front();
        }
        let environment = self.idle.pop_back().map(|idle| idle.environment);
        self.bill.cold_starts += u64::from(environment.is_none());
        Ok(Admission { environment, version: self.version })
    }

    /// Gives the slot back. `environment` is what survives of the invocation: nothing after a
    /// crash or a timeout. An environment of an older version is not used again.
    pub fn release(&mut self, environment: Option<E>, version: u32, ran: Duration, now: Moment) {
        self.running -= 1;
        let gigabytes = f64::from(self.settings.memory_mb) / 1024.0;
        self.bill.gigabyte_seconds += gigabytes * ran.as_secs_f64();
        if version == self.version {
            self.idle.extend(environment.map(|environment| Idle { environment, since: now }));
        }
    }

    /// Changes how many invocations may run at once; those that run go on.
    pub fn set_concurrency(&mut self, concurrency: u32) {
        self.settings.concurrency = concurrency;
    }

    /// Deploys a new version: idle environments go at once.
    pub fn deploy(&mut self) {
        self.version += 1;
        self.idle.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(concurrency: u32) -> Function<u8> {
        Function::new(FunctionSettings {
            name: "function".to_owned(),
            concurrency,
            timeout: Duration::from_secs(60),
            event_age: Duration::from_secs(60),
            memory_mb: 128,
            cold_start: Latency::fixed_ms(80),
        })
    }

    #[test]
    fn reserved_concurrency_is_a_cap() {
        let parameters = Parameters::default();
        let mut function = function(1);
        let admission = function.admit(Moment::START, &parameters).unwrap();
        let refused = function.admit(Moment::START, &parameters);
        assert_eq!(refused.unwrap_err(), Failure::Throttled);
        function.release(None, admission.version, Duration::ZERO, Moment::START);
        assert!(function.admit(Moment::START, &parameters).is_ok());
    }

    #[test]
    fn the_environment_used_last_is_used_next_unless_idle_too_long_or_of_an_old_version() {
        let parameters = Parameters::default();
        let mut function = function(5);
        for environment in [1, 2, 3] {
            function.admit(Moment::START, &parameters).unwrap();
            function.release(Some(environment), 0, Duration::ZERO, Moment::START);
            function.admit(Moment::START, &parameters).unwrap();
        }
        function.release(Some(7), 0, Duration::ZERO, Moment::START);
        function.release(Some(8), 0, Duration::ZERO, Moment::START);
        let warm = function.admit(Moment::from_millis(1), &parameters).unwrap();
        assert_eq!(warm.environment, Some(8));
        let late = Moment::from_millis(400_000);
        let cold = function.admit(late, &parameters).unwrap();
        assert_eq!(cold.environment, None);
        function.deploy();
        function.release(warm.environment, warm.version, Duration::ZERO, late);
        let fresh = function.admit(late, &parameters).unwrap();
        assert_eq!(fresh.environment, None);
    }

    #[test]
    fn memory_time_is_billed() {
        let parameters = Parameters::default();
        let mut function = function(1);
        function.admit(Moment::START, &parameters).unwrap();
        function.release(None, 0, Duration::from_secs(16), Moment::START);
        assert_eq!(function.bill().gigabyte_seconds, 2.0);
    }
}
