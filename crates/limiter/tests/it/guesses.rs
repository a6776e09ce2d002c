//! How often a fleet guesses wrong, that is what a grant costs on DynamoDB: many processes, each
//! with what it saw last, and one item.

use slowlane_limiter::{Form, Meter, Moment, RateForm, RateTerm, Reserve};

use crate::{START, millis, seconds};

/// A process's memory of the limit.
#[derive(Clone, Default)]
struct Process {
    seen: Meter,
    fitted: Option<RateForm>,
}

#[derive(Debug, Default)]
struct Outcome {
    grants: f64,
    /// Each costs a write more.
    wrong_guesses: f64,
    /// Each costs a write. How many there are depends on who asks when, and not on the guesses.
    refusals: f64,
}

/// A fleet at an API of one call each 100 ms, for ten minutes. Each of `slots` processes asks, waits
/// for its moment, makes a call of 200 ms, and then rests for up to `rest_ms`.
fn run(seed: u64, slots: usize, rest_ms: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut item = Meter::default();
    let mut processes = vec![Process::default(); slots];
    let mut due: Vec<Moment> =
        (0..slots).map(|_| START.plus(millis(random.u64(0..1000)))).collect();
    let mut outcome = Outcome::default();
    loop {
        let index = (0..slots).min_by_key(|index| due[*index]).unwrap();
        let now = due[index];
        if now > START.plus(seconds(600)) {
            return outcome;
        }
        let term = RateTerm { cost: millis(100), burst: millis(0) };
        let reserve = Reserve {
            now,
            horizon: millis(300),
            calls: 1,
            rates: vec![term],
            quotas: vec![],
            overdraw: false,
        };
        let process = &mut processes[index];
        let mut form = Form::guess(&process.seen, process.fitted, &reserve);
        if !form.permitted(&item, &reserve) {
            form = Form::of(&item, &reserve);
            if item.reserve(&reserve).is_ok() {
                outcome.wrong_guesses += 1.0;
            }
        }
        process.fitted = Some(form.rates);
        due[index] = match item.reserve(&reserve) {
            Ok(reserved) => {
                outcome.grants += 1.0;
                item = reserved.after.clone();
                process.seen = reserved.after;
                reserved.at.plus(millis(200 + random.u64(0..=rest_ms)))
            }
            Err(refusal) => {
                outcome.refusals += 1.0;
                process.seen = item.clone();
                // All who wait would come at once: each comes for a moment of its own.
                refusal.retry_at.plus(millis(random.u64(0..100 * slots as u64)))
            }
        };
    }
}

#[test]
fn a_fleet_seldom_guesses_wrong() {
    for seed in 0..3 {
        let binding = run(seed, 20, 1_500);
        assert!(binding.grants > 0.95 * 6_000.0, "seed {seed}: {binding:?}");
        let each = 1.0 + binding.wrong_guesses / binding.grants;
        assert!(each <= 1.05, "seed {seed}: {each} writes a grant, {binding:?}");
        let free = run(seed, 20, 6_000);
        let each = 1.0 + (free.wrong_guesses + free.refusals) / free.grants;
        assert!(each <= 1.7, "seed {seed}: {each} writes a grant, {free:?}");
    }
}
