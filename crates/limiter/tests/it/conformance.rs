//! The published suite passes on sound stores and notices broken ones.

use std::sync::Mutex;

use slowlane_limiter::{
    BoxStore, Control, Entry, Ledger, LimitKey, MemoryStore, Meter, Moment, Record, Refund,
    Refusal, Reservation, Reserve, SlotId, Spent, Store, StoreError, conformance,
};

#[tokio::test]
async fn sound_stores_pass() {
    conformance::check(&MemoryStore::new(), "suite").await.unwrap();
    conformance::check(&BoxStore::new(MemoryStore::new()), "suite").await.unwrap();
}

/// A way in which a store can be wrong.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    /// Looks first and writes later.
    NotAtomic,
    IgnoresHorizon,
    IgnoresBurst,
    IgnoresQuotas,
    IgnoresOverdraft,
    ForgetsRefunds,
    RefundsAnyCounter,
    UndoesAnything,
    UndoesNothing,
    IgnoresVersion,
    IgnoresLedgersVersion,
    ForgetsLedger,
    ForgetsControlOfRegister,
    EntersLate,
    TidiesEverybody,
    NeverLeaves,
}

#[tokio::test]
async fn broken_stores_are_noticed() {
    for (flaw, case) in [
        (Flaw::NotAtomic, "many at once"),
        (Flaw::IgnoresHorizon, "walk"),
        (Flaw::IgnoresBurst, "walk"),
        (Flaw::IgnoresQuotas, "walk"),
        (Flaw::IgnoresOverdraft, "walk"),
        (Flaw::ForgetsRefunds, "walk"),
        (Flaw::RefundsAnyCounter, "walk"),
        (Flaw::UndoesAnything, "undoing"),
        (Flaw::UndoesNothing, "undoing"),
        (Flaw::IgnoresVersion, "versions"),
        (Flaw::IgnoresLedgersVersion, "ledger"),
        (Flaw::ForgetsLedger, "ledger"),
        (Flaw::ForgetsControlOfRegister, "register"),
        (Flaw::EntersLate, "register"),
        (Flaw::TidiesEverybody, "register"),
        (Flaw::NeverLeaves, "register"),
    ] {
        let store = Flawed { flaw, sound: MemoryStore::new(), meter: Mutex::default() };
        let broken = conformance::check(&store, "suite").await.expect_err(&format!("{flaw:?}"));
        assert_eq!(broken.case, case, "{flaw:?}: {broken}");
    }
}

struct Flawed {
    flaw: Flaw,
    sound: MemoryStore,
    /// What one that is not atomic keeps.
    meter: Mutex<Meter>,
}

impl Store for Flawed {
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, StoreError> {
        let mut reserve = reserve.clone();
        match self.flaw {
            Flaw::IgnoresHorizon => reserve.horizon = std::time::Duration::MAX,
            Flaw::IgnoresBurst => reserve
                .rates
                .iter_mut()
                .for_each(|r| r.burst = r.burst.min(std::time::Duration::ZERO)),
            Flaw::IgnoresQuotas => reserve.quotas.iter_mut().for_each(|q| q.limit = u64::MAX),
            Flaw::IgnoresOverdraft => reserve.overdraw = false,
            Flaw::NotAtomic if limit.as_str().ends_with("many") => {
                let meter = self.meter.lock().unwrap().clone();
                tokio::task::yield_now().await;
                let reserved = meter.reserve(&reserve);
                if let Ok(reserved) = &reserved {
                    *self.meter.lock().unwrap() = reserved.after.clone();
                }
                return Ok(reserved);
            }
            _ => {}
        }
        self.sound.reserve(limit, &reserve).await
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::ForgetsRefunds => Ok(()),
            Flaw::RefundsAnyCounter => {
                let meter = self.sound.meter(limit).await?;
                let quotas = meter.spent.iter().zip(&refund.quotas);
                let quotas = quotas.map(|(spent, back)| Spent { units: back.units, ..*spent });
                let any = Refund { quotas: quotas.collect(), ..refund.clone() };
                self.sound.refund(limit, &any).await
            }
            _ => self.sound.refund(limit, refund).await,
        }
    }

    async fn undo(
        &self,
        limit: &LimitKey,
        before: &Meter,
        after: &Meter,
    ) -> Result<bool, StoreError> {
        match self.flaw {
            Flaw::UndoesNothing => Ok(false),
            Flaw::UndoesAnything => {
                let now = self.sound.meter(limit).await?;
                self.sound.undo(limit, before, &now).await
            }
            _ => self.sound.undo(limit, before, after).await,
        }
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, StoreError> {
        match self.flaw {
            Flaw::ForgetsLedger => Ok(Ledger::default()),
            _ => self.sound.ledger(limit).await,
        }
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, StoreError> {
        if matches!(self.flaw, Flaw::IgnoresLedgersVersion) {
            let version = self.sound.ledger(limit).await?.version + 1;
            return self.sound.replace_ledger(limit, &Ledger { version, ..ledger.clone() }).await;
        }
        self.sound.replace_ledger(limit, ledger).await
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, StoreError> {
        self.sound.meter(limit).await
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, StoreError> {
        self.sound.record(limit).await
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, StoreError> {
        if matches!(self.flaw, Flaw::IgnoresVersion) {
            let version = self.sound.record(limit).await?.control.version + 1;
            return self.sound.control(limit, &Control { version, ..control.clone() }).await;
        }
        self.sound.control(limit, control).await
    }

    async fn enter(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        entry: Entry,
    ) -> Result<Record, StoreError> {
        let before = self.sound.record(limit).await?;
        let after = self.sound.enter(limit, slot, entry).await?;
        Ok(match self.flaw {
            Flaw::EntersLate => before,
            Flaw::ForgetsControlOfRegister => Record { control: Control::default(), ..after },
            _ => after,
        })
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), StoreError> {
        match self.flaw {
            Flaw::NeverLeaves => Ok(()),
            Flaw::TidiesEverybody => self.sound.leave(limit, slot, None).await,
            _ => self.sound.leave(limit, slot, if_lapsed_before).await,
        }
    }
}
