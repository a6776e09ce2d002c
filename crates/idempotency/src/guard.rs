//! The guard: claims a request, and says what is already known about it.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::cache::Cache;
use crate::claim::{self, Claim};
use crate::clock::EpochMs;
use crate::inner::Inner;
use crate::key::{Key, RecordId, Scope};
use crate::record::{Holder, MaybeExecuted, Owner, Record, Status, StoredResult, When, Write};
use crate::request::{Request, Span};
use crate::settings::Settings;
use crate::store::{self, Cursor, Page, Store, Written};
use crate::unknown::Unknown;

/// Lets each request run once. Cheap to clone; clones share the store and the cache.
pub struct Guard<S> {
    pub(crate) inner: Arc<Inner<S>>,
}

/// What the guard knows about a request.
pub enum Claimed<S> {
    /// The call is ours: run it.
    Run(Claim<S>),
    /// It is done: the result that was stored.
    Replay(Value),
    /// Somebody else holds it and may still be at work.
    InProgress(Held),
    /// It may have been executed: ask the target.
    Unknown(Unknown<S>),
    /// It may have been executed, the target could not tell, and a person must decide.
    NeedsPerson(Unknown<S>),
}

/// By hand, so that it asks nothing of the store.
impl<S> fmt::Debug for Claimed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(claim) => f.debug_tuple("Run").field(claim).finish(),
            // What a target answered may be confidential.
            Self::Replay(_) => f.debug_tuple("Replay").finish_non_exhaustive(),
            Self::InProgress(held) => f.debug_tuple("InProgress").field(held).finish(),
            Self::Unknown(unknown) => f.debug_tuple("Unknown").field(unknown).finish(),
            Self::NeedsPerson(unknown) => f.debug_tuple("NeedsPerson").field(unknown).finish(),
        }
    }
}

/// A call that somebody else holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The record as it stands.
    pub record: Box<Record>,
    /// From when a claim can succeed if the holder does not finish before: the end of
    /// its lease and the skew margin.
    pub until: EpochMs,
    /// How long that was away when the claim was made.
    pub wait: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, until, .. } = self;
        write!(f, "{} is in progress until {until}: {record}", record.id)
    }
}

impl<S: Store> Guard<S> {
    /// A guard over a store.
    pub fn new(store: S, settings: Settings) -> Self {
        let cache = settings.cached_results.map(Cache::new);
        Self { inner: Arc::new(Inner { store, settings, cache }) }
    }

    /// Claims a request: one conditional write, which is at the same time the question
    /// what is known about it.
    ///
    /// # Errors
    /// [`claim::Error`]; after [`claim::Error::Store`] a claim may stand that nobody holds.
    pub async fn claim(&self, request: &Request) -> Result<Claimed<S>, claim::Error> {
        self.claim_as(request, self.inner.new_owner()).await
    }

    /// As [`claim`](Self::claim), under a name that the caller chooses. After
    /// [`claim::Error::Store`] the claim may stand. Claiming again under the same name then gives
    /// it back at once, with what is left of its lease, instead of waiting for its end.
    ///
    /// The name must be new for every claim: two callers that use one name at a time would both run
    /// the call. A claim that is [dispatched](Claim::dispatched) already is not given out again.
    ///
    /// # Errors
    /// [`claim::Error`].
    pub async fn claim_as(
        &self,
        request: &Request,
        owner: Owner,
    ) -> Result<Claimed<S>, claim::Error> {
        let inner = &self.inner;
        let now = inner.now();
        if let Some(result) = self.cached(request, now) {
            tracing::debug!(id = %request.id, "replayed from the local cache");
            return Ok(Claimed::Replay(result));
        }
        let record = self.claimed_record(request, owner, now)?;
        let lapsed_before = inner.surely_past(now);
        let when = When::Free { lapsed_before, earlier_payload: request.earlier_payload };
        let write = Write { record, when };
        let store_error = |source| claim::Error::Store { id: request.id.clone(), source };
        match inner.store.write(&write).await.map_err(store_error)? {
            Written::Applied { replaced } => {
                let mut record = write.record;
                let replaced = replaced.map(|replaced| as_hashed_now(*replaced, request));
                if let Some(replaced) = &replaced {
                    record.succeed(replaced, lapsed_before);
                }
                let because = replaced.and_then(|before| before.released_because(&record));
                Ok(self.ours(record, because, request))
            }
            Written::Refused(Some(found)) if is_our_earlier_try(&found, owner, request) => {
                Ok(self.ours(our_earlier_try(*found, request), None, request))
            }
            Written::Refused(Some(found)) => self.known(request, found, now),
            Written::Refused(None) => Err(store_error(store::Error::Unreadable(
                "a claim was refused though there is no record".into(),
            ))),
        }
    }

    /// The record of a key as it stands, for people and tools.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn read(&self, scope: &Scope, key: &Key) -> Result<Option<Record>, store::Error> {
        self.inner.store.read(&RecordId::new(scope, key)).await
    }

    /// The handle to decide a call that may or may not have been executed; `None`
    /// if the key is unknown, free, still in progress or completed. For a tool with
    /// which a person answers what the target could not: it needs no payload.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn find_unresolved(
        &self,
        scope: &Scope,
        key: &Key,
    ) -> Result<Option<Unknown<S>>, store::Error> {
        let found = self.read(scope, key).await?;
        let now = self.inner.now();
        Ok(found
            .filter(|record| record.unresolved(self.inner.surely_past(now)))
            .map(|record| self.unknown(Box::new(record), None, now)))
    }

    /// Up to `most` calls that may or may not have been executed, those that need a
    /// person among them. Those whose record is `repeatable` may also just be run again.
    ///
    /// On DynamoDB this reads an index if the store was
    /// [told of one](crate::DynamoDbStore::unresolved_index), and scans the table if not.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn list_unresolved(&self, most: usize) -> Result<Vec<Record>, store::Error> {
        let mut listed = Vec::new();
        let mut after = None;
        while let Some(left) = NonZeroUsize::new(most.saturating_sub(listed.len())) {
            let page = self.unresolved_page(left, after.as_ref()).await?;
            listed.extend(page.records);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    /// As [`list_unresolved`](Self::list_unresolved), a part at a time: from the beginning,
    /// or from where an earlier page ended.
    ///
    /// # Errors
    /// The store could not be read, or the cursor is not from this store.
    pub async fn unresolved_page(
        &self,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        let lapsed_before = self.inner.surely_past(self.inner.now());
        self.inner.store.unresolved(lapsed_before, most, after).await
    }

    /// How many calls nobody knows about: for a metric with an alarm on it. It costs one
    /// small query for each part of an index, or a scan of the table.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn count_unresolved(&self) -> Result<u64, store::Error> {
        let lapsed_before = self.inner.surely_past(self.inner.now());
        self.inner.store.count_unresolved(lapsed_before).await
    }

    fn cached(&self, request: &Request, now: EpochMs) -> Option<Value> {
        self.inner.cache.as_ref()?.get(&request.id, request.payload, now)
    }

    fn claimed_record(
        &self,
        request: &Request,
        owner: Owner,
        now: EpochMs,
    ) -> Result<Record, claim::Error> {
        let Request { id, payload, terms, .. } = request;
        let Span { lease_until, settles_at, kept_until } = terms
            .span(&self.inner.settings, now)
            .map_err(|lease_until| claim::Error::NoTimeLeft { id: id.clone(), lease_until, now })?;
        Ok(Record {
            id: id.clone(),
            status: Status::Claimed,
            // The attempt number of a key without a record.
            holder: Holder { owner, attempt: 1 },
            payload: *payload,
            repeatable: terms.repeatable,
            claimed_at: now,
            lease_until,
            dispatched_at: None,
            unknown_since: None,
            settles_at: Some(settles_at),
            completed_at: None,
            untried: 0,
            maybe_executed_before: MaybeExecuted::No,
            why: None,
            result: None,
            kept_until: Some(kept_until),
        })
    }

    fn ours(&self, record: Record, because: Option<String>, request: &Request) -> Claimed<S> {
        let claim = Claim::new(self.inner.clone(), record, &request.terms).after(because);
        let attempt = claim.attempt();
        if attempt == 1 {
            tracing::debug!(id = %request.id, owner = %claim.owner(), "claimed");
        } else {
            tracing::info!(id = %request.id, owner = %claim.owner(), attempt, "claimed again");
        }
        Claimed::Run(claim)
    }

    /// What a record that stood in the way of a claim means for the request.
    fn known(
        &self,
        request: &Request,
        record: Box<Record>,
        now: EpochMs,
    ) -> Result<Claimed<S>, claim::Error> {
        if !request.recognises(record.payload) {
            return Err(claim::Error::PayloadMismatch { offered: request.payload, record });
        }
        let lapsed = record.lease_lapsed(self.inner.surely_past(now));
        match record.status {
            Status::Completed => self.replay(record),
            Status::Claimed | Status::Dispatched if !lapsed => {
                let until = record.lease_until.plus(self.inner.settings.skew_margin);
                let wait = until.since(now);
                tracing::debug!(id = %record.id, %until, "in progress elsewhere");
                let held = Held { record, until, wait };
                Ok(Claimed::InProgress(held))
            }
            Status::Claimed | Status::Dispatched | Status::Unknown => {
                tracing::info!(id = %record.id, record = %record, "may have been executed");
                Ok(Claimed::Unknown(self.unknown(record, Some(request), now)))
            }
            Status::NeedsPerson => {
                tracing::info!(id = %record.id, record = %record, "a person must decide");
                let unknown = self.unknown(record, Some(request), now);
                Ok(Claimed::NeedsPerson(unknown))
            }
            Status::Released => Err(claim::Error::Store {
                id: record.id.clone(),
                source: store::Error::Unreadable(format!("a free key refused a claim: {record}")),
            }),
        }
    }

    fn replay(&self, record: Box<Record>) -> Result<Claimed<S>, claim::Error> {
        let result = result_value(&record)
            .map_err(|source| claim::Error::Store { id: record.id.clone(), source })?;
        if let Some(cache) = &self.inner.cache {
            cache.insert(&record, result.clone());
        }
        tracing::debug!(id = %record.id, attempt = record.holder.attempt, "replayed");
        Ok(Claimed::Replay(result))
    }

    fn unknown(&self, record: Box<Record>, request: Option<&Request>, now: EpochMs) -> Unknown<S> {
        Unknown::new(self.inner.clone(), record, request, now)
    }
}

/// The record with the hashes that this version makes of the request's payload, where it has
/// those of an earlier one.
fn as_hashed_now(mut record: Record, request: &Request) -> Record {
    if request.recognises(record.payload) {
        record.payload = request.payload;
    }
    if let MaybeExecuted::With(payload) = record.maybe_executed_before
        && request.recognises(payload)
    {
        record.maybe_executed_before = MaybeExecuted::With(request.payload);
    }
    record
}

fn is_our_earlier_try(found: &Record, owner: Owner, request: &Request) -> bool {
    found.holder.owner == owner
        && found.status == Status::Claimed
        && request.recognises(found.payload)
}

/// The claim that an earlier try of ours left in the store. What became of it since is not
/// known, nor what it replaced, so that a repeatable call may have been executed before.
fn our_earlier_try(found: Record, request: &Request) -> Record {
    let mut claimed = as_hashed_now(found, request);
    if claimed.repeatable {
        claimed.maybe_executed_before = claimed.maybe_executed_before.and(claimed.payload);
    }
    claimed
}

/// The result of a completed record as a value.
pub(crate) fn result_value(record: &Record) -> Result<Value, store::Error> {
    match &record.result {
        Some(StoredResult::Inline(json)) => serde_json::from_str(json).map_err(|error| {
            store::Error::Unreadable(format!("{}: the result is no JSON: {error}", record.id))
        }),
        Some(StoredResult::Offloaded(pointer)) => Err(store::Error::Unreadable(format!(
            "{}: the result was offloaded to {:?}, and this guard has no offload",
            record.id, pointer.location
        ))),
        None => Err(store::Error::Unreadable(format!("{}: completed without a result", record.id))),
    }
}

impl<S> Clone for Guard<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.inner.settings).finish()
    }
}
