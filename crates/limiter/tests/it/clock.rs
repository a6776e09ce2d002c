//! Clocks that are wrong, corrected from answers whose `Date` has whole seconds.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use slowlane_limiter::{ClockCorrection, Moment};

/// 2027-01-15T08:00:00Z in microseconds.
const START: i64 = 1_800_000_000_000_000;

fn time(us: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(us.try_into().unwrap())
}

/// Answers to `requests` heard by a clock that is `ahead` of the service's, at random phases; each
/// takes 4 to 40 ms. The service's machines differ by up to 8 ms.
fn corrected(random: &mut fastrand::Rng, ahead: i64, requests: u32) -> (ClockCorrection, i64) {
    let mut correction = ClockCorrection::default();
    let mut real = START + random.i64(0..1_000_000);
    for _ in 0..requests {
        real += random.i64(20_000..400_000);
        let (out, back) = (random.i64(2_000..20_000), random.i64(2_000..20_000));
        let stamped = (real + out + random.i64(-8_000..=8_000)).div_euclid(1_000_000) * 1_000_000;
        let received = real + out + back;
        correction.learns(time(real + ahead), time(received + ahead), time(stamped));
        real = received;
    }
    (correction, real)
}

proptest! {
    /// The truth is always within the uncertainty that it states.
    #[test]
    fn it_knows_how_wrong_it_is(
        seed in any::<u64>(),
        ahead in -3_000_000..3_000_000_i64,
        requests in 1..60_u32,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (correction, real) = corrected(&mut random, ahead, requests);
        let moment = correction.correct(time(real + ahead));
        let off = i64::try_from(moment.0).unwrap() - real;
        let stated = correction.uncertainty(time(real + ahead)).unwrap();
        prop_assert!(u128::from(off.unsigned_abs()) <= stated.as_micros(), "{} of {:?}", off, stated);
        prop_assert!(stated <= Duration::from_millis(1_060));
        let there_and_back = correction.local(moment);
        prop_assert_eq!(there_and_back, time(real + ahead));
    }
}

#[test]
fn thirty_answers_are_enough() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut off: Vec<u64> = (0..1_000)
        .map(|_| {
            let ahead = random.i64(-1_000_000..1_000_000);
            let (correction, real) = corrected(&mut random, ahead, 30);
            let moment = correction.correct(time(real + ahead));
            (i64::try_from(moment.0).unwrap() - real).unsigned_abs()
        })
        .collect();
    off.sort_unstable();
    assert!(off[990] <= 67_000, "p99 is {} us", off[990]);
}

#[test]
fn a_clock_that_is_set_is_found_out() {
    let mut random = fastrand::Rng::with_seed(3);
    let (mut correction, real) = corrected(&mut random, 0, 30);
    let set = real + 5_000_000;
    correction.learns(time(set), time(set + 10_000), time(real / 1_000_000 * 1_000_000));
    let moment = correction.correct(time(set));
    let off = i64::try_from(moment.0).unwrap() - real;
    assert!(off.abs() <= 1_100_000, "{off}");
    assert_eq!(ClockCorrection::default().correct(time(START)), Moment(START as u64));
    assert_eq!(ClockCorrection::default().uncertainty(time(START)), None);
}
