//! A worker's settings, and where they contradict each other.

use std::fmt;
use std::time::Duration;

use super::{
    ENDING_RECEIVES, MAX_FUNCTION_TIMEOUT, MAX_RECEIVE_COUNT, MAX_VISIBILITY, RECORD_EXPIRY,
};

/// The numbers in a worker's environment that depend on each other. [`Timing`](super::Timing)
/// derives numbers that agree; somebody who sets one by hand may err.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// `API_TIMEOUT_SECS`.
    pub api_timeout: Duration,
    /// `CALL_VISIBILITY_SECS`.
    pub call_visibility: Duration,
    /// `WORK_WINDOW_SECS`.
    pub work_window: Duration,
    /// `FUNCTION_TIMEOUT_SECS`.
    pub function_timeout: Duration,
    /// `RING_VISIBILITY_SECS`, in the doorbell wiring.
    pub ring_visibility: Option<Duration>,
    /// `RECORD_EXPIRY_SECS`.
    pub record_expiry: Duration,
    /// `MAX_ATTEMPTS`.
    pub max_attempts: u32,
    /// `MAX_DEFERRALS`, in the deferral wiring.
    pub max_deferrals: Option<u32>,
    /// `MAX_RECEIVE_COUNT`.
    pub max_receive_count: u32,
}

/// Settings that cannot all hold, with their values, and what must hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Contradiction {
    variables: Vec<Variable>,
    must_hold: String,
}

type Variable = (&'static str, u64);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, value)) in self.variables.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{name} is {value}")?;
        }
        write!(f, ": {}", self.must_hold)
    }
}

impl WorkerSettings {
    /// Every contradiction in these settings. If there is none, a worker can start.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        [self.of_a_call(), self.of_an_invocation(), self.of_a_ring(), self.of_counts()].concat()
    }

    fn of_a_call(&self) -> Vec<Contradiction> {
        let api = ("API_TIMEOUT_SECS", self.api_timeout.as_secs());
        let call = ("CALL_VISIBILITY_SECS", self.call_visibility.as_secs());
        let expiry = ("RECORD_EXPIRY_SECS", self.record_expiry.as_secs());
        let least = RECORD_EXPIRY.as_secs();
        [
            unless(api.1 >= 1, [api], "the API must have a second at least"),
            unless(
                call.1 > api.1.saturating_mul(2),
                [call, api],
                "CALL_VISIBILITY_SECS must be more than twice API_TIMEOUT_SECS, because a call \
                 waits for the one before it and then has a whole time-out of its own",
            ),
            unless(
                expiry.1 >= least,
                [expiry],
                format!(
                    "it must be {least} at least, so that a record outlives every message and \
                     dead letter under its key"
                ),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn of_an_invocation(&self) -> Vec<Contradiction> {
        let call = ("CALL_VISIBILITY_SECS", self.call_visibility.as_secs());
        let window = ("WORK_WINDOW_SECS", self.work_window.as_secs());
        let function = ("FUNCTION_TIMEOUT_SECS", self.function_timeout.as_secs());
        let most = MAX_FUNCTION_TIMEOUT.as_secs();
        [
            unless(window.1 >= 1, [window], "an invocation must have a second to take calls in"),
            unless(
                function.1 >= window.1.saturating_add(call.1),
                [function, window, call],
                "FUNCTION_TIMEOUT_SECS must be WORK_WINDOW_SECS and CALL_VISIBILITY_SECS together \
                 at least, because a call may be taken at the end of the window",
            ),
            unless(
                function.1 <= most,
                [function],
                format!("Lambda runs a function for {most} s at most"),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn of_a_ring(&self) -> Vec<Contradiction> {
        let Some(ring_visibility) = self.ring_visibility else { return Vec::new() };
        let call = ("CALL_VISIBILITY_SECS", self.call_visibility.as_secs());
        let function = ("FUNCTION_TIMEOUT_SECS", self.function_timeout.as_secs());
        let ring = ("RING_VISIBILITY_SECS", ring_visibility.as_secs());
        let most = MAX_VISIBILITY.as_secs();
        [
            unless(
                ring.1 >= function.1.saturating_add(call.1),
                [ring, function, call],
                "RING_VISIBILITY_SECS must be FUNCTION_TIMEOUT_SECS and CALL_VISIBILITY_SECS \
                 together at least, so that a ring comes back after every call that a killed slot \
                 held",
            ),
            unless(ring.1 <= most, [ring], format!("SQS hides a message for {most} s at most")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn of_counts(&self) -> Vec<Contradiction> {
        let attempts = ("MAX_ATTEMPTS", u64::from(self.max_attempts));
        let receives = ("MAX_RECEIVE_COUNT", u64::from(self.max_receive_count));
        let deferrals = self.max_deferrals.map(|count| ("MAX_DEFERRALS", u64::from(count)));
        let planned = attempts.1 + deferrals.map_or(0, |(_, count)| count);
        [
            unless(attempts.1 >= 1, [attempts], "a call must be tried once at least"),
            unless(
                receives.1 > planned + u64::from(ENDING_RECEIVES),
                [receives, attempts].into_iter().chain(deferrals),
                format!(
                    "MAX_RECEIVE_COUNT must leave a receive for each attempt and each deferral, one to \
                     ask the API after the last attempt, and {ENDING_RECEIVES} to end the call"
                ),
            ),
            unless(
                receives.1 <= u64::from(MAX_RECEIVE_COUNT),
                [receives],
                format!("SQS counts {MAX_RECEIVE_COUNT} receives at most"),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn unless(
    holds: bool,
    variables: impl IntoIterator<Item = Variable>,
    must_hold: impl Into<String>,
) -> Option<Contradiction> {
    (!holds).then(|| Contradiction {
        variables: variables.into_iter().collect(),
        must_hold: must_hold.into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timing::{API_TIMEOUTS_SECS, Timing, max_receive_count};

    fn derived(api_timeout_secs: u64, max_deferrals: u32, max_attempts: u32) -> WorkerSettings {
        let timing = Timing::for_api_timeout(api_timeout_secs).unwrap();
        WorkerSettings {
            api_timeout: timing.api_timeout,
            call_visibility: timing.call_visibility,
            work_window: timing.work_window,
            function_timeout: timing.function_timeout,
            ring_visibility: Some(timing.ring_visibility),
            record_expiry: RECORD_EXPIRY,
            max_attempts,
            max_deferrals: Some(max_deferrals),
            max_receive_count: max_receive_count(max_deferrals, max_attempts),
        }
    }

    fn said(settings: &WorkerSettings) -> Vec<String> {
        settings.contradictions().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_choice_of_the_template_can_start() {
        for secs in API_TIMEOUTS_SECS {
            for deferrals in [3, 5, 10, 20, 50] {
                for attempts in [1, 2, 3, 5, 8] {
                    let settings = derived(secs, deferrals, attempts);
                    assert_eq!(said(&settings), [""; 0], "{settings:?}");
                }
            }
        }
    }

    #[test]
    fn shorter_times_in_the_same_proportions_can_start() {
        let secs = Duration::from_secs;
        let settings = WorkerSettings {
            api_timeout: secs(5),
            call_visibility: secs(12),
            work_window: secs(10),
            function_timeout: secs(22),
            ring_visibility: Some(secs(34)),
            ..derived(30, 10, 5)
        };
        assert_eq!(said(&settings), [""; 0]);
    }

    /// Each change to good settings of an API time-out of 30 s, and what is said of it.
    #[test]
    fn each_contradiction_names_the_variables_their_values_and_what_must_hold() {
        let good = derived(30, 10, 5);
        let secs = Duration::from_secs;
        let table = [
            (
                WorkerSettings { call_visibility: secs(60), ..good },
                "CALL_VISIBILITY_SECS is 60, API_TIMEOUT_SECS is 30: CALL_VISIBILITY_SECS must be \
                 more than twice",
            ),
            (
                WorkerSettings { work_window: secs(181), ..good },
                "FUNCTION_TIMEOUT_SECS is 270, WORK_WINDOW_SECS is 181, CALL_VISIBILITY_SECS is 90: \
                 FUNCTION_TIMEOUT_SECS must be",
            ),
            (
                WorkerSettings { ring_visibility: Some(secs(359)), ..good },
                "RING_VISIBILITY_SECS is 359, FUNCTION_TIMEOUT_SECS is 270, CALL_VISIBILITY_SECS is \
                 90: RING_VISIBILITY_SECS must be",
            ),
            (
                WorkerSettings { ring_visibility: Some(secs(43_201)), ..good },
                "RING_VISIBILITY_SECS is 43201: SQS hides a message for 43200 s at most",
            ),
            (
                WorkerSettings { record_expiry: secs(86_400), ..good },
                "RECORD_EXPIRY_SECS is 86400: it must be 3024000 at least",
            ),
            (
                WorkerSettings { max_receive_count: 20, ..good },
                "MAX_RECEIVE_COUNT is 20, MAX_ATTEMPTS is 5, MAX_DEFERRALS is 10: MAX_RECEIVE_COUNT \
                 must leave",
            ),
            (
                WorkerSettings { max_receive_count: 10, max_deferrals: None, ..good },
                "MAX_RECEIVE_COUNT is 10, MAX_ATTEMPTS is 5: MAX_RECEIVE_COUNT must leave",
            ),
            (
                WorkerSettings { max_receive_count: 1_001, ..good },
                "MAX_RECEIVE_COUNT is 1001: SQS counts 1000 receives at most",
            ),
            (WorkerSettings { max_attempts: 0, ..good }, "MAX_ATTEMPTS is 0: a call must"),
            (
                WorkerSettings { api_timeout: secs(0), ..good },
                "API_TIMEOUT_SECS is 0: the API must",
            ),
            (
                WorkerSettings { work_window: secs(0), ..good },
                "WORK_WINDOW_SECS is 0: an invocation must",
            ),
        ];
        for (settings, expected) in table {
            let [said] = &*said(&settings) else { panic!("{settings:?}: {:?}", said(&settings)) };
            assert!(said.starts_with(expected), "{said}");
        }
        let long = WorkerSettings { function_timeout: secs(901), ring_visibility: None, ..good };
        let said = said(&long);
        assert_eq!(
            said,
            ["FUNCTION_TIMEOUT_SECS is 901: Lambda runs a function for 900 s at most"]
        );
    }

    proptest! {
        #[test]
        fn whatever_timing_derives_can_start(
            api_timeout in 1_u64..=345,
            deferrals in 0_u32..400,
            attempts in 1_u32..100,
        ) {
            prop_assert_eq!(said(&derived(api_timeout, deferrals, attempts)), [""; 0]);
        }

        #[test]
        fn no_value_makes_the_check_panic(
            secs in prop::array::uniform6(any::<u64>()),
            counts in prop::array::uniform3(any::<u32>()),
        ) {
            let [api, call, window, function, ring, expiry] = secs.map(Duration::from_secs);
            let settings = WorkerSettings {
                api_timeout: api,
                call_visibility: call,
                work_window: window,
                function_timeout: function,
                ring_visibility: Some(ring),
                record_expiry: expiry,
                max_attempts: counts[0],
                max_deferrals: Some(counts[1]),
                max_receive_count: counts[2],
            };
            for contradiction in settings.contradictions() {
                prop_assert!(contradiction.to_string().contains(" is "));
            }
        }
    }
}
