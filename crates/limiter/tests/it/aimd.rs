//! An adaptive fleet in a world of its own: an API whose concurrency changes and tells nobody.

use std::time::Duration;

use slowlane_limiter::{
    Aimd, AimdRules, Control, ControlRules, Entry, Gate, Record, Report, Standing, View,
    ViewSettings,
};

use crate::{START, millis, seconds, slot};

/// What became of a run.
#[derive(Debug, Default)]
struct Outcome {
    made: u32,
    throttled: u32,
    /// Slot-milliseconds that the API would have taken, and those that it was given.
    permitted: u64,
    used: u64,
    /// The last millisecond before the last change at which not all of the permits were in use.
    full_since: u64,
}

impl Outcome {
    fn share_used(&self) -> f64 {
        self.used as f64 / self.permitted as f64
    }

    fn throttled_per_thousand(&self) -> f64 {
        f64::from(self.throttled) * 1000.0 / f64::from(self.made)
    }
}

struct Slot {
    view: View,
    /// Milliseconds at which its call ends, and how it ends.
    calls_until: Option<(u64, bool)>,
    reads_at: u64,
    registered: bool,
}

/// Runs a fleet for `secs` at an API that takes `takes(ms)` calls at once. Each slot looks at the
/// record once a second, enters itself and stands down by it; a call takes 150 to 250 ms, a
/// refusal 20 ms.
fn run(seed: u64, ceiling: u32, secs: u64, takes: impl Fn(u64) -> u32) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let adaptive = AimdRules::up_to(ceiling);
    let rules = ControlRules { adaptive: Some(adaptive), ..ControlRules::default() };
    let settings =
        ViewSettings { ceiling, every: seconds(1), trusted_for: seconds(10), rules: rules.clone() };
    let mut record = Record::default();
    let new_slot = |_| Slot {
        view: View::new(settings.clone()),
        calls_until: None,
        reads_at: random.u64(0..100) * 10,
        registered: false,
    };
    let mut slots: Vec<_> = (0..ceiling).map(new_slot).collect();
    let ids: Vec<_> = (0..ceiling).map(slot).collect();
    let mut outcome = Outcome::default();
    for ms in (0..secs * 1000).step_by(10) {
        let now = START.plus(millis(ms));
        for (index, own) in slots.iter_mut().enumerate() {
            let id = &ids[index];
            if let Some((_, refused)) = own.calls_until.filter(|(until, _)| *until == ms) {
                own.calls_until = None;
                let latency = millis(if refused { 20 } else { 200 });
                let limit = own.view.concurrency(now);
                let all_in_use = own.view.record().unwrap().register.live(now) >= limit;
                let report = match refused {
                    true => Report::Throttled { retry_after: None, latency },
                    false => Report::Answered { latency, all_in_use },
                };
                if refused {
                    own.view.stands_back(now);
                }
                // A conditional write, made again from the newer record if somebody was faster.
                let stale =
                    own.view.record().unwrap().control.reported(now, id, "", &report, &rules);
                if stale.is_some()
                    && let Some(changed) = record.control.reported(now, id, "", &report, &rules)
                {
                    record.control = changed;
                }
            }
            if own.reads_at == ms {
                own.reads_at += 1000;
                let lease_until = now.plus(seconds(3));
                let entered_at = record.register.slots.get(id).map_or(now, |e| e.entered_at);
                let limit = record.control.concurrency(ceiling, &rules);
                record.register.slots.insert(id.clone(), Entry { entered_at, lease_until });
                own.registered = match own.registered {
                    true => record.register.standing(id, now, limit) == Standing::Stays,
                    false => record.register.admits(id, now, limit) == Standing::Stays,
                };
                if !own.registered {
                    record.register.slots.remove(id);
                }
                own.view.learns(now, record.clone());
            }
        }
        let taken = takes(ms);
        let mut at_api = slots.iter().filter(|s| matches!(s.calls_until, Some((_, false)))).count();
        for (index, own) in slots.iter_mut().enumerate() {
            let ready = own.calls_until.is_none() && own.registered;
            if ready && own.view.gate(now, &ids[index]) == Gate::Open {
                let refused = at_api >= taken as usize;
                let lasts = if refused { 20 } else { random.u64(15..=25) * 10 };
                own.calls_until = Some((ms + lasts, refused));
                outcome.made += 1;
                outcome.throttled += u32::from(refused);
                at_api += usize::from(!refused);
            }
        }
        outcome.permitted += u64::from(taken);
        outcome.used += (at_api as u64).min(u64::from(taken));
        if at_api < taken as usize {
            outcome.full_since = ms;
        }
    }
    outcome
}

#[test]
fn an_api_that_takes_less_for_a_while() {
    for seed in 0..2 {
        let takes = |ms| if (60_000..660_000).contains(&ms) { 6 } else { 20 };
        let outcome = run(seed, 20, 900, takes);
        assert!(outcome.share_used() >= 0.92, "seed {seed}: {outcome:?}");
        assert!(outcome.throttled_per_thousand() <= 5.0, "seed {seed}: {outcome:?}");
        let recovering = run(seed, 20, 690, takes);
        assert!(recovering.full_since < 690_000, "seed {seed}: {recovering:?}");
    }
}

#[test]
fn an_api_that_others_use_too() {
    for seed in 0..2 {
        let mut random = fastrand::Rng::with_seed(seed);
        let others: Vec<u32> = (0..20).map(|_| random.u32(0..=14)).collect();
        let outcome = run(seed, 20, 1200, |ms| 20 - others[(ms / 60_000) as usize]);
        assert!(outcome.share_used() >= 0.80, "seed {seed}: {outcome:?}");
        assert!(outcome.throttled_per_thousand() <= 12.0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn one_step_in_each_round_trip() {
    let rules = AimdRules::up_to(20);
    let start = Aimd::new(&rules);
    let down = start.on_throttled(START, Duration::ZERO, &rules).unwrap();
    assert_eq!(down.value, 14);
    assert_eq!(down.on_throttled(START.plus(millis(999)), Duration::ZERO, &rules), None);
    assert_eq!(down.on_throttled(START.plus(seconds(2)), seconds(3), &rules), None);
    let up = Aimd { changed_at: START.plus(seconds(5)), ..down.clone() };
    let soon = START.plus(seconds(5)).plus(millis(20));
    assert!(up.on_throttled(soon, millis(20), &rules).is_some(), "it left after the step up");
    let again = down.on_throttled(START.plus(seconds(1)), Duration::ZERO, &rules).unwrap();
    assert_eq!(again.value, 10);
    let next = |value| {
        let found = Aimd { value, ..again.clone() };
        found.on_throttled(START.plus(seconds(9)), Duration::ZERO, &rules).unwrap().value
    };
    assert_eq!([20, 10, 7, 6, 5, 4, 3, 2, 1].map(next), [14, 7, 5, 4, 4, 3, 2, 1, 1]);
    let one = Aimd { value: 1, ..again };
    let still = one.on_throttled(START.plus(seconds(9)), Duration::ZERO, &rules).unwrap();
    assert_eq!(still.value, 1, "never below the floor");
}

#[test]
fn more_only_where_all_permits_were_in_use_and_held_below_what_was_too_much() {
    let rules = AimdRules::up_to(20);
    let found = Aimd {
        value: 4,
        changed_at: START,
        lowered_at: START,
        too_much: Some(6),
        held_until: START.plus(seconds(10)),
    };
    let after = |secs| START.plus(seconds(secs));
    assert_eq!(found.on_success(after(2), Duration::ZERO, false, &rules), None);
    let five = found.on_success(after(2), Duration::ZERO, true, &rules).unwrap();
    assert_eq!(five.value, 5);
    assert_eq!(five.on_success(after(9), Duration::ZERO, true, &rules), None, "6 was too much");
    let six = five.on_success(after(10), Duration::ZERO, true, &rules).unwrap();
    assert_eq!((six.value, six.too_much), (6, None));
    let top = Aimd { value: 20, ..six };
    assert_eq!(top.on_success(after(99), Duration::ZERO, true, &rules), None);
}

#[test]
fn a_ceiling_lowered_since_counts() {
    let rules = AimdRules::up_to(5);
    let control =
        Control { adaptive: Some(Aimd::new(&AimdRules::up_to(20))), ..Control::default() };
    let rules = ControlRules { adaptive: Some(rules), ..ControlRules::default() };
    assert_eq!(control.concurrency(10, &rules), 5);
}
