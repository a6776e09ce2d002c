//! When calls may go, where the target has rates or quotas: the limiter's grants, as a slot takes
//! them.
//!
//! One conditional write reserves the moment of a call for the whole fleet. A grant is used at its
//! moment or within [`Margin::lateness`](slowlane_limiter::Margin) after it; a call that comes later
//! needs another.
//!
//! Where units are counted, what is reserved first is a *turn*: only when the call is found is it known
//! how many units it has. Then it is *fitted*: its units are taken at the moment of its turn, or at the
//! first at which they are free. A call counts for the most that it may take, until its answer says what
//! it took ([`Limits::settle`]).

use std::time::Duration;

use slowlane_limiter::{Decision, Moment, Reason, Units, Waiting};
use slowlane_policy::slot::{self, rings_asleep_for};
use tokio::time::sleep;

use super::own_place::LEASE;
use super::shared::LOOKS_AGAIN;
use super::{Limits, limiter};
use slowlane_lambda::logs::chain;

/// By what factor a workflow's estimate of its units is believed to be too low at most.
const ESTIMATES_OFF_BY: u64 = 3;

/// How long a call that is found waits for its units at most. Then it is given back.
const LONGEST_FIT: Duration = Duration::from_secs(15);

/// So far apart the moments of two grants may be for a call to go at the later one: neither is void
/// then, and half of that time is left for its way.
pub(crate) const TOGETHER: Duration = Duration::from_millis(25);

/// How often a call that waits for its units looks whether others have left some.
const FITTED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How much earlier than the moment of its turn a call is handed over that is to be fitted: a read and a
/// write come first.
const FIT_LEAD: Duration = Duration::from_millis(25);

/// How much of what calls usually have is what the latest has.
const SHARE_OF_LATEST: u64 = 8;

/// A ring sleeps for whole seconds: one that is to come sooner than in a second comes at once, and wakes a
/// slot that is as early as before.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// When a slot asks again that was told of limits which cannot be kept.
const UNKEEPABLE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The right to make one call at a moment.
#[derive(Debug)]
pub(crate) struct Grant {
    granted: slowlane_limiter::Grant,
    /// How long after it was asked for its moment comes.
    wait: Duration,
    /// The units that it is for, once its call is known.
    units: Option<Units>,
}

/// The answer to who asks when a call may go.
#[derive(Debug)]
pub(crate) enum Reserved {
    Granted(Box<Grant>),
    TooEarly(Waiting),
}

impl Grant {
    /// How long whoever asked for it has to wait for its moment.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }
}

impl Limits {
    /// What each call needs of the target's rates. They can be set live.
    pub(crate) fn rates(&self) -> slot::Rates {
        match self.timed().keeps_rates() {
            true => slot::Rates::Calls,
            false => slot::Rates::None,
        }
    }

    /// What is known of a call's units: what its workflow says, else what the target makes of the
    /// request. A call of which nothing is known counts for the largest that each limit allows.
    pub(crate) fn units_of(&self, said: Option<u64>, bound: impl Fn() -> Option<u64>) -> Units {
        match said {
            Some(said) => Units::about(said, ESTIMATES_OFF_BY),
            None => bound().map_or(Units::LARGEST, Units::up_to),
        }
    }

    /// Why the limits never let a call of so many units through.
    pub(crate) fn never_takes(&self, units: Units) -> Option<String> {
        let error = self.timed().takes(units).err()?;
        error.is_call_too_large().then(|| chain(&error))
    }

    /// Asks when a call may go that is not known yet. If the store cannot be reached, this process
    /// keeps its share of the rates.
    pub(crate) async fn reserve(&self) -> Reserved {
        let decision = self.timed().turn(self.usual_units.get()).await;
        self.reserved(decision, None)
    }

    /// The same for a call that is known.
    pub(crate) async fn reserve_for(&self, units: Units) -> Reserved {
        let decision = self.timed().reserve_units(units).await;
        self.reserved(decision, Some(units))
    }

    fn reserved(
        &self,
        decision: Result<Decision, limiter::Error>,
        units: Option<Units>,
    ) -> Reserved {
        match decision {
            Ok(Decision::Granted(granted)) => {
                let wait = self.limiter.until(granted.at());
                Reserved::Granted(Box::new(Grant { granted, wait, units }))
            }
            Ok(Decision::Refused(waiting)) => Reserved::TooEarly(waiting),
            Err(error) => {
                tracing::error!(error = chain(&error), "no call is made under these limits");
                let until = Some(self.limiter.now().plus(UNKEEPABLE_AGAIN_AFTER));
                let limit = error.to_string();
                Reserved::TooEarly(Waiting { reason: Reason::NoGrant { limit }, until })
            }
        }
    }

    /// Takes the units of a call that was found in its turn, and waits until they are about to be free.
    /// Says whether it may go then. Where units are not counted, the turn is the grant.
    pub(crate) async fn fits(&self, grant: &mut Option<Grant>, units: Units) -> bool {
        if !self.timed().counts_units() {
            return true;
        }
        self.has_seen(units);
        let asked_at = self.limiter.now();
        while let Some(held) = grant.take_if(|held| held.units != Some(units) || self.waits(held)) {
            let waited = held.wait + self.limiter.now().since(asked_at);
            let fitted = self.timed().fit(held.granted, units, LONGEST_FIT).await;
            let Reserved::Granted(fitted) = self.reserved(fitted, Some(units)) else {
                return false;
            };
            let fitted = grant.insert(Grant { wait: waited.max(fitted.wait), ..*fitted });
            if self.waits(fitted) {
                // Others settle what they have taken, and it may be free sooner.
                sleep(FITTED_AGAIN_AFTER).await;
            }
        }
        true
    }

    fn waits(&self, grant: &Grant) -> bool {
        self.limiter.until(grant.granted.at()) > FITTED_AGAIN_AFTER
    }

    fn has_seen(&self, Units { expected, .. }: Units) {
        if expected < u64::MAX {
            let usual = self.usual_units.get();
            let sum = usual * (SHARE_OF_LATEST - 1) + expected;
            self.usual_units.set(sum.div_ceil(SHARE_OF_LATEST).max(1));
        }
    }

    /// Says how many units a call took, as its answer has it.
    pub(crate) async fn settle(&self, grant: Option<&Grant>, used: u64) {
        let Some(grant) = grant.filter(|_| self.timed().counts_units()) else { return };
        if let Err(error) = self.timed().settle(&grant.granted, used).await {
            tracing::error!(error = chain(&error), "what a call has used is not settled");
        }
    }

    /// The answer as a slot is to be told of it that began `since` ago.
    pub(crate) fn tell(&self, since: Duration, reserved: Reserved) -> slot::Reserved<Box<Grant>> {
        match reserved {
            Reserved::Granted(grant) => slot::Reserved::Granted(slot::Grant {
                at: since + self.limiter.until(grant.granted.at()).saturating_sub(self.fit_lead()),
                void_at: since + self.limiter.until(grant.granted.void_at()),
                grant,
            }),
            Reserved::TooEarly(waiting) => {
                let asleep = self.asleep_behind(&waiting);
                slot::Reserved::TooEarly { rings_back_at: asleep.map(|asleep| since + asleep) }
            }
        }
    }

    fn fit_lead(&self) -> Duration {
        if self.timed().counts_units() { FIT_LEAD } else { Duration::ZERO }
    }

    /// For how long the rings of a slot sleep that asked too early; none need sleep if others have
    /// grants that are still to come.
    fn asleep_behind(&self, waiting: &Waiting) -> Option<Duration> {
        let now = self.limiter.now().since(Moment(0));
        let free_in = waiting.until.map(|until| self.limiter.until(until));
        match waiting.reason {
            // Slots of other stacks may have the grants, who look for other calls.
            Reason::NoGrant { .. } if self.shares_times() => {
                Some(free_in.unwrap_or(LOOKS_AGAIN).max(SHORTEST_SLEEP))
            }
            Reason::NoGrant { .. } => match self.others_have_grants() {
                // Who has it may be about to leave its place to whoever trusts in this slot.
                true if self.concurrency().is_some() => Some(LEASE),
                true => None,
                false => Some(free_in.unwrap_or_default()),
            },
            _ => Some(rings_asleep_for(now, free_in)),
        }
    }

    /// Whether the latest grant is still to come: who has it asks again after it.
    fn others_have_grants(&self) -> bool {
        let timed = self.timed();
        let latest = self.limiter.until(timed.granted_until());
        // Where units are counted, the latest call may keep all others waiting for longer.
        !latest.is_zero() && (!timed.counts_units() || latest <= timed.horizon())
    }

    /// How long until the moment of a grant; zero if it is past, or none is needed.
    pub(crate) fn until(&self, grant: Option<&Grant>) -> Duration {
        grant.map_or(Duration::ZERO, |grant| self.limiter.until(grant.granted.at()))
    }

    /// Waits for the moment of a grant, and says whether the call may go now. What came before the
    /// call may have taken so long that its grant is void; then it gets another, if there is one.
    pub(crate) async fn comes(&self, grant: &mut Option<Grant>) -> bool {
        let Some(held) = grant else { return true };
        if self.comes_in_time(held).await {
            return true;
        }
        match self.another(held).await {
            Reserved::Granted(another) => {
                self.give_back(std::mem::replace(held, *another)).await;
                self.comes_in_time(held).await
            }
            Reserved::TooEarly(_) => false,
        }
    }

    /// The grant was used for what comes before its call, which needs another one. Says whether it has it.
    pub(crate) async fn takes_another(&self, grant: &mut Option<Grant>) -> bool {
        let Some(used) = grant.take() else { return true };
        let Reserved::Granted(another) = self.another(&used).await else { return false };
        *grant = Some(*another);
        true
    }

    /// Asks for a grant like this one.
    async fn another(&self, grant: &Grant) -> Reserved {
        match grant.units {
            Some(units) => self.reserve_for(units).await,
            None => self.reserve().await,
        }
    }

    async fn comes_in_time(&self, grant: &Grant) -> bool {
        let until = self.limiter.until(grant.granted.at());
        if !until.is_zero() {
            sleep(until).await;
        }
        self.is_in_time(Some(grant))
    }

    /// Whether a call may still go by its grant. It may if it needs none.
    pub(crate) fn is_in_time(&self, grant: Option<&Grant>) -> bool {
        grant.is_none_or(|grant| self.limiter.now() < grant.granted.void_at())
    }

    /// How many grants were of this process's own share since this was last asked.
    pub(crate) fn take_grants_of_own_share(&self) -> u32 {
        let all = self.timed().stats().fallback_grants;
        let since = all - self.of_own_share.replace(all);
        u32::try_from(since).unwrap_or(u32::MAX).saturating_add(self.take_tenants_of_own_share())
    }

    /// Asks for the target's grant for a call whose tenant's moment is this one, or comes soon after.
    pub(crate) async fn reserve_at(&self, moment: Moment, units: Units) -> Option<Grant> {
        let limiter = self.timed();
        let decision = match limiter.counts_units() {
            true => limiter.reserve_units(units).await,
            false => limiter.reserve_from(moment, limiter.horizon()).await,
        };
        match self.reserved(decision, Some(units)) {
            Reserved::Granted(grant) => Some(*grant),
            Reserved::TooEarly(_) => None,
        }
    }

    /// Whether a call can go at the moment of the target's grant and of its tenant's.
    pub(crate) fn go_together(&self, grant: &Grant, moment: Moment) -> bool {
        let at = grant.granted.at();
        at.since(moment).max(moment.since(at)) <= TOGETHER
    }

    /// When a call may go at the earliest that has this grant.
    pub(crate) fn comes_at(&self, grant: Option<&Grant>) -> Option<Moment> {
        grant.map(|grant| grant.granted.at())
    }

    /// How far ahead a moment of the target's may be reserved.
    pub(crate) fn horizon(&self) -> Duration {
        self.timed().horizon()
    }

    /// How long until a moment; zero if it is past.
    pub(crate) fn until_moment(&self, moment: Moment) -> Duration {
        self.limiter.until(moment)
    }

    /// Gives back a grant that is not used. If others have reserved behind it, its moment is lost.
    pub(crate) async fn give_back(&self, grant: Grant) {
        self.timed().give_back(grant.granted).await;
    }
}
