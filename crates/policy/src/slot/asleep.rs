//! Rings that can be spared: in front of a shut gate a few that sleep are enough.
//!
//! Each new call rings, and each ring wakes a slot. While the gate is shut, such a ring need not
//! sleep beside the others. Whoever opens the gate rings, and the rings that sleep find a gate open
//! that opens by itself. As many of them as there are slots wake every slot.

use std::time::Duration;

use crate::timing::RING_LEAD;

/// The rings that one process has let sleep. Times are since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingsAsleep {
    rings: u32,
    /// When the first of them comes back.
    back_at: Duration,
}

impl RingsAsleep {
    /// So many more sleep now, until `back_at`. Those that come back sooner than the others do not
    /// count, whichever fell asleep first: the ring for a probe sleeps for seconds. Rings that come back
    /// at about the same time are one lot, however long each request took that let one sleep.
    #[must_use]
    pub fn and(self, now: Duration, rings: u32, back_at: Duration) -> Self {
        if self.are_back(now) || self.back_at + RING_LEAD < back_at {
            return Self { rings, back_at };
        }
        if back_at + RING_LEAD < self.back_at {
            return self;
        }
        Self { rings: self.rings.saturating_add(rings), back_at: self.back_at.min(back_at) }
    }

    /// Whether one more ring, which would come back at `back_at`, wakes nobody whom these will not wake as
    /// soon, where there are so many slots. In front of a gate that opens sooner they are too late: after
    /// an outage the slots come back one by one, within seconds.
    #[must_use]
    pub fn suffice(self, now: Duration, slots: u32, back_at: Duration) -> bool {
        let are_late = back_at + RING_LEAD < self.back_at;
        !self.are_back(now) && !are_late && self.rings >= slots
    }

    /// A ring that is about to come back counts as one that is.
    fn are_back(self, now: Duration) -> bool {
        self.back_at <= now + RING_LEAD
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOTS: u32 = 3;
    const BACK: Duration = Duration::from_secs(300);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn as_many_as_there_are_slots_suffice_until_the_first_comes_back() {
        let none = RingsAsleep::default();
        assert!(!none.suffice(secs(1), SLOTS, BACK));
        let two = none.and(secs(1), 2, BACK);
        assert!(!two.suffice(secs(1), SLOTS, BACK));
        let three = two.and(secs(2), 1, BACK + secs(1));
        assert!(three.suffice(secs(2), SLOTS, BACK));
        assert!(three.suffice(BACK - RING_LEAD - secs(1), SLOTS, BACK));
        assert!(!three.suffice(BACK - RING_LEAD, SLOTS, BACK));
    }

    #[test]
    fn rings_that_are_back_do_not_count() {
        let back = RingsAsleep::default().and(secs(1), SLOTS, BACK);
        let anew = back.and(BACK, 1, BACK + secs(300));
        assert!(!anew.suffice(BACK, SLOTS, BACK));
        assert!(anew.and(BACK, 2, BACK + secs(300)).suffice(BACK, SLOTS, BACK + secs(300)));
    }

    #[test]
    fn those_that_come_back_later_spare_none_that_comes_back_soon() {
        let three = RingsAsleep::default().and(secs(1), SLOTS, BACK);
        assert!(three.suffice(secs(1), SLOTS, BACK));
        assert!(three.suffice(secs(1), SLOTS, BACK + secs(300)));
        assert!(!three.suffice(secs(1), SLOTS, secs(2)));
    }

    #[test]
    fn one_that_comes_back_soon_is_not_counted() {
        let two = RingsAsleep::default().and(secs(1), 2, BACK);
        assert_eq!(two.and(secs(2), 1, secs(30)), two);
    }

    #[test]
    fn a_request_that_took_a_little_less_is_counted_too() {
        let millis = Duration::from_millis;
        let slow = RingsAsleep::default().and(secs(1), 1, BACK + millis(90));
        let three = slow.and(secs(2), 1, BACK + millis(4)).and(secs(3), 1, BACK + millis(20));
        assert!(three.suffice(secs(4), SLOTS, BACK));
    }

    #[test]
    fn one_that_comes_back_for_a_probe_is_not_waited_for_by_the_others() {
        let probe = RingsAsleep::default().and(secs(1), 1, secs(6));
        let three = probe.and(secs(2), 1, BACK).and(secs(3), 2, BACK);
        assert!(three.suffice(secs(5), SLOTS, BACK));
        // The next probe's, and the next.
        let later = three.and(secs(6), 1, secs(36)).and(secs(36), 1, secs(66));
        assert!(later.suffice(secs(70), SLOTS, BACK));
    }

    proptest! {
        /// Against every ring by itself: those that suffice are asleep, all of them.
        #[test]
        fn rings_that_suffice_are_all_asleep(
            steps in prop::collection::vec((0_u64..200, 0_u32..3, 1_u64..400), 1..20),
            slots in 1_u32..6,
        ) {
            let (mut now, mut asleep, mut all) = (secs(0), RingsAsleep::default(), Vec::new());
            for (later, rings, sleeps) in steps {
                now += secs(later);
                asleep = asleep.and(now, rings, now + secs(sleeps));
                all.extend((0..rings).map(|_| now + secs(sleeps)));
                let still = all.iter().filter(|back_at| **back_at > now).count();
                let latest = all.iter().copied().max().unwrap_or_default();
                if asleep.suffice(now, slots, latest) {
                    prop_assert!(still >= slots as usize, "{still} of {slots} sleep");
                }
            }
        }
    }
}
