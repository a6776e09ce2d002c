//! What a worker of the deferral wiring does with the call that woke it.
//!
//! Each queue has its own event source mapping there, so a call of a lower queue can wake a slot
//! while a higher one waits:
//!
//! 1. [`look_higher`]: run the call at once, or look at the queues above it first.
//! 2. [`OnHigher`]: if something waits there, run that in its place or only make room.
//! 3. [`give_back_delay`]: for how long the lower call is put back.
//!
//! # Nothing starves
//!
//! A call is deferred at most `max_deferrals` times, and no more once it is older than `max_wait`.
//! Whatever waits above it, the decision to run it comes no later than
//!
//! max_wait + 5 s + the wait for its next delivery
//!
//! after it was enqueued, because the last deferral happens before `max_wait` and hides the call
//! for at most 5 s more. SQS's receive count includes throttled deliveries, give-backs and crashes.
//! So a call may run after fewer than `max_deferrals` deferrals. That costs a little priority, and
//! no call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use slowlane_message::Priority;

use crate::jitter::{secs_up, whole_secs};

/// When a lower call stops making room, and how it makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferralSettings {
    /// How often a call may be deferred; at 0 it never is.
    pub max_deferrals: u32,
    /// How long after it was enqueued a call may still be deferred.
    pub max_wait: Duration,
    /// What to do when something waits above.
    pub on_higher: OnHigher,
}

/// What a lower call does when a higher one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHigher {
    /// Receive the higher call and run it in this very slot; put the lower one back.
    Swap,
    /// Only put the lower call back, and leave the slot to the other mapping. It looks at the count
    /// of *visible* messages: those in flight include deferred calls that nobody may run yet. A
    /// receive would hide a call that is not run.
    Yield,
}

impl FromStr for OnHigher {
    type Err = UnknownOnHigher;

    fn from_str(text: &str) -> Result<OnHigher, UnknownOnHigher> {
        match text {
            "swap" => Ok(OnHigher::Swap),
            "yield" => Ok(OnHigher::Yield),
            _ => Err(UnknownOnHigher),
        }
    }
}

impl fmt::Display for OnHigher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            OnHigher::Swap => "swap",
            OnHigher::Yield => "yield",
        })
    }
}

/// A text that is neither `swap` nor `yield`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `swap` or `yield`")]
pub struct UnknownOnHigher;

/// Whether to look at the higher queues before a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookHigher {
    /// Run it without looking.
    RunNow,
    /// Look at every queue above its own, the highest first.
    CheckHigher,
}

/// Whether a call of `woken`'s queue makes room for others. `receive_count` is SQS's, 1 at the
/// first receive; `age` is the time since it was enqueued.
pub fn look_higher(
    woken: Priority,
    receive_count: u32,
    age: Duration,
    settings: &DeferralSettings,
) -> LookHigher {
    let may_defer = receive_count <= settings.max_deferrals && age < settings.max_wait;
    if woken > Priority::High && may_defer { LookHigher::CheckHigher } else { LookHigher::RunNow }
}

/// The longest that a deferred call is hidden, in seconds.
const LONGEST_GIVE_BACK_SECS: u64 = 5;

/// How long to hide a deferred call: 1 to 5 whole seconds. That is short, so that the next free
/// slot finds it, and spread, so that calls deferred together do not come back as a herd.
pub fn give_back_delay(unit: f64) -> Duration {
    whole_secs(1, LONGEST_GIVE_BACK_SECS, unit)
}

/// The shortest and the longest time for which a call is put back while no call may be made.
const SHORTEST_SLEEP_SECS: u64 = 30;
const LONGEST_SLEEP_SECS: u64 = 900;

/// For how long to hide a call that a mapping brings while no call may be made. It is half a minute
/// at first and twice as long each time, a quarter of an hour at most, and up to a quarter more of
/// jitter. It ends earlier if it is known that calls may be made again sooner. So the receives that
/// a call has ([`max_receive_count`](crate::timing::max_receive_count)) last for four days of a
/// pause. Whole seconds. `receive_count` is SQS's.
pub fn asleep_for(receive_count: u32, opens_in: Option<Duration>, unit: f64) -> Duration {
    let doublings = receive_count.saturating_sub(1).min(8);
    let secs = (SHORTEST_SLEEP_SECS << doublings).min(LONGEST_SLEEP_SECS);
    let asleep = whole_secs(secs, secs + secs / 4, unit);
    opens_in.map_or(asleep, |opens_in| asleep.min(Duration::from_secs(secs_up(opens_in).max(1))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: DeferralSettings = DeferralSettings {
        max_deferrals: 10,
        max_wait: Duration::from_secs(300),
        on_higher: OnHigher::Swap,
    };

    #[test]
    fn a_lower_call_looks_above_until_it_has_waited_enough() {
        use LookHigher::{CheckHigher, RunNow};
        for (woken, receive_count, age_secs, expected) in [
            (Priority::High, 1, 0, RunNow),
            (Priority::Normal, 1, 0, CheckHigher),
            (Priority::Batch, 1, 0, CheckHigher),
            (Priority::Batch, 10, 299, CheckHigher),
            (Priority::Batch, 11, 0, RunNow),
            (Priority::Batch, 1, 300, RunNow),
            (Priority::Normal, u32::MAX, u64::MAX, RunNow),
        ] {
            let age = Duration::from_secs(age_secs);
            assert_eq!(
                look_higher(woken, receive_count, age, &SETTINGS),
                expected,
                "{woken} received {receive_count} times, {age_secs} s old"
            );
        }
        let never = DeferralSettings { max_deferrals: 0, ..SETTINGS };
        assert_eq!(look_higher(Priority::Batch, 1, Duration::ZERO, &never), RunNow);
    }

    #[test]
    fn on_higher_is_read_as_it_is_written() {
        for on_higher in [OnHigher::Swap, OnHigher::Yield] {
            assert_eq!(on_higher.to_string().parse(), Ok(on_higher));
        }
        assert_eq!("Swap".parse::<OnHigher>(), Err(UnknownOnHigher));
    }

    proptest! {
        /// The worst case: whenever the call is delivered, something waits above it.
        #[test]
        fn a_call_runs_after_max_deferrals_or_past_max_wait(
            max_deferrals in 0_u32..50,
            max_wait_secs in 0_u64..200,
            first_delivery_secs in 0_u64..300,
            units in prop::collection::vec(0.0..1.0_f64, 50),
        ) {
            let max_wait = Duration::from_secs(max_wait_secs);
            let settings = DeferralSettings { max_deferrals, max_wait, on_higher: OnHigher::Swap };
            let first_delivery = Duration::from_secs(first_delivery_secs);
            let mut age = first_delivery;
            let mut deferrals = 0;
            while look_higher(Priority::Batch, deferrals + 1, age, &settings)
                == LookHigher::CheckHigher
            {
                let delay = give_back_delay(units[deferrals as usize]);
                prop_assert!((1..=5).contains(&delay.as_secs()) && delay.subsec_nanos() == 0);
                age += delay;
                deferrals += 1;
            }
            prop_assert!(deferrals <= max_deferrals);
            prop_assert!(age <= first_delivery.max(max_wait + Duration::from_secs(5)));
            // And not before: neither limit alone lets a young, rarely deferred call through.
            prop_assert!(deferrals == max_deferrals || age >= max_wait);
        }
    }

    #[test]
    fn a_call_sleeps_ever_longer_through_a_pause_and_four_days_of_it() {
        let secs = |receives, opens_in: Option<u64>| {
            asleep_for(receives, opens_in.map(Duration::from_secs), 0.0).as_secs()
        };
        assert_eq!(
            [0, 1, 2, 3, 6, 400].map(|receives| secs(receives, None)),
            [30, 30, 60, 120, 900, 900]
        );
        assert_eq!(asleep_for(400, None, 0.999).as_secs(), 1_125);
        assert_eq!([secs(9, Some(7)), secs(9, Some(0)), secs(1, Some(7_200))], [7, 1, 30]);
        let through: u64 =
            (1..crate::timing::max_receive_count(10, 5)).map(|n| secs(n, None)).sum();
        assert!(through > 4 * 86_400, "{through} s");
    }

    #[test]
    fn calls_deferred_together_come_back_apart() {
        let delays: std::collections::BTreeSet<Duration> =
            (0..100).map(|i| give_back_delay(f64::from(i) / 100.0)).collect();
        assert_eq!(delays.len(), 5);
    }
}
