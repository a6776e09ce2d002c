//! The breaker, over a fleet that shares one record.

use proptest::prelude::*;
use slowlane_limiter::{Breaker, BreakerGate, BreakerRules, FailureKind};

use crate::{START, millis, seconds, slot};

const KIND: FailureKind = FailureKind::Credentials;

fn opened() -> Breaker {
    let rules = BreakerRules::default();
    let suspicious = Breaker::default().on_failure(START, &slot(1), "a", KIND, &rules).unwrap();
    suspicious.on_failure(START, &slot(2), "b", KIND, &rules).unwrap()
}

#[test]
fn two_different_calls_open_it_and_an_answer_between_does_not() {
    let rules = BreakerRules::default();
    let gate = |breaker: &Breaker, now| breaker.gate(now, &slot(3), &rules);
    let suspicious = Breaker::default().on_failure(START, &slot(1), "a", KIND, &rules).unwrap();
    assert_eq!(gate(&suspicious, START), BreakerGate::Closed);
    assert_eq!(suspicious.on_failure(START, &slot(1), "a", KIND, &rules), None, "the same call");
    let later = START.plus(seconds(61));
    let late = suspicious.on_failure(later, &slot(1), "b", KIND, &rules).unwrap();
    assert_eq!(gate(&late, later), BreakerGate::Closed, "too far apart");
    let cleared = suspicious.on_answer(START, &slot(2)).unwrap();
    assert_eq!(cleared, Breaker::default());
    assert_eq!(cleared.on_answer(START, &slot(2)), None, "nothing to write");
    let until = START.plus(seconds(5));
    assert_eq!(gate(&opened(), START), BreakerGate::Open { kind: KIND, until });
    assert_eq!(opened().on_failure(START, &slot(1), "c", KIND, &rules), None);
    assert_eq!(opened().on_answer(START, &slot(1)), None, "it left before the breaker opened");
}

#[test]
fn probes_wait_longer_each_time_up_to_half_a_minute() {
    let rules = BreakerRules::default();
    let (mut breaker, mut now, mut waits) = (opened(), START, vec![]);
    for _ in 0..5 {
        let BreakerGate::Open { until, .. } = breaker.gate(now, &slot(1), &rules) else {
            panic!("{breaker:?}");
        };
        waits.push(until.since(now).as_secs());
        now = until;
        let elected = breaker.elect(now, &slot(1), &rules).unwrap();
        assert_eq!(elected.gate(now, &slot(1), &rules), BreakerGate::Probe { kind: KIND });
        breaker = elected.on_failure(now, &slot(1), "a", KIND, &rules).unwrap();
    }
    assert_eq!(waits, [5, 10, 20, 30, 30]);
}

#[test]
fn one_probes_at_a_time_and_another_if_it_does_not_come_back() {
    let rules = BreakerRules::default();
    let now = START.plus(seconds(5));
    let elected = opened().elect(now, &slot(1), &rules).unwrap();
    assert_eq!(elected.elect(now, &slot(2), &rules), None);
    assert!(matches!(elected.gate(now, &slot(2), &rules), BreakerGate::Open { .. }));
    assert_eq!(elected.on_failure(now, &slot(2), "z", KIND, &rules), None, "not the probe's");
    let lapsed = now.plus(seconds(60));
    let itself = elected.elect(lapsed, &slot(1), &rules);
    assert!(itself.is_some(), "the answer to its election may have been lost");
    let second = elected.elect(lapsed, &slot(2), &rules).unwrap();
    assert_eq!(second.on_answer(lapsed, &slot(1)), None, "no longer the probe");
    let idle = second.on_no_probe(lapsed, &slot(2)).unwrap();
    assert!(idle.elect(lapsed, &slot(3), &rules).is_some(), "the next may go at once");
}

#[test]
fn after_it_slots_come_back_one_two_four() {
    let rules = BreakerRules::default();
    let now = START.plus(seconds(5));
    let elected = opened().elect(now, &slot(1), &rules).unwrap();
    let closed = elected.on_answer(now, &slot(1)).unwrap();
    assert_eq!(closed.gate(now, &slot(1), &rules), BreakerGate::Closed, "the probe goes on");
    for (ms, expected) in [(0, 1), (999, 1), (1_000, 2), (2_500, 4), (9_999, 512)] {
        let gate = closed.gate(now.plus(millis(ms)), &slot(2), &rules);
        let BreakerGate::SlowStart { at_most, until } = gate else { panic!("{gate:?}") };
        assert_eq!(at_most, expected, "after {ms} ms");
        assert!(until > now.plus(millis(ms)));
    }
    assert_eq!(closed.gate(now.plus(seconds(10)), &slot(2), &rules), BreakerGate::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever happens while the API is dead, calls are few: those of two failures, and one probe
    /// at a time, no closer than the waits.
    #[test]
    fn a_dead_api_is_left_alone(
        seed in any::<u64>(),
        slots in 1..12_u32,
    ) {
        let rules = BreakerRules::default();
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut breaker, mut calls, mut probing) = (Breaker::default(), 0, None::<(u32, u64)>);
        // Half an hour in steps of 100 ms.
        for step in 0..18_000_u64 {
            let now = START.plus(millis(step * 100));
            if let Some((prober, until)) = probing.filter(|(_, until)| *until <= step) {
                let _ = until;
                probing = None;
                let failed = breaker.on_failure(now, &slot(prober), "p", KIND, &rules);
                breaker = failed.unwrap_or(breaker);
            }
            let asks = random.u32(0..slots);
            match breaker.gate(now, &slot(asks), &rules) {
                BreakerGate::Closed | BreakerGate::SlowStart { .. } => {
                    calls += 1;
                    let call = random.u32(0..9).to_string();
                    let failed = breaker.on_failure(now, &slot(asks), &call, KIND, &rules);
                    breaker = failed.unwrap_or(breaker);
                }
                BreakerGate::Probe { .. } => {
                    if let Some(elected) = breaker.elect(now, &slot(asks), &rules) {
                        breaker = elected;
                        calls += 1;
                        probing = Some((asks, step + random.u64(1..30)));
                    }
                }
                BreakerGate::Open { .. } => {}
            }
        }
        // Two failures, perhaps of one call a few times, then 5, 10, 20 s and every 30 s.
        prop_assert!((55..=70).contains(&calls), "seed {}: {} calls", seed, calls);
    }
}
