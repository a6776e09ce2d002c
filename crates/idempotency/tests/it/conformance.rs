//! The published suite passes on sound stores and notices broken ones.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use slowlane_idempotency::{
    BoxStore, Cursor, EpochMs, Guard, MemoryStore, Offloading, Page, Record, RecordId, Status,
    Store, StoredResult, When, Write, Written, conformance, store,
};

use crate::offload::MemoryBlobs;
use crate::{Stopwatch, key, scope};

#[tokio::test]
async fn sound_stores_pass() {
    conformance::check(&MemoryStore::new(), "suite").await.unwrap();
    let offloading = Offloading::new(MemoryStore::new(), MemoryBlobs::default(), 1024);
    conformance::check(&offloading, "suite").await.unwrap();
    conformance::check(&BoxStore::new(MemoryStore::new()), "suite").await.unwrap();

    let guard = Guard::new(MemoryStore::new(), Stopwatch::new().settings());
    conformance::one_claimant_wins(&guard, scope(), key(), 50).await.unwrap();
}

/// A way in which a store can be wrong.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    /// Looks first and writes later.
    NotAtomic,
    AttemptStaysOne,
    IgnoresLease,
    IgnoresPayload,
    IgnoresRepeatable,
    NeverExpires,
    IgnoresOwner,
    IgnoresAttempt,
    IgnoresStatus,
    KeepsOldFields,
    RefusesWithoutTheRecord,
    ForgetsWhatItReplaced,
    CutsLargeResults,
    ListsEverything,
    ListsWhatRuns,
    ListsOnePage,
    StartsAnew,
    OverfillsPages,
    CountsEverything,
}

#[tokio::test]
async fn broken_stores_are_noticed() {
    for (flaw, case) in [
        (Flaw::NotAtomic, "concurrent claims"),
        (Flaw::AttemptStaysOne, "walk"),
        (Flaw::IgnoresLease, "rules"),
        (Flaw::IgnoresPayload, "rules"),
        (Flaw::IgnoresRepeatable, "rules"),
        (Flaw::NeverExpires, "rules"),
        (Flaw::IgnoresOwner, "rules"),
        (Flaw::IgnoresAttempt, "rules"),
        (Flaw::IgnoresStatus, "rules"),
        (Flaw::KeepsOldFields, "walk"),
        (Flaw::RefusesWithoutTheRecord, "rules"),
        (Flaw::ForgetsWhatItReplaced, "rules"),
        (Flaw::CutsLargeResults, "large result"),
        (Flaw::ListsEverything, "unresolved"),
        (Flaw::ListsWhatRuns, "unresolved"),
        (Flaw::ListsOnePage, "unresolved"),
        (Flaw::StartsAnew, "unresolved"),
        (Flaw::OverfillsPages, "unresolved"),
        (Flaw::CountsEverything, "unresolved"),
    ] {
        let store = Flawed { flaw, records: Mutex::default() };
        let broken = conformance::check(&store, "suite").await.expect_err(&format!("{flaw:?}"));
        assert_eq!(broken.case, case, "{flaw:?}: {broken}");
    }
}

struct Flawed {
    flaw: Flaw,
    records: Mutex<BTreeMap<RecordId, Record>>,
}

impl Flawed {
    fn permitted(&self, write: &Write, current: Option<&Record>) -> bool {
        let (mut write, mut current) = (write.clone(), current.cloned());
        match (self.flaw, &mut write.when, &mut current) {
            (Flaw::IgnoresLease, When::Free { .. }, Some(current)) => {
                current.lease_until = Default::default();
            }
            (Flaw::IgnoresPayload, _, Some(current)) => current.payload = write.record.payload,
            (Flaw::IgnoresRepeatable, _, Some(current)) => current.repeatable = false,
            (Flaw::NeverExpires, _, Some(current)) => current.kept_until = None,
            (Flaw::IgnoresOwner, When::Held { by, .. }, Some(current)) => {
                by.owner = current.holder.owner;
            }
            (Flaw::IgnoresAttempt, When::Held { by, .. }, Some(current)) => {
                by.attempt = current.holder.attempt;
            }
            (Flaw::IgnoresStatus, When::Held { from, .. }, _) => *from = &Status::ALL,
            _ => {}
        }
        write.permitted(current.as_ref())
    }
}

impl Store for Flawed {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        let current = self.records.lock().unwrap().get(&write.record.id).cloned();
        if matches!(self.flaw, Flaw::NotAtomic) {
            tokio::task::yield_now().await;
        }
        if !self.permitted(write, current.as_ref()) {
            let shown = !matches!(self.flaw, Flaw::RefusesWithoutTheRecord);
            let current = current.filter(|_| shown);
            return Ok(Written::Refused(current.map(Box::new)));
        }
        let mut record = write.result(current.as_ref());
        match (self.flaw, &mut record.result) {
            (Flaw::AttemptStaysOne, _) => record.holder.attempt = 1,
            (Flaw::KeepsOldFields, _) => record.why = record.why.or(current.and_then(|c| c.why)),
            (Flaw::CutsLargeResults, Some(StoredResult::Inline(json))) => json.truncate(1 << 18),
            _ => {}
        }
        let replaced = self.records.lock().unwrap().insert(record.id.clone(), record);
        let shown = matches!(write.when, When::Free { .. })
            && !matches!(self.flaw, Flaw::ForgetsWhatItReplaced);
        Ok(Written::Applied { replaced: replaced.filter(|_| shown).map(Box::new) })
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        Ok(self.records.lock().unwrap().get(id).cloned())
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        let records = self.records.lock().unwrap();
        let after = after.filter(|_| !matches!(self.flaw, Flaw::StartsAnew));
        let most = if matches!(self.flaw, Flaw::OverfillsPages) { usize::MAX } else { most.get() };
        let mut listed = records
            .values()
            .filter(|record| after.is_none_or(|after| record.id.as_str() > after.as_str()))
            .filter(|record| {
                record.unresolved(lapsed_before)
                    || match self.flaw {
                        Flaw::ListsEverything => true,
                        Flaw::ListsWhatRuns => record.status == Status::Dispatched,
                        _ => false,
                    }
            });
        let page: Vec<_> = listed.by_ref().take(most).cloned().collect();
        let next = listed.next().and(page.last()).map(|last| Cursor::new(last.id.as_str()));
        let next = next.filter(|_| !matches!(self.flaw, Flaw::ListsOnePage));
        Ok(Page { records: page, next })
    }

    async fn count_unresolved(&self, lapsed_before: EpochMs) -> Result<u64, store::Error> {
        let records = self.records.lock().unwrap();
        let unresolved = records.values().filter(|record| record.unresolved(lapsed_before));
        match self.flaw {
            Flaw::CountsEverything => Ok(records.len() as u64),
            _ => Ok(unresolved.count() as u64),
        }
    }
}
