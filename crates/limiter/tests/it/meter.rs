//! The rule of reservations against its forms, against `governor`, and against what must hold.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::{Quota as GovernorQuota, RateLimiter};
use proptest::prelude::*;
use slowlane_limiter::{
    Form, Margin, Meter, Moment, Part, QuotaTerm, Rate, RateTerm, Refund, Refusal, Reserve, Spent,
};

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn one_rate(now: u64, horizon: u64, cost: u64, burst: u64) -> Reserve {
    let term = RateTerm { cost: micros(cost), burst: micros(burst) };
    Reserve {
        now: Moment(now),
        horizon: micros(horizon),
        calls: 1,
        rates: vec![term],
        quotas: vec![],
        overdraw: false,
    }
}

fn reserves() -> impl Strategy<Value = Reserve> {
    let term = (1..40_u64, 0..60_u64)
        .prop_map(|(cost, burst)| RateTerm { cost: micros(cost), burst: micros(burst) });
    let quota = (0..4_u64, 0..12_u64, 0..50_u64).prop_map(|(units, limit, resets_in)| QuotaTerm {
        units,
        limit,
        resets_at: Moment(resets_in),
    });
    let rates = prop::collection::vec(term, 0..=3);
    let quotas = prop::collection::vec(quota, 0..=2);
    (100..200_u64, 0..80_u64, 1..4_u32, rates, quotas, prop::bool::weighted(0.1)).prop_map(
        |(now, horizon, calls, rates, mut quotas, overdraw)| {
            for quota in &mut quotas {
                quota.resets_at = Moment(now + 1 + quota.resets_at.0);
            }
            let horizon = micros(horizon);
            Reserve { now: Moment(now), horizon, calls, rates, quotas, overdraw }
        },
    )
}

fn meters() -> impl Strategy<Value = Meter> {
    let due = prop::collection::vec((60..300_u64).prop_map(Moment), 0..=3);
    let spent = (0..12_u64, 60..300_u64)
        .prop_map(|(units, resets)| Spent { units, resets_at: Moment(resets) });
    let latest = (0..300_u64).prop_map(Moment);
    (due, prop::collection::vec(spent, 0..=2), latest).prop_map(|(due, spent, latest)| Meter {
        due,
        spent,
        latest,
    })
}

proptest! {
    /// The form that fits what is stored does what the rule says, and refuses when it does.
    #[test]
    fn the_fitting_form_is_the_rule(meter in meters(), reserve in reserves()) {
        let form = Form::of(&meter, &reserve);
        match meter.reserve(&reserve) {
            Ok(reserved) => {
                prop_assert!(form.permitted(&meter, &reserve));
                prop_assert_eq!(form.apply(&meter, &reserve), reserved.after);
            }
            Err(_) => prop_assert!(!form.permitted(&meter, &reserve)),
        }
    }

    /// A form that was guessed from something older either does what the rule says or is refused.
    #[test]
    fn a_wrong_guess_does_no_harm(seen in meters(), meter in meters(), reserve in reserves()) {
        let form = Form::of(&seen, &reserve);
        if form.permitted(&meter, &reserve) {
            let reserved = meter.reserve(&reserve).expect("the rule grants what a form does");
            prop_assert_eq!(form.apply(&meter, &reserve), reserved.after);
        }
    }

    /// Several calls at once are the same as one after the other.
    #[test]
    fn several_at_once_are_as_many_in_turn(meter in meters(), reserve in reserves()) {
        let mut reserve = Reserve { overdraw: true, ..reserve };
        let together = meter.reserve(&reserve).unwrap();
        let calls = std::mem::replace(&mut reserve.calls, 1);
        // Several keep the distance of the slowest rate, also where the others would not ask it.
        let slowest = reserve.rates.iter().map(|term| term.cost).max().unwrap_or_default();
        let (mut meter, mut moments) = (meter, vec![]);
        for _ in 0..calls {
            let next = meter.reserve(&reserve).unwrap();
            moments.push(next.at);
            meter = next.after;
        }
        prop_assert_eq!(&together.moments[0], &moments[0]);
        for (earliest, at) in moments.iter().zip(&together.moments) {
            prop_assert!(at >= earliest);
        }
        if reserve.rates.len() <= 1 {
            prop_assert_eq!(&together.moments, &moments);
            prop_assert_eq!(&together.after, &meter);
        } else {
            let apart = together.moments.windows(2).map(|pair| pair[1].since(pair[0]));
            prop_assert!(apart.into_iter().all(|apart| apart == slowest));
        }
    }

    /// Whoever is refused is told the moment at which the answer changes.
    #[test]
    fn a_refusal_says_when(meter in meters(), reserve in reserves()) {
        if let Err(refusal) = meter.reserve(&reserve) {
            prop_assert!(refusal.retry_at > reserve.now);
            let just_before = Reserve { now: Moment(refusal.retry_at.0 - 1), ..reserve.clone() };
            prop_assert!(meter.reserve(&just_before).is_err());
            if let Part::Rate(_) = refusal.by {
                let then = Reserve { now: refusal.retry_at, ..reserve };
                let again = meter.reserve(&then);
                prop_assert!(!matches!(again, Err(Refusal { by: Part::Rate(_), .. })), "{again:?}");
            }
        }
    }

    /// Until the latest moment somebody has a call to make, whatever the rates were and are now.
    #[test]
    fn the_latest_moment_is_that_of_the_last_call(
        meter in meters(),
        asks in prop::collection::vec((reserves(), 0..30_u64), 1..6),
    ) {
        let (mut meter, mut now, mut latest) = (meter, 100, None);
        for (ask, later) in asks {
            now += later;
            let ask = Reserve { now: Moment(now), overdraw: false, ..ask };
            match meter.reserve(&ask) {
                Ok(reserved) => {
                    latest = reserved.moments.last().copied();
                    meter = reserved.after;
                }
                Err(refusal) => prop_assert_eq!(refusal.latest, meter.latest),
            }
            // One that may go at once is not to come.
            let to_come = |at: Moment| Some(at).filter(|at| at.0 > now);
            if let Some(latest) = latest {
                prop_assert_eq!(to_come(meter.latest), to_come(latest));
            }
        }
    }

    /// What is not used is given back, and the meter is as it would be without.
    #[test]
    fn a_refund_is_the_opposite_of_an_overdraft(meter in meters(), extra in 0..500_u64) {
        let now = Moment(100);
        let ahead = Meter { due: vec![Moment(meter.due(0).0.max(now.0))], ..Meter::default() };
        let settle = Reserve { overdraw: true, ..one_rate(now.0, 0, extra, 0) };
        let more = ahead.reserve(&settle).unwrap().after;
        let back = Refund { rates: vec![micros(extra)], quotas: vec![] };
        prop_assert_eq!(more.refund(&back), ahead);
    }

    /// `governor` and a meter that may reserve nothing ahead let the same calls go.
    #[test]
    fn governor_lets_the_same_calls_go(
        gaps in prop::collection::vec(0..40_u64, 1..60),
        interval in 1..30_u64,
        burst in 1..5_u32,
    ) {
        let clock = FakeRelativeClock::default();
        let quota = GovernorQuota::with_period(micros(interval)).unwrap();
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
        let governor = RateLimiter::direct_with_clock(quota, clock.clone());
        let beyond = interval * u64::from(burst - 1);
        let (mut now, mut meter) = (1_000_000, Meter::default());
        for gap in gaps {
            now += gap;
            clock.advance(micros(gap));
            let reserved = meter.reserve(&one_rate(now, 0, interval, beyond));
            prop_assert_eq!(reserved.is_ok(), governor.check().is_ok(), "at {}", now);
            if let Ok(reserved) = reserved {
                meter = reserved.after;
            }
        }
    }

    /// A fleet whose clocks are wrong, whose calls are late and whose ways to the API differ.
    /// Within the margin no window is exceeded, and none is left unused when calls always wait.
    #[test]
    fn a_fleet_keeps_the_windows(
        seed in any::<u64>(),
        units in 1..20_u64,
        window_ms in 200..3_000_u64,
        largest in 1..4_u64,
    ) {
        let largest = largest.min(units);
        let margin = Margin::default();
        let mut random = fastrand::Rng::with_seed(seed);
        let rate = Rate { largest, ..Rate::new(units, Duration::from_millis(window_ms)) };
        let pace = rate.pace(&margin).unwrap();
        let clocks: Vec<_> = (0..6).map(|_| random.i64(-67_000..=67_000)).collect();
        let (mut meter, mut arrivals, mut real) = (Meter::default(), vec![], 1_800_000_000_000_000_i64);
        let start = real;
        for _ in 0..300 {
            let clock = *random.choice(&clocks).unwrap();
            let size = random.u64(1..=largest);
            let now = u64::try_from(real + clock).unwrap();
            let cost = micros(u64::try_from(pace.cost(size).unwrap().as_micros()).unwrap());
            let reserve = one_rate(now, 300_000, u64::try_from(cost.as_micros()).unwrap(), 0);
            match meter.reserve(&reserve) {
                Err(refusal) => {
                    let wait = refusal.retry_at.since(Moment(now));
                    real += i64::try_from(wait.as_micros()).unwrap();
                }
                Ok(reserved) => {
                    let at = i64::try_from(reserved.at.0).unwrap() - clock;
                    arrivals.push((at + random.i64(0..=50_000) + random.i64(0..=50_000), size));
                    meter = reserved.after;
                }
            }
        }
        arrivals.sort_unstable();
        let window = i64::try_from(window_ms).unwrap() * 1000;
        for (from, _) in &arrivals {
            let within = arrivals.iter().filter(|(at, _)| (*from..from + window).contains(at));
            let used: u64 = within.map(|(_, size)| size).sum();
            prop_assert!(used <= units, "seed {}: {} in the window at {}", seed, used, from);
        }
        // Never idle: the schedule has no gap beyond what clocks that lag behind leave.
        let last = arrivals.last().unwrap().0 - start;
        let paid: u64 = arrivals.iter().map(|(_, size)| size).sum();
        let needed = i64::try_from(pace.of_units(paid).as_micros()).unwrap();
        prop_assert!(last <= needed + 400_000, "seed {}: {} for {}", seed, last, needed);
    }
}

#[test]
fn the_strictest_of_several_rates_rules() {
    let terms = [(100, 0), (30, 0)];
    let rates = terms.map(|(cost, burst)| RateTerm { cost: micros(cost), burst: micros(burst) });
    let reserve = Reserve { rates: rates.to_vec(), ..one_rate(1_000, 500, 0, 0) };
    let mut meter = Meter::default();
    let mut moments = vec![];
    for _ in 0..4 {
        let reserved = meter.reserve(&reserve).unwrap();
        moments.push(reserved.at.0);
        meter = reserved.after;
    }
    assert_eq!(moments, [1_000, 1_100, 1_200, 1_300]);
    // The other rate is not spent ahead of time.
    assert_eq!(meter.due, [Moment(1_400), Moment(1_330)]);
}

#[test]
fn a_quota_is_spent_until_its_reset() {
    let quota = QuotaTerm { units: 2, limit: 5, resets_at: Moment(2_000) };
    let reserve = |now| Reserve {
        now: Moment(now),
        rates: vec![],
        quotas: vec![QuotaTerm { resets_at: Moment(now + 1_000), ..quota }],
        ..one_rate(0, 0, 0, 0)
    };
    let first = Meter::default().reserve(&reserve(1_000)).unwrap().after;
    let second = first.reserve(&reserve(1_500)).unwrap().after;
    assert_eq!(second.spent, [Spent { units: 4, resets_at: Moment(2_000) }]);
    let refused = second.reserve(&reserve(1_999)).unwrap_err();
    let (by, retry_at) = (Part::Quota(0), Moment(2_000));
    assert_eq!(refused, Refusal { by, retry_at, latest: Moment(1_500) });
    let renewed = second.reserve(&reserve(2_000)).unwrap().after;
    assert_eq!(renewed.spent, [Spent { units: 2, resets_at: Moment(3_000) }]);
    let late = Refund { rates: vec![], quotas: vec![Spent { units: 2, resets_at: Moment(2_000) }] };
    assert_eq!(renewed.refund(&late), renewed, "it was taken from a counter that is gone");
}
