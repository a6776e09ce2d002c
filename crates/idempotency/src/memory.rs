//! A store in this process's memory: for tests, and for calls that need to be single
//! only within one process.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::record::{Record, When, Write};
use crate::store::{Cursor, Error, Page, Store, Written};

/// Records in memory. Clones share them; they are gone with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<BTreeMap<RecordId, Record>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<RecordId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn write(&self, write: &Write) -> Result<Written, Error> {
        let mut records = self.records();
        let current = records.get(&write.record.id);
        if !write.permitted(current) {
            return Ok(Written::Refused(current.cloned().map(Box::new)));
        }
        let record = write.result(current);
        let replaced = records.insert(record.id.clone(), record);
        let replaced = replaced.filter(|_| matches!(write.when, When::Free { .. }));
        Ok(Written::Applied { replaced: replaced.map(Box::new) })
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, Error> {
        Ok(self.records().get(id).cloned())
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, Error> {
        let after = after.map(position).transpose()?;
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.records();
        let unresolved = records.range((from, Bound::Unbounded)).map(|(_, record)| record);
        let mut unresolved = unresolved.filter(|record| record.unresolved(lapsed_before));
        let page: Vec<_> = unresolved.by_ref().take(most.get()).cloned().collect();
        let next = match (unresolved.next(), page.last()) {
            (Some(_), Some(last)) => Some(Cursor::new(last.id.as_str())),
            _ => None,
        };
        Ok(Page { records: page, next })
    }
}

fn position(cursor: &Cursor) -> Result<RecordId, Error> {
    let id = RecordId::parse(cursor.as_str());
    id.ok_or_else(|| Error::BadCursor(cursor.as_str().to_owned()))
}
