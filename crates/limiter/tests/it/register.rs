//! Slots by leases: never one too many, and who is one too many goes.

use proptest::prelude::*;
use slowlane_limiter::{Entry, Register, Standing};

use crate::{START, seconds, slot};

#[test]
fn of_two_that_enter_at_once_one_stays_whatever_their_clocks_say() {
    let mut register = Register::default();
    let lease_until = START.plus(seconds(5));
    for (name, entered) in [("first", 9), ("second", 4)] {
        let entered_at = START.minus(seconds(10 - entered));
        register.slots.insert(slot(name), Entry { entered_at, lease_until });
        let expected = match name {
            "first" => Standing::Stays,
            _ => Standing::StandsDown { live: 2, limit: 1 },
        };
        assert_eq!(register.admits(&slot(name), START, 1), expected);
    }
}

proptest! {
    /// However a limit is lowered, as many stay as may, and the oldest.
    #[test]
    fn as_many_stay_as_may(
        entries in prop::collection::vec((0..50_u64, 0..50_u64), 1..30),
        limit in 0..30_u32,
    ) {
        let now = START.plus(seconds(25));
        let slots = entries.iter().enumerate().map(|(index, (entered, lease))| {
            let entry = Entry {
                entered_at: START.plus(seconds(*entered)),
                lease_until: START.plus(seconds(*lease)),
            };
            (slot(index), entry)
        });
        let register = Register { slots: slots.collect() };
        let live: Vec<_> =
            register.slots.iter().filter(|(_, entry)| entry.lease_until > now).collect();
        let (stay, go): (Vec<_>, Vec<_>) = live
            .iter()
            .partition(|(id, _)| register.standing(id, now, limit) == Standing::Stays);
        prop_assert_eq!(stay.len(), live.len().min(limit as usize));
        for (_, stays) in &stay {
            prop_assert!(go.iter().all(|(_, goes)| goes.entered_at >= stays.entered_at));
        }
        prop_assert_eq!(register.live(now) as usize, live.len());
        let lapsed = register.lapsed(now).count() + live.len();
        let ending = register.slots.values().filter(|entry| entry.lease_until == now).count();
        prop_assert_eq!(lapsed + ending, register.slots.len());
    }

    /// Entering and leaving in any order, with leases that lapse: never more than the limit.
    #[test]
    fn never_one_too_many(
        limit in 1..4_u32,
        steps in prop::collection::vec((0..8_u32, prop::bool::ANY, 0..3_u64), 1..80),
    ) {
        let (mut register, mut now) = (Register::default(), START);
        for (index, enters, passes) in steps {
            now = now.plus(seconds(passes));
            let id = slot(index);
            let known = register.slots.get(&id).copied().filter(|entry| entry.lease_until > now);
            if !enters {
                register.slots.remove(&id);
                continue;
            }
            let entered_at = known.map_or(now, |entry| entry.entered_at);
            let entry = Entry { entered_at, lease_until: now.plus(seconds(5)) };
            register.slots.insert(id.clone(), entry);
            let standing = match known {
                Some(_) => register.standing(&id, now, limit),
                None => register.admits(&id, now, limit),
            };
            if standing != Standing::Stays {
                register.slots.remove(&id);
            }
            prop_assert!(register.live(now) <= limit);
        }
    }
}
