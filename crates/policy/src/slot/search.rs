//! The search for the next call, until it is ready or has made room for a more urgent one.

use super::grants::GRANTS_BESIDE;
use super::io::{Action, Candidate, CannotPoll, Found, Left, Polled, Prepared};
use super::moment::Moment;
use super::state::{Api, Fetch, Next, Polling, Rings, Sweep};
use super::{LOOKS, Slot};
use crate::dispatch::{looks_again, poll_order};

impl<M, C, A, R, G> Slot<M, C, A, R, G> {
    pub(super) fn sweep(&mut self, now: Moment) {
        let order = poll_order(self.turn, self.settings.share_every);
        self.sweep_on(Sweep { began: now, order, polled: 0, failed: false });
    }

    /// Polls the next queue of the sweep, or ends it.
    fn sweep_on(&mut self, sweep: Sweep) {
        if !self.may_receive() {
            return;
        }
        if let Some(priority) = sweep.order.get(sweep.polled) {
            self.act(Action::Sweep(*priority));
            self.next = Next::Searching(Sweep { polled: sweep.polled + 1, ..sweep });
        } else if !self.api.is_busy() && sweep.failed {
            self.polling = Polling::Impossible;
        } else if !self.api.is_busy() {
            // Where nothing waits, nothing binds.
            self.give_up_grant();
            self.grants.bind = false;
            self.rings = Rings::Collecting;
            self.act(Action::CollectRings);
        }
    }

    /// A queue of the sweep was polled. If that cannot be done, the next one is polled all the same.
    pub(super) fn on_swept(&mut self, now: Moment, polled: Polled<M>) {
        let found = self.noted(now, polled);
        let Next::Searching(sweep) = self.next else { return };
        self.next = Next::None;
        match found {
            Ok(Some(found)) if !self.may_receive() => {
                self.act(Action::GiveBackUnread(found.message));
            }
            Ok(Some(Found { message, priority, receive_count })) => {
                self.turn = self.turn.wrapping_add(1);
                let again = looks_again(sweep.order, priority, receive_count);
                self.prepare(sweep.began, message, if again { LOOKS } else { 0 });
            }
            Ok(None) => self.sweep_on(sweep),
            Err(CannotPoll) => self.sweep_on(Sweep { failed: true, ..sweep }),
        }
    }

    /// Prepares what was found. HIGH is polled again `looks` times before it runs.
    pub(super) fn prepare(&mut self, began: Moment, message: M, looks: u32) {
        // There is work: whoever the rings were sent for is to be woken after all.
        self.return_collected();
        self.act(Action::Prepare { message, look: looks > 0 });
        self.next = Next::Preparing { began, looks_left: looks.saturating_sub(1) };
    }

    /// A message was prepared: it is ready to follow, or needed no call, or something more urgent
    /// was found meanwhile and takes its place.
    pub(super) fn on_prepared(
        &mut self,
        now: Moment,
        prepared: Prepared<C>,
        looked: Option<Polled<M>>,
    ) {
        let urgent = looked.and_then(|looked| self.noted(now, looked).unwrap_or(None));
        let Next::Preparing { began, looks_left } = self.next else { return };
        self.next = Next::None;
        let ready = match prepared {
            Prepared::Ready(call) => Ok(call),
            Prepared::NotYet(call) => Err(self.put_off(call)),
            Prepared::Ended(left) => Err(left),
        };
        if !self.may_receive() {
            match ready {
                Ok(call) => self.act(Action::GiveBack(call)),
                Err(left) => self.on_left(now, left),
            }
            urgent.into_iter().for_each(|found| self.act(Action::GiveBackUnread(found.message)));
            return;
        }
        match (ready, urgent) {
            (Ok(call), Some(urgent)) => {
                self.act(Action::GiveBack(call));
                self.prepare(began, urgent.message, 0);
            }
            (Err(left), Some(urgent)) => {
                self.on_left(now, left);
                self.prepare(began, urgent.message, 0);
            }
            (Ok(ready), None) => {
                self.times.record_fetch(now.saturating_sub(began));
                self.candidates += 1;
                let name = Candidate(self.candidates);
                let looks_at_last = looks_left > 0;
                let (since, grants_left) = (now, GRANTS_BESIDE);
                self.next =
                    Next::Held { ready, name, since, looks_left, grants_left, looks_at_last };
                self.look_again();
            }
            (Err(left), None) => {
                self.api.set_fetch(Fetch::Due);
                self.on_left(now, left);
            }
        }
    }

    /// A call waits for its tenant, and nobody for the call: the search goes on beside its going back.
    /// Another waits there with a ring of its own, so that one ring less is needed now.
    fn put_off(&mut self, call: C) -> Left {
        self.act(Action::PutOff(call));
        self.thin_out_rings();
        // To put off calls needs no grant.
        self.grants.bind = false;
        Left::Covered
    }

    /// While a call waits for the present one, a more urgent one may come.
    fn look_again(&mut self) {
        if let (Api::Busy { .. }, Next::Held { name, looks_left, .. }) = (self.api, &mut self.next)
            && let Some(left) = looks_left.checked_sub(1)
        {
            *looks_left = left;
            let look = Action::LookAgain(*name);
            self.act(look);
        }
    }

    /// Shortly before the moment of its grant a call makes room for a more urgent one for the last
    /// time.
    pub(super) fn look_at_last(&mut self, now: Moment) {
        if !self.api.is_busy()
            && self.last_look_at().is_some_and(|at| at <= now)
            && let Next::Held { name, looks_at_last, .. } = &mut self.next
        {
            *looks_at_last = false;
            let look = Action::LookAgain(*name);
            self.act(look);
        }
    }

    /// What was found takes the place of the candidate, if that is still the same.
    pub(super) fn on_looked_again(&mut self, now: Moment, candidate: Candidate, polled: Polled<M>) {
        let Some(urgent) = self.noted(now, polled).unwrap_or(None) else {
            return self.look_again();
        };
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Held { ready, name, .. } if name == candidate => {
                self.act(Action::GiveBack(ready));
                self.prepare(now, urgent.message, 0);
            }
            other => {
                self.next = other;
                self.act(Action::GiveBackUnread(urgent.message));
            }
        }
    }
}
