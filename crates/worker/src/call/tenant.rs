//! The turn of a call's tenant, where each tenant has a limit of its own.
//!
//! A call that is claimed and whose tenant has no moment soon is put off: it goes back until its
//! appointment, which is left in its record, and its ring comes then. One that a slot makes takes its
//! tenant's moment last, so that it can go at that and at the moment of the target's grant
//! ([`policy::tenants`](slowlane_policy::tenants)).

use std::time::Duration;

use jiff::Timestamp;
use slowlane_idempotency::{Claim, DynamoDbStore};
use slowlane_limiter::Moment;
use slowlane_message::{Priority, QueuedCall};
use slowlane_policy::slot::Rates;
use slowlane_policy::tenants::{
    Appointment, NO_ROOM, Patience, Received, VISIBLE_EARLIER, ahead, patience, received,
};
use tokio::time::{Instant, sleep};

use super::{Call, Calls, Ended, Ending, Ready, ReadyTo, StepError};
use crate::aws::deletes::When;
use crate::limits::{Asked, Grant, Joined, TOGETHER};
use crate::target::Target;

/// How much later than now a call takes a moment at the earliest: it has its mark to write.
const MARK_LEAD: Duration = Duration::from_millis(25);

/// When a call asks again that found all of the target's moments taken.
const TARGET_AGAIN_AFTER: Duration = Duration::from_millis(60);

/// As urgent as after so many missed appointments.
const URGENT: u32 = 2;

/// The moment of a tenant's at which a call goes.
#[derive(Debug)]
pub(super) struct Turn {
    tenant: String,
    granted: Box<slowlane_limiter::Grant>,
}

/// What becomes of a call that a slot would make.
pub(super) enum Taken {
    /// It goes: at this turn, if its tenant has a limit.
    Turn(Option<Turn>),
    /// Its tenant has no moment soon: it waits for this one, or for its deadline if there is none
    /// before.
    None(Option<Appointment>),
    /// Calls are not made any more.
    Shut,
}

/// What is to be done with a claimed call.
pub(super) enum Next {
    /// It is made, its appointment having come if it had one.
    Goes(Option<Appointment>),
    /// It waits for its appointment, or for its deadline if its line has no room before.
    PutOff(Option<Appointment>),
}

/// A call that asks for its tenant's moment.
struct Asking<'a> {
    ready: &'a Ready,
    tenant: &'a str,
    patience: Patience,
    began: Instant,
}

impl<T: Target> Calls<T> {
    /// The tenant of a call, where tenants have limits. A call of no tenant has no such limit.
    fn limited_tenant<'a>(&self, queued: &'a QueuedCall) -> Option<(&'a str, Duration)> {
        let tenant = queued.tenant.as_deref()?;
        self.limits.apart_of(tenant).map(|apart| (tenant, apart))
    }

    /// When the tenant's next moment is free of a call that is received for the first time: it has no
    /// appointment.
    pub(super) async fn free_at_first(&self, call: &Call) -> Option<Moment> {
        match call.received.receive_count {
            0 | 1 => self.free_at(call).await,
            _ => None,
        }
    }

    async fn free_at(&self, call: &Call) -> Option<Moment> {
        let (tenant, _) = self.limited_tenant(&call.queued)?;
        self.limits.next_free_of(tenant, call.received.priority).await
    }

    /// What is to be done with a call that is claimed. `free_at` is when its tenant's next moment is
    /// free, as far as that was read. A call that was sent before does not wait in line again.
    pub(super) async fn after_claim(
        &self,
        call: &Call,
        claim: &Claim<DynamoDbStore>,
        free_at: Option<Moment>,
    ) -> Next {
        let Some((_, apart)) = self.limited_tenant(&call.queued) else { return Next::Goes(None) };
        let now = self.fleet_time();
        let left = claim.released_because().and_then(|word| word.parse().ok());
        let sent = (claim.tries() > 1).then_some(Appointment { at: now, missed: 0 });
        let given = left.or(sent);
        let free_at = match (given, free_at) {
            (None, None) => self.free_at(call).await,
            (_, free_at) => free_at,
        };
        let priority = call.received.priority;
        let has_rates = self.limits.rates() != Rates::None;
        let soon = patience(priority, 0, apart).soon(priority, has_rates);
        match received(now, given, free_at.map(timestamp), soon) {
            Received::Goes => Next::Goes(given),
            Received::Waits(appointment) => Next::PutOff(Some(appointment)),
            Received::Joins => {
                Next::PutOff(self.join(call, None, free_at.unwrap_or_default()).await)
            }
        }
    }

    /// The call joins its line, again if it comes from an appointment. None if there is no room before
    /// its deadline.
    async fn join(
        &self,
        call: &Call,
        missed: Option<Appointment>,
        from: Moment,
    ) -> Option<Appointment> {
        let Call { received, queued, .. } = call;
        let tenant = queued.tenant.as_deref().unwrap_or_default();
        let before = missed.map_or(0, |appointment| appointment.missed);
        let appointment = |at, missed| Some(Appointment { at: timestamp(at), missed });
        let deadline = moment(queued.deadline);
        match self.limits.join_line(tenant, received.priority, from, deadline).await {
            Joined::At(at) => appointment(at, before + u32::from(missed.is_some())),
            // It has not come in vain: nobody has looked.
            Joined::AgainAt(at) => appointment(at, before),
            Joined::NoRoom => None,
        }
    }

    /// Takes the turn of a call that goes to the API next, with its grant of the target's if it needs
    /// one. The grant may be another one afterwards, or none.
    pub(super) async fn take_turn(&self, ready: &Ready, grant: &mut Option<Grant>) -> Taken {
        let Call { received, queued, .. } = &ready.call;
        let Some((tenant, apart)) = self.limited_tenant(queued) else { return Taken::Turn(None) };
        let patience = patience(received.priority, ready.missed(), apart);
        let asking = Asking { ready, tenant, patience, began: Instant::now() };
        loop {
            match self.ask_for_turn(&asking, grant).await {
                Some(Taken::Turn(turn)) if self.limits.shut().is_some() => {
                    self.give_back_turn(turn).await;
                    return Taken::Shut;
                }
                Some(taken) => return taken,
                None => {}
            }
        }
    }

    /// Asks once; `None` if the call is to ask again.
    async fn ask_for_turn(&self, asking: &Asking<'_>, grant: &mut Option<Grant>) -> Option<Taken> {
        let Asking { ready, tenant, patience, .. } = asking;
        let has_rates = self.limits.rates() != Rates::None;
        if has_rates && grant.is_none() {
            *grant = self.limits.reserve_at(self.limits.now(), ready.units(self)).await;
        }
        let earliest = self.limits.now().plus(MARK_LEAD);
        let from = self.limits.comes_at(grant.as_ref()).map_or(earliest, |at| at.max(earliest));
        let within = if has_rates { TOGETHER } else { patience.within };
        match self.limits.ask_tenant(tenant, from, within).await {
            Asked::Granted(granted) if has_rates && grant.is_none() => {
                // Others have all of the target's moments for now.
                self.give_back_turn(Some(asking.turn(granted))).await;
                self.wait_or_miss(asking, self.limits.now().plus(TARGET_AGAIN_AFTER)).await
            }
            Asked::Granted(granted) => Some(Taken::Turn(Some(asking.turn(granted)))),
            Asked::FreeAt(at) if has_rates => {
                // Others can use the target's moment meanwhile.
                self.give_back_grant(grant).await;
                self.wait_with_target(asking, at, grant).await
            }
            Asked::FreeAt(at) => self.wait_or_miss(asking, at).await,
            Asked::SpentUntil(at) => Some(self.miss(asking, at).await),
        }
    }

    /// Waits until a moment is about to be free, if a slot holds the call so long.
    async fn wait_or_miss(&self, asking: &Asking<'_>, free_at: Moment) -> Option<Taken> {
        let free_in = self.limits.until_moment(free_at);
        if !asking.waits_for(free_in) {
            return Some(self.miss(asking, free_at.minus(asking.patience.within)).await);
        }
        sleep(free_in.saturating_sub(asking.patience.within).max(MARK_LEAD)).await;
        None
    }

    /// The same where the target has rates: a grant of the target's is asked for as far ahead as others
    /// have them, and then there may be one for the moment that is free. An urgent call takes the
    /// tenant's moment first: less urgent ones would have it.
    async fn wait_with_target(
        &self,
        asking: &Asking<'_>,
        free_at: Moment,
        grant: &mut Option<Grant>,
    ) -> Option<Taken> {
        let free_in = self.limits.until_moment(free_at);
        if !asking.waits_for(free_in) {
            return Some(self.miss(asking, free_at.minus(asking.patience.within)).await);
        }
        let taken = match asking.is_urgent() {
            true => self.take_ahead(asking).await,
            false => None,
        };
        let at = taken.as_ref().map_or(free_at, |turn| turn.granted.at());
        sleep(self.limits.until_moment(at).saturating_sub(self.limits.horizon())).await;
        *grant = self.limits.reserve_at(at, asking.ready.units(self)).await;
        let turn = taken?;
        if grant.as_ref().is_some_and(|grant| self.limits.go_together(grant, at)) {
            return Some(Taken::Turn(Some(turn)));
        }
        self.give_back_turn(Some(turn)).await;
        None
    }

    async fn take_ahead(&self, asking: &Asking<'_>) -> Option<Turn> {
        let from = self.limits.now().plus(MARK_LEAD);
        match self.limits.ask_tenant(asking.tenant, from, asking.patience.within).await {
            Asked::Granted(granted) => Some(asking.turn(granted)),
            Asked::FreeAt(_) | Asked::SpentUntil(_) => None,
        }
    }

    /// The call joins its line. What became of an earlier attempt is asked when the next moment is free.
    async fn miss(&self, asking: &Asking<'_>, from: Moment) -> Taken {
        let Ready { call, claimed, appointment } = asking.ready;
        Taken::None(match claimed {
            ReadyTo::Run(_) => self.join(call, *appointment, from).await,
            ReadyTo::Reconcile(_) => {
                let missed = asking.ready.missed() + u32::from(appointment.is_some());
                Some(Appointment { at: timestamp(from), missed })
            }
        })
    }

    async fn give_back_grant(&self, grant: &mut Option<Grant>) {
        if let Some(unused) = grant.take() {
            self.limits.give_back(unused).await;
        }
    }

    pub(super) async fn give_back_turn(&self, turn: Option<Turn>) {
        if let Some(Turn { tenant, granted }) = turn {
            self.limits.give_back_to_tenant(&tenant, *granted).await;
        }
    }

    /// How long until a turn that was taken; zero if there is none.
    pub(super) fn turn_in(&self, taken: &Taken) -> Duration {
        match taken {
            Taken::Turn(Some(turn)) => self.limits.until_moment(turn.granted.at()),
            Taken::Turn(None) | Taken::None(_) | Taken::Shut => Duration::ZERO,
        }
    }

    /// Waits for the moment of a turn, and says whether the call may go now. What came before the call
    /// may have taken too long.
    pub(super) async fn turn_comes(&self, turn: Option<&Turn>) -> bool {
        let Some(Turn { granted, .. }) = turn else { return true };
        sleep(self.limits.until_moment(granted.at())).await;
        self.limits.now() < granted.void_at()
    }

    /// Gives a call back until its appointment.
    pub(crate) async fn put_off(&self, ready: Ready) -> Ended {
        let Ready { call, claimed, appointment } = ready;
        let result = self.release_until(&call, claimed, appointment).await;
        self.ended(call.received, Some(call.queued), result, When::AtOnce).await
    }

    /// Gives up the claim of a call until its appointment, or until its deadline if that comes first or
    /// there is none.
    pub(super) async fn release_until(
        &self,
        call: &Call,
        claimed: ReadyTo,
        appointment: Option<Appointment>,
    ) -> Result<Ending, StepError> {
        let why = appointment.map_or_else(|| NO_ROOM.to_owned(), |until| until.to_string());
        if let ReadyTo::Run(claim) = claimed {
            claim.release_untried_because(&why).await?;
        }
        let now = self.fleet_time();
        let until_deadline = ahead(now, call.queued.deadline) + VISIBLE_EARLIER;
        let until = appointment.map_or(until_deadline, |at| ahead(now, at.at).min(until_deadline));
        let given_back = self.give_back_until(&call.received, until).await;
        Ok(Ending { why: given_back.why.or(Some(why)), ..given_back })
    }

    fn fleet_time(&self) -> Timestamp {
        timestamp(self.limits.now())
    }
}

impl Ready {
    /// How many appointments the call has missed. It is urgent to know what became of an earlier
    /// attempt.
    fn missed(&self) -> u32 {
        match self.claimed {
            ReadyTo::Run(_) => self.appointment.map_or(0, |appointment| appointment.missed),
            ReadyTo::Reconcile(_) => URGENT,
        }
    }
}

impl Asking<'_> {
    fn turn(&self, granted: Box<slowlane_limiter::Grant>) -> Turn {
        Turn { tenant: self.tenant.to_owned(), granted }
    }

    fn is_urgent(&self) -> bool {
        let Ready { call, claimed, .. } = self.ready;
        call.received.priority == Priority::High || matches!(claimed, ReadyTo::Reconcile(_))
    }

    /// Whether a slot holds the call for so much longer. One that is not urgent has an appointment
    /// first.
    fn waits_for(&self, ahead: Duration) -> bool {
        let may_wait = self.ready.appointment.is_some() || self.is_urgent();
        may_wait && self.began.elapsed() + ahead <= self.patience.in_hand
    }
}

fn moment(timestamp: Timestamp) -> Moment {
    Moment(u64::try_from(timestamp.as_microsecond()).unwrap_or_default())
}

fn timestamp(moment: Moment) -> Timestamp {
    i64::try_from(moment.as_micros())
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .unwrap_or(Timestamp::MAX)
}
