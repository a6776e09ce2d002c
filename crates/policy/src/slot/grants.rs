//! Grants: when calls may go, where the target has rates beside its ceiling.
//!
//! A grant is a moment that all slots have agreed on: the next one that no window of the API's is
//! passed by. Each call needs one, and each grant is used once. A call goes at the moment of its
//! grant; one that comes later than [`Grant::void_at`](super::Grant::void_at) needs another, or it may come too close to
//! the next call.
//!
//! * **While the rates do not bind**, calls are fetched early as ever, and the grant is asked for
//!   last, when the call is ready. One that the present call outlasts is asked for anew.
//! * **While they bind, the grant comes first.** The slot asks when its call has ended. Shortly
//!   before the moment it looks for the most urgent call, and polls HIGH once more at the last. So
//!   priority is as exact as without rates, and a call that has no grant blocks nobody: it is still
//!   on its queue.
//! * A slot that is *too early* holds nothing. It gives back what it has and lets the rings sleep,
//!   as in front of a shut gate. Other slots have the grants that come first, so what the rings
//!   were sent for is looked at meanwhile.

use std::time::Duration;

use super::Slot;
use super::grant::{CALL_LEAD, Has, Rates, Reserved};
use super::io::Action;
use super::moment::Moment;
use super::state::{Api, Next, Polling, Rings};

/// The rates bind if a slot has to wait longer than this for its grant: slots are not what is short.
const BINDS_FROM: Duration = Duration::from_millis(50);

/// How long before its moment HIGH is polled for the last time. Then there is just time to prepare
/// what is found.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(60);

/// How long before the present call is expected to end a grant is asked for.
const RESERVE_LEAD: Duration = Duration::from_millis(25);

/// How often a grant is asked for beside the present call. Then its end is waited for.
pub(super) const GRANTS_BESIDE: u32 = 2;

/// How long a fetch takes where none has been measured.
const USUAL_FETCH: Duration = Duration::from_millis(60);

/// The longest before its moment that a slot looks for the call.
const LONGEST_LEAD: Duration = Duration::from_millis(500);

impl<M, C, A, R, G> Slot<M, C, A, R, G> {
    /// Takes in that the target has rates, or has none any more: they can be set while slots work.
    pub fn heed_rates(&mut self, now: Moment, rates: Rates) {
        self.grants.rates = rates;
        if rates == Rates::None && matches!(self.grants.has, Has::TooEarly { .. }) {
            self.grants.has = Has::Nothing;
        }
        self.advance(now);
    }

    /// What each call needs of the target's rates, as far as the slot knows.
    pub fn rates(&self) -> Rates {
        self.grants.rates
    }

    pub(super) fn reserve(&mut self) {
        self.grants.has = Has::Asked;
        self.act(Action::Reserve);
    }

    pub(super) fn on_reserved(&mut self, now: Moment, reserved: Reserved<G>) {
        match reserved {
            Reserved::Granted(grant) => {
                let bind = grant.at > now + BINDS_FROM;
                self.grants.found_to_bind(bind);
                self.grants.has = Has::Grant(grant);
            }
            Reserved::TooEarly { rings_back_at } => {
                self.grants.found_to_bind(true);
                // Beside the present call it may ask again when that has ended.
                self.grants.has = match self.api.is_busy() {
                    true => Has::Nothing,
                    false => Has::TooEarly { rings_back_at },
                };
                self.give_back_held();
            }
        }
    }

    /// Gives up a grant that is void, or will be before its call can be sent. Nobody else gets its
    /// moment, but what it took of a quota.
    pub(super) fn give_up_void(&mut self, now: Moment) {
        if self.grants.held().is_some_and(|grant| grant.usable_until() <= now) {
            self.give_up_grant();
        }
    }

    /// Gives back the grant that the slot holds, if it holds one.
    pub(super) fn give_up_grant(&mut self) {
        if let Some(grant) = self.grants.take() {
            self.act(Action::GiveUpGrant(grant));
        }
    }

    /// A call is ready and the API is not: it gets a grant shortly before the present call ends, or
    /// another one in place of one that has become void. Without a call the slot keeps none.
    pub(super) fn keep_granted(&mut self, now: Moment) {
        if self.grants.rates == Rates::None {
            return;
        }
        let has_place = self.api.is_busy() || self.place.let_go();
        let may_ask = !self.api.is_busy() || self.reserve_at().is_some_and(|at| at <= now);
        match (&mut self.next, &self.grants.has) {
            (Next::Held { grants_left, .. }, Has::Nothing) if may_ask && has_place => {
                *grants_left = grants_left.saturating_sub(1);
                self.reserve();
            }
            (Next::None, Has::Grant(_)) => self.give_up_grant(),
            _ => {}
        }
    }

    /// The API is idle and no call is ready or looked for.
    pub(super) fn begin(&mut self, now: Moment) {
        let may_sweep = self.may_sweep(now);
        match (&self.grants.has, may_sweep) {
            (Has::Grant(_), false) => self.give_up_grant(),
            // The slot looks for a call once it has a place.
            (Has::Grant(_) | Has::Nothing, true) if !self.place.let_go() => self.take_place(),
            (Has::Grant(_), true) if self.sweep_at().is_some_and(|at| at > now) => {}
            (Has::Nothing, true) if self.grants.come_first() => self.reserve(),
            (Has::Grant(_) | Has::Nothing, true) => self.sweep(now),
            (Has::TooEarly { .. }, _) | (Has::Nothing, false) => self.sleep_perhaps(now),
            // The answer decides.
            (Has::Asked, _) => {}
        }
    }

    /// How much earlier the next call is fetched: it is to have its grant when the present one ends.
    pub(super) fn grant_lead(&self) -> Duration {
        match self.grants.rates {
            Rates::None => Duration::ZERO,
            Rates::Calls => RESERVE_LEAD,
        }
    }

    /// When to ask for the grant of a call that is ready beside the present one. Not as soon as it is
    /// ready: the present call would outlast the grant.
    pub(super) fn reserve_at(&self) -> Option<Moment> {
        let (Api::Busy { since, .. }, Has::Nothing) = (self.api, &self.grants.has) else {
            return None;
        };
        if self.grants.rates == Rates::None {
            return None;
        }
        let Next::Held { grants_left: 1.., .. } = self.next else { return None };
        let ends_in = self.times.earliest_end()?;
        Some(since + ends_in.saturating_sub(RESERVE_LEAD))
    }

    /// When to look for the call of the grant that is held.
    pub(super) fn sweep_at(&self) -> Option<Moment> {
        let fetch = self.times.fetch_time().unwrap_or(USUAL_FETCH);
        let lead = (fetch + LAST_LOOK).min(LONGEST_LEAD);
        self.grants.held().map(|grant| grant.at.saturating_sub(lead))
    }

    /// When to poll HIGH for the last time before the call that is ready goes.
    pub(super) fn last_look_at(&self) -> Option<Moment> {
        let Next::Held { looks_at_last: true, .. } = self.next else { return None };
        self.grants.held().map(|grant| grant.at.saturating_sub(LAST_LOOK))
    }

    /// When the call that is ready may be handed to the driver.
    pub(super) fn launch_at(&self) -> Option<Moment> {
        let Next::Held { .. } = self.next else { return None };
        self.grants.held().map(|grant| grant.at.saturating_sub(CALL_LEAD))
    }

    /// Whether the slot leaves to others what the rings were sent for: they have grants that are still
    /// to come.
    pub(super) fn leaves_to_others(&self) -> bool {
        matches!(self.grants.has, Has::TooEarly { rings_back_at: None }) && self.control.is_open()
    }

    pub(super) fn is_too_early(&self) -> bool {
        matches!(self.grants.has, Has::TooEarly { .. })
    }

    /// Until when the rings sleep of a slot that asked too early.
    pub(super) fn too_early_until(&self) -> Option<Moment> {
        match self.grants.has {
            Has::TooEarly { rings_back_at } => rings_back_at,
            _ => None,
        }
    }

    /// Whether the slot has nothing to do but to let the rings sleep.
    pub(super) fn may_sleep(&self) -> bool {
        self.outstanding == 0 && self.rings == Rings::Kept && self.polling == Polling::Possible
    }
}
