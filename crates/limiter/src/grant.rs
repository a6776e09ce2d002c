//! Asking for a moment at which a call may go.

use std::time::Duration;

use crate::core::breaker::FailureKind;
use crate::core::control::Control;
use crate::core::ledger::Taken;
use crate::core::meter::{Meter, Part, QuotaTerm, RateTerm, Refusal, Reservation, Reserve, Spent};
use crate::core::quota::Quota;
use crate::core::rate::{Pace, Rate};
use crate::core::units::Units;
use crate::core::view::{Gate, Reason, Waiting};
use crate::limiter::{Error, Limiter};
use crate::moment::Moment;
use crate::store::{self, Store};

/// How long to wait before asking again, after losing to too many others.
const CONTENDED: Duration = Duration::from_millis(50);

/// The answer to who asks whether a call may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may, at the grant's moment.
    Granted(Grant),
    /// It may not yet. Nothing is held for it.
    Refused(Waiting),
}

/// A moment at which one call may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) at: Moment,
    pub(crate) void_at: Moment,
    pub(crate) units: u64,
    pub(crate) probe: Option<FailureKind>,
    pub(crate) by_fallback: bool,
    /// What to undo: only of a reservation for one call.
    pub(crate) reservation: Option<Box<Reservation>>,
    /// What it took of the ledger, where units are counted.
    pub(crate) taken: Option<Taken>,
    /// The counters that it took from.
    pub(crate) spent: Vec<Spent>,
}

impl Grant {
    /// When the call may go, in the fleet's time. [`Limiter::until`] says how long that is.
    #[must_use]
    pub fn at(&self) -> Moment {
        self.at
    }

    /// From then on it is void: a call this late needs a new grant, or it may come too close to
    /// the next.
    #[must_use]
    pub fn void_at(&self) -> Moment {
        self.void_at
    }

    /// Units that it is for, at most.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// The call is the breaker's probe. Where credentials were refused, read the secret anew first.
    #[must_use]
    pub fn probe(&self) -> Option<FailureKind> {
        self.probe
    }

    /// The store could not be reached, and this is of this process's own share.
    #[must_use]
    pub fn is_by_fallback(&self) -> bool {
        self.by_fallback
    }
}

/// The parts of a limit as they are reserved from.
pub(crate) struct Terms {
    pub(crate) rates: Vec<(Rate, Pace)>,
    pub(crate) quotas: Vec<(Quota, Moment)>,
}

impl<S: Store> Limiter<S> {
    /// Asks for the moment at which a call of up to `units` may go. Limits that count calls do not look
    /// at them.
    ///
    /// One write while a rate or a quota is set, and none otherwise; one read before it where units are
    /// counted. The control record is read
    /// beside it once a second, and before it only at the start and after a freeze.
    ///
    /// # Errors
    /// The call is larger than the limit ever allows, or limits set live contradict themselves. A
    /// store that cannot be reached is no error: the [fallback](crate::Fallback) decides.
    pub async fn grant(&self, units: u64) -> Result<Decision, Error> {
        Ok(decision(self.grants(units, 1).await?))
    }

    /// The same for several calls of the same size with one write. Use it where a limit is asked
    /// for more often than the store can write one item (DynamoDB: about 1,000 times a second).
    ///
    /// # Errors
    /// As [`grant`](Self::grant).
    pub async fn grants(
        &self,
        units: u64,
        calls: u32,
    ) -> Result<Result<Vec<Grant>, Waiting>, Error> {
        if self.lock_view().must_read_first(self.now()) {
            self.refresh().await;
        }
        let gate = self.lock_view().gate(self.now(), &self.inner.slot);
        let gate = match gate {
            // Perhaps somebody has opened it.
            Gate::Shut(_) | Gate::Probe { .. } => {
                self.refresh().await;
                self.lock_view().gate(self.now(), &self.inner.slot)
            }
            Gate::Open => Gate::Open,
        };
        if let Gate::Shut(waiting) = gate {
            return Ok(Err(self.refused(waiting)));
        }
        let reserved = self.reserve_all(units, calls);
        let granted = futures::future::join(reserved, self.refresh()).await.0?;
        match (granted, gate) {
            (Ok(grants), Gate::Probe { kind }) => Ok(self.probe(grants, kind).await),
            (granted, _) => Ok(granted),
        }
    }

    /// As [`grant`](Self::grant), without a look at the control record: for a program that reads it
    /// beside its calls, and asks the [gate](Self::gate) by itself.
    ///
    /// # Errors
    /// As [`grant`](Self::grant).
    pub async fn reserve(&self, units: u64) -> Result<Decision, Error> {
        Ok(decision(self.reserve_all(units, 1).await?))
    }

    /// As [`reserve`](Self::reserve), for one call of one unit that may not go before `from`: the
    /// first moment that is free from then on, `within` this time after it. So a call that needs a
    /// moment of two limits gets the one for the other, and each caller says how long it would wait.
    ///
    /// A call that would go after the reset of a quota is refused until then, also if some of the quota
    /// is left: what is counted now is not what will count then.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub async fn reserve_from(&self, from: Moment, within: Duration) -> Result<Decision, Error> {
        let terms = self.terms()?;
        let from = from.max(self.now());
        if let Some(refusal) = terms.reset_before(from, self.granted_until()) {
            return Ok(Decision::Refused(self.refused(waiting(&terms, refusal))));
        }
        if terms.count_units() {
            return self.reserve_in_ledger_from(&terms, from, within).await;
        }
        let reserve = self.terms_of(&terms, Units::up_to(1), 1)?;
        let reserve = Reserve { now: from, horizon: within, ..reserve };
        Ok(decision(self.reserve_by(&terms, reserve).await?))
    }

    /// The moment from which one call of one unit could go, or at which a quota begins anew that is
    /// spent. It is past if the rates have been idle since then; where units are counted, it is not
    /// before now. It is reserved for nobody. One read.
    ///
    /// # Errors
    /// The store failed, or limits set live contradict themselves.
    pub async fn next_free(&self) -> Result<Moment, Error> {
        let terms = self.terms()?;
        if terms.count_units() {
            return self.next_free_in_ledger(&terms).await;
        }
        let reserve = self.terms_of(&terms, Units::up_to(1), 1)?;
        let meter = self.inner.store.meter(&self.inner.limit).await?;
        Ok(meter.free_since(&reserve))
    }

    /// Whether rates or quotas are in effect, as far as this process knows: without them a grant
    /// costs no request, and comes at once.
    #[must_use]
    pub fn keeps_rates(&self) -> bool {
        let (rates, quotas) = self.limits();
        !rates.is_empty() || !quotas.is_empty()
    }

    /// How far apart calls of one unit are under the slowest rate in effect, if there is one.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let (rates, _) = self.limits();
        let paces = rates.iter().filter_map(|rate| rate.pace(&self.inner.settings.margin).ok());
        paces.map(|pace| pace.of_units(1)).max()
    }

    /// One of the grants becomes the breaker's probe, if this slot is elected.
    async fn probe(
        &self,
        mut grants: Vec<Grant>,
        kind: FailureKind,
    ) -> Result<Vec<Grant>, Waiting> {
        let Some(grant) = grants.drain(..).next() else { return Ok(grants) };
        if self.is_elected().await {
            return Ok(vec![Grant { probe: Some(kind), ..grant }]);
        }
        self.give_back(grant).await;
        let until = Some(self.now().plus(self.inner.settings.read_every));
        Err(self.refused(Waiting { reason: Reason::BreakerOpen { kind }, until }))
    }

    /// Whether this slot has just become the breaker's probe: one write, if nobody was faster. Ask it
    /// where the [gate](Self::gate) says that a probe may go. One that is it already has its call.
    pub async fn is_elected(&self) -> bool {
        let inner = &*self.inner;
        let Some(rules) = &inner.settings.rules.breaker else { return true };
        let elect = |control: &Control| control.elected(self.now(), &inner.slot, rules);
        match self.rewrite(elect).await {
            Ok((_, elected)) => elected,
            Err(error) => {
                self.store_failed(&error, "elect a probe");
                false
            }
        }
    }

    async fn reserve_all(
        &self,
        units: u64,
        calls: u32,
    ) -> Result<Result<Vec<Grant>, Waiting>, Error> {
        let terms = self.terms()?;
        if terms.count_units() {
            return self.reserve_in_ledger(&terms, Units::up_to(units), calls).await;
        }
        let reserve = self.terms_of(&terms, Units::up_to(1), calls)?;
        self.reserve_by(&terms, reserve).await
    }

    async fn reserve_by(
        &self,
        terms: &Terms,
        reserve: Reserve,
    ) -> Result<Result<Vec<Grant>, Waiting>, Error> {
        if terms.rates.is_empty() && terms.quotas.is_empty() {
            let grants = self.granted(self.now_reserved(&reserve), 1, false);
            return Ok(Ok(grants));
        }
        match self.inner.store.reserve(&self.inner.limit, &reserve).await {
            Ok(answer) => {
                self.store_answers(terms).await;
                Ok(self.answered_by_store(terms, answer, 1, false))
            }
            Err(store::Error::Contended { .. }) => Ok(Err(self.contended(terms))),
            Err(error) => {
                self.store_failed(&error, "reserve");
                self.reserve_locally(terms, reserve, 1).await
            }
        }
    }

    /// A limit without rates and quotas grants at once.
    fn now_reserved(&self, reserve: &Reserve) -> Reservation {
        let moments = vec![reserve.now; reserve.calls.max(1) as usize];
        let meter = Meter::default();
        Reservation { at: reserve.now, moments, before: meter.clone(), after: meter }
    }

    /// The store is there, and others were faster: nobody's share comes on top of theirs.
    pub(crate) fn contended(&self, terms: &Terms) -> Waiting {
        let (by, retry_at) = (Part::Rate(0), self.now().plus(CONTENDED));
        let refusal = Refusal { by, retry_at, latest: self.granted_until() };
        self.refused(waiting(terms, refusal))
    }

    pub(crate) fn answered_by_store(
        &self,
        terms: &Terms,
        answer: Result<Reservation, Refusal>,
        units: u64,
        by_fallback: bool,
    ) -> Result<Vec<Grant>, Waiting> {
        match answer {
            Ok(reservation) => {
                self.hears_of_latest(reservation.after.latest);
                Ok(self.granted(reservation, units, by_fallback))
            }
            Err(refusal) => {
                self.hears_of_latest(refusal.latest);
                Err(self.refused(waiting(terms, refusal)))
            }
        }
    }

    pub(crate) fn granted(
        &self,
        reservation: Reservation,
        units: u64,
        by_fallback: bool,
    ) -> Vec<Grant> {
        let lateness = self.inner.settings.margin.lateness;
        let single = reservation.moments.len() == 1;
        self.count_grants(reservation.moments.len() as u64, by_fallback);
        let grant = |at: &Moment| Grant {
            at: *at,
            void_at: at.plus(lateness),
            units,
            probe: None,
            by_fallback,
            reservation: single.then(|| Box::new(reservation.clone())),
            taken: None,
            spent: reservation.after.spent.clone(),
        };
        reservation.moments.iter().map(grant).collect()
    }

    pub(crate) fn refused(&self, waiting: Waiting) -> Waiting {
        self.count_refusal();
        waiting
    }

    pub(crate) fn terms(&self) -> Result<Terms, Error> {
        let (rates, quotas) = self.limits();
        let now = self.now();
        let paced = |rate: Rate| match rate.pace(&self.inner.settings.margin) {
            Ok(pace) => Ok((rate, pace)),
            Err(source) => Err(Error::Rate { rate: rate.to_string(), source }),
        };
        let dated = |quota: Quota| {
            let resets_at = quota.resets_at(now)?;
            Ok::<_, Error>((quota, resets_at))
        };
        Ok(Terms {
            rates: rates.into_iter().map(paced).collect::<Result<_, _>>()?,
            quotas: quotas.into_iter().map(dated).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn terms_of(
        &self,
        terms: &Terms,
        units: Units,
        calls: u32,
    ) -> Result<Reserve, Error> {
        let mut rates = Vec::with_capacity(terms.rates.len());
        for (rate, pace) in &terms.rates {
            let taken = rate.take(units, &self.inner.settings.margin);
            taken.map_err(|source| Error::Rate { rate: rate.to_string(), source })?;
            let most = units.most.max(units.expected).min(rate.largest);
            rates.push(RateTerm { cost: pace.of_units(units_of(rate, most)), burst: pace.burst() });
        }
        let mut quotas = Vec::with_capacity(terms.quotas.len());
        for (quota, resets_at) in &terms.quotas {
            let (units, resets_at) = (quota.take(units)?, *resets_at);
            quotas.push(QuotaTerm { units, limit: quota.units, resets_at });
        }
        let horizon = self.horizon_under(terms);
        Ok(Reserve { now: self.now(), horizon, calls, rates, quotas, overdraw: false })
    }
}

impl Terms {
    /// The quota that begins anew before a call goes at `at`, if one does.
    fn reset_before(&self, at: Moment, latest: Moment) -> Option<Refusal> {
        let resets = self.quotas.iter().map(|(_, resets_at)| *resets_at).enumerate();
        let (quota, retry_at) =
            resets.filter(|(_, resets_at)| *resets_at <= at).max_by_key(|(_, at)| *at)?;
        Some(Refusal { by: Part::Quota(quota), retry_at, latest })
    }

    /// Whether a call may count for more than one.
    pub(crate) fn count_units(&self) -> bool {
        let mut quotas = self.quotas.iter();
        self.rates.iter().any(|(rate, _)| !rate.counts_calls())
            || quotas.any(|(quota, _)| quota.largest.is_some())
    }
}

/// What a call of so many units counts for.
pub(crate) fn units_of(rate: &Rate, units: u64) -> u64 {
    if rate.counts_calls() { 1 } else { units }
}

/// Of one call.
pub(crate) fn decision(granted: Result<Vec<Grant>, Waiting>) -> Decision {
    match granted.map(|mut grants| grants.pop()) {
        Ok(Some(grant)) => Decision::Granted(grant),
        Ok(None) => Decision::Refused(Waiting { reason: Reason::StoreDown, until: None }),
        Err(waiting) => Decision::Refused(waiting),
    }
}

pub(crate) fn waiting(terms: &Terms, refusal: Refusal) -> Waiting {
    let reason = match refusal.by {
        Part::Rate(index) => {
            let limit =
                terms.rates.get(index).map_or_else(String::new, |(rate, _)| rate.to_string());
            Reason::NoGrant { limit }
        }
        Part::Quota(index) => {
            let quota = terms.quotas.get(index);
            let limit =
                quota.map_or_else(String::new, |(quota, _)| format!("a quota of {}", quota.units));
            Reason::QuotaSpent { limit }
        }
    };
    Waiting { reason, until: Some(refusal.retry_at) }
}
