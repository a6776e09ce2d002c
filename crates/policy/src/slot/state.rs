//! The states of what happens side by side in a slot.

use std::time::Duration;

use slowlane_message::Priority;

use super::io::{Candidate, Settings};
use super::moment::Moment;
use crate::timing::{RING_LEAD, ring_backoff};

/// The API. It has one call of this slot at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Api {
    Idle,
    Busy {
        /// When the call was made.
        since: Moment,
        fetch: Fetch,
    },
}

/// Whether the next call is still to be fetched beside the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fetch {
    Due,
    /// It was fetched, or there was none.
    Done,
}

impl Api {
    pub(super) fn is_busy(self) -> bool {
        matches!(self, Api::Busy { .. })
    }

    /// Without meaning while no call is there that something could be fetched beside.
    pub(super) fn set_fetch(&mut self, to: Fetch) {
        if let Api::Busy { fetch, .. } = self {
            *fetch = to;
        }
    }
}

/// The call that is to follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next<C> {
    None,
    /// A queue is being polled.
    Searching(Sweep),
    /// A message was found and is being prepared.
    Preparing {
        /// When the search for it began.
        began: Moment,
        /// How often HIGH is still to be polled again once it is held.
        looks_left: u32,
    },
    /// It is ready, and waits for the present one to end, or for the moment of its grant.
    Held {
        ready: C,
        name: Candidate,
        since: Moment,
        looks_left: u32,
        /// How often a grant is still to be asked for beside the present call.
        grants_left: u32,
        /// Whether HIGH is polled once more shortly before the moment of its grant.
        looks_at_last: bool,
    },
}

/// A search through the three queues, of which the latest is being polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sweep {
    pub(super) began: Moment,
    pub(super) order: [Priority; 3],
    /// How many queues were polled, the latest included.
    pub(super) polled: usize,
    /// Whether a queue could not be polled.
    pub(super) failed: bool,
}

/// What the slot does about the rings on the doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rings {
    /// It leaves them there.
    Kept,
    /// A search has found nothing. Before it listens, the slot collects what rings there are.
    Collecting,
    /// Before it listens, the slot gives its place back.
    Leaving,
    /// All three queues are polled at once, for long enough to ask all of SQS's servers.
    Listening {
        /// Polls without an answer.
        unanswered: usize,
        /// Whether nothing was found so far, and nothing happened that could hide a call from it.
        silent: bool,
    },
    /// All three polls have found nothing: the rings may go.
    Silent,
    /// No call may be made, and the rings on the doorbell are put to sleep or deleted.
    Clearing,
    /// Some were. The control record is read once more: one may have said that calls go on.
    Confirming,
    /// No call may be made. The slot's ring comes back when that may be over.
    Asleep,
}

impl Rings {
    /// Something may wait that the latest listening did not hear.
    pub(super) fn disturb(&mut self) {
        match self {
            Rings::Kept
            | Rings::Collecting
            | Rings::Leaving
            | Rings::Clearing
            | Rings::Confirming
            | Rings::Asleep => {}
            Rings::Listening { silent, .. } => *silent = false,
            Rings::Silent => *self = Rings::Kept,
        }
    }

    /// A poll of the listening was answered.
    pub(super) fn answered(&mut self) {
        if let Rings::Listening { unanswered, silent } = self {
            *unanswered -= 1;
            if *unanswered == 0 {
                *self = if *silent { Rings::Silent } else { Rings::Kept };
            }
        }
    }

    /// Whether no request about them, and no listening, is under way.
    pub(super) fn is_at_rest(self) -> bool {
        matches!(self, Rings::Kept | Rings::Silent)
    }
}

/// The waking of other slots, with what of the allowance is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Waking {
    Resting {
        allowance: u32,
    },
    /// Some are being woken.
    Asking {
        allowance: u32,
    },
}

impl Waking {
    pub(super) fn allowance(self) -> u32 {
        match self {
            Waking::Resting { allowance } | Waking::Asking { allowance } => allowance,
        }
    }
}

/// The ring that woke the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnRing {
    /// When to hide it anew.
    pub(super) hold_at: Moment,
    /// Until when a call may be hidden that no ring is sure to come after.
    pub(super) hidden_until: Moment,
    /// Whether it must come back in any case: not all calls were seen, or not all were rung for.
    pub(super) must_return: bool,
}

impl OwnRing {
    /// Has it come back later than this, if it comes back.
    pub(super) fn outlasts(&mut self, hidden_until: Moment) {
        self.hidden_until = self.hidden_until.max(hidden_until);
    }
}

/// Whether the queues can be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Polling {
    Possible,
    /// They cannot, and the slot ends for that.
    Impossible,
}

impl Settings {
    /// For how long a slot that cannot poll hides its ring, ever longer, and not shorter than a
    /// call that is `hidden`.
    pub(super) fn ring_back_after(&self, hidden: Duration) -> Duration {
        let after = ring_backoff(self.call_visibility, self.ring_receive_count);
        after.max(hidden + RING_LEAD)
    }

    /// For how long to hide the ring so that it comes back after a call that is `hidden`. It does so
    /// by itself unless that is longer than for a call that the slot received just now.
    pub(super) fn outlasting(&self, hidden: Duration) -> Option<Duration> {
        (hidden > self.call_visibility).then_some(hidden + RING_LEAD)
    }
}
