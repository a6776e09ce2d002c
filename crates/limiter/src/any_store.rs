//! A store of whatever type, for programs that choose it at run time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::core::control::{Control, Record};
use crate::core::ledger::Ledger;
use crate::core::meter::{Meter, Refund, Refusal, Reservation, Reserve};
use crate::core::register::Entry;
use crate::moment::Moment;
use crate::names::{LimitKey, SlotId};
use crate::store::{Error, Store};

/// Any [`Store`] behind one type, so that a `Limiter<BoxStore>` needs no type parameter. Clones
/// share the store.
///
/// ```
/// use slowlane_limiter::{BoxStore, LimitKey, Limiter, MemoryStore, Settings, SlotId};
///
/// /// For production or for a test: the type is the same.
/// fn limiter(store: BoxStore) -> Result<Limiter<BoxStore>, Box<dyn std::error::Error>> {
///     let (limit, slot) = (LimitKey::new("crm")?, SlotId::new("this-process")?);
///     Ok(Limiter::new(store, limit, slot, Settings::default())?)
/// }
/// limiter(BoxStore::new(MemoryStore::new()))?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BoxStore(Arc<dyn DynStore>);

impl BoxStore {
    /// Puts a store behind this type.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for BoxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxStore")
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// [`Store`] with boxed futures: what a `dyn` needs.
trait DynStore: Send + Sync {
    fn reserve<'a>(
        &'a self,
        limit: &'a LimitKey,
        reserve: &'a Reserve,
    ) -> Answer<'a, Result<Reservation, Refusal>>;
    fn refund<'a>(&'a self, limit: &'a LimitKey, refund: &'a Refund) -> Answer<'a, ()>;
    fn undo<'a>(
        &'a self,
        limit: &'a LimitKey,
        before: &'a Meter,
        after: &'a Meter,
    ) -> Answer<'a, bool>;
    fn ledger<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Ledger>;
    fn replace_ledger<'a>(&'a self, limit: &'a LimitKey, ledger: &'a Ledger) -> Answer<'a, bool>;
    fn meter<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Meter>;
    fn record<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Record>;
    fn control<'a>(&'a self, limit: &'a LimitKey, control: &'a Control) -> Answer<'a, bool>;
    fn enter<'a>(
        &'a self,
        limit: &'a LimitKey,
        slot: &'a SlotId,
        entry: Entry,
    ) -> Answer<'a, Record>;
    fn leave<'a>(
        &'a self,
        limit: &'a LimitKey,
        slot: &'a SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Answer<'a, ()>;
}

impl<S: Store> DynStore for S {
    fn reserve<'a>(
        &'a self,
        limit: &'a LimitKey,
        reserve: &'a Reserve,
    ) -> Answer<'a, Result<Reservation, Refusal>> {
        Box::pin(Store::reserve(self, limit, reserve))
    }

    fn refund<'a>(&'a self, limit: &'a LimitKey, refund: &'a Refund) -> Answer<'a, ()> {
        Box::pin(Store::refund(self, limit, refund))
    }

    fn undo<'a>(
        &'a self,
        limit: &'a LimitKey,
        before: &'a Meter,
        after: &'a Meter,
    ) -> Answer<'a, bool> {
        Box::pin(Store::undo(self, limit, before, after))
    }

    fn ledger<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Ledger> {
        Box::pin(Store::ledger(self, limit))
    }

    fn replace_ledger<'a>(&'a self, limit: &'a LimitKey, ledger: &'a Ledger) -> Answer<'a, bool> {
        Box::pin(Store::replace_ledger(self, limit, ledger))
    }

    fn meter<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Meter> {
        Box::pin(Store::meter(self, limit))
    }

    fn record<'a>(&'a self, limit: &'a LimitKey) -> Answer<'a, Record> {
        Box::pin(Store::record(self, limit))
    }

    fn control<'a>(&'a self, limit: &'a LimitKey, control: &'a Control) -> Answer<'a, bool> {
        Box::pin(Store::control(self, limit, control))
    }

    fn enter<'a>(
        &'a self,
        limit: &'a LimitKey,
        slot: &'a SlotId,
        entry: Entry,
    ) -> Answer<'a, Record> {
        Box::pin(Store::enter(self, limit, slot, entry))
    }

    fn leave<'a>(
        &'a self,
        limit: &'a LimitKey,
        slot: &'a SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Answer<'a, ()> {
        Box::pin(Store::leave(self, limit, slot, if_lapsed_before))
    }
}

impl Store for BoxStore {
    async fn reserve(
        &self,
        limit: &LimitKey,
        reserve: &Reserve,
    ) -> Result<Result<Reservation, Refusal>, Error> {
        DynStore::reserve(&*self.0, limit, reserve).await
    }

    async fn refund(&self, limit: &LimitKey, refund: &Refund) -> Result<(), Error> {
        DynStore::refund(&*self.0, limit, refund).await
    }

    async fn undo(&self, limit: &LimitKey, before: &Meter, after: &Meter) -> Result<bool, Error> {
        DynStore::undo(&*self.0, limit, before, after).await
    }

    async fn ledger(&self, limit: &LimitKey) -> Result<Ledger, Error> {
        DynStore::ledger(&*self.0, limit).await
    }

    async fn replace_ledger(&self, limit: &LimitKey, ledger: &Ledger) -> Result<bool, Error> {
        DynStore::replace_ledger(&*self.0, limit, ledger).await
    }

    async fn meter(&self, limit: &LimitKey) -> Result<Meter, Error> {
        DynStore::meter(&*self.0, limit).await
    }

    async fn record(&self, limit: &LimitKey) -> Result<Record, Error> {
        DynStore::record(&*self.0, limit).await
    }

    async fn control(&self, limit: &LimitKey, control: &Control) -> Result<bool, Error> {
        DynStore::control(&*self.0, limit, control).await
    }

    async fn enter(&self, limit: &LimitKey, slot: &SlotId, entry: Entry) -> Result<Record, Error> {
        DynStore::enter(&*self.0, limit, slot, entry).await
    }

    async fn leave(
        &self,
        limit: &LimitKey,
        slot: &SlotId,
        if_lapsed_before: Option<Moment>,
    ) -> Result<(), Error> {
        DynStore::leave(&*self.0, limit, slot, if_lapsed_before).await
    }
}
