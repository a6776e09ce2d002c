//! Places: how many slots may be at work, where those are fewer than there are.
//!
//! The slots at work stand in a register that all of them share, and each has a place in it. A slot
//! takes its place before it looks for a call, and makes no call without one. If a number is set only
//! while a call of its runs, it takes its place beside that call.
//!
//! * A slot for which there is none **stands down**: the call that it has at the API goes on to its
//!   end, and what it holds goes back. Then it gives its place back, takes the rings off the
//!   doorbell, reads the record once more, and lets its own ring go as well. The slots that have the
//!   places look for what the rings were sent for. Nobody is woken for nothing again and again.
//! * A slot gives its place back *before* it listens for the last time. So whoever sees others in
//!   their places knows that each of them still has to listen: to all that was visible by then.
//!   And of several that stand down at once the last one sees nobody, and lets its ring sleep.
//! * A slot at work rings for another where it sees that a place is free, and may wake one. It does
//!   so again each second, and not for ever: where nobody comes there is no work.
//!
//! What reading has not confirmed strands nothing: then the slot's ring sleeps, and comes back.

use super::Slot;
use super::io::Action;
use super::moment::Moment;
use super::place::{Has, Places};
use super::state::{Next, Rings};

impl<M, C, A, R, G> Slot<M, C, A, R, G> {
    /// Takes in what has become known of the places otherwise than by a read.
    pub fn heed_places(&mut self, now: Moment, places: Places) {
        self.on_places(places);
        self.advance(now);
    }

    /// What the slot knows of the places.
    pub fn places(&self) -> Places {
        self.place.known
    }

    pub(super) fn on_places(&mut self, places: Places) {
        if places == Places::Unlimited && self.place.known != places {
            // Those that stood down are wanted again.
            self.may_wake(self.settings.allowance.max(1));
        }
        self.place.is_known(places);
        if self.place.is_full() {
            self.give_back_held();
        } else if self.rings == Rings::Asleep && self.may_receive() {
            self.rings = Rings::Kept;
        }
    }

    /// Gives back the call that is ready, if there is one.
    pub(super) fn give_back_held(&mut self) {
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Held { ready, .. } => self.act(Action::GiveBack(ready)),
            other => self.next = other,
        }
    }

    /// Asks for a place that the slot needs for what it has in hand.
    pub(super) fn take_place_for_call(&mut self) {
        let has_call = matches!(self.next, Next::Preparing { .. } | Next::Held { .. });
        if has_call || self.api.is_busy() {
            self.take_place();
        }
    }

    /// Asks for a place, if the slot needs one and has not asked.
    pub(super) fn take_place(&mut self) {
        if self.place.is_wanted() {
            self.place.has = Has::Asked;
            self.act(Action::TakePlace);
        }
    }

    pub(super) fn on_took_place(&mut self, taken: bool, places: Places) {
        self.place.has = if taken { Has::Place } else { Has::Nothing };
        self.on_places(places);
        if self.rings == Rings::Leaving {
            self.leave_place_and_listen();
        }
    }

    /// Gives the place back, if the slot has one, and listens.
    pub(super) fn leave_place_and_listen(&mut self) {
        self.rings = match self.leave_place() {
            true if self.may_receive() => return self.listen(),
            true => Rings::Kept,
            // The answer decides.
            false => Rings::Leaving,
        };
    }

    /// Gives the place back, if the slot has one. Says whether it has none.
    pub(super) fn leave_place(&mut self) -> bool {
        if self.place.has == Has::Place {
            self.place.has = Has::Leaving;
            self.act(Action::LeavePlace);
        }
        self.place.has == Has::Nothing
    }

    pub(super) fn on_left_place(&mut self, left: bool) {
        self.place.has = Has::Nothing;
        // Others may take it for a slot that has still to listen.
        self.own_ring.must_return |= !left;
        if self.rings == Rings::Leaving {
            self.leave_place_and_listen();
        }
    }

    /// Whether the slot leaves to others what the rings were sent for. They have the places, and were
    /// seen to have them after the slot had let everything go.
    pub(super) fn leaves_to_those_at_work(&self) -> bool {
        self.place.is_full()
            && self.place.others_at_work
            && self.rings == Rings::Asleep
            && self.control.is_open()
    }

    /// Until when the rings sleep of a slot that stands down.
    pub(super) fn full_until(&self) -> Option<Moment> {
        match self.place.known {
            Places::Full { rings_back_at } => rings_back_at,
            Places::Unlimited | Places::Limited { .. } => None,
        }
    }
}
