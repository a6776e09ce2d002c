//! Which slots are at work, by leases: the number of live entries is the concurrency.

use std::collections::BTreeMap;

use crate::moment::Moment;
use crate::names::SlotId;

/// The slots that are at work under a limit.
///
/// It is one item, which every slot rewrites once a lease: for up to about 100 slots. Beyond that
/// the writes of one item become dear, and then too many (about 1,000 write units a second, one
/// for each KB that the item has).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// Every slot that has entered and not left, also those whose lease is over.
    pub slots: BTreeMap<SlotId, Entry>,
}

/// A slot's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it entered. It stays the same when the lease is renewed.
    pub entered_at: Moment,
    /// Until when it counts.
    pub lease_until: Moment,
}

/// What the register says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may work.
    Stays,
    /// It is one too many: it ends after its present call, and leaves.
    StandsDown {
        /// Slots at work, this one included.
        live: u32,
        /// As many as there may be.
        limit: u32,
    },
}

impl Register {
    /// Slots whose lease holds at `now`.
    #[must_use]
    pub fn live(&self, now: Moment) -> u32 {
        let live = self.slots.values().filter(|entry| entry.lease_until > now).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// What it says of a slot that has just entered. The register shows that slot already.
    ///
    /// A newcomer is counted and not ranked: of two that enter at once the store puts one first,
    /// and only the second sees both. So it never lets one too many in, whatever the clocks say.
    #[must_use]
    pub fn admits(&self, slot: &SlotId, now: Moment, limit: u32) -> Standing {
        let live = self.others(slot, now).saturating_add(1);
        standing(live <= limit, live, limit)
    }

    /// Slots beside this one whose lease holds at `now`.
    #[must_use]
    pub fn others(&self, slot: &SlotId, now: Moment) -> u32 {
        let others = self.slots.iter().filter(|(id, e)| *id != slot && e.lease_until > now);
        u32::try_from(others.count()).unwrap_or(u32::MAX)
    }

    /// What it says of a slot that is at work: of too many the youngest stand down.
    #[must_use]
    pub fn standing(&self, slot: &SlotId, now: Moment, limit: u32) -> Standing {
        let live = self.live(now);
        let stays = self.rank(slot, now).is_some_and(|rank| rank < limit);
        standing(stays, live, limit)
    }

    /// How many live slots are older than this one, `None` if it is not in the register.
    #[must_use]
    pub fn rank(&self, slot: &SlotId, now: Moment) -> Option<u32> {
        let own = self.slots.get(slot)?;
        let older = self.slots.iter().filter(|(id, entry)| {
            let live = entry.lease_until > now;
            live && (entry.entered_at, *id) < (own.entered_at, slot)
        });
        u32::try_from(older.count()).ok()
    }

    /// Slots whose lease was over at `before`: they did not leave, and are tidied away.
    pub fn lapsed(&self, before: Moment) -> impl Iterator<Item = &SlotId> {
        self.slots.iter().filter(move |(_, e)| e.lease_until < before).map(|(id, _)| id)
    }

    /// When the next lease ends, and with it, if it is not renewed, a place comes free.
    #[must_use]
    pub fn next_end(&self, now: Moment) -> Option<Moment> {
        self.slots.values().map(|entry| entry.lease_until).filter(|end| *end > now).min()
    }
}

fn standing(stays: bool, live: u32, limit: u32) -> Standing {
    match stays {
        true => Standing::Stays,
        false => Standing::StandsDown { live, limit },
    }
}
