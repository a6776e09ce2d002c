//! What a slot must not do.

use super::world::{Hand, SHUT, STOP_AT, Silence, TestAction, World};
use crate::slot::grant::CALL_LEAD;
use crate::slot::state::{Next, Sweep};
use crate::slot::{Action, End, Gate, Grant, Places, READ_EVERY, Rates};

impl World {
    pub(super) fn check(&mut self, action: &TestAction) -> Result<(), String> {
        let searches = |action: &TestAction| {
            matches!(action, Action::Sweep(_) | Action::Prepare { .. } | Action::CollectRings)
        };
        let searching = self.pending.iter().any(searches);
        if searching && searches(action) {
            return Err(format!("it searches twice at once: {action:?}"));
        }
        self.check_gate(action)?;
        self.check_place(action)?;
        match action {
            Action::Sweep(queue) => {
                let first = matches!(self.slot.next, Next::Searching(Sweep { polled: 1, .. }));
                if first && self.now >= STOP_AT {
                    return Err(format!("it looks for calls after its time: {queue}"));
                }
            }
            Action::Listen(_) => {
                if !self.pending.iter().any(|action| matches!(action, Action::Listen(_))) {
                    self.silence = Silence::Of(0);
                }
            }
            Action::Prepare { message, .. } => self.pass(*message, Hand::Found, Hand::Preparing)?,
            Action::Call { call, grant } => {
                self.check_grant(*grant)?;
                if self.pending.iter().any(|action| matches!(action, Action::Call { .. })) {
                    return Err("two calls at the API".to_owned());
                }
                self.pass(*call, Hand::Ready, Hand::AtApi)?;
                if matches!(self.told, Gate::Probe { .. }) {
                    // It was the one that might be made.
                    self.told = SHUT;
                }
            }
            Action::Settle(answered) => self.pass(*answered, Hand::Answered, Hand::Leaving)?,
            Action::GiveBack(call) => self.pass(*call, Hand::Ready, Hand::Leaving)?,
            Action::PutOff(call) => self.pass(*call, Hand::NotYet, Hand::Leaving)?,
            Action::GiveBackUnread(message) => {
                self.pass(*message, Hand::Found, Hand::Leaving)?;
            }
            Action::ReturnRings(rings) => self.let_go(rings)?,
            Action::GiveUpGrant(grant) => drop(self.use_up(*grant)?),
            Action::Reserve => {
                let asks = |action: &TestAction| matches!(action, Action::Reserve);
                if self.pending.iter().any(asks) {
                    return Err("it asks for two grants at once".to_owned());
                }
                if self.grants.values().any(|grant| self.now < grant.usable_until()) {
                    return Err("it asks for a grant and has one".to_owned());
                }
            }
            Action::LookAgain(_)
            | Action::CollectRings
            | Action::ThinOutRings
            | Action::HoldRing
            | Action::WakeOthers(_)
            | Action::RingForMore
            | Action::TakePlace
            | Action::LeavePlace
            | Action::ReadControl
            | Action::ClearRings { .. } => {}
        }
        Ok(())
    }

    /// Behind a gate that is shut nothing is received and nothing called, and whoever works knows
    /// within a second that it is shut.
    fn check_gate(&mut self, action: &TestAction) -> Result<(), String> {
        let shut = matches!(self.told, Gate::Shut { .. });
        let reads = self.pending.iter().any(|action| matches!(action, Action::ReadControl));
        let since_read = self.now.saturating_sub(self.read_at);
        match action {
            Action::Sweep(_) | Action::Listen(_) | Action::LookAgain(_) if shut => {
                Err(format!("it receives although the gate is shut: {action:?}"))
            }
            Action::Call { .. } | Action::Prepare { .. } | Action::WakeOthers(_) if shut => {
                Err(format!("it goes on although the gate is shut: {action:?}"))
            }
            Action::Call { .. } if self.gate_moves && since_read > READ_EVERY && !reads => {
                Err(format!("it has not looked at the gate for {since_read:?}"))
            }
            Action::ReadControl if self.unconfirmed == 0 && since_read < READ_EVERY => {
                Err(format!("it looks at the gate again after {since_read:?}"))
            }
            Action::ReadControl => {
                self.read_at = self.now;
                Ok(())
            }
            Action::ClearRings { .. } if !shut && !self.too_early && !self.is_full() => {
                Err("it takes rings although calls are made".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Where slots need places, none calls or listens for the last time but as it may, and one that
    /// stands down receives nothing.
    fn check_place(&mut self, action: &TestAction) -> Result<(), String> {
        let leaves = self.pending.contains(&Action::LeavePlace);
        match action {
            Action::Call { .. } if self.places != Places::Unlimited && !self.has_place => {
                return Err("a call without a place".to_owned());
            }
            Action::Sweep(_)
            | Action::Listen(_)
            | Action::LookAgain(_)
            | Action::Prepare { .. }
            | Action::Call { .. }
            | Action::WakeOthers(_)
            | Action::RingForMore
                if self.is_full() =>
            {
                return Err(format!("it goes on although others have all places: {action:?}"));
            }
            Action::Listen(_) if self.has_place || leaves => {
                return Err("it listens for the last time and has its place".to_owned());
            }
            Action::TakePlace if self.has_place || self.pending.contains(&Action::TakePlace) => {
                return Err("it asks for a place and has one, or has asked".to_owned());
            }
            Action::LeavePlace if !self.has_place || leaves => {
                return Err("it gives a place back that it does not have".to_owned());
            }
            Action::ReadControl => {
                let clears = |action: &TestAction| matches!(action, Action::ClearRings { .. });
                self.read_with_nothing =
                    self.hands.is_empty() && !self.has_place && !self.pending.iter().any(clears);
            }
            Action::ClearRings { .. } => self.others_at_work = false,
            _ => {}
        }
        Ok(())
    }

    /// Where calls need a grant, each has one of its own, and goes at its moment.
    fn check_grant(&mut self, grant: Option<u8>) -> Result<(), String> {
        let needed = self.slot.settings.rates != Rates::None;
        let Some(grant) = grant else {
            return if needed { Err("a call without a grant".to_owned()) } else { Ok(()) };
        };
        let Grant { at, void_at, .. } = self.use_up(grant)?;
        match self.now {
            now if now >= void_at => Err("a call whose grant is void".to_owned()),
            now if now + CALL_LEAD < at => Err("a call before its moment".to_owned()),
            _ => Ok(()),
        }
    }

    fn use_up(&mut self, grant: u8) -> Result<Grant<u8>, String> {
        self.grants.remove(&grant).ok_or_else(|| format!("grant {grant} is used twice"))
    }

    fn pass(&mut self, id: u8, from: Hand, to: Hand) -> Result<(), String> {
        match self.hands.insert(id, to) {
            Some(hand) if hand == from => Ok(()),
            hand => Err(format!("message {id} becomes {to:?} and was {hand:?}")),
        }
    }

    fn let_go(&mut self, rings: &[u8]) -> Result<(), String> {
        let held = std::mem::take(&mut self.rings);
        if held == rings { Ok(()) } else { Err(format!("it holds rings {held:?}, not {rings:?}")) }
    }

    /// Whether others surely look for what the slot's ring was sent for.
    fn left_to_others(&self) -> bool {
        self.others_first || self.others_at_work
    }

    pub(super) fn check_end(&mut self) -> Result<(), String> {
        if !self.hands.is_empty() {
            return Err(format!("messages have not ended: {:?}", self.hands));
        }
        if self.grants.values().any(|grant| self.now < grant.usable_until()) {
            return Err("it keeps a grant that it does not use".to_owned());
        }
        let silent = self.silence == Silence::Of(3);
        let hidden = self.hidden_until > self.now;
        match self.slot.clone().end(self.now) {
            End::Served { collected } => {
                self.let_go(&collected)?;
                match (silent || self.left_to_others(), self.must_return, hidden) {
                    (true, false, false) => Ok(()),
                    _ => Err(format!(
                        "the ring is let go: silent {silent}, failed {}, hidden {hidden}",
                        self.must_return
                    )),
                }
            }
            End::HandedOver { hide_ring, collected, ring, ring_may_go } => {
                self.let_go(&collected)?;
                let outlasts = hide_ring.unwrap_or(self.slot.settings.call_visibility);
                if !ring && !silent && !self.left_to_others() {
                    Err("nobody is rung for what may be left".to_owned())
                } else if ring_may_go && (self.must_return || hidden) {
                    Err("the ring may go although it must come back".to_owned())
                } else if self.now + outlasts < self.hidden_until {
                    Err("the ring comes back before the call that is hidden".to_owned())
                } else if !silent && matches!(self.told, Gate::Shut { .. }) {
                    Err("it rings although the gate is shut".to_owned())
                } else if !silent && !self.left_to_others() && self.now < STOP_AT {
                    Err("it gives up before its time".to_owned())
                } else {
                    Ok(())
                }
            }
            End::Asleep { ring_back_after } => {
                self.let_go(&[])?;
                let shut = matches!(self.told, Gate::Shut { .. });
                if !shut && !self.too_early && !self.is_full() {
                    Err("it sleeps although calls are made".to_owned())
                } else if self.unconfirmed > 0 {
                    Err("it sleeps and may have taken the ring that calls it back".to_owned())
                } else if self.now + ring_back_after < self.hidden_until {
                    Err("the ring comes back before the call that is hidden".to_owned())
                } else {
                    Ok(())
                }
            }
            End::CannotPoll { ring_back_after, collected } => {
                self.let_go(&collected)?;
                match self.must_return && self.now + ring_back_after >= self.hidden_until {
                    true => Ok(()),
                    false => Err("it gives up although it can poll".to_owned()),
                }
            }
        }
    }
}
