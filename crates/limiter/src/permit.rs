//! Calls at once: a place in the register, by lease.

use crate::core::register::{Entry, Standing};
use crate::core::view::{Gate, Reason, Waiting};
use crate::limiter::Limiter;
use crate::moment::Moment;
use crate::store::{self, Store};

/// Entries of slots that did not leave, tidied away by one that enters.
const TIDIED: usize = 3;

/// The answer to who asks for a place.
#[derive(Debug)]
pub enum Entered<S> {
    /// A place is taken.
    Permit(Permit<S>),
    /// There is none, or nobody may call now.
    Refused(Waiting),
}

/// A place in the register. [`keep`](Self::keep) it between calls, and [`leave`](Self::leave) at the
/// end: a place that is only dropped counts until its lease is over.
#[derive(Debug)]
pub struct Permit<S> {
    limiter: Limiter<S>,
    entered_at: Moment,
    lease_until: Moment,
}

impl<S: Store> Limiter<S> {
    /// Takes a place among the calls at once: one write, which is a read of the control record too.
    ///
    /// # Errors
    /// The store failed, and [`Fallback::Refuse`](crate::Fallback) is set. Otherwise work goes on
    /// without the register, within what the platform allows.
    pub async fn enter(&self) -> Result<Entered<S>, store::Error> {
        if self.lock_view().must_read_first(self.now()) {
            self.refresh().await;
        }
        let gate = self.lock_view().gate(self.now(), &self.inner.slot);
        if let Gate::Shut(waiting) = gate {
            self.count_refusal();
            return Ok(Entered::Refused(waiting));
        }
        self.take_place().await
    }

    /// As [`enter`](Self::enter), whether or not anybody may call now: for whoever looks at the
    /// [`gate`](Self::gate) himself, before each call.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); or nobody knows whether a place that was one too many was given
    /// back. Then it counts until its lease is over.
    pub async fn take_place(&self) -> Result<Entered<S>, store::Error> {
        let now = self.now();
        let mut permit = Permit { limiter: self.clone(), entered_at: now, lease_until: now };
        let record = match permit.renew().await {
            Ok(record) => record,
            Err(error) => {
                self.store_failed(&error, "enter a slot");
                return match self.inner.settings.fallback {
                    crate::Fallback::Refuse => Err(error),
                    crate::Fallback::Split(_) => Ok(Entered::Permit(permit)),
                };
            }
        };
        let limit = self.lock_view().concurrency(now);
        let admitted = record.register.admits(&self.inner.slot, self.surely(now), limit);
        self.tidy(&record, now).await;
        match admitted {
            Standing::Stays => Ok(Entered::Permit(permit)),
            Standing::StandsDown { live, limit } => {
                permit.leave().await?;
                self.count_refusal();
                let until = Some(now.plus(self.inner.settings.read_every));
                let reason = Reason::NoSlot { live: live.saturating_sub(1), limit };
                Ok(Entered::Refused(Waiting { reason, until }))
            }
        }
    }

    /// A moment at which a lease that is over is over by everybody's clock.
    fn surely(&self, now: Moment) -> Moment {
        now.minus(self.inner.settings.margin.skew.saturating_mul(2))
    }

    async fn tidy(&self, record: &crate::Record, now: Moment) {
        let before = now.minus(self.inner.settings.lease);
        for slot in record.register.lapsed(before).take(TIDIED) {
            let left = self.inner.store.leave(&self.inner.limit, slot, Some(before)).await;
            if let Err(error) = left {
                self.store_failed(&error, "tidy the register");
            }
        }
    }
}

impl<S: Store> Permit<S> {
    /// Whether to go on: ask between two calls, or beside a long one. It renews the lease when a
    /// third of it is over, and otherwise reads the control record once a second.
    ///
    /// # Errors
    /// The store failed where the lease had to be renewed, and
    /// [`Fallback::Refuse`](crate::Fallback) is set. Otherwise work goes on.
    pub async fn keep(&mut self) -> Result<Standing, store::Error> {
        let limiter = self.limiter.clone();
        let settings = &limiter.inner.settings;
        if self.is_due() {
            if let Err(error) = self.renew().await {
                limiter.store_failed(&error, "renew a lease");
                if settings.fallback == crate::Fallback::Refuse {
                    return Err(error);
                }
            }
        } else {
            limiter.refresh().await;
        }
        let slot = &limiter.inner.slot;
        let standing = limiter.lock_view().standing(limiter.now(), slot);
        Ok(standing)
    }

    /// As [`keep`](Self::keep), and the control record is read or the lease renewed in any case: for
    /// whoever has reason to believe that somebody has just changed it.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub async fn look(&mut self) -> Result<Standing, store::Error> {
        if !self.is_due() {
            self.limiter.look().await;
        }
        self.keep().await
    }

    /// Whether its lease is to be renewed: a third of it is over.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let lease = self.limiter.inner.settings.lease;
        self.lease_until.since(self.limiter.now()) * 3 <= lease * 2
    }

    /// Until when the place counts without being kept.
    #[must_use]
    pub fn lease_until(&self) -> Moment {
        self.lease_until
    }

    /// Gives the place free.
    ///
    /// # Errors
    /// The store failed. The place comes free when its lease is over.
    pub async fn leave(self) -> Result<(), store::Error> {
        let inner = &self.limiter.inner;
        inner.store.leave(&inner.limit, &inner.slot, None).await
    }

    async fn renew(&mut self) -> Result<crate::Record, store::Error> {
        let limiter = &self.limiter;
        let inner = &limiter.inner;
        let now = limiter.now();
        let lease_until = now.plus(inner.settings.lease);
        let entry = Entry { entered_at: self.entered_at, lease_until };
        let record = inner.store.enter(&inner.limit, &inner.slot, entry).await?;
        self.lease_until = lease_until;
        limiter.lock_view().learns(limiter.now(), record.clone());
        Ok(record)
    }
}
