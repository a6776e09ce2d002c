//! Units: what a call takes is known only afterwards, and no window is passed.

use std::time::Duration;

use proptest::prelude::*;
use slowlane_limiter::{
    Ask, Ledger, Margin, Moment, QuotaTerm, Rate, RateTake, Spent, Taken, Units,
};

use crate::{START, millis, seconds};

/// A ledger that some rates are kept by, and what the API saw: when, and how many units.
struct Fleet {
    rates: Vec<Rate>,
    margin: Margin,
    ledger: Ledger,
    saw: Vec<(Moment, u64)>,
}

impl Fleet {
    fn new(rates: Vec<Rate>, margin: Margin) -> Self {
        Self { rates, margin, ledger: Ledger::default(), saw: Vec::new() }
    }

    fn takes(&self, units: Units) -> Vec<RateTake> {
        self.rates.iter().map(|rate| rate.take(units, &self.margin).unwrap()).collect()
    }

    fn ask(&self, now: Moment, units: Units) -> Ask {
        let rates = self.takes(units);
        Ask { now, horizon: Duration::MAX, rates, quotas: Vec::new(), instead_of: None }
    }

    fn reserve(&mut self, ask: &Ask) -> Taken {
        let (taken, after) = self.ledger.reserve(ask).unwrap();
        assert!(taken.at >= ask.now, "{taken:?}");
        self.ledger = after;
        taken
    }

    /// The turn of a call that is thought to have so many units.
    fn turn(&mut self, now: Moment, expected: u64) -> Taken {
        let mut ask = self.ask(now, Units { expected, most: 1 });
        for take in &mut ask.rates {
            take.apart = take.pace / 16;
        }
        self.reserve(&ask)
    }

    fn fit(&mut self, now: Moment, turn: Taken, units: Units) -> Taken {
        let mut ask = Ask { instead_of: Some(turn), ..self.ask(now, units) };
        for take in &mut ask.rates {
            take.ahead = Duration::MAX;
        }
        self.reserve(&ask)
    }

    /// The API sees a call of `used` units so long after its moment; it is settled later.
    fn goes(&mut self, taken: &Taken, late: Duration, used: u64) {
        self.saw.push((taken.at.plus(late), used));
    }

    fn settles(&mut self, taken: &Taken, used: u64) {
        let really = |rate: &Rate| {
            let take = rate.take(Units::up_to(used.min(rate.largest)), &self.margin).unwrap();
            match (rate.counts_calls(), take.window) {
                (true, _) => (0, Duration::ZERO),
                (false, None) => (0, take.pace),
                (false, Some(_)) => (used, take.pace),
            }
        };
        let rates = self.rates.iter().map(really).collect();
        self.ledger = self.ledger.settled(taken, &Taken { rates, ..Taken::default() });
    }

    /// The most units in any window of this rate.
    fn fullest(&self, rate: &Rate) -> u64 {
        let within = |from: Moment| {
            let until = from.plus(rate.per);
            self.saw.iter().filter(move |(at, _)| (from..until).contains(at))
        };
        let sums = self.saw.iter().map(|(from, _)| within(*from).map(|(_, units)| units).sum());
        sums.max().unwrap_or(0)
    }

    /// The share of what the rate permits that was used after the first window.
    fn used(&self, rate: &Rate) -> f64 {
        let from = self.saw[0].0.plus(rate.per);
        let later = self.saw.iter().filter(|(at, _)| *at >= from);
        let used: u64 = later.map(|(_, units)| units).sum();
        let span = self.saw[self.saw.len() - 1].0.since(from);
        used as f64 / (rate.units as f64 * span.as_secs_f64() / rate.per.as_secs_f64())
    }
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_micros(ticks)
}

/// All sequences of calls on small grids. They differ in how long after the last one each is asked for,
/// how many units it may take and takes, when it is settled, and how late it comes.
#[test]
fn no_window_is_passed_whatever_its_phase_and_whatever_calls_take() {
    let calls: Vec<(u64, u64, u64)> = [0, 1, 5]
        .into_iter()
        .flat_map(|gap| [(1, 1), (2, 1), (3, 1), (3, 3)].map(|(most, used)| (gap, most, used)))
        .collect();
    for units in 3..=5 {
        for (per, late) in [(4, 0), (5, 2), (9, 1)] {
            let rate = Rate::tokens(units, ticks(per), 3);
            let margin = Margin { lateness: ticks(late), ..Margin::NONE };
            for settles_after in [1, 2, 9] {
                for mut sequence in 0..calls.len().pow(4) {
                    let mut fleet = Fleet::new(vec![rate.clone()], margin);
                    let (mut now, mut unsettled) = (Moment(1_000), Vec::new());
                    for call in 0..4_u64 {
                        let (gap, most, used) = calls[sequence % calls.len()];
                        sequence /= calls.len();
                        now = now.plus(ticks(gap));
                        let ask = fleet.ask(now, Units::up_to(most));
                        let taken = fleet.reserve(&ask);
                        fleet.goes(&taken, ticks(late * (call % 2)), used);
                        unsettled.push((taken, used));
                        if unsettled.len() >= settles_after {
                            let (taken, used) = unsettled.remove(0);
                            fleet.settles(&taken, used);
                        }
                    }
                    let most = fleet.fullest(&rate);
                    assert!(most <= units, "{rate} {margin:?}: {:?} has {most}", fleet.saw);
                }
            }
        }
    }
}

/// One tick less between the calls of two windows, and a window is passed.
#[test]
fn a_window_is_used_to_the_last_unit() {
    let rate = Rate::tokens(4, ticks(10), 2);
    let mut fleet = Fleet::new(vec![rate.clone()], Margin::NONE);
    for _ in 0..20 {
        let ask = fleet.ask(Moment(1_000), Units::up_to(2));
        let taken = fleet.reserve(&ask);
        fleet.goes(&taken, Duration::ZERO, 2);
    }
    assert_eq!(fleet.fullest(&rate), 4);
    assert!(fleet.fullest(&Rate { per: ticks(11), ..rate }) > 4);
}

/// A bucket of five days' worth has no window, and is not empty again after one.
#[test]
fn a_ledger_is_kept_until_all_that_is_due_is_past() {
    let day = seconds(86_400);
    let bucket = RateTake { units: 1, pace: day * 3, ahead: day * 6, ..RateTake::default() };
    let ask = Ask {
        now: START,
        horizon: Duration::ZERO,
        rates: vec![bucket],
        quotas: Vec::new(),
        instead_of: None,
    };
    let (taken, after) = Ledger::default().reserve(&ask).unwrap();
    assert!(after.kept_until >= START.plus(day * 3), "{}", after.kept_until);
    // The call took twice what was kept free for it.
    let really = Taken { rates: vec![(0, day * 6)], ..Taken::default() };
    let settled = after.settled(&taken, &really);
    assert!(settled.kept_until >= START.plus(day * 6), "{}", settled.kept_until);
}

/// A fleet that always has work: its slots take turns, find calls, fit them in, and settle them up to
/// `longest` after they went. A call's units are estimated wrongly by up to a factor of three, and
/// `believed` times the estimate is kept free for it.
fn run(seed: u64, rate: &Rate, calls: usize, longest: Duration, believed: u64) -> Fleet {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut fleet = Fleet::new(vec![rate.clone()], Margin::default());
    let mut now = START;
    let mut ends: Vec<(Moment, usize)> = Vec::new();
    let mut made: Vec<(Taken, u64)> = Vec::new();
    while made.len() < calls {
        let skewed = random.f64() * random.f64() * random.f64();
        let used = ((rate.largest as f64 * skewed) as u64).max(1);
        let estimate = (used as f64 * 9.0_f64.powf(random.f64() - 0.5)).ceil() as u64;
        let estimate = estimate.clamp(1, rate.largest);
        let turn = fleet.turn(now, rate.largest / 8);
        now = now.max(turn.at.minus(millis(random.u64(0..30))));
        settle_ended(&mut fleet, &mut ends, &made, now);
        let units = Units::about(estimate, believed).within(rate.largest).unwrap();
        let mut taken = fleet.fit(now, turn, units);
        // While it waits for room, others may make some.
        while taken.at > now.plus(millis(500)) {
            now = now.plus(millis(400));
            settle_ended(&mut fleet, &mut ends, &made, now);
            taken = fleet.fit(now, taken, units);
        }
        now = now.max(taken.at.minus(millis(50)));
        fleet.goes(&taken, millis(random.u64(0..=50)), used);
        ends.push((taken.at.plus(longest.mul_f64(random.f64())), made.len()));
        made.push((taken, used));
    }
    fleet.saw.sort_unstable();
    fleet
}

fn settle_ended(
    fleet: &mut Fleet,
    ends: &mut Vec<(Moment, usize)>,
    made: &[(Taken, u64)],
    now: Moment,
) {
    ends.sort_unstable();
    while let Some((ended_at, call)) = ends.first().copied()
        && ended_at <= now
    {
        ends.remove(0);
        let (taken, used) = &made[call];
        fleet.settles(taken, *used);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn wrong_estimates_pass_no_window_and_most_is_used(seed in any::<u64>()) {
        let rate = Rate::tokens(30_000, seconds(60), 4_000);
        let fleet = run(seed, &rate, 400, seconds(3), 3);
        let (fullest, used) = (fleet.fullest(&rate), fleet.used(&rate));
        prop_assert!(fullest <= rate.units, "seed {}: {} in a window", seed, fullest);
        prop_assert!(used >= 0.88, "seed {}: {}", seed, used);
    }

    /// Calls that last longer than their window, so that some are forgotten before they settle.
    #[test]
    fn long_calls_pass_no_window(seed in any::<u64>()) {
        let rate = Rate::tokens(2_000, seconds(10), 400);
        let fleet = run(seed, &rate, 400, seconds(25), 3);
        let fullest = fleet.fullest(&rate);
        prop_assert!(fullest <= rate.units, "seed {}: {} in a window", seed, fullest);
    }
}

/// What estimates are not believed for must be left out.
#[test]
fn calls_that_take_more_than_they_may_need_something_left_out() {
    let passes = |carry, seed| {
        let rate = Rate { carry, ..Rate::tokens(30_000, seconds(60), 4_000) };
        run(seed, &rate, 300, seconds(3), 1).fullest(&rate) > rate.units
    };
    let too_little = (0..20).filter(|seed| passes(0, *seed)).count();
    assert!(too_little > 0, "nothing has to be left out");
    let enough = (0..20).filter(|seed| passes(8_000, *seed)).count();
    assert_eq!(enough, 0);
}

/// A rate of calls beside one of units: each takes its own measure, and a turn is one call.
#[test]
fn calls_and_units_are_kept_side_by_side() {
    let calls = Rate::new(10, seconds(1));
    let tokens = Rate::tokens(1_000, seconds(10), 400);
    let margin = Margin::NONE;
    let mut fleet = Fleet::new(vec![calls.clone(), tokens.clone()], margin);
    let mut random = fastrand::Rng::with_seed(7);
    let mut counted = Fleet::new(vec![calls.clone()], margin);
    for call in 0..300_u64 {
        // Small calls first, so that both rates bind in turn.
        let used = if call < 100 { 1 } else { random.u64(1..=60) };
        let turn = fleet.turn(START, 10);
        let taken = fleet.fit(START, turn, Units::about(used, 2));
        fleet.goes(&taken, Duration::ZERO, used);
        counted.saw.push((taken.at, 1));
        fleet.settles(&taken, used);
    }
    fleet.saw.sort_unstable();
    counted.saw.sort_unstable();
    assert_eq!(counted.fullest(&calls), 10, "as many calls as it takes, and no more");
    assert!((900..=1_000).contains(&fleet.fullest(&tokens)), "{}", fleet.fullest(&tokens));
}

#[test]
fn a_bucket_is_emptied_and_never_overdrawn() {
    let rate = Rate { largest: 200, ..Rate::bucket(1_000, 50, seconds(1)) };
    let mut fleet = Fleet::new(vec![rate], Margin::NONE);
    let mut moments = Vec::new();
    for _ in 0..8 {
        let ask = fleet.ask(START, Units::up_to(200));
        moments.push(fleet.reserve(&ask).at.since(START).as_secs());
    }
    // Five at once empty it, and 50 a second fill it for one more each four seconds.
    assert_eq!(moments, [0, 0, 0, 0, 0, 4, 8, 12]);
}

#[test]
fn a_quota_is_taken_from_as_far_as_a_call_may_go_and_settled() {
    let quota = |units| QuotaTerm { units, limit: 100, resets_at: START.plus(seconds(60)) };
    let ask = |units| Ask {
        now: START,
        horizon: Duration::ZERO,
        rates: vec![],
        quotas: vec![quota(units)],
        instead_of: None,
    };
    let (taken, after) = Ledger::default().reserve(&ask(90)).unwrap();
    assert!(after.reserve(&ask(20)).is_err());
    let really =
        Taken { quotas: vec![Spent { units: 30, ..Spent::default() }], ..Taken::default() };
    let settled = after.settled(&taken, &really);
    assert_eq!(settled.quotas[0].units, 30);
    settled.reserve(&ask(70)).unwrap();
    // A counter that began anew has forgotten the call.
    let anew = Spent { units: 5, resets_at: START.plus(seconds(120)) };
    let renewed = Ledger { quotas: vec![anew], ..after };
    assert_eq!(renewed.settled(&taken, &really).quotas, [anew]);
}

/// As a store keeps it: below one write unit of DynamoDB, with more calls in its window than are
/// remembered one by one.
#[test]
fn a_ledger_is_small() {
    // Twenty calls a second.
    let fleet = run(1, &Rate::tokens(600_000, seconds(60), 4_000), 900, seconds(3), 3);
    let text = serde_json::to_string(&fleet.ledger).unwrap();
    assert!(text.len() < 900, "{} bytes: {text}", text.len());
    let read: Ledger = serde_json::from_str(&text).unwrap();
    assert_eq!(read, fleet.ledger);
}

#[test]
fn a_call_that_is_too_large_is_refused_whatever_its_turn() {
    let rate = Rate::tokens(30_000, seconds(60), 4_000);
    let margin = Margin::default();
    let units = |units: Units| rate.take(units, &margin).map(|take| take.units);
    assert_eq!(units(Units::about(3_000, 3)), Ok(4_000), "no call takes more");
    assert_eq!(units(Units::LARGEST), Ok(4_000));
    assert_eq!(
        units(Units::up_to(4_001)).unwrap_err().to_string(),
        "a call of 4001 units is larger than the largest that this limit takes, 4000"
    );
}
