//! Calls that count for more than one: their units are taken from the ledger, and settled afterwards.
//!
//! Whoever knows the call asks for its units at once ([`Limiter::reserve_units`]). Whoever looks for the
//! call only when its moment comes asks for a *turn* first, and then *fits* the call into it. So the
//! most urgent call is taken at the last moment, and waits for its own units only.

use std::time::Duration;

use crate::core::ledger::{Ask, Ledger, RateTake, Taken};
use crate::core::meter::{QuotaTerm, Refusal, Reserve};
use crate::core::units::Units;
use crate::core::view::Waiting;
use crate::grant::{Decision, Grant, Terms, decision, waiting};
use crate::limiter::{Error, Limiter};
use crate::moment::Moment;
use crate::store::{self, Store};

/// Tries of one change, each of the ledger as it was then.
const ATTEMPTS: u32 = 8;

/// What a caller knows of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Its units.
    Call(Units),
    /// It has one unit, and does not go before this moment.
    From(Moment),
    /// Nothing yet.
    Turn(Units),
    /// Its units, and the moment of the turn in which it was found.
    Fit(Units),
}

impl<S: Store> Limiter<S> {
    /// Whether limits in effect, as far as this process knows, count more than calls.
    #[must_use]
    pub fn counts_units(&self) -> bool {
        self.terms().is_ok_and(|terms| terms.count_units())
    }

    /// Whether the limits ever let a call of so many units through.
    ///
    /// # Errors
    /// [`Error::is_call_too_large`]: no waiting would help. Or limits set live contradict themselves.
    pub fn takes(&self, units: Units) -> Result<(), Error> {
        let terms = self.terms()?;
        self.terms_of(&terms, units, 1).map(drop)
    }

    /// As [`reserve`](Self::reserve), for a call whose units are an estimate.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub async fn reserve_units(&self, units: Units) -> Result<Decision, Error> {
        let terms = self.terms()?;
        match terms.count_units() {
            true => Ok(decision(self.reserve_in_ledger(&terms, units, 1).await?)),
            false => self.reserve(1).await,
        }
    }

    /// Asks for a turn: the moment at which a call may go of which only its usual units are known. It
    /// takes the time of its pace, and almost none of the units: [`fit`](Self::fit) does.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub async fn turn(&self, usual: u64) -> Result<Decision, Error> {
        let terms = self.terms()?;
        if !terms.count_units() {
            return self.reserve(1).await;
        }
        let least = terms.rates.iter().map(|(rate, _)| rate.largest).filter(|most| *most > 1).min();
        let usual = usual.clamp(1, least.unwrap_or(u64::MAX));
        let asked = Asked::Turn(Units { expected: usual, most: 1 });
        Ok(decision(
            self.reserve_one(&terms, asked, None, self.horizon_under(&terms))
                .await?
                .map(|g| vec![g]),
        ))
    }

    /// Takes the units of a call that was found in its turn. The grant in the place of `turn` has the
    /// same moment if they are free then, or a later one `within` this time. If it is refused, the turn
    /// is given back.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub async fn fit(
        &self,
        turn: Grant,
        units: Units,
        within: Duration,
    ) -> Result<Decision, Error> {
        let terms = self.terms()?;
        if !terms.count_units() {
            return Ok(Decision::Granted(turn));
        }
        let probe = turn.probe;
        let fitted =
            self.reserve_one(&terms, Asked::Fit(units), turn.taken.as_ref(), within).await?;
        if fitted.is_err() || turn.taken.is_none() {
            self.give_back(Grant { probe: None, ..turn }).await;
        }
        Ok(decision(fitted.map(|grant| vec![Grant { probe, ..grant }])))
    }

    pub(crate) async fn reserve_in_ledger(
        &self,
        terms: &Terms,
        units: Units,
        calls: u32,
    ) -> Result<Result<Vec<Grant>, Waiting>, Error> {
        let mut grants = Vec::new();
        let mut horizon = self.horizon_under(terms);
        for _ in 0..calls.max(1) {
            match self.reserve_one(terms, Asked::Call(units), None, horizon).await? {
                Ok(grant) => grants.push(grant),
                // Those that were granted so far stay so.
                Err(waiting) if grants.is_empty() => return Ok(Err(waiting)),
                Err(_) => break,
            }
            // As with one write for several: only the first has to be near.
            horizon = Duration::MAX;
        }
        Ok(Ok(grants))
    }

    pub(crate) async fn reserve_in_ledger_from(
        &self,
        terms: &Terms,
        from: Moment,
        within: Duration,
    ) -> Result<Decision, Error> {
        let granted = self.reserve_one(terms, Asked::From(from), None, within).await?;
        Ok(decision(granted.map(|grant| vec![grant])))
    }

    pub(crate) async fn next_free_in_ledger(&self, terms: &Terms) -> Result<Moment, Error> {
        let ask = self.ask(terms, Asked::From(self.now()), None, Duration::MAX)?;
        let ledger = self.inner.store.ledger(&self.inner.limit).await?;
        Ok(ledger.reserve(&ask).map_or_else(|refusal| refusal.retry_at, |(taken, _)| taken.at))
    }

    async fn reserve_one(
        &self,
        terms: &Terms,
        asked: Asked,
        instead_of: Option<&Taken>,
        horizon: Duration,
    ) -> Result<Result<Grant, Waiting>, Error> {
        let ask = self.ask(terms, asked, instead_of, horizon)?;
        let units = asked.units();
        let step = |ledger: &Ledger| {
            let reserved = ledger.reserve(&ask);
            let latest = reserved.as_ref().map(|(_, after)| after.latest());
            self.hears_of_latest(latest.unwrap_or_else(|refusal| refusal.latest));
            // Where nothing has changed, nothing is written.
            let is_held = |taken: &Taken| ask.instead_of.as_ref() == Some(taken);
            reserved.map(|(taken, after)| (Some(after).filter(|_| !is_held(&taken)), taken))
        };
        match self.in_ledger(step, true).await {
            Ok(Ok(taken)) => {
                self.store_answers(terms).await;
                Ok(Ok(self.granted_in_ledger(terms, taken, units)))
            }
            Ok(Err(refusal)) => Ok(Err(self.refused(waiting(terms, refusal)))),
            Err(store::Error::Contended { .. }) => Ok(Err(self.contended(terms))),
            Err(error) => {
                self.store_failed(&error, "reserve");
                let reserve = Reserve { horizon, ..self.terms_of(terms, units, 1)? };
                let most = units.most.max(units.expected);
                let granted = self.reserve_locally(terms, reserve, most).await?;
                Ok(granted.and_then(|mut grants| match grants.pop() {
                    Some(grant) => Ok(grant),
                    None => Err(self.contended(terms)),
                }))
            }
        }
    }

    fn granted_in_ledger(&self, terms: &Terms, taken: Taken, units: Units) -> Grant {
        self.count_grants(1, false);
        let largest = terms.rates.iter().map(|(rate, _)| rate.largest).max().unwrap_or(u64::MAX);
        Grant {
            at: taken.at,
            void_at: taken.at.plus(self.inner.settings.margin.lateness),
            units: units.most.min(largest),
            probe: None,
            by_fallback: false,
            reservation: None,
            spent: taken.quotas.clone(),
            taken: Some(taken),
        }
    }

    fn ask(
        &self,
        terms: &Terms,
        asked: Asked,
        instead_of: Option<&Taken>,
        horizon: Duration,
    ) -> Result<Ask, Error> {
        let margin = &self.inner.settings.margin;
        let mut rates = Vec::with_capacity(terms.rates.len());
        for (rate, _) in &terms.rates {
            let take = rate.take(asked.units(), margin);
            let take = take.map_err(|source| Error::Rate { rate: rate.to_string(), source })?;
            rates.push(asked.takes(take));
        }
        let mut quotas = Vec::with_capacity(terms.quotas.len());
        for (quota, resets_at) in &terms.quotas {
            let (units, resets_at) = (quota.take(asked.units())?, *resets_at);
            quotas.push(QuotaTerm { units, limit: quota.units, resets_at });
        }
        // A call that is fitted a little late is still in time for its turn.
        let now = match (asked, instead_of) {
            (Asked::From(from), _) => from,
            (_, Some(_)) => self.now().minus(margin.lateness / 2),
            (_, None) => self.now(),
        };
        Ok(Ask { now, horizon, rates, quotas, instead_of: instead_of.cloned() })
    }

    /// Puts what a call used in the place of what its grant has taken.
    pub(crate) async fn settle_in_ledger(&self, taken: &Taken, used: u64) -> Result<(), Error> {
        let terms = self.terms()?;
        let margin = &self.inner.settings.margin;
        let rate = |rate: &crate::Rate| {
            let Ok(most) = rate.take(Units::LARGEST, margin) else { return Default::default() };
            // A call may have used more than one is allowed to.
            let share = u128::from(used) * most.pace.as_nanos() / u128::from(rate.largest.max(1));
            let pace = Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
            match (rate.counts_calls(), most.window) {
                (true, _) => (0, Duration::ZERO),
                (false, Some(_)) => (used, pace),
                (false, None) => (0, pace),
            }
        };
        let quota = |(quota, _): &(crate::Quota, Moment)| {
            let units = quota.largest.map_or(1, |_| used);
            crate::Spent { units, ..crate::Spent::default() }
        };
        let really = Taken {
            at: taken.at,
            rates: terms.rates.iter().map(|(limit, _)| rate(limit)).collect(),
            quotas: terms.quotas.iter().map(quota).collect(),
            ..Taken::default()
        };
        if really.rates != taken.rates || !same_units(&really, taken) {
            self.settle_to(taken, &really, "settle a grant").await;
        }
        Ok(())
    }

    /// Takes back what a grant has taken that is not used. The moment of a call that counts as one is
    /// lost.
    pub(crate) async fn give_back_to_ledger(&self, taken: &Taken) -> bool {
        self.settle_to(taken, &Taken::default(), "take a grant back").await
    }

    async fn settle_to(&self, taken: &Taken, really: &Taken, what: &str) -> bool {
        let step = |ledger: &Ledger| Ok((Some(ledger.settled(taken, really)), ()));
        let settled = self.in_ledger(step, false).await;
        settled.map(|_| true).unwrap_or_else(|error| {
            // What it was granted stays taken until its window is over. That passes no limit.
            self.store_failed(&error, what);
            false
        })
    }

    /// Replaces the ledger by what `step` makes of it, and again of the newer one if somebody else was
    /// faster. Only what is `repeatable` is tried again after a lost reply.
    pub(crate) async fn in_ledger<T>(
        &self,
        step: impl Fn(&Ledger) -> Result<(Option<Ledger>, T), Refusal>,
        repeatable: bool,
    ) -> Result<Result<T, Refusal>, store::Error> {
        let inner = &*self.inner;
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let ledger = inner.store.ledger(&inner.limit).await?;
            let (next, done) = match step(&ledger) {
                Ok((Some(next), done)) => (next, done),
                Ok((None, done)) => return Ok(Ok(done)),
                Err(refusal) => return Ok(Err(refusal)),
            };
            match inner.store.replace_ledger(&inner.limit, &next).await {
                Ok(true) => return Ok(Ok(done)),
                Ok(false) => {}
                Err(error) if repeatable && lost.is_none() => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost.unwrap_or(store::Error::Contended { attempts: ATTEMPTS }))
    }
}

impl Asked {
    fn units(self) -> Units {
        match self {
            Self::Call(units) | Self::Turn(units) | Self::Fit(units) => units,
            Self::From(_) => Units::up_to(1),
        }
    }

    /// A turn comes some time after the one before, or many would wait for room at once. A call that is
    /// fitted has waited for its turn, and waits for room only.
    fn takes(self, take: RateTake) -> RateTake {
        match (self, take.window) {
            (Self::Turn(_), Some(_)) => RateTake { apart: take.pace / 16, ..take },
            (Self::Fit(_), Some(_)) => RateTake { ahead: Duration::MAX, ..take },
            _ => take,
        }
    }
}

fn same_units(one: &Taken, other: &Taken) -> bool {
    let units = |taken: &Taken| taken.quotas.iter().map(|spent| spent.units).collect::<Vec<_>>();
    units(one) == units(other)
}
