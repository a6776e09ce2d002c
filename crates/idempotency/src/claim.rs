//! A claim: the right to run a call, and the steps by which it is used up.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;

use crate::clock::EpochMs;
use crate::guard::Inner;
use crate::record::{Holder, Owner, Record, Status, StoredResult, When, Write};
use crate::request::{PayloadHash, RecordId};
use crate::store::{self, Store, Written};

/// The right to run one call. Owned and `'static`, so that it can move into a task.
///
/// Every step is one conditional write that succeeds only while this claim is still the
/// record's holder, and each may be called again after a store error. Dropping a claim
/// does nothing: it is what a crash does too, and the lease answers it.
pub struct Claim<S> {
    inner: Arc<Inner<S>>,
    record: Box<Record>,
    expiry: Duration,
    dispatched_at: OnceLock<EpochMs>,
}

/// Why there is no answer to [`Guard::claim`](crate::Guard::claim). Nothing was claimed,
/// except that after [`Error::Store`] a claim may stand that nobody holds; it ends with
/// its lease.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lease would be over before it began, as when a Lambda has no time left.
    #[error("{id}: no time left to run, the lease would end at {lease_until} and it is {now}")]
    NoTimeLeft {
        /// Scope and key.
        id: RecordId,
        /// The end that was asked for.
        lease_until: EpochMs,
        /// The guard's clock.
        now: EpochMs,
    },
    /// The key is known with another payload.
    #[error(
        "{}: the payload differs from the one known under this key (sha256 {offered} offered, {} stored; {record})",
        record.id, record.payload
    )]
    PayloadMismatch {
        /// The hash of the payload that was offered now.
        offered: PayloadHash,
        /// The record, with the hash of the other payload.
        record: Box<Record>,
    },
    /// The store failed.
    #[error("{id}: the claim could not be stored")]
    Store {
        /// Scope and key.
        id: RecordId,
        /// Why.
        source: store::Error,
    },
}

/// What a step found instead of its own claim: somebody else has the call, or it was
/// decided already.
#[derive(Debug)]
pub struct Lost {
    /// The claim that is no longer the holder.
    pub claim: Holder,
    /// Scope and key.
    pub id: RecordId,
    /// The record as it stands; `None` if it is gone.
    pub found: Option<Box<Record>>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { owner, attempt } = self.claim;
        write!(f, "{}: attempt {attempt} of owner {owner} no longer holds it; ", self.id)?;
        match &self.found {
            Some(record) => write!(f, "found {record}"),
            None => f.write_str("there is no record"),
        }
    }
}

/// What [`Claim::dispatched`] can fail with. The request must then not leave.
pub mod dispatch {
    use super::{EpochMs, Lost, RecordId, store};

    /// Why the request must not leave.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// Somebody else holds the call now.
        #[error("{0}")]
        LostOwnership(Lost),
        /// The lease is over, so that others may count the call as abandoned. It is right to
        /// [`release`](super::Claim::release) the claim, since nothing was sent.
        #[error("{id}: the lease ended at {lease_until} and it is {now}")]
        LeaseOver {
            /// Scope and key.
            id: RecordId,
            /// The end of the lease.
            lease_until: EpochMs,
            /// The guard's clock.
            now: EpochMs,
        },
        /// The store failed; the mark may stand or not.
        #[error("{id}: the dispatched mark could not be stored")]
        Store {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: store::Error,
        },
    }
}

/// What [`Claim::complete`] can fail with.
pub mod complete {
    use super::{Lost, RecordId, store};

    /// Why the result is not stored.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// Somebody else holds the call now, or it was completed with another value.
        #[error("{0}")]
        LostOwnership(Lost),
        /// The value cannot be written as JSON.
        #[error("{id}: the result cannot be written as JSON")]
        Json {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: serde_json::Error,
        },
        /// The value is larger than the store keeps. The call stays dispatched: complete it
        /// with a smaller value, or offload large results.
        #[error("{id}: the result has {bytes} bytes, the store keeps at most {limit}")]
        TooLarge {
            /// Scope and key.
            id: RecordId,
            /// Length of the value as JSON.
            bytes: usize,
            /// The store's limit.
            limit: usize,
        },
        /// The store failed; the result may be stored or not.
        #[error("{id}: the result could not be stored")]
        Store {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: store::Error,
        },
    }
}

/// What [`Claim::release`], [`Claim::unknown`] and [`Claim::needs_person`] can fail with.
pub mod give_up {
    use super::{Lost, RecordId, store};

    /// Why the claim was not given up.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// Somebody else holds the call now, or it was decided otherwise.
        #[error("{0}")]
        LostOwnership(Lost),
        /// The store failed; the change may stand or not.
        #[error("{id}: the claim's end could not be stored")]
        Store {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: store::Error,
        },
    }
}

impl<S: Store> Claim<S> {
    pub(crate) fn new(
        inner: Arc<Inner<S>>,
        mut record: Record,
        attempt: u64,
        expiry: Option<Duration>,
    ) -> Self {
        record.holder.attempt = attempt;
        let expiry = expiry.unwrap_or(inner.settings.expiry);
        Self { inner, record: Box::new(record), expiry, dispatched_at: OnceLock::new() }
    }

    /// Call this just before the request leaves, and send nothing if it fails. From here
    /// on a crash means that nobody knows. For a repeatable request this only looks at
    /// the clock.
    pub async fn dispatched(&self) -> Result<(), dispatch::Error> {
        self.check_lease()?;
        if self.record.repeatable {
            return Ok(());
        }
        let now = self.inner.now();
        let mut record = (*self.record).clone();
        record.status = Status::Dispatched;
        record.dispatched_at = Some(now);
        record.kept_until = None;
        self.advance(record, &[Status::Claimed, Status::Dispatched], |_| false).await.map_err(
            |stopped| match stopped {
                Stopped::Lost(lost) => dispatch::Error::LostOwnership(lost),
                Stopped::Store(source) => dispatch::Error::Store { id: self.id().clone(), source },
            },
        )?;
        self.dispatched_at.get_or_init(|| now);
        // The write may have taken long.
        self.check_lease()
    }

    /// The call is done: stores its result, which every later claim replays until it
    /// expires. A definite failure that must not be tried again is a result too, if the
    /// caller stores one.
    pub async fn complete<T>(&self, value: &T) -> Result<(), complete::Error>
    where
        T: Serialize + ?Sized,
    {
        let id = || self.id().clone();
        let value = serde_json::to_value(value)
            .map_err(|source| complete::Error::Json { id: id(), source })?;
        let now = self.inner.now();
        let record = self.ended(Status::Completed, now, |record| {
            record.completed_at = Some(now);
            record.result = Some(StoredResult::Inline(value.to_string()));
        });
        let cached = self.inner.cache.as_ref().map(|cache| (cache, record.clone()));
        let result = record.result.clone();
        self.advance(record, Status::OPEN, |found| {
            found.status == Status::Completed && found.result == result
        })
        .await
        .map_err(|stopped| match stopped {
            Stopped::Lost(lost) => complete::Error::LostOwnership(lost),
            Stopped::Store(store::Error::TooLarge { bytes, limit }) => {
                complete::Error::TooLarge { id: id(), bytes, limit }
            }
            Stopped::Store(source) => complete::Error::Store { id: id(), source },
        })?;
        if let Some((cache, record)) = cached {
            cache.insert(&record, value);
        }
        Ok(())
    }

    /// The target definitely did not execute the request: the next claim runs at once.
    pub async fn release(&self) -> Result<(), give_up::Error> {
        let record = self.ended(Status::Released, self.inner.now(), |_| {});
        self.advance(record, Status::OPEN, |found| found.status == Status::Released)
            .await
            .map_err(|stopped| self.give_up_error(stopped))
    }

    /// As [`release`](Self::release), for an attempt that is not to count as a
    /// [try](Self::tries): the target was not asked, or turned the request away unread (a
    /// throttle). One read more.
    pub async fn release_untried(&self) -> Result<(), give_up::Error> {
        let untried = 1 + self
            .stored_untried()
            .await
            .map_err(|source| give_up::Error::Store { id: self.id().clone(), source })?;
        let record =
            self.ended(Status::Released, self.inner.now(), |record| record.untried = untried);
        self.advance(record, Status::OPEN, |found| found.status == Status::Released)
            .await
            .map_err(|stopped| self.give_up_error(stopped))
    }

    /// How many attempts there have been that count as tries, this one included. One read,
    /// and none for the first attempt.
    pub async fn tries(&self) -> Result<u64, store::Error> {
        if self.attempt() == 1 {
            return Ok(1);
        }
        Ok(self.attempt().saturating_sub(self.stored_untried().await?))
    }

    async fn stored_untried(&self) -> Result<u64, store::Error> {
        let found = self.inner.store.read(self.id()).await?;
        Ok(found.map_or(0, |record| record.untried))
    }

    /// Nobody knows whether the target executed the request: a time-out, a broken
    /// connection, a 5xx answer to a write. `why` is kept for people (at most 500 bytes of it).
    pub async fn unknown(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        self.leave_open(Status::Unknown, &why).await
    }

    /// As [`unknown`](Self::unknown), where the target cannot be asked either: later claims
    /// answer [`NeedsPerson`](crate::Claimed::NeedsPerson) until somebody has decided.
    pub async fn needs_person(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        self.leave_open(Status::NeedsPerson, &why).await
    }

    async fn leave_open(
        &self,
        status: Status,
        why: &impl fmt::Display,
    ) -> Result<(), give_up::Error> {
        let now = self.inner.now();
        let mut record = (*self.record).clone();
        record.status = status;
        record.dispatched_at = self.dispatched_at.get().copied();
        record.unknown_since = Some(now);
        record.settles_at = Some(now.plus(self.inner.settings.settle_window));
        record.why = Some(shortened(why));
        record.kept_until = None;
        self.advance(record, &[Status::Claimed, Status::Dispatched], |found| {
            matches!(found.status, Status::Unknown | Status::NeedsPerson)
        })
        .await
        .map_err(|stopped| self.give_up_error(stopped))
    }

    /// The fencing number: it grows by one with every claim of this key for as long as
    /// its record lives. Pass it to a target that can refuse older ones.
    pub fn attempt(&self) -> u64 {
        self.record.holder.attempt
    }

    /// The random name of this claim.
    pub fn owner(&self) -> Owner {
        self.record.holder.owner
    }

    /// Scope and key.
    pub fn id(&self) -> &RecordId {
        &self.record.id
    }

    /// The key alone.
    pub fn key(&self) -> &str {
        self.record.id.key()
    }

    /// When the lease ends.
    pub fn lease_until(&self) -> EpochMs {
        self.record.lease_until
    }

    /// What is left of the lease: the most that the request's own time-out may be.
    pub fn remaining(&self) -> Duration {
        self.lease_until().since(self.inner.now())
    }

    /// Whether the request was claimed as safe to repeat.
    pub fn is_repeatable(&self) -> bool {
        self.record.repeatable
    }

    fn check_lease(&self) -> Result<(), dispatch::Error> {
        let now = self.inner.now();
        let lease_until = self.lease_until();
        if now < lease_until {
            return Ok(());
        }
        Err(dispatch::Error::LeaseOver { id: self.id().clone(), lease_until, now })
    }

    /// The record with nothing left to decide, to be kept for a while.
    fn ended(&self, status: Status, now: EpochMs, change: impl FnOnce(&mut Record)) -> Record {
        let mut record = (*self.record).clone();
        record.status = status;
        record.dispatched_at = self.dispatched_at.get().copied();
        record.kept_until = Some(now.plus(self.expiry));
        change(&mut record);
        record
    }

    /// One write as the holder. A refusal that shows this claim in a state that is
    /// `already` what the write wants is the echo of our own earlier try.
    async fn advance(
        &self,
        record: Record,
        from: &'static [Status],
        already: impl Fn(&Record) -> bool,
    ) -> Result<(), Stopped> {
        let by = self.record.holder;
        let status = record.status;
        let write = Write { record, when: When::Held { by, from } };
        match self.inner.store.write(&write).await {
            Ok(Written::Applied { .. }) => {
                tracing::debug!(id = %self.id(), attempt = by.attempt, %status, "recorded");
                Ok(())
            }
            Ok(Written::Refused(Some(found))) if found.holder == by && already(&found) => Ok(()),
            Ok(Written::Refused(found)) => {
                let lost = Lost { claim: by, id: self.id().clone(), found };
                tracing::warn!(%status, "not recorded: {lost}");
                Err(Stopped::Lost(lost))
            }
            Err(error) => Err(Stopped::Store(error)),
        }
    }

    fn give_up_error(&self, stopped: Stopped) -> give_up::Error {
        match stopped {
            Stopped::Lost(lost) => give_up::Error::LostOwnership(lost),
            Stopped::Store(source) => give_up::Error::Store { id: self.id().clone(), source },
        }
    }
}

enum Stopped {
    Lost(Lost),
    Store(store::Error),
}

/// Enough for a person to recognise the failure, and short enough that the record
/// stays within one write unit.
pub(crate) fn shortened(why: &impl fmt::Display) -> String {
    const MOST: usize = 500;
    let mut why = why.to_string();
    let end = (0..=MOST.min(why.len())).rfind(|&at| why.is_char_boundary(at));
    why.truncate(end.unwrap_or(0));
    why
}

impl<S> fmt::Debug for Claim<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.record).finish()
    }
}
