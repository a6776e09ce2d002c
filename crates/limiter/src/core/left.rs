//! What the API's own answers say is left of a limit.

use std::time::Duration;

/// What an answer says is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// So many units.
    pub units: u64,
    /// Of so many, if it says so.
    pub of: Option<u64>,
    /// How long until all of it is there again.
    pub resets_in: Duration,
    /// Whether it comes back bit by bit, as in a bucket, and not all at once.
    pub evenly: bool,
}

impl Left {
    /// How long to wait until `next` units are there, if fewer are left: those that a fleet may take
    /// before each of its processes has heard another answer. No more than half of the limit is ever
    /// waited for, so that a fleet larger than the limit uses it all the same.
    #[must_use]
    pub fn wait_for(&self, next: u64) -> Option<Duration> {
        let most = self.of.map_or(next, |of| next.min(of.div_ceil(2)));
        let lacks = most.max(1).checked_sub(self.units).filter(|lacks| *lacks > 0)?;
        let used = self.of.map(|of| of.saturating_sub(self.units)).filter(|used| *used >= lacks);
        match used.filter(|_| self.evenly) {
            Some(used) => Some(share(self.resets_in, lacks, used)),
            None => Some(self.resets_in),
        }
    }
}

/// So many of so many parts of a time.
fn share(time: Duration, parts: u64, of: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(parts.into()).div_ceil(u128::from(of).max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RESET: Duration = Duration::from_secs(8);

    fn left(units: u64, of: u64) -> Left {
        Left { units, of: Some(of), resets_in: RESET, evenly: false }
    }

    #[test]
    fn a_fleet_waits_when_less_is_left_than_it_may_take_at_once() {
        let evenly = |units, of| Left { evenly: true, ..left(units, of) };
        let unsized_left = |units| Left { of: None, ..left(units, 0) };
        let quarter = Some(RESET / 4);
        for (left, next, wait) in [
            (left(100, 100), 10, None),
            (left(10, 100), 10, None),
            (left(9, 100), 10, Some(RESET)),
            (left(0, 100), 1, Some(RESET)),
            // Nobody asks how many come next of nothing.
            (left(0, 100), 0, Some(RESET)),
            // A limit smaller than the fleet: half of it is used before anybody waits.
            (left(4, 8), 20, None),
            (left(3, 8), 20, Some(RESET)),
            (left(0, 1), 20, Some(RESET)),
            (unsized_left(19), 20, Some(RESET)),
            (unsized_left(20), 20, None),
            // Of 80 that are gone 20 come back in a quarter of the time.
            (evenly(20, 100), 40, quarter),
            (evenly(20, 100), 20, None),
            (Left { of: None, ..evenly(1, 0) }, 2, Some(RESET)),
            // It says that more is left than there is at all.
            (evenly(9, 3), 20, None),
        ] {
            assert_eq!(left.wait_for(next), wait, "{left:?}, {next} next");
        }
    }

    proptest! {
        /// A bucket and a window play along: after the wait as many are there as were waited for, and
        /// nobody waits for more than half of the limit.
        #[test]
        fn after_the_wait_enough_is_there(
            of in 1_u64..10_000,
            taken in 0_u64..10_000,
            next in 0_u64..10_000,
            millis in 1_u64..100_000,
            evenly: bool,
        ) {
            let taken = taken.min(of);
            let resets_in = Duration::from_millis(millis);
            let left = Left { units: of - taken, of: Some(of), resets_in, evenly };
            let wanted = next.min(of.div_ceil(2)).max(1);
            let Some(wait) = left.wait_for(next) else {
                prop_assert!(left.units >= wanted);
                return Ok(());
            };
            prop_assert!(left.units < wanted && wait <= resets_in);
            let back = match evenly {
                true => taken as f64 * wait.as_secs_f64() / resets_in.as_secs_f64(),
                false if wait == resets_in => taken as f64,
                false => 0.0,
            };
            prop_assert!(left.units as f64 + back + 1e-6 >= wanted as f64, "{left:?} {wait:?}");
        }
    }
}
