//! Grants: when calls may go, where the target has rates beside its ceiling.
//!
//! A grant is a moment that all slots have agreed on: the next one that no window of the API's is
//! passed by. Each call needs one, and each grant is used once. A call goes at the moment of its
//! grant; one that comes later than [`Grant::void_at`] needs another, or it may come too close to
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

use super::io::Action;
use super::state::{Api, Next, Polling, Rings};
use super::{Moment, Slot};

/// The rates bind if a slot has to wait longer than this for its grant: slots are not what is short.
const BINDS_FROM: Duration = Duration::from_millis(50);

/// How long before its moment HIGH is polled for the last time. Then there is just time to prepare
/// what is found.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(60);

/// How long before its moment a call is handed to the driver, which has the mark to write.
pub(super) const CALL_LEAD: Duration = Duration::from_millis(25);

/// How long before its grant is void a call is handed to the driver at the latest.
const LATEST_CALL: Duration = Duration::from_millis(10);

/// How long before the present call is expected to end a grant is asked for.
const RESERVE_LEAD: Duration = Duration::from_millis(25);

/// How often a grant is asked for beside the present call. Then its end is waited for.
pub(super) const GRANTS_BESIDE: u32 = 2;

/// How long a fetch takes where none has been measured.
const USUAL_FETCH: Duration = Duration::from_millis(60);

/// The longest before its moment that a slot looks for the call.
const LONGEST_LEAD: Duration = Duration::from_millis(500);

/// What each call needs of the target's rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rates {
    /// Nothing: there are none.
    #[default]
    None,
    /// A grant.
    Calls,
}

/// The moment at which one call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant<G> {
    /// Handed on with the call.
    pub grant: G,
    /// When the call may go.
    pub at: Moment,
    /// From then on it may not.
    pub void_at: Moment,
}

impl<G> Grant<G> {
    /// From then on the driver may not get the call to the API in time.
    pub(super) fn usable_until(&self) -> Moment {
        self.void_at.saturating_sub(LATEST_CALL)
    }
}

/// The answer to who asks when a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reserved<G> {
    /// At this moment.
    Granted(Grant<G>),
    /// It is too early to ask.
    TooEarly {
        /// When sleeping rings are to come back. None need sleep if others have grants that are still
        /// to come: they look for calls after that.
        rings_back_at: Option<Moment>,
    },
}

/// What the slot knows of the target's rates, and what it has of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grants<G> {
    pub(super) rates: Rates,
    pub(super) has: Has<G>,
    /// Whether slots wait for grants rather than grants for slots, as it was last seen. Of rates of
    /// which nothing is known that is taken for granted.
    pub(super) bind: bool,
    /// Whether the slot has rung for another since they ceased to bind.
    pub(super) rang: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Has<G> {
    Nothing,
    /// One was asked for.
    Asked,
    Grant(Grant<G>),
    /// It was too early to ask. The slot ends.
    TooEarly {
        rings_back_at: Option<Moment>,
    },
}

impl<G> Grants<G> {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, has: Has::Nothing, bind: true, rang: false }
    }

    /// Whether the slot asks for a grant before it looks for a call.
    pub(super) fn come_first(&self) -> bool {
        self.rates == Rates::Calls && self.bind
    }

    pub(super) fn held(&self) -> Option<&Grant<G>> {
        match &self.has {
            Has::Grant(grant) => Some(grant),
            _ => None,
        }
    }

    /// Whether a call may be handed to the driver.
    pub(super) fn let_go(&self, now: Moment) -> bool {
        self.rates == Rates::None
            || self
                .held()
                .is_some_and(|grant| now + CALL_LEAD >= grant.at && now < grant.usable_until())
    }

    /// The grant of a call that goes now.
    pub(super) fn take(&mut self) -> Option<G> {
        match std::mem::replace(&mut self.has, Has::Nothing) {
            Has::Grant(grant) => Some(grant.grant),
            other => {
                self.has = other;
                None
            }
        }
    }

    fn found_to_bind(&mut self, bind: bool) {
        self.bind = bind;
        self.rang &= !bind;
    }

    /// Whether another slot is to be rung for. While the rates bind, slots that are too early leave
    /// and take the rings with them. Once they do not bind any more, more slots are wanted.
    pub(super) fn more_wanted(&mut self) -> bool {
        let wanted = self.rates != Rates::None && !self.bind && !self.rang;
        self.rang |= wanted;
        wanted
    }
}

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
