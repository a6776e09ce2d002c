//! How many slots a slot wakes beside itself.
//!
//! The doorbell's event source mapping reads five rings at once when it starts. It reads more only
//! after it has seen a backlog for some time ([AWS][scaling] says 300 more a minute, and not at
//! which intervals). With a limit above five that leaves slots idle while work waits, for seconds
//! or minutes at the start of every burst. So a slot that finds a call checks whether there are
//! rings that no poller has taken, and wakes another slot with each.
//!
//! A slot that was woken this way wakes more in its turn. Thousands of functions could call
//! themselves for ever like that. So a slot has an *allowance*, and hands on a part of what is left
//! of it to the slots that it wakes. A slot that the mapping has woken has [`allowance`]. Five of
//! them, with all that they may wake, are as many slots as the limit has, rounded up to a multiple
//! of five. Up to a limit of five no slot wakes another.
//!
//! A slot is woken by an asynchronous invocation, which Lambda tries again for [`EVENT_AGE`] while
//! no slot is free. Its ring is hidden for [`RING_HIDDEN`], and comes back if nobody was woken.
//!
//! [scaling]: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html

use std::time::Duration;

/// How long Lambda tries to wake a slot: the least that can be set (API model,
/// `MaximumEventAgeInSeconds`). A test compares it with the template.
pub const EVENT_AGE: Duration = Duration::from_secs(60);

/// How long a ring is hidden while it wakes a slot: a little longer than [`EVENT_AGE`]. The slot
/// that is woken holds it anew.
pub const RING_HIDDEN: Duration = Duration::from_secs(70);

/// How many rings a mapping reads at once when it starts (AWS's documentation).
pub const FIRST_POLLERS: u32 = 5;

/// How many slots a slot may wake that the mapping has woken, by itself and through others.
pub fn allowance(limit: u32) -> u32 {
    limit.saturating_sub(FIRST_POLLERS).div_ceil(FIRST_POLLERS)
}

/// The allowance of each of the `woken` slots. The slot that wakes them has `allowance`, and spends
/// one of it on each.
pub fn handed_on(allowance: u32, woken: u32) -> u32 {
    allowance.saturating_sub(woken).checked_div(woken).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_slots_and_those_they_wake_are_the_limit() {
        let allowances = [1, 5, 6, 10, 11, 20, 1_000].map(allowance);
        assert_eq!(allowances, [0, 0, 1, 1, 2, 3, 199]);
    }

    /// How many slots are woken in all, if `found` says how many rings each slot finds at a time.
    fn woken(mut left: u32, found: &mut impl FnMut() -> u32) -> u32 {
        let mut sum = 0;
        while left > 0 {
            let woken = found().min(left);
            if woken == 0 {
                break;
            }
            let each = handed_on(left, woken);
            left -= woken * (1 + each);
            sum += woken + (0..woken).map(|_| self::woken(each, found)).sum::<u32>();
        }
        sum
    }

    proptest! {
        /// Whoever finds how many rings: no more slots are woken than allowed; and all of them
        /// are, if there are rings enough.
        #[test]
        fn an_allowance_is_spent_and_never_overdrawn(
            limit in 1_u32..=1_000,
            found in prop::collection::vec(0_u32..=10, 1..300),
        ) {
            let mut some = found.iter().copied().chain(std::iter::repeat(0));
            prop_assert!(woken(allowance(limit), &mut || some.next().unwrap_or(0)) <= allowance(limit));
            let mut many = found.iter().map(|rings| 1 + rings % 10).cycle();
            prop_assert_eq!(woken(allowance(limit), &mut || many.next().unwrap_or(1)), allowance(limit));
        }
    }
}
