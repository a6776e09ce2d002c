//! A store in this process's memory: for tests, for one process, and in place of one that is down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::control::{Control, Record};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Refusal, Reservation, Reserve};
use crate::core::register::Entry;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::{Error, Store};

/// Limits in memory. Clones share them; they are gone with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    limits: Arc<Mutex<HashMap<LimitKey, Limit>>>,
}

#[derive(Clone, Debug, Default)]
struct Limit {
    meter: Meter,
    ledger: Ledger,
    record: Record,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, limit: &LimitKey, step: impl FnOnce(&mut Limit) -> T) -> T {
        let mut limits: MutexGuard<'_, _> =
            self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        step(limits.entry(limit.clone()).or_default())
    }
}

impl Store for MemoryStore {
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, Error> {
        Ok(self.with(limit, |limit| {
            let reserved = limit.meter.reserve(reserve)?;
            limit.meter = reserved.after.clone();
            Ok(reserved)
        }))
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), Error> {
        self.with(limit, |limit| limit.meter = limit.meter.refund(refund));
        Ok(())
    }

    async fn undo(&self, limit: &LimitKey, before: &Meter, after: &Meter) -> Result<bool, Error> {
        Ok(self.with(limit, |limit| {
            let last = limit.meter == *after;
            if last {
                limit.meter = before.clone();
            }
            last
        }))
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, Error> {
        Ok(self.with(limit, |limit| limit.ledger.clone()))
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, Error> {
        Ok(self.with(limit, |limit| {
            let next = limit.ledger.version + 1 == ledger.version;
            if next {
                limit.ledger = ledger.clone();
            }
            next
        }))
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, Error> {
        Ok(self.with(limit, |limit| limit.meter.clone()))
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, Error> {
        Ok(self.with(limit, |limit| limit.record.clone()))
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, Error> {
        Ok(self.with(limit, |limit| {
            let next = limit.record.control.version + 1 == control.version;
            if next {
                limit.record.control = control.clone();
            }
            next
        }))
    }

    async fn enter(&self, limit: &LimitKey, slot: &SlotId, entry: Entry) -> Result<Record, Error> {
        Ok(self.with(limit, |limit| {
            limit.record.register.slots.insert(slot.clone(), entry);
            limit.record.clone()
        }))
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), Error> {
        self.with(limit, |limit| {
            let slots = &mut limit.record.register.slots;
            let lapsed = |entry: &Entry| if_lapsed_before.is_none_or(|at| entry.lease_until < at);
            if slots.get(slot).is_some_and(lapsed) {
                slots.remove(slot);
            }
        });
        Ok(())
    }
}
