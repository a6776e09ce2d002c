//! Each alarm begins by what it is for, and is quiet at full load.
//!
//! These are values by hand, one period each. What the simulator's runs make of the alarms is tested
//! in `tests/it/simulated_cloud/alarms`.

use slowlane_deployer::watch::{ALARMS, Alarm, Signal, Threshold, math};
use std::collections::BTreeMap;

/// What an alarm's metrics show in one period; those that are not named have no value. A metric
/// alone is called `is`.
type Values = &'static [(&'static str, f64)];

/// By alarm: a period of what it is for, and one of an hour at full load.
const CASES: [(&str, Values, Values); 25] = [
    // The worker does not start: BATCH waits, and the other queues tell nothing.
    ("BacklogWithoutProgress", &[("b", 40.0)], &[("b", 40.0), ("bd", 1.0)]),
    // Slots have calls and never end them.
    ("BacklogWithoutProgress", &[("hh", 5.0), ("hd", 0.0)], &[("hh", 5.0), ("nd", 1.0)]),
    // An idle stack.
    ("BacklogWithoutProgress", &[("n", 1.0), ("nd", 0.0)], &[]),
    ("MappingFails", &[("waiting", 3.0)], &[("waiting", 3.0), ("invoked", 4.0)]),
    ("MappingFails", &[("failed", 9.0), ("invoked", 0.0)], &[("failed", 9.0), ("invoked", 4.0)]),
    (
        "HighWaitsTooLong",
        &[("wait", 61_000.0)],
        &[("wait", 900.0), ("waiting", 0.0), ("age", 90.0)],
    ),
    // None is made, so that no wait is told.
    ("HighWaitsTooLong", &[("waiting", 1.0), ("age", 240.0)], &[("waiting", 1.0), ("age", 2.0)]),
    ("CallsWaitTooLong", &[("b", 10_801.0), ("h", 1.0)], &[("b", 9_000.0)]),
    ("DeadLetters", &[("is", 1.0)], &[("is", 0.0)]),
    ("CredentialsRefused", &[("h", 1.0), ("b", 2.0)], &[("n", 2.0)]),
    ("OutcomesUnknown", &[("h", 2.0), ("b", 3.0)], &[("n", 4.0)]),
    ("CallsPutOff", &[("n", 4.0), ("bf", 1.0)], &[("n", 4.0)]),
    ("WorkerErrors", &[("is", 3.0)], &[("is", 2.0)]),
    ("WorkerOutOfTime", &[("is", 270_000.0)], &[("is", 215_000.0)]),
    ("WorkerRunsInVain", &[("runs", 90.0), ("n", 0.0)], &[("runs", 600.0), ("n", 300.0)]),
    // A backlog with deferral, in which each call gives way as often as it may.
    ("WorkerRunsInVain", &[("runs", 6_200.0), ("b", 100.0)], &[("runs", 5_100.0), ("b", 100.0)]),
    ("RingsDiscarded", &[("is", 1.0)], &[]),
    ("EnqueuerErrors", &[("errors", 3.0), ("throttles", 2.0)], &[("errors", 1.0)]),
    ("ApiThrottles", &[("is", 25.0)], &[("is", 5.0)]),
    ("GuardThrottled", &[("writes", 12.0)], &[]),
    ("TablesUnreached", &[("limits", 2.0), ("usage", 3.0)], &[("limits", 4.0)]),
    // Only where usage is counted is there such a metric.
    ("TablesUnreached", &[("usage", 5.0)], &[("limits", 0.0)]),
    ("SecretEnds", &[("days", 13.9)], &[("days", 14.0)]),
    // They have ended.
    ("SecretEnds", &[("days", 0.0)], &[("days", 364.0)]),
    ("WorkflowsThrottled", &[("calls", 8.0), ("orders", 2.0)], &[("calls", 3.0)]),
];

#[test]
fn each_alarm_fires_for_its_cause_and_is_quiet_otherwise() {
    for alarm in &ALARMS {
        let cases: Vec<_> = CASES.iter().filter(|(name, ..)| *name == alarm.name).collect();
        assert!(!cases.is_empty(), "{} never fires", alarm.name);
        for (name, fires, quiet) in cases {
            assert!(is_raised(alarm, fires), "{name} is quiet at {fires:?}");
            assert!(!is_raised(alarm, quiet), "{name} fires at {quiet:?}");
            assert!(!is_raised(alarm, &[]), "{name} fires without any value");
        }
    }
    let known = |name: &str| ALARMS.iter().any(|alarm| alarm.name == name);
    assert!(CASES.iter().all(|(name, ..)| known(name)));
}

fn is_raised(alarm: &Alarm, values: &[(&str, f64)]) -> bool {
    let values: BTreeMap<_, _> = values.iter().copied().collect();
    let value = match alarm.signal {
        Signal::Metric(_) => values.get("is").copied(),
        Signal::Expression { of, expression } => {
            let known = |id: &&str| of.iter().any(|(known, _)| known == id);
            assert!(values.keys().all(known), "{values:?} in {expression}");
            math::value(expression, &|name| values.get(name).copied()).unwrap()
        }
    };
    let threshold = match alarm.at_least {
        Threshold::Number(number) => f64::from(number),
        Threshold::Parameter("HighWaitAlarmSeconds") => 60.0,
        Threshold::Parameter("WaitAlarmSeconds") => 10_800.0,
        // At an API time-out of 30 s.
        Threshold::ByApiTimeout("OutOfTimeMs") => 260_000.0,
        other => panic!("{other:?}"),
    };
    // Missing data is not breaching.
    value.is_some_and(|value| value >= threshold)
}
