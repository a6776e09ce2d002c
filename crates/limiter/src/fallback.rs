//! A process's own share of a limit, while its store cannot be reached.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, QuotaTerm, RateTerm, Refund, Reserve, Spent};
use crate::core::view::{Reason, Waiting};
use crate::grant::{Grant, Terms};
use crate::limiter::{Error, Fallback, Limiter};
use crate::store::{self, Store};

impl<S: Store> Limiter<S> {
    /// Grants of this process's own share what the store did not answer.
    pub(crate) async fn reserve_locally(
        &self,
        terms: &Terms,
        reserve: Reserve,
        units: u64,
    ) -> Result<Result<Vec<Grant>, Waiting>, Error> {
        let Fallback::Split(parts) = self.inner.settings.fallback else {
            let until = Some(self.now().plus(self.inner.settings.read_every));
            return Ok(Err(self.refused(Waiting { reason: Reason::StoreDown, until })));
        };
        let parts = parts.max(1);
        let rate = |term: &RateTerm| RateTerm {
            cost: term.cost.saturating_mul(parts),
            burst: Duration::ZERO,
        };
        let quota = |term: &QuotaTerm| QuotaTerm { limit: term.limit / u64::from(parts), ..*term };
        let share = Reserve {
            // To find out that the store is down may have taken a second.
            now: reserve.now.max(self.now()),
            // The share's interval is longer, and with it what counts as near.
            horizon: reserve.horizon.saturating_mul(parts),
            rates: reserve.rates.iter().map(rate).collect(),
            quotas: reserve.quotas.iter().map(quota).collect(),
            ..reserve
        };
        if !self.inner.store_is_down.swap(true, Ordering::Relaxed) {
            // What the store granted until now is still to come: the share begins a call later.
            let quotas = share.quotas.iter().map(|term| QuotaTerm { units: 0, ..*term }).collect();
            let begins = Reserve { overdraw: true, quotas, ..share.clone() };
            let _ = self.inner.local.reserve(&self.inner.limit, &begins).await?;
        }
        let answer = self.inner.local.reserve(&self.inner.limit, &share).await?;
        Ok(self.answered_by_store(terms, answer, units, true))
    }

    /// The store has answered. If it could not be reached before, what this process has taken of its own
    /// share is counted now: time that its latest calls have yet to wait out, and units of quotas. Else
    /// the moments that all processes hold of their shares would come on top of what the store grants.
    ///
    /// One more write after each outage. If that is lost, the next answer brings another.
    pub(crate) async fn store_answers(&self, terms: &Terms) {
        let inner = &*self.inner;
        if !inner.store_is_down.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.count_share(terms).await {
            inner.store_is_down.store(true, Ordering::Relaxed);
            self.store_failed(&error, "count what was taken of the own share");
        }
    }

    async fn count_share(&self, terms: &Terms) -> Result<(), store::Error> {
        let Fallback::Split(parts) = self.inner.settings.fallback else { return Ok(()) };
        let (limit, now) = (&self.inner.limit, self.now());
        let taken = self.inner.local.meter(limit).await?;
        let due = |rate: usize| taken.due(rate).since(now) / parts.max(1);
        let owed: Vec<_> = (0..terms.rates.len()).map(due).collect();
        let spent = spent_of(&taken, terms);
        if owed.iter().all(Duration::is_zero) && spent.iter().all(|spent| spent.units == 0) {
            return Ok(());
        }
        match terms.count_units() {
            true => {
                let owes = |ledger: &Ledger| Ok((Some(ledger.owing(now, &owed, &spent)), ()));
                let _ = self.in_ledger(owes, false).await?;
            }
            false => {
                let rate = |cost: &Duration| RateTerm { cost: *cost, burst: Duration::ZERO };
                let quota = |spent: &Spent| QuotaTerm {
                    units: spent.units,
                    limit: u64::MAX,
                    resets_at: spent.resets_at,
                };
                let owes = Reserve {
                    now,
                    horizon: Duration::ZERO,
                    calls: 1,
                    rates: owed.iter().map(rate).collect(),
                    quotas: spent.iter().map(quota).collect(),
                    overdraw: true,
                };
                let _ = self.inner.store.reserve(limit, &owes).await?;
            }
        }
        // Units are counted once; time that is owed passes by itself.
        let counted = Refund { rates: Vec::new(), quotas: taken.spent };
        self.inner.local.refund(limit, &counted).await
    }
}

/// What was taken of each quota that has not begun anew since.
fn spent_of(taken: &Meter, terms: &Terms) -> Vec<Spent> {
    let spent = |(index, (_, resets_at)): (usize, &(_, _))| {
        let spent = taken.spent.get(index).filter(|spent| spent.resets_at == *resets_at);
        Spent { units: spent.map_or(0, |spent| spent.units), resets_at: *resets_at }
    };
    terms.quotas.iter().enumerate().map(spent).collect()
}
