//! The table of the documentation, row by row, and what holds for all its fields.

use proptest::prelude::*;

use super::*;

fn secs(value: u64) -> Duration {
    Duration::from_secs(value)
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

#[test]
fn the_table() {
    use FailureName::{
        AttemptsExhausted, DeadlineExceeded, NeedsPerson, OutcomeUnknown, Rejected, Unauthorized,
    };
    let why = || Why { message: "because".to_owned(), status: Some(400), code: None };
    let fail = |name| Settlement::<u32>::Fail { name, why: why() };
    let late = |last: &str, status| Settlement::<u32>::Fail {
        name: DeadlineExceeded,
        why: Why {
            message: format!("no time for another attempt; the last one: {last}"),
            status,
            code: None,
        },
    };
    let at_limit = || Outcome::Throttled { retry_after: None };
    let asked = |after| Outcome::Throttled { retry_after: Some(secs(after)) };
    let in_flight = |retry_after| Outcome::InFlight { retry_after, why: why() };
    let retry = |after| Settlement::RetryAfter(secs(after));
    let reconcile = |after| Settlement::Reconcile { after: secs(after) };
    // Outcome, attempts used of 3, seconds left, settlement with unit = 0.5.
    let table = [
        (Outcome::Succeeded(7), 1, 3_600, Settlement::Complete(7)),
        (Outcome::Succeeded(7), 9, -5, Settlement::Complete(7)),
        (Outcome::Rejected(why()), 1, 3_600, fail(Rejected)),
        (Outcome::Rejected(why()), 3, -5, fail(Rejected)),
        (Outcome::AlreadyExists(why()), 1, 3_600, fail(Rejected)),
        (Outcome::AlreadyExists(why()), 2, 3_600, reconcile(3)),
        (Outcome::AlreadyExists(why()), 2, 3, fail(NeedsPerson)),
        (Outcome::Unauthorized(why()), 1, 3_600, retry(2)),
        (Outcome::Unauthorized(why()), 3, 3_600, fail(Unauthorized)),
        (Outcome::Unauthorized(why()), 1, 2, fail(Unauthorized)),
        (at_limit(), 1, 3_600, retry(4)),
        (at_limit(), 3, 3_600, retry(4)),
        (at_limit(), 1, 4, late("the API is at its limit", None)),
        (asked(30), 1, 3_600, retry(32)),
        (asked(30), 1, 32, late("the API is at its limit", None)),
        (asked(86_400), 1, 86_400, retry(898)),
        (Outcome::Transient(why()), 1, 3_600, retry(2)),
        (Outcome::Transient(why()), 2, 3_600, retry(3)),
        (Outcome::Transient(why()), 3, 3_600, fail(AttemptsExhausted)),
        (Outcome::Transient(why()), 3, -5, fail(AttemptsExhausted)),
        (Outcome::Transient(why()), 2, 3, late("because", Some(400))),
        (Outcome::Transient(why()), 2, 4, retry(3)),
        (Outcome::Unknown(why()), 1, 3_600, reconcile(2)),
        (Outcome::Unknown(why()), 3, 3_600, reconcile(5)),
        (Outcome::Unknown(why()), 4, 3_600, fail(NeedsPerson)),
        (Outcome::Unknown(why()), 1, 2, fail(NeedsPerson)),
        (Outcome::Unknown(why()), 1, -5, fail(NeedsPerson)),
    ];
    for (outcome, used, left, expected) in table {
        check(
            outcome,
            Attempts { used, max: 3, first: used == 1, ..NOT_REPEATABLE },
            left,
            expected,
        );
    }

    // The same for a call that may be repeated: of which nothing was lost so far, and of which
    // an earlier attempt may have been executed.
    let (clean, maybe) = (false, true);
    let late_unknown = |last, status| {
        let Settlement::Fail { why, .. } = late(last, status) else { unreachable!() };
        Settlement::<u32>::Fail { name: OutcomeUnknown, why }
    };
    let table = [
        (Outcome::Succeeded(7), 2, maybe, 3_600, Settlement::Complete(7)),
        (Outcome::Rejected(why()), 2, clean, 3_600, fail(Rejected)),
        (Outcome::Rejected(why()), 2, maybe, 3_600, fail(OutcomeUnknown)),
        (Outcome::AlreadyExists(why()), 1, clean, 3_600, fail(Rejected)),
        (Outcome::AlreadyExists(why()), 2, maybe, 3_600, retry(3)),
        (Outcome::Unauthorized(why()), 2, maybe, 3_600, retry(3)),
        (Outcome::Unauthorized(why()), 3, maybe, 3_600, fail(OutcomeUnknown)),
        (at_limit(), 2, maybe, 3_600, retry(4)),
        (at_limit(), 2, maybe, 4, late_unknown("the API is at its limit", None)),
        (in_flight(None), 1, clean, 3_600, retry(4)),
        (in_flight(None), 9, clean, 3_600, retry(4)),
        (in_flight(Some(secs(30))), 1, clean, 3_600, retry(32)),
        (in_flight(None), 1, clean, 4, late_unknown("because", Some(400))),
        (Outcome::Transient(why()), 2, maybe, 3_600, retry(3)),
        (Outcome::Transient(why()), 3, clean, 3_600, fail(AttemptsExhausted)),
        (Outcome::Transient(why()), 3, maybe, 3_600, fail(OutcomeUnknown)),
        (Outcome::Transient(why()), 2, maybe, 3, late_unknown("because", Some(400))),
        (Outcome::Unknown(why()), 2, clean, 3_600, retry(3)),
        (Outcome::Unknown(why()), 3, clean, 3_600, fail(OutcomeUnknown)),
        (Outcome::Unknown(why()), 1, clean, 2, fail(OutcomeUnknown)),
    ];
    for (outcome, used, maybe_executed, left, expected) in table {
        let first = used == 1;
        let attempts = Attempts { used, max: 3, first, repeatable: true, maybe_executed };
        check(outcome, attempts, left, expected);
    }
}

const NOT_REPEATABLE: Attempts =
    Attempts { used: 0, max: 0, first: false, repeatable: false, maybe_executed: false };

fn check(outcome: Outcome<u32>, attempts: Attempts, left: i64, expected: Settlement<u32>) {
    let what = format!("{outcome:?}, {attempts:?}, {left} s left");
    let deadline = Timestamp::from_second(left).unwrap();
    let settings = RetrySettings::default();
    let settlement = settle(outcome, &attempts, NOW, deadline, &settings, 0.5);
    assert_eq!(settlement, expected, "{what}");
}

#[test]
fn delays_double_up_to_the_cap() {
    let longest = |attempt| retry_delay(attempt, secs(2), secs(60), 0.999_999).as_secs();
    let all: Vec<u64> = (0..9).map(longest).collect();
    assert_eq!(all, [2, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(longest(u32::MAX), 60);
    for attempt in 0..9 {
        assert_eq!(retry_delay(attempt, secs(2), secs(60), 0.0), secs(1));
    }
    assert_eq!(retry_delay(1, Duration::ZERO, secs(60), 0.9), secs(1));
    assert_eq!(retry_delay(9, Duration::MAX, Duration::MAX, 1.0), secs(900));
}

#[test]
fn throttled_calls_stay_within_their_receives() {
    for (max_wait, shortest) in [(0, 2), (800, 2), (801, 3), (7_200, 18)] {
        let settings = RetrySettings::for_max_wait(secs(max_wait));
        assert_eq!(settings.throttled, secs(shortest), "{max_wait}");
        let receives = max_wait / throttled_delay(None, settings.throttled, 0.0).as_secs();
        assert!(receives <= u64::from(crate::timing::MAX_THROTTLES));
    }
}

#[test]
fn failures_are_named_as_workflows_catch_them() {
    for name in FailureName::ALL {
        assert_eq!(name.to_string(), format!("Slowlane.{name:?}"));
    }
}

#[test]
fn a_reason_shows_what_is_known_of_it() {
    let why = Why { message: "no".to_owned(), status: Some(400), code: Some("BAD".to_owned()) };
    assert_eq!(why.to_string(), "no (status 400, BAD)");
    assert_eq!(Why { code: None, ..why.clone() }.to_string(), "no (status 400)");
    assert_eq!(Why { status: None, ..why }.to_string(), "no (BAD)");
    assert_eq!(Why::from("no").to_string(), "no");
}

fn outcome() -> impl Strategy<Value = Outcome<u8>> {
    prop_oneof![
        any::<u8>().prop_map(Outcome::Succeeded),
        Just(Outcome::Rejected("r".into())),
        Just(Outcome::Unauthorized("a".into())),
        any::<Option<Duration>>().prop_map(|retry_after| Outcome::Throttled { retry_after }),
        Just(Outcome::AlreadyExists("e".into())),
        any::<Option<Duration>>()
            .prop_map(|retry_after| Outcome::InFlight { retry_after, why: "f".into() }),
        Just(Outcome::Transient("t".into())),
        Just(Outcome::Unknown("u".into())),
    ]
}

/// Only a call that may be repeated is made again although it may have been executed.
fn attempts() -> impl Strategy<Value = Attempts> {
    (any::<u32>(), any::<u32>(), any::<bool>(), any::<bool>()).prop_map(
        |(used, max, repeatable, maybe)| Attempts {
            used,
            max,
            first: used <= 1 && !(repeatable && maybe),
            repeatable,
            maybe_executed: repeatable && maybe,
        },
    )
}

fn any_settings() -> impl Strategy<Value = RetrySettings> {
    (any::<Duration>(), any::<Duration>(), any::<Duration>())
        .prop_map(|(base, cap, throttled)| RetrySettings { base, cap, throttled })
}

fn delay_of<V>(settlement: &Settlement<V>) -> Option<Duration> {
    match settlement {
        Settlement::RetryAfter(delay) | Settlement::Reconcile { after: delay } => Some(*delay),
        Settlement::Complete(_) | Settlement::Fail { .. } => None,
    }
}

proptest! {
    #[test]
    fn every_outcome_is_settled_and_no_settlement_contradicts_it(
        outcome in outcome(),
        attempts in attempts(),
        now in -1_000_000_000_i64..1_000_000_000,
        left in -10_000_i64..10_000,
        settings in any_settings(),
        unit in any::<f64>(),
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let deadline = now + Duration::from_secs(left.max(0).unsigned_abs());
        let Attempts { used, max, first, repeatable, maybe_executed } = attempts;
        let settlement = settle(outcome.clone(), &attempts, now, deadline, &settings, unit);
        if let Some(delay) = delay_of(&settlement) {
            prop_assert!((1..=900).contains(&delay.as_secs()));
            prop_assert_eq!(delay.subsec_nanos(), 0);
            prop_assert!(now + delay < deadline);
        }
        let name = match &settlement {
            Settlement::Fail { name, .. } => Some(*name),
            _ => None,
        };
        // What was executed, or may have been, is never reported under a name that denies it.
        let lost = matches!(outcome, Outcome::Unknown(_));
        let denied = name.is_some_and(FailureName::says_not_executed);
        prop_assert!(!(denied && (lost || maybe_executed)), "{:?} of {:?}", name, attempts);
        let failed = |wanted: FailureName| name == Some(wanted.if_maybe_executed(maybe_executed));
        let consistent = match &outcome {
            Outcome::Succeeded(value) => settlement == Settlement::Complete(*value),
            Outcome::Rejected(_) => failed(FailureName::Rejected),
            Outcome::AlreadyExists(_) if first => failed(FailureName::Rejected),
            Outcome::Unauthorized(_) => match settlement {
                Settlement::RetryAfter(_) => used < max,
                _ => failed(FailureName::Unauthorized),
            },
            Outcome::Throttled { retry_after } => match settlement {
                Settlement::RetryAfter(delay) => {
                    delay >= retry_after.unwrap_or_default().min(secs(300))
                }
                _ => failed(FailureName::DeadlineExceeded),
            },
            Outcome::InFlight { retry_after, .. } => match settlement {
                Settlement::RetryAfter(delay) => {
                    delay >= retry_after.unwrap_or_default().min(secs(300))
                }
                _ => name == Some(FailureName::OutcomeUnknown),
            },
            Outcome::Transient(_) => match settlement {
                Settlement::RetryAfter(_) => used < max,
                _ if used >= max => failed(FailureName::AttemptsExhausted),
                _ => failed(FailureName::DeadlineExceeded),
            },
            // A call that may have been executed is never blindly made again.
            Outcome::Unknown(_) | Outcome::AlreadyExists(_) => match settlement {
                Settlement::Reconcile { .. } => !repeatable && used <= max,
                Settlement::RetryAfter(_) => repeatable && used < max,
                _ if repeatable => name == Some(FailureName::OutcomeUnknown),
                _ => name == Some(FailureName::NeedsPerson),
            },
        };
        prop_assert!(consistent, "{:?} of {:?} became {:?}", outcome, attempts, settlement);
    }

    /// A call whose every attempt fails comes to its end: by attempts, or by the deadline.
    #[test]
    fn nothing_is_tried_for_ever(
        outcomes in prop::collection::vec(outcome(), 1..5),
        max in 0_u32..10,
        repeatable in any::<bool>(),
        left in 0_u64..5_000,
        unit in 0.0..1.0_f64,
    ) {
        let deadline = NOW + secs(left);
        let settings = RetrySettings::default();
        let (mut now, mut used, mut rounds) = (NOW, 0, 0_u64);
        for outcome in outcomes.iter().cycle() {
            let untried =
                matches!(outcome, Outcome::Throttled { .. } | Outcome::InFlight { .. });
            used += u32::from(!untried);
            let attempts = Attempts { used, max, first: used == 1, repeatable, maybe_executed: false };
            let settlement = settle(outcome.clone(), &attempts, now, deadline, &settings, unit);
            let Some(delay) = delay_of(&settlement) else { break };
            now += delay;
            rounds += 1;
            prop_assert!(now < deadline);
            // Throttled calls cost at least two seconds each, the others an attempt.
            prop_assert!(rounds <= left / 2 + u64::from(max) + 1);
        }
    }

    #[test]
    fn retry_delays_lie_within_their_bounds(
        attempt in any::<u32>(),
        base in any::<Duration>(),
        cap in any::<Duration>(),
        unit in any::<f64>(),
    ) {
        let delay = retry_delay(attempt, base, cap, unit);
        prop_assert_eq!(delay.subsec_nanos(), 0);
        prop_assert!(delay >= secs(1) && delay <= secs(900));
        prop_assert!(delay <= secs(secs_up(cap).max(1)));
        prop_assert!(delay >= retry_delay(attempt, base, cap, 0.0));
        prop_assert!(delay <= retry_delay(attempt, base, cap, 1.0));
    }
}

#[test]
fn a_call_that_is_tried_again_lasts_through_six_hours() {
    let delays =
        [1, 7, 8, 16, 24, 32, 400].map(|receives| try_again_after(receives, 0.0).as_secs());
    assert_eq!(delays, [5, 5, 10, 20, 40, 60, 60]);
    assert_eq!(
        [try_again_after(1, 0.99), try_again_after(400, 0.99)].map(|delay| delay.as_secs()),
        [6, 75]
    );
    let receives = 1..crate::timing::max_receive_count(3, 1);
    let lasts: Duration = receives.map(|count| try_again_after(count, 0.0)).sum();
    assert!(lasts >= Duration::from_secs(6 * 3_600), "{lasts:?}");
}

#[test]
fn a_call_that_is_tried_in_an_outage_lasts_through_three_days() {
    assert_eq!(outage_delay(secs(2), secs(0)), secs(2));
    assert_eq!(outage_delay(secs(2), secs(300)), secs(30));
    assert_eq!(outage_delay(secs(60), secs(300)), secs(60));
    assert_eq!(outage_delay(secs(2), secs(86_400)), secs(900));
    let receives = 1..crate::timing::max_receive_count(3, 1);
    let lasts = receives.fold(Duration::ZERO, |waited, _| waited + outage_delay(secs(1), waited));
    assert!(lasts >= secs(3 * 86_400), "{lasts:?}");
}

/// Of a call that is given back for want of a grant each time that it is received, until its deadline.
fn receives_until(deadline: Duration) -> u32 {
    let most = crate::timing::max_receive_count(3, 5);
    let (mut waited, mut receives) = (Duration::ZERO, 1);
    while waited < deadline {
        let lasting = lasting_delay(receives, most, deadline - waited);
        waited += lasting.max(try_again_after(receives, 0.0));
        receives += 1;
    }
    receives
}

#[test]
fn a_call_without_a_grant_lasts_until_its_deadline_if_that_is_two_days_away_or_less() {
    let most = crate::timing::max_receive_count(3, 5);
    for hours in [0, 1, 6, 7, 8, 24, 48] {
        let receives = receives_until(secs(hours * 3_600));
        assert!(receives < most, "{hours} hours: {receives} of {most}");
    }
    let days = secs(864_000);
    assert_eq!(lasting_delay(most / 2 - 1, most, days), Duration::ZERO, "it is to go soon");
    assert_eq!(lasting_delay(most, most, days), secs(900), "a ring comes no later");
    assert_eq!(lasting_delay(most, most, Duration::ZERO), Duration::ZERO);
}

#[test]
fn questions_come_after_seconds_and_then_less_often() {
    let window = secs(900);
    let mut asked = vec![];
    let mut lost_for = Duration::ZERO;
    while lost_for < window {
        lost_for += ask_again_after(lost_for, window - lost_for, 0.5);
        asked.push(lost_for.as_secs());
    }
    assert_eq!(asked, [2, 4, 6, 9, 15, 24, 38, 59, 93, 146, 228, 356, 491, 626, 761, 896, 900]);
    assert_eq!(ask_again_after(Duration::ZERO, Duration::ZERO, 0.9), secs(1));
    assert_eq!(ask_again_after(secs(10_000), Duration::ZERO, 0.9), secs(1));
}

proptest! {
    /// The last question is asked when the window is over, not before and not long after.
    #[test]
    fn the_questions_end_with_the_window(
        window in 0_u64..100_000,
        lost_for in 0_u64..100_000,
        unit in 0.0..1.0_f64,
    ) {
        let left = Duration::from_secs(window.saturating_sub(lost_for));
        let after = ask_again_after(secs(lost_for), left, unit);
        prop_assert!(after >= secs(1) && after <= secs(152).max(secs(1)));
        prop_assert!(after <= left.max(secs(1)));
        prop_assert!(after == left.max(secs(1)) || after + FIRST_QUESTION <= left);
    }
}
