//! Saying what a call used, and giving back what it did not.

use crate::core::control::Report;
use crate::core::meter::{Meter, Refund, Reservation, Spent};
use crate::core::quota::Quota;
use crate::core::rate::{Pace, Rate};
use crate::grant::{Grant, Terms, units_of};
use crate::limiter::{Error, Limiter};
use crate::moment::Moment;
use crate::store::{self, Store};

impl<S: Store> Limiter<S> {
    /// Says what a call really used, where that differs from the units of its grant (tokens). What
    /// it did not use is given back; what it used beyond its grant is taken from what is to come.
    /// One write, and none if it used what it had reserved. A store that is down is counted and
    /// warned of.
    ///
    /// # Errors
    /// Limits set live contradict themselves.
    pub async fn settle(&self, grant: &Grant, used: u64) -> Result<(), Error> {
        if let Some(taken) = &grant.taken {
            return self.settle_in_ledger(taken, used).await;
        }
        // A call that counts as one has used one.
        if !grant.by_fallback || used >= grant.units {
            return Ok(());
        }
        let terms = self.terms()?;
        if let Err(error) = self.refund(grant, &terms, used).await {
            self.store_failed(&error, "settle a grant");
        }
        Ok(())
    }

    async fn refund(&self, grant: &Grant, terms: &Terms, used: u64) -> Result<(), store::Error> {
        let rate = |(rate, pace): &(Rate, Pace)| {
            let of = |units: u64| pace.of_units(units_of(rate, units));
            of(grant.units).saturating_sub(of(used))
        };
        let quota = |(spent, (quota, _)): (&Spent, &(Quota, Moment))| {
            let units = quota.largest.map_or(0, |_| grant.units - used);
            Spent { units, ..*spent }
        };
        let refund = Refund {
            rates: terms.rates.iter().map(rate).collect(),
            quotas: grant.spent.iter().zip(&terms.quotas).map(quota).collect(),
        };
        self.give_back_units(grant, &refund).await
    }

    /// Gives a grant back that is not used. That works as long as it is not void and nobody has
    /// reserved behind it; otherwise, and if the store is down, its moment is lost, which passes no
    /// limit. What it took of quotas is given back all the same. Says whether its moment was.
    pub async fn give_back(&self, grant: Grant) -> bool {
        if grant.probe.is_some() {
            self.report("", &Report::NoProbe).await;
        }
        if let Some(taken) = &grant.taken {
            return self.give_back_to_ledger(taken).await;
        }
        let undone = self.undo(&grant).await.unwrap_or_else(|error| {
            self.store_failed(&error, "take a grant back");
            // It may have been done.
            true
        });
        if !undone && !grant.spent.is_empty() {
            let quotas = grant.spent.iter().map(|spent| Spent { units: grant.units, ..*spent });
            let refund = Refund { rates: Vec::new(), quotas: quotas.collect() };
            if let Err(error) = self.give_back_units(&grant, &refund).await {
                self.store_failed(&error, "take back what a grant took of quotas");
            }
        }
        undone
    }

    /// Undoes the reservation of a grant, if that is of use to anybody.
    async fn undo(&self, grant: &Grant) -> Result<bool, store::Error> {
        let reservation = grant.reservation.as_deref().filter(|_| self.now() < grant.void_at);
        let Some(Reservation { before, after, .. }) = reservation else { return Ok(false) };
        match grant.by_fallback {
            true => self.inner.local.undo(&self.inner.limit, before, after).await,
            false => self.inner.store.undo(&self.inner.limit, before, after).await,
        }
    }

    async fn give_back_units(&self, grant: &Grant, refund: &Refund) -> Result<(), store::Error> {
        match grant.by_fallback {
            true => self.inner.local.refund(&self.inner.limit, refund).await,
            false => self.inner.store.refund(&self.inner.limit, refund).await,
        }
    }

    /// Forgets the moments that are reserved and still to come: for who knows that nobody uses them.
    /// One read, and one write if there are some. Says whether there were; false also if somebody
    /// reserves at the same time. It is not for limits that count units.
    ///
    /// # Errors
    /// The store failed.
    pub async fn begin_anew(&self) -> Result<bool, Error> {
        let meter = self.inner.store.meter(&self.inner.limit).await?;
        let now = self.now();
        let due = meter.due.iter().map(|due| now.min(*due)).collect();
        let anew = Meter { due, ..meter.clone() };
        match anew == meter {
            true => Ok(false),
            false => Ok(self.inner.store.undo(&self.inner.limit, &anew, &meter).await?),
        }
    }
}
