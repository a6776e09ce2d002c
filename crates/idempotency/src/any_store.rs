//! A store of whatever type, for programs that choose it at run time.

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::record::{Record, Write};
use crate::store::{Cursor, Error, Page, Store, Written};

/// Any [`Store`] behind one type, so that a `Guard<BoxStore>` needs no type parameter.
/// Clones share the store.
///
/// ```
/// use slowlane_idempotency::{BoxStore, Guard, MemoryStore, Settings};
///
/// /// For production or for a test: the type is the same.
/// fn guard(store: BoxStore) -> Guard<BoxStore> {
///     Guard::new(store, Settings::default())
/// }
/// guard(BoxStore::new(MemoryStore::new()));
/// ```
#[derive(Clone)]
pub struct BoxStore(Arc<dyn DynStore>);

impl BoxStore {
    /// Puts a store behind this type.
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
    fn write<'a>(&'a self, write: &'a Write) -> Answer<'a, Written>;
    fn read<'a>(&'a self, id: &'a RecordId) -> Answer<'a, Option<Record>>;
    fn unresolved<'a>(
        &'a self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&'a Cursor>,
    ) -> Answer<'a, Page>;
    fn count_unresolved(&self, lapsed_before: EpochMs) -> Answer<'_, u64>;
}

impl<S: Store> DynStore for S {
    fn write<'a>(&'a self, write: &'a Write) -> Answer<'a, Written> {
        Box::pin(Store::write(self, write))
    }

    fn read<'a>(&'a self, id: &'a RecordId) -> Answer<'a, Option<Record>> {
        Box::pin(Store::read(self, id))
    }

    fn unresolved<'a>(
        &'a self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&'a Cursor>,
    ) -> Answer<'a, Page> {
        Box::pin(Store::unresolved(self, lapsed_before, most, after))
    }

    fn count_unresolved(&self, lapsed_before: EpochMs) -> Answer<'_, u64> {
        Box::pin(Store::count_unresolved(self, lapsed_before))
    }
}

impl Store for BoxStore {
    async fn write(&self, write: &Write) -> Result<Written, Error> {
        DynStore::write(&*self.0, write).await
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, Error> {
        DynStore::read(&*self.0, id).await
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        DynStore::unresolved(&*self.0, lapsed_before, most, after).await
    }

    async fn count_unresolved(&self, lapsed_before: EpochMs) -> Result<u64, Error> {
        DynStore::count_unresolved(&*self.0, lapsed_before).await
    }
}
