//! HIGH overtakes its tenant's batch, and no window is passed.

use std::time::Duration;

use proptest::prelude::*;
use slowlane_limiter::overtake::{Due, may_overtake, when_due};
use slowlane_limiter::{Margin, Meter, Moment, Rate, RateTerm, Reserve};

const MOST: u32 = 2;
const WINDOW: u64 = 1_000;

proptest! {
    #[test]
    fn no_window_is_passed_and_high_goes_at_once(
        units in 4..10_u64,
        batch in 1..40_usize,
        high in prop::collection::btree_set(0..6_000_u64, 0..30),
    ) {
        let per = Duration::from_micros(WINDOW);
        let rate = Rate { burst: Some(MOST.into()), ..Rate::new(units, per) };
        let pace = rate.pace(&Margin::NONE).unwrap().without_burst();
        let term = RateTerm { cost: pace.cost(1).unwrap(), burst: pace.burst() };
        let reserve = |now: u64| Reserve {
            now: Moment(now),
            horizon: Duration::from_secs(1),
            calls: 1,
            rates: vec![term],
            quotas: vec![],
            overdraw: false,
        };
        let mut meter = Meter::default();
        let mut book = |now: u64| {
            let reserved = meter.reserve(&reserve(now)).unwrap();
            meter = reserved.after;
            reserved.at.0
        };
        let start = 100_000;
        // Moments reserved by the batch, and by HIGH calls that could not overtake.
        let mut due: Vec<(u64, bool)> = (0..batch).map(|_| (book(start), false)).collect();
        let (mut owed, mut most_owed, mut made) = (0, 0, vec![]);
        let mut high: Vec<_> = high.into_iter().map(|after| start + after).collect();
        let total = due.len() + high.len();
        while !due.is_empty() || !high.is_empty() {
            due.sort_unstable();
            let next_due = due.first().copied();
            match high.first().copied().filter(|at| next_due.is_none_or(|(d, _)| *at < d)) {
                Some(now) => {
                    high.remove(0);
                    let payers = due.iter().filter(|(_, urgent)| !urgent).count();
                    match may_overtake(owed, MOST, payers.try_into().unwrap()) {
                        true => {
                            owed += 1;
                            made.push(now);
                        }
                        false => due.push((book(now), true)),
                    }
                }
                None => {
                    let (now, urgent) = due.remove(0);
                    match when_due(owed, urgent) {
                        Due::Goes => made.push(now),
                        Due::Pays => {
                            owed -= 1;
                            due.push((book(now), false));
                        }
                    }
                }
            }
            most_owed = most_owed.max(owed);
            prop_assert!(owed <= MOST);
        }
        prop_assert_eq!(made.len(), total, "every call is made once");
        made.sort_unstable();
        for from in &made {
            let within = made.iter().filter(|at| (*from..from + WINDOW).contains(at)).count();
            prop_assert!(within as u64 <= units, "{} in the window at {}", within, from);
        }
    }
}

#[test]
fn the_bound_on_debts_and_who_pays() {
    assert!(may_overtake(0, 2, 5));
    assert!(!may_overtake(2, 2, 5), "as many as the pace leaves room for");
    assert!(!may_overtake(1, 2, 1), "nobody would pay");
    assert_eq!(when_due(1, false), Due::Pays);
    assert_eq!(when_due(0, false), Due::Goes);
    assert_eq!(when_due(2, true), Due::Goes);
}
