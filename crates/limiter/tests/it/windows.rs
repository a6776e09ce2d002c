//! No window of an API is exceeded, and nothing that it permits is left unused. This is checked by
//! brute force over all phases and all delays on small grids of whole ticks (a tick is a
//! microsecond here).

use std::time::Duration;

use slowlane_limiter::{Margin, Meter, Moment, Rate, RateError, RateTerm, Reserve, Window};

fn ticks(ticks: u64) -> Duration {
    Duration::from_micros(ticks)
}

fn margin(total: u64) -> Margin {
    Margin { lateness: ticks(total), ..Margin::NONE }
}

/// The calls that are granted to somebody who asks `gap` ticks after the last moment, each time,
/// for a call of so many units: moments and units.
fn granted(rate: &Rate, margin_ticks: u64, asks: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let pace = rate.pace(&margin(margin_ticks)).unwrap();
    let mut meter = Meter::default();
    let mut now = Moment(1_000);
    let mut calls = Vec::new();
    for (gap, units) in asks {
        now = Moment(now.0 + gap);
        let term = RateTerm { cost: pace.cost(*units).unwrap(), burst: pace.burst() };
        let reserve = Reserve {
            now,
            horizon: ticks(1 << 20),
            calls: 1,
            rates: vec![term],
            quotas: vec![],
            overdraw: false,
        };
        let reserved = meter.reserve(&reserve).unwrap();
        assert!(reserved.at >= now);
        meter = reserved.after;
        calls.push((reserved.at.0, *units));
    }
    calls
}

/// The most units that any window can hold if each call may be late by up to the margin. A window
/// of whole ticks [s, s + W) can hold what was granted within [s - margin, s + W - 1].
fn fullest(calls: &[(u64, u64)], window: u64, margin: u64) -> u64 {
    let within =
        |from: u64| calls.iter().filter(move |(at, _)| (from..from + window + margin).contains(at));
    calls.iter().map(|(from, _)| within(*from).map(|(_, units)| units).sum()).max().unwrap_or(0)
}

/// The most that a bucket would have to hold if calls come as close together as they can.
fn deepest(calls: &[(u64, u64)], rate: &Rate, margin: u64) -> f64 {
    let refill = rate.units as f64 / rate.per.as_micros() as f64;
    let mut deepest = 0.0_f64;
    for (first, (from, _)) in calls.iter().enumerate() {
        let mut units = 0;
        for (at, more) in &calls[first..] {
            units += more;
            let refilled = (at - from).saturating_sub(margin) as f64 * refill;
            deepest = deepest.max(units as f64 - refilled);
        }
    }
    deepest
}

/// Every sequence of `depth` asks with these gaps and units.
fn sequences(depth: u32, gaps: &[u64], largest: u64) -> impl Iterator<Item = Vec<(u64, u64)>> {
    let choices: Vec<_> =
        gaps.iter().flat_map(|gap| (1..=largest).map(move |units| (*gap, units))).collect();
    let count = choices.len().pow(depth);
    (0..count).map(move |mut index| {
        let mut asks = Vec::with_capacity(depth as usize);
        for _ in 0..depth {
            asks.push(choices[index % choices.len()]);
            index /= choices.len();
        }
        asks
    })
}

fn rate(units: u64, per: u64, window: Window, largest: u64, burst: Option<u64>) -> Rate {
    Rate { window, largest, burst, ..Rate::new(units, ticks(per)) }
}

#[test]
fn no_window_is_passed_whatever_its_phase() {
    for units in 1..=4 {
        for per in [3, 7, 12] {
            for late in [0, 2] {
                for largest in 1..=units.min(2) {
                    for burst in 0..=(units - largest).min(2) {
                        let rate = rate(units, per, Window::Fixed, largest, Some(burst));
                        for asks in sequences(6 - largest as u32, &[0, 1, per], largest) {
                            let calls = granted(&rate, late, &asks);
                            let most = fullest(&calls, per, late);
                            assert!(most <= units, "{rate:?} {asks:?}: {calls:?} has {most}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_is_used_to_the_last_unit() {
    // Multiples, so that the interval is a whole number of ticks.
    for (units, per) in [(1, 10), (5, 100), (4, 80)] {
        let rate = rate(units, per, Window::Sliding, 1, None);
        let calls = granted(&rate, 0, &[(0, 1); 40]);
        assert_eq!(fullest(&calls, per, 0), units);
        let apart: Vec<_> = calls.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(apart.iter().all(|apart| *apart == per / units), "never idle: {apart:?}");
    }
    // One tick shorter is one too many in some window: the interval is the shortest there is.
    let short = granted(&rate(5, 95, Window::Sliding, 1, None), 0, &[(0, 1); 40]);
    assert_eq!(fullest(&short, 100, 0), 6);
}

#[test]
fn a_bucket_never_runs_dry() {
    for (units, per) in [(1, 4), (2, 3), (3, 10)] {
        for capacity in 1..=5 {
            for late in [0, 3, 9] {
                for largest in 1..=capacity.min(2) {
                    for burst in [None, Some(0), Some(1)] {
                        let window = Window::Bucket { capacity };
                        let rate = rate(units, per, window, largest, burst);
                        if rate.pace(&margin(late)).is_err() {
                            assert_ne!(burst, None, "{rate:?} can be kept by going slowly");
                            continue;
                        }
                        for asks in sequences(6 - largest as u32, &[0, 1, per * 3], largest) {
                            let calls = granted(&rate, late, &asks);
                            let deepest = deepest(&calls, &rate, late);
                            let most = capacity as f64 + 1e-9;
                            assert!(deepest <= most, "{rate:?} {late}: {calls:?} {deepest}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_bucket_with_room_is_used_whole() {
    let second = Duration::from_secs(1);
    let pace = Rate::bucket(40, 2, second).pace(&Margin::default()).unwrap();
    assert_eq!(pace.cost(1).unwrap(), Duration::from_millis(500));
    // 40 - 1 - (234 ms at 2 a second, rounded up).
    assert_eq!(pace.burst(), Duration::from_millis(500) * 38);
}

#[test]
fn the_shares_of_the_permitted_rate() {
    let used = |units: u64, secs: u64| {
        let per = Duration::from_secs(secs);
        let pace = Rate::new(units, per).pace(&Margin::default()).unwrap();
        per.as_secs_f64() / pace.cost(1).unwrap().as_secs_f64() / units as f64
    };
    assert!(used(100, 10) >= 0.97, "{}", used(100, 10));
    assert!(used(100, 1) >= 0.80, "{}", used(100, 1));
    assert!(used(6_000, 300) >= 0.99, "{}", used(6_000, 300));
    let tokens = Rate::tokens(30_000, Duration::from_secs(60), 1_000);
    let pace = tokens.pace(&Margin::default()).unwrap();
    let used = 60.0 / pace.of_units(30_000).as_secs_f64();
    assert!(used >= 0.88, "{used}");
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let second = Duration::from_secs(1);
    let error = |rate: Rate| rate.pace(&Margin::default()).unwrap_err();
    assert_eq!(error(Rate::new(0, second)), RateError::Zero);
    assert_eq!(error(Rate::new(5, Duration::ZERO)), RateError::Zero);
    assert_eq!(
        error(Rate { largest: 6, ..Rate::new(5, second) }),
        RateError::DoesNotFit { needed: 6, available: 5 }
    );
    assert_eq!(
        error(Rate::bucket(0, 5, second)),
        RateError::DoesNotFit { needed: 1, available: 0 }
    );
    assert_eq!(error(Rate::new(1, Duration::MAX)), RateError::TooSlow);
    let pace = Rate { largest: 3, ..Rate::new(5, second) }.pace(&Margin::NONE).unwrap();
    assert_eq!(pace.cost(4), Err(RateError::CallTooLarge { units: 4, largest: 3 }));
}
