//! Completed results in this process's memory.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::clock::EpochMs;
use crate::key::RecordId;
use crate::payload::PayloadHash;
use crate::record::Record;

/// The most recently used completed results. Only these can be cached: whatever is
/// unfinished changes without this process seeing it.
pub(crate) struct Cache {
    capacity: NonZeroUsize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<RecordId, Entry>,
    uses: u64,
}

struct Entry {
    payload: PayloadHash,
    kept_until: EpochMs,
    result: Value,
    last_use: u64,
}

impl Cache {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// The result of `id`, if it is cached, unexpired, and of the same payload. Another
    /// payload is left to the store, whose answer carries the record to report.
    pub(crate) fn get(&self, id: &RecordId, payload: PayloadHash, now: EpochMs) -> Option<Value> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let this_use = entries.uses;
        let entry = entries.by_id.get_mut(id)?;
        if entry.kept_until <= now {
            entries.by_id.remove(id);
            return None;
        }
        entry.last_use = this_use;
        (entry.payload == payload).then(|| entry.result.clone())
    }

    /// Keeps the result of a completed record.
    pub(crate) fn insert(&self, record: &Record, result: Value) {
        let Some(kept_until) = record.kept_until else {
            return;
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let entry = Entry { payload: record.payload, kept_until, result, last_use: entries.uses };
        entries.by_id.insert(record.id.clone(), entry);
        if entries.by_id.len() > self.capacity.get() {
            entries.evict_least_recently_used();
        }
    }
}

impl Entries {
    /// Looks at every entry: a few hundred comparisons, far less than the request to
    /// the store that has just been made.
    fn evict_least_recently_used(&mut self) {
        let oldest = self.by_id.iter().min_by_key(|(_, entry)| entry.last_use);
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.by_id.remove(&id);
        }
    }
}
