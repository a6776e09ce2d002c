//! What goes into a slot and what comes out of it.

use std::time::Duration;

use slowlane_message::Priority;

use super::gate::Gate;
use super::grant::{Rates, Reserved};
use super::moment::Moment;
use super::place::Places;

/// What a slot is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Whether calls may be made, as it was read when the slot was woken.
    pub gate: Gate,
    /// The k of "every k-th turn" ([`dispatch`](crate::dispatch)).
    pub share_every: std::num::NonZeroU32,
    /// From then on no further call is looked for.
    pub stop_at: Moment,
    /// How long a received call stays hidden from other slots.
    pub call_visibility: Duration,
    /// How often SQS has handed out the ring that woke the slot.
    pub ring_receive_count: u32,
    /// How many slots this one may wake ([`wake`](crate::wake)).
    pub allowance: u32,
    /// The number of the slot's first turn. It goes on from invocation to invocation.
    pub turn: u64,
    /// What each call needs of the target's rates.
    pub rates: Rates,
    /// How many slots may be at work.
    pub places: Places,
}

/// What the driver has to do. Each action is answered by exactly one [`Event`], which is named
/// with it; actions overlap, and their events come in any order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action<M, C, A, R, G> {
    /// Poll this queue once, without waiting: [`Event::Swept`].
    Sweep(Priority),
    /// Poll this queue for [`LISTEN`](super::LISTEN): [`Event::Heard`].
    Listen(Priority),
    /// Poll HIGH once, without waiting, while this candidate is held: [`Event::LookedAgain`].
    LookAgain(Candidate),
    /// Prepare a message, and beside it, if `look` says so, poll HIGH once: [`Event::Prepared`].
    Prepare {
        /// What was found.
        message: M,
        /// Whether to poll HIGH beside it.
        look: bool,
    },
    /// Make a call at the API: [`Event::Answered`].
    Call {
        /// What was prepared.
        call: C,
        /// Its grant, where calls need one: the call goes at its moment, and not once it is void.
        grant: Option<G>,
    },
    /// Ask when a call may go: [`Event::Reserved`].
    Reserve,
    /// Give a grant back that is not used: [`Event::GaveUpGrant`].
    GiveUpGrant(G),
    /// Carry out what becomes of an answered call: [`Event::Ended`].
    Settle(A),
    /// Give a prepared call back, visible at once and without a ring of its own: [`Event::Ended`].
    GiveBack(C),
    /// The same for a message that is not prepared: [`Event::Ended`].
    GiveBackUnread(M),
    /// Give a prepared call back until its tenant's turn comes, and ring for then: [`Event::Ended`].
    PutOff(C),
    /// Receive rings that nobody was woken by, as many as one request gives:
    /// [`Event::CollectedRings`].
    CollectRings,
    /// Make collected rings visible again: [`Event::ReturnedRings`].
    ReturnRings(Vec<R>),
    /// Delete as many rings as one request gives, if there are as many: [`Event::ThinnedOut`].
    ThinOutRings,
    /// Hide the slot's own ring anew, for
    /// [`ring_hold`](crate::timing::ring_hold): [`Event::HeldRing`].
    HoldRing,
    /// Wake other slots, this many at most with all that they may wake: [`Event::Woke`].
    WakeOthers(u32),
    /// Read the control record: [`Event::ControlRead`].
    ReadControl,
    /// Take the rings off the doorbell that lie there: [`Event::ClearedRings`].
    ClearRings {
        /// For how long as many of them sleep as there are slots; the others are deleted. All are if
        /// none is to sleep.
        back_after: Option<Duration>,
    },
    /// Ring once, so that another slot joins in: [`Event::RangForMore`].
    RingForMore,
    /// Take a place among the slots at work: [`Event::TookPlace`].
    TakePlace,
    /// Give the place back: [`Event::LeftPlace`].
    LeavePlace,
}

/// What has come of an [`Action`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event<M, C, A, R, G> {
    /// A queue of the sweep was polled.
    Swept(Polled<M>),
    /// A queue was listened to.
    Heard(Polled<M>),
    /// HIGH was polled again for this candidate.
    LookedAgain(Candidate, Polled<M>),
    /// A message was prepared, and HIGH polled beside it if that was asked for.
    Prepared(Prepared<C>, Option<Polled<M>>),
    /// The API has answered, or has not in time.
    Answered {
        /// What is to be settled.
        answered: A,
        /// How long the API took, if it was asked.
        took: Option<Duration>,
    },
    /// When a call may go, or that it is too early to ask.
    Reserved(Reserved<G>),
    /// A grant was given back, or its moment is lost.
    GaveUpGrant,
    /// A message has left the slot's hands.
    Ended(Left),
    /// Rings were collected; none, if that failed.
    CollectedRings(Vec<R>),
    /// Whether all rings are visible again, or one was sent in their place.
    ReturnedRings(bool),
    /// Whether rings were deleted.
    ThinnedOut(bool),
    /// The slot's ring was hidden anew.
    HeldRing,
    /// Another slot was rung for, or could not be.
    RangForMore,
    /// Other slots were woken.
    Woke {
        /// How many.
        slots: u32,
        /// What of the allowance is gone with them.
        allowance_used: u32,
    },
    /// The control record was read, or is known as well as it can be: as it stands now.
    ControlRead(Gate, Places),
    /// A place was asked for.
    TookPlace {
        /// Whether the slot has one.
        taken: bool,
        /// As they stand now.
        places: Places,
    },
    /// Whether the place was surely given back.
    LeftPlace(bool),
    /// The rings on the doorbell sleep or are gone.
    ClearedRings {
        /// Whether there were any, or may have been.
        any: bool,
    },
}

/// What a poll came to, after all its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Polled<M> {
    /// The message, if there was one.
    pub found: Result<Option<Found<M>>, CannotPoll>,
    /// The answer to a try was lost, and may have hidden a call that nobody knows of.
    pub may_hide: bool,
}

/// A message, with what the slot must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found<M> {
    /// The message.
    pub message: M,
    /// The priority of its queue.
    pub priority: Priority,
    /// How often SQS has handed it out.
    pub receive_count: u32,
}

/// A queue could not be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CannotPoll;

/// What preparing a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prepared<C> {
    /// It needs nothing but the API, and a grant where calls need one.
    Ready(C),
    /// It needs a moment of its tenant's as well, and that comes later.
    NotYet(C),
    /// It needed no call, and has left the slot's hands.
    Ended(Left),
}

/// How a message left the slot's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// It was deleted, or is hidden and was rung for.
    Covered,
    /// It is visible, and nobody was rung for it.
    Visible,
    /// It is hidden for so long, and could not be rung for.
    Unrung(Duration),
}

/// Names one candidate among all that the slot has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate(pub(super) u32);

/// What a slot that has ended leaves behind: the last things that its driver does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End<R> {
    /// Nothing is left to do: the slot's ring may go, and these with it.
    Served {
        /// Rings of calls that ran on another ring: to be deleted.
        collected: Vec<R>,
    },
    /// Other slots go on.
    HandedOver {
        /// Hide the slot's ring for so long first: a call is hidden longer than it.
        hide_ring: Option<Duration>,
        /// Rings to be made visible again.
        collected: Vec<R>,
        /// Whether to ring once more: the queues may not be empty.
        ring: bool,
        /// Whether the slot's ring may go once all this is done. If it is not done, or this is
        /// false, the ring must come back.
        ring_may_go: bool,
    },
    /// No call may be made. The slot's ring comes back when that may be over.
    Asleep {
        /// After so long.
        ring_back_after: Duration,
    },
    /// The queues could not be polled. The slot's ring, and no other, comes back for that.
    CannotPoll {
        /// After so long.
        ring_back_after: Duration,
        /// Rings to be made visible again, before some are thinned out: each would end like this.
        collected: Vec<R>,
    },
}
