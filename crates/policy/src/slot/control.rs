//! Whether calls may be made at all: the limit's control record, as a slot sees it.
//!
//! A person pauses or drains a limit, and all slots heed it within [`READ_EVERY`]. A slot reads the
//! record beside its running call, never in a call's way. While the gate is shut it
//! receives nothing. The call that it has at the API goes on to its end. One that is held for later
//! is given back, and so is what an earlier poll still brings.
//!
//! Then the slot lets the rings *sleep*, its own and some of those on the doorbell, and takes the
//! others off. The rings that sleep are found again when there may be something to do
//! ([`rings_asleep_for`](super::rings_asleep_for)), and they are enough to wake every slot. So a pause costs a few
//! requests every few minutes, however many calls wait, and no call is left without a ring.
//!
//! Whoever resumes rings. Such a ring must not be taken off the doorbell by a slot that still
//! believes in the pause. So a slot that has taken rings reads the record once more before it
//! leaves. What was resumed before that, it sees; what is resumed later rings later.

use super::Slot;
use super::gate::{Gate, READ_EVERY};
use super::io::Action;
use super::moment::Moment;
use super::place::Places;
use super::state::{Next, Rings};

impl<M, C, A, R, G> Slot<M, C, A, R, G> {
    /// When the record is to be read, if the slot has a call or looks for one.
    pub(super) fn read_due_at(&self) -> Option<Moment> {
        let searches = !matches!(self.next, Next::None);
        let works = self.api.is_busy() || searches || self.grants.held().is_some();
        (works && self.control.reads == 0).then_some(self.control.read_at)
    }

    pub(super) fn read_control_if_due(&mut self, now: Moment) {
        if self.read_due_at().is_some_and(|at| at <= now) {
            self.read_control(now);
        }
    }

    fn read_control(&mut self, now: Moment) {
        self.control.read_at = now + READ_EVERY;
        self.control.reads += 1;
        self.act(Action::ReadControl);
    }

    pub(super) fn on_control_read(&mut self, gate: Gate, places: Places) {
        self.control.reads -= 1;
        self.place.others_at_work = places == Places::Full { rings_back_at: None };
        self.on_places(places);
        self.on_gate(gate);
    }

    /// Whether calls may be made is known anew, by a read or by what became of the slot's own call.
    pub(super) fn on_gate(&mut self, gate: Gate) {
        self.control.gate = gate;
        match (gate, self.rings) {
            (Gate::Open | Gate::Probe { .. }, Rings::Confirming | Rings::Asleep) => {
                self.rings = match self.place.is_full() {
                    _ if self.is_too_early() => Rings::Asleep,
                    true if self.control.reads > 0 => Rings::Confirming,
                    true => Rings::Asleep,
                    false => Rings::Kept,
                };
            }
            (Gate::Shut { .. }, Rings::Confirming) if self.control.reads == 0 => {
                self.rings = Rings::Asleep;
            }
            _ => {}
        }
        if !self.control.is_open() {
            self.give_back_held();
        }
    }

    /// Until when the rings sleep, and they do for one of three reasons. The gate is shut; or it is too
    /// early for a grant and nobody has one that is still to come; or others have all places and are not
    /// known to be at work.
    pub(super) fn asleep_until(&self) -> Option<Moment> {
        match self.control.gate {
            Gate::Shut { rings_back_at } => Some(rings_back_at),
            Gate::Open | Gate::Probe { .. } if self.is_too_early() => self.too_early_until(),
            Gate::Open | Gate::Probe { .. } => self.full_until(),
        }
    }

    /// Lets the rings sleep, if no call may be made now and nothing is under way that may change
    /// that.
    pub(super) fn sleep_perhaps(&mut self, now: Moment) {
        if self.may_receive() || !self.may_sleep() {
            return;
        }
        if !self.stands_down() || self.leave_place() {
            self.return_collected();
            self.rings = Rings::Clearing;
            let back_after = self.asleep_until().map(|until| until.saturating_sub(now));
            self.act(Action::ClearRings { back_after });
        }
    }

    pub(super) fn on_cleared_rings(&mut self, now: Moment, any: bool) {
        let opens = self.control.is_open();
        let stands_down = self.stands_down();
        if stands_down || (any && !(opens && self.is_too_early())) {
            self.read_control(now);
        }
        self.rings = match (opens, any) {
            // What the rings were sent for is looked at by those who have the grants.
            (true, _) if self.is_too_early() => Rings::Asleep,
            // The same by those who have the places, if they still have them now.
            (true, _) if stands_down => Rings::Confirming,
            (true, _) => Rings::Kept,
            (false, true) => Rings::Confirming,
            (false, false) => Rings::Asleep,
        };
    }

    /// Whether it is for want of a place alone that the slot may not call.
    fn stands_down(&self) -> bool {
        self.control.is_open() && self.place.is_full() && !self.is_too_early()
    }

    pub(super) fn return_collected(&mut self) {
        if !self.collected.is_empty() {
            let collected = std::mem::take(&mut self.collected);
            self.act(Action::ReturnRings(collected));
        }
    }
}
