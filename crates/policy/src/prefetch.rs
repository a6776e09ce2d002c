//! When a slot fetches its next call while the present one is at the API.
//!
//! To receive and claim a call takes some AWS requests, 20 to 50 ms in all. A slot that begins
//! with them when its call has ended leaves the API idle meanwhile: an eighth of the time when
//! calls take 200 ms. A slot that begins too early holds a call that another slot could run, and
//! has chosen it before a more urgent one arrived. So the fetch should end about when the running
//! call ends, and [`ServiceTimes`] says when to begin it, from the last [`HISTORY`] durations:
//!
//! ```text
//! begin = first quartile of the calls - ninth decile of the fetches - 5 ms,  at least 0
//! ```
//!
//! With the low quartile a fetch is early three times in four, by little when calls are alike. When
//! they are not, the next call is fetched after the present one has ended. Calls are not alike if
//! their quartiles lie further apart than the first quartile and two fetches, or than [`MAX_HOLD`].
//!
//! A call that was fetched is held for [`ServiceTimes::hold_limit`] at most:
//!
//! ```text
//! limit = 2.5 * (third quartile - first quartile),  at least 4 fetches, 100 ms to MAX_HOLD
//! ```
//!
//! which is the usual fence for an outlier (third quartile + 1.5 times the distance of the
//! quartiles), counted from the first quartile. A running call that has passed it belongs to the
//! slow few, nobody knows for how long, and the fetched one goes back for another slot. To give
//! back and fetch again costs about two fetches, hence the least value.

use std::collections::VecDeque;
use std::time::Duration;

/// How many durations of each kind are kept.
pub const HISTORY: usize = 16;

/// The longest that a fetched call is ever held before it is given back.
pub const MAX_HOLD: Duration = Duration::from_secs(1);

/// The shortest hold limit, so that a steady API is not punished for a hiccup.
const MIN_HOLD: Duration = Duration::from_millis(100);

/// A fetch should end this much before the call does: the time to take note of it.
const MARGIN: Duration = Duration::from_millis(5);

/// With fewer calls than this, quartiles mean nothing.
const LEAST_HISTORY: usize = 4;

/// The durations of the latest calls and fetches of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceTimes {
    calls: VecDeque<Duration>,
    fetches: VecDeque<Duration>,
}

impl ServiceTimes {
    /// Notes how long the API took for a call.
    pub fn record_call(&mut self, took: Duration) {
        record(&mut self.calls, took);
    }

    /// Notes how long it took from the beginning of a fetch until its call was ready to run. A
    /// fetch that found nothing, or waited in a long poll, is not to be noted.
    pub fn record_fetch(&mut self, took: Duration) {
        record(&mut self.fetches, took);
    }

    /// How long after the start of the running call the fetch of the next one should begin.
    /// `None`: only when the call has ended, because there is too little history, or because
    /// calls differ so much that a fetched one would be held for long.
    pub fn fetch_at(&self) -> Option<Duration> {
        let (fast, slow) = self.call_quartiles()?;
        let fetch = self.fetch_time()?;
        let tolerated = fast.max(fetch * 2).min(MAX_HOLD);
        (slow - fast <= tolerated).then(|| fast.saturating_sub(fetch + MARGIN))
    }

    /// How long a fetched call may wait for the running one, counted from when it was ready to
    /// run. After that it should be given back.
    pub fn hold_limit(&self) -> Duration {
        let spread = self.call_quartiles().map_or(Duration::ZERO, |(fast, slow)| slow - fast);
        let refetch = self.fetch_time().unwrap_or_default().saturating_mul(4);
        (spread.saturating_mul(5) / 2).max(refetch).clamp(MIN_HOLD, MAX_HOLD)
    }

    /// How long the running call takes at least, three times in four.
    pub(crate) fn earliest_end(&self) -> Option<Duration> {
        self.call_quartiles().map(|(fast, _)| fast)
    }

    /// The first and the third quartile of the calls, both rounded outwards.
    fn call_quartiles(&self) -> Option<(Duration, Duration)> {
        if self.calls.len() < LEAST_HISTORY {
            return None;
        }
        let calls = sorted(&self.calls);
        let last = calls.len() - 1;
        Some((calls[last / 4], calls[(3 * last).div_ceil(4)]))
    }

    /// The ninth decile of the fetches, rounded up.
    pub(crate) fn fetch_time(&self) -> Option<Duration> {
        let fetches = sorted(&self.fetches);
        let last = fetches.len().checked_sub(1)?;
        Some(fetches[(9 * last).div_ceil(10)])
    }
}

fn record(recent: &mut VecDeque<Duration>, took: Duration) {
    if recent.len() == HISTORY {
        recent.pop_front();
    }
    recent.push_back(took);
}

fn sorted(recent: &VecDeque<Duration>) -> Vec<Duration> {
    let mut values: Vec<Duration> = recent.iter().copied().collect();
    values.sort_unstable();
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn times(calls_ms: &[u64], fetches_ms: &[u64]) -> ServiceTimes {
        let mut times = ServiceTimes::default();
        calls_ms.iter().for_each(|call| times.record_call(ms(*call)));
        fetches_ms.iter().for_each(|fetch| times.record_fetch(ms(*fetch)));
        times
    }

    #[test]
    fn a_fetch_begins_so_that_it_ends_with_the_call() {
        let slow_few: Vec<u64> = [50; 13].into_iter().chain([5_000; 3]).collect();
        let bimodal: Vec<u64> = [50; 8].into_iter().chain([5_000; 8]).collect();
        for (what, calls, fetches, fetch_at, hold_limit) in [
            ("no history", &[][..], &[][..], None, 100),
            ("too few calls", &[200, 200, 200], &[30], None, 120),
            ("no fetch yet", &[200, 200, 200, 200], &[], None, 100),
            ("all alike", &[200; 4], &[30], Some(165), 120),
            ("some spread", &[190, 200, 210, 220], &[30], Some(155), 120),
            ("quartiles apart", &[100, 150, 180, 200, 250], &[30], Some(115), 125),
            ("as far as tolerated", &[100, 100, 200, 200], &[20], Some(75), 250),
            ("further than tolerated", &[100, 100, 201, 201], &[20], None, 252),
            ("shorter than a fetch", &[10, 10, 12, 14], &[30], Some(0), 120),
            ("a few slow ones", &slow_few, &[30], Some(15), 120),
            ("half of them slow", &bimodal, &[30], None, 1_000),
            ("long but steady", &[30_000; 5], &[40], Some(29_955), 160),
            ("long and spread", &[30_000, 30_000, 32_000, 32_000], &[40], None, 1_000),
            ("one slow fetch in two", &[200; 4], &[20, 90], Some(105), 360),
            ("fetches slower than a hold", &[900; 4], &[400], Some(495), 1_000),
        ] {
            let times = times(calls, fetches);
            assert_eq!(times.fetch_at(), fetch_at.map(ms), "{what}");
            let limit = times.hold_limit();
            assert!(limit.abs_diff(ms(hold_limit)) <= ms(1), "{what}: {limit:?}");
        }
    }

    #[test]
    fn a_rare_slow_fetch_does_not_count_and_old_times_are_forgotten() {
        let mut fetches = vec![30; 15];
        fetches.insert(7, 2_000);
        let mut times = times(&[200; 4], &fetches);
        assert_eq!(times.fetch_at(), Some(ms(165)));
        (0..HISTORY).for_each(|_| times.record_call(ms(1_000)));
        assert_eq!(times.fetch_at(), Some(ms(965)));
    }

    proptest! {
        /// Whatever was measured: a fetch never begins after a quarter of the calls have ended,
        /// and a call is neither held for ever nor dropped at once.
        #[test]
        fn answers_stay_within_bounds(
            calls in prop::collection::vec(0_u64..100_000, 0..40),
            fetches in prop::collection::vec(0_u64..2_000, 0..40),
        ) {
            let recorded = times(&calls, &fetches);
            prop_assert!((MIN_HOLD..=MAX_HOLD).contains(&recorded.hold_limit()));
            if let Some(at) = recorded.fetch_at() {
                let recent = &calls[calls.len().saturating_sub(HISTORY)..];
                let ended = recent.iter().filter(|call| ms(**call) < at).count();
                prop_assert!(ended * 4 <= recent.len());
                prop_assert!(recent.len() >= LEAST_HISTORY && !fetches.is_empty());
            }
        }
    }
}
