//! Tokens: what a call reserves is only an estimate, and no window is passed.

use std::time::Duration;

use proptest::prelude::*;
use slowlane_limiter::{Margin, Meter, Moment, Rate, RateTerm, Refund, Reserve};

use crate::{START, millis, seconds};

/// A run of `calls` calls by a fleet that always has work: what each used, and when.
///
/// A call's real tokens are between a third of its reservation and all of it; it lasts up to
/// `longest`, and settles at its end.
fn run(seed: u64, rate: &Rate, calls: usize, longest: Duration) -> Vec<(Moment, u64)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let pace = rate.pace(&Margin::default()).unwrap();
    let (mut meter, mut now) = (Meter::default(), START);
    let (mut made, mut unsettled) = (vec![], vec![]);
    while made.len() < calls {
        let estimate = random.u64(rate.largest / 8..=rate.largest);
        // A third of all calls use a third of what was reserved, the others anything up to it.
        let used = match random.u32(0..3) {
            0 => estimate.div_ceil(3),
            _ => random.u64(estimate.div_ceil(3)..=estimate),
        };
        loop {
            unsettled.sort_unstable();
            while let Some((ends, back)) =
                unsettled.first().copied().filter(|(ends, _)| *ends <= now)
            {
                let _: Moment = ends;
                unsettled.remove(0);
                meter = meter.refund(&Refund { rates: vec![back], quotas: vec![] });
            }
            let term = RateTerm { cost: pace.cost(estimate).unwrap(), burst: pace.burst() };
            let reserve = Reserve {
                now,
                horizon: seconds(2),
                calls: 1,
                rates: vec![term],
                quotas: vec![],
                overdraw: false,
            };
            let next_end = unsettled.first().map(|(ends, _)| *ends);
            match meter.reserve(&reserve) {
                Ok(reserved) => {
                    meter = reserved.after;
                    let late = millis(random.u64(0..=50));
                    let lasts = longest.mul_f64(random.f64());
                    let back = pace.of_units(estimate) - pace.of_units(used);
                    unsettled.push((reserved.at.plus(lasts), back));
                    made.push((reserved.at.plus(late), used));
                    break;
                }
                Err(refusal) => now = next_end.unwrap_or(refusal.retry_at).min(refusal.retry_at),
            }
        }
    }
    made.sort_unstable();
    made
}

/// The most tokens in any window, and the share of the permitted ones that were used between the
/// first window and the last.
fn judge(made: &[(Moment, u64)], rate: &Rate) -> (u64, f64) {
    let within = |from: Moment| {
        let until = from.plus(rate.per);
        made.iter().filter(move |(at, _)| (from..until).contains(at)).map(|(_, used)| used)
    };
    let fullest = made.iter().map(|(from, _)| within(*from).sum()).max().unwrap();
    let (first, last) = (made[0].0, made[made.len() - 1].0);
    let used: u64 = made.iter().map(|(_, used)| used).sum();
    let permitted = rate.units as f64 * last.since(first).as_secs_f64() / rate.per.as_secs_f64();
    (fullest, used as f64 / permitted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Estimates off by up to a factor of three.
    #[test]
    fn no_window_is_passed_and_most_is_used(seed in any::<u64>()) {
        let rate = Rate::tokens(60_000, seconds(60), 1_000);
        let made = run(seed, &rate, 600, seconds(3));
        let (fullest, used) = judge(&made, &rate);
        prop_assert!(fullest <= rate.units, "seed {}: {} in a window", seed, fullest);
        prop_assert!(used >= 0.88, "seed {}: {}", seed, used);
    }
}

/// What the 5 % are for: calls so long that more than that is on its way need more left out.
#[test]
fn calls_that_hold_more_than_is_left_out_need_more() {
    let passes = |carry, seed| {
        let rate = Rate { carry, ..Rate::tokens(60_000, seconds(60), 4_000) };
        let made = run(seed, &rate, 400, seconds(30));
        judge(&made, &rate).0 > rate.units
    };
    let too_little = (0..20).filter(|seed| passes(0, *seed)).count();
    assert!(too_little > 0, "nothing has to be left out");
    let enough = (0..20).filter(|seed| passes(20_000, *seed)).count();
    assert_eq!(enough, 0);
}
