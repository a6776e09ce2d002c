//! A grant, and what a slot knows of the target's rates.

use std::time::Duration;

use super::moment::Moment;

/// How long before its moment a call is handed to the driver, which has the mark to write.
pub(super) const CALL_LEAD: Duration = Duration::from_millis(25);

/// How long before its grant is void a call is handed to the driver at the latest.
const LATEST_CALL: Duration = Duration::from_millis(10);

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

    pub(super) fn found_to_bind(&mut self, bind: bool) {
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
