//! How many slots may be at work, and what a slot has of that.

use std::time::Duration;

use super::moment::Moment;

/// How long after a ring for a free place a slot rings again.
const RINGS_APART: Duration = Duration::from_secs(1);
/// How often a slot rings while a place is free.
const MOST_RINGS: u32 = 16;

/// How many slots may be at work, as far as it concerns one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Places {
    /// As many as there are: none needs a place.
    #[default]
    Unlimited,
    /// Fewer, and this slot is not one too many.
    Limited {
        /// A place is free, and this is the slot that is to ring for another.
        more_wanted: bool,
    },
    /// Others have all places.
    Full {
        /// When sleeping rings are to come back. None need sleep if the others are known to be at
        /// work: they look for calls after that.
        rings_back_at: Option<Moment>,
    },
}

/// What the slot knows of the places, and what it has of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) known: Places,
    pub(super) has: Has,
    /// How often the slot has rung for another since all places were taken, and when it may again.
    pub(super) rang: u32,
    pub(super) rings_from: Moment,
    /// Whether the latest read has shown others at work, who have all places.
    pub(super) others_at_work: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Has {
    Nothing,
    /// One was asked for.
    Asked,
    Place,
    /// It is being given back.
    Leaving,
}

impl Place {
    pub(super) fn new(known: Places) -> Self {
        let (rang, rings_from) = (0, Moment::ZERO);
        Self { known, has: Has::Nothing, rang, rings_from, others_at_work: false }
    }

    pub(super) fn is_full(self) -> bool {
        matches!(self.known, Places::Full { .. })
    }

    /// Whether a call may be made, as far as places go.
    pub(super) fn let_go(self) -> bool {
        match self.known {
            Places::Unlimited => true,
            Places::Limited { .. } => self.has == Has::Place,
            Places::Full { .. } => false,
        }
    }

    /// Whether a place is to be asked for.
    pub(super) fn is_wanted(self) -> bool {
        matches!(self.known, Places::Limited { .. }) && self.has == Has::Nothing
    }

    pub(super) fn is_known(&mut self, known: Places) {
        self.known = known;
        if known != (Places::Limited { more_wanted: true }) {
            (self.rang, self.rings_from) = (0, Moment::ZERO);
        }
    }

    /// Whether more slots would have something to do.
    pub(super) fn has_room(self) -> bool {
        matches!(self.known, Places::Unlimited | Places::Limited { more_wanted: true })
    }

    /// Whether another slot is to be rung for: those that stood down took the rings with them.
    pub(super) fn more_wanted(&mut self, now: Moment) -> bool {
        let is_room = self.known == Places::Limited { more_wanted: true };
        let wanted = is_room && self.rings_from <= now && self.rang < MOST_RINGS;
        if wanted {
            self.rings_from = now + RINGS_APART;
            self.rang += 1;
        }
        wanted
    }
}
