//! A claim: the right to run a call, and the steps by which it is used up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, EpochMs};
use crate::inner::Inner;
use crate::key::RecordId;
use crate::payload::PayloadHash;
use crate::record::{Holder, MaybeExecuted, Owner, Record, Status, StoredResult, When, Write};
use crate::request::Terms;
use crate::store::{self, Store, Written};

/// The right to run one call. Owned and `'static`, so that it can move into a task.
///
/// Its type says how far it has come. As [`Guard::claim`](crate::Guard::claim) gives it,
/// nothing was sent: it can be [dispatched](Self::dispatched) or given up. Only as
/// [`Dispatched`] can it be completed, or left as unknown.
///
/// Every step is one conditional write that succeeds only while this claim is still the
/// record's holder, and each may be called again after a store error. Dropping a claim
/// does nothing: it is what a crash does too, and the lease answers it.
pub struct Claim<S, P = Undispatched> {
    inner: Arc<Inner<S>>,
    record: Box<Record>,
    expiry: Duration,
    settle_window: Duration,
    /// What the attempt before this one said when it was released.
    released_because: Option<String>,
    phase: P,
}

/// A claim whose request may leave, or has left.
pub type Dispatched<S> = Claim<S, Sent>;

/// Says of a [`Claim`] that its request has not left.
#[derive(Clone, Copy, Debug)]
pub struct Undispatched(());

/// Says of a [`Claim`] that its request may have left.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// `None` for a repeatable request, which leaves no mark.
    marked_at: Option<EpochMs>,
}

/// Why there is no answer to [`Guard::claim`](crate::Guard::claim). Nothing was claimed,
/// except that after [`Error::Store`] a claim may stand that nobody holds; it ends with
/// its lease.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    use std::fmt;

    use super::{Claim, EpochMs, Lost, RecordId, store};

    /// A claim whose request must not leave, given back so that it can be
    /// [released](Claim::release) or, after a store error, dispatched again.
    pub struct NotDispatched<S> {
        /// The claim as it was.
        pub claim: Claim<S>,
        /// Why.
        pub error: Error,
    }

    impl<S> fmt::Display for NotDispatched<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.error.fmt(f)
        }
    }

    impl<S> fmt::Debug for NotDispatched<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NotDispatched")
                .field("claim", &self.claim)
                .field("error", &self.error)
                .finish()
        }
    }

    impl<S> std::error::Error for NotDispatched<S> {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.error.source()
        }
    }

    impl<S> From<NotDispatched<S>> for Error {
        fn from(not_dispatched: NotDispatched<S>) -> Self {
            not_dispatched.error
        }
    }

    /// Why the request must not leave.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
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

/// What [`Dispatched::complete`](Claim::complete) can fail with.
pub mod complete {
    use super::{Lost, RecordId, store};

    /// Why the result is not stored.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
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

/// What giving a claim up can fail with: [`Claim::release`], [`Claim::close`],
/// [`Dispatched::unknown`](Claim::unknown) and their like.
pub mod give_up {
    use super::{Lost, RecordId, store};

    /// Why the claim was not given up.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
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
    pub(crate) fn new(inner: Arc<Inner<S>>, record: Record, terms: &Terms) -> Self {
        Self {
            expiry: terms.expiry(&inner.settings),
            settle_window: terms.settle_window(&inner.settings),
            record: Box::new(record),
            inner,
            released_because: None,
            phase: Undispatched(()),
        }
    }

    pub(crate) fn after(self, released_because: Option<String>) -> Self {
        Self { released_because, ..self }
    }

    /// Marks that the request is about to leave. Call it just before, and send nothing if
    /// it fails. From here on a crash means that nobody knows. For a repeatable request
    /// this only looks at the clock.
    ///
    /// The request must have left, and its own time-out must have ended, before the lease does. So
    /// give it a time-out of at most [`remaining`](Self::remaining), read when the request is made
    /// and not before. A process that was paused in between, as a Lambda environment is between two
    /// events, must read it again, and send nothing if it is zero.
    ///
    /// # Errors
    /// [`NotDispatched`](dispatch::NotDispatched) gives the claim back.
    pub async fn dispatched(self) -> Result<Dispatched<S>, dispatch::NotDispatched<S>> {
        match self.mark().await {
            Ok(marked_at) => Ok(self.in_phase(Sent { marked_at })),
            Err(error) => Err(dispatch::NotDispatched { claim: self, error }),
        }
    }

    async fn mark(&self) -> Result<Option<EpochMs>, dispatch::Error> {
        self.check_lease()?;
        if self.record.repeatable {
            return Ok(None);
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
        // The write may have taken long.
        self.check_lease()?;
        Ok(Some(now))
    }

    fn check_lease(&self) -> Result<(), dispatch::Error> {
        let now = self.inner.now();
        let lease_until = self.lease_until();
        if now < lease_until {
            return Ok(());
        }
        Err(dispatch::Error::LeaseOver { id: self.id().clone(), lease_until, now })
    }

    fn in_phase<P>(self, phase: P) -> Claim<S, P> {
        let Self { inner, record, expiry, settle_window, released_because, phase: _ } = self;
        Claim { inner, record, expiry, settle_window, released_because, phase }
    }
}

impl<S: Store> Dispatched<S> {
    /// The call is done: stores its result, which every later claim replays until it
    /// expires. A definite failure that must not be tried again is a result too, if the
    /// caller stores one.
    ///
    /// # Errors
    /// [`complete::Error`]. The call stays dispatched: it may be completed again, for
    /// example with a smaller value.
    pub async fn complete<T>(&self, value: &T) -> Result<(), complete::Error>
    where
        T: Serialize + ?Sized,
    {
        let id = || self.id().clone();
        let value = serde_json::to_value(value)
            .map_err(|source| complete::Error::Json { id: id(), source })?;
        let now = self.inner.now();
        let mut record = self.ended(Status::Completed, now);
        record.dispatched_at = self.phase.marked_at;
        record.completed_at = Some(now);
        record.result = Some(StoredResult::Inline(value.to_string()));
        record.maybe_executed_before = MaybeExecuted::No;
        record.end_life();
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

    /// Nobody knows whether the target executed the request: a time-out, a broken
    /// connection, a 5xx answer to a write. `why` is kept for people (at most 500 bytes of it).
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn unknown(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        self.leave_open(self.left_open(Status::Unknown, &why)).await
    }

    /// As [`unknown`](Self::unknown), for an attempt that is not to count as a
    /// [try](Self::tries): the target answers nobody.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn unknown_untried(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        let mut record = self.left_open(Status::Unknown, &why);
        record.untried += 1;
        self.leave_open(record).await
    }

    /// As [`unknown`](Self::unknown), and nobody will try it again on this call's behalf:
    /// its caller is told that it may have been executed. [Tries](Self::tries) count anew
    /// from the next claim on.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn close_unknown(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        let mut record = self.left_open(Status::Unknown, &why);
        record.end_life();
        self.leave_open(record).await
    }

    /// As [`close_unknown`](Self::close_unknown), where the target cannot be asked either:
    /// later claims answer [`NeedsPerson`](crate::Claimed::NeedsPerson) until somebody has
    /// decided.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn needs_person(&self, why: impl fmt::Display) -> Result<(), give_up::Error> {
        let mut record = self.left_open(Status::NeedsPerson, &why);
        record.kept_until = None;
        record.end_life();
        self.leave_open(record).await
    }

    /// The record of a call whose outcome nobody knows. It does not expire, unless it may be
    /// repeated: then a forgotten one does no harm.
    fn left_open(&self, status: Status, why: &impl fmt::Display) -> Record {
        let now = self.inner.now();
        let settles_at = now.plus(self.settle_window);
        let mut record = (*self.record).clone();
        record.status = status;
        record.dispatched_at = self.phase.marked_at;
        record.unknown_since = Some(now);
        record.settles_at = Some(settles_at);
        record.why = Some(shortened(why));
        let expires_at = settles_at.max(now.plus(self.expiry));
        record.kept_until = record.repeatable.then_some(expires_at);
        record
    }

    async fn leave_open(&self, record: Record) -> Result<(), give_up::Error> {
        self.advance(record, &[Status::Claimed, Status::Dispatched], |found| {
            matches!(found.status, Status::Unknown | Status::NeedsPerson)
        })
        .await
        .map_err(|stopped| self.give_up_error(stopped))
    }
}

/// What holds whether the request has left or not.
impl<S: Store, P> Claim<S, P> {
    /// The target definitely did not execute what this claim sent, if it sent anything: the
    /// next claim runs at once. For a call that will be tried again.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn release(&self) -> Result<(), give_up::Error> {
        self.give_up(self.released()).await
    }

    /// As [`release`](Self::release), for an attempt that is not to count as a
    /// [try](Self::tries): the target was not asked, or turned the request away unread (a
    /// throttle).
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn release_untried(&self) -> Result<(), give_up::Error> {
        let mut record = self.released();
        record.untried += 1;
        self.give_up(record).await
    }

    /// As [`release_untried`](Self::release_untried), and leaves a word for the next claim of the
    /// same payload: [`released_because`](Self::released_because) has it, in at most 500 bytes.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn release_untried_because(
        &self,
        why: impl fmt::Display,
    ) -> Result<(), give_up::Error> {
        let mut record = self.released();
        record.untried += 1;
        record.why = Some(shortened(&why));
        self.give_up(record).await
    }

    /// As [`release`](Self::release), for a call that will not be tried again: its caller is
    /// told that it failed. The key is free, for a corrected call as well, and
    /// [tries](Self::tries) count anew from the next claim on.
    ///
    /// # Errors
    /// [`give_up::Error`].
    pub async fn close(&self) -> Result<(), give_up::Error> {
        let mut record = self.released();
        record.end_life();
        self.give_up(record).await
    }

    /// How many attempts count as tries, this one included: those since the call was last
    /// completed, adopted or closed, without those that were [released
    /// untried](Self::release_untried).
    pub fn tries(&self) -> u64 {
        self.attempt().saturating_sub(self.record.untried)
    }

    /// What the attempt before this one said of itself when it was
    /// [released](Self::release_untried_because). It is not told of if the store's reply to this
    /// claim was lost.
    pub fn released_because(&self) -> Option<&str> {
        self.released_because.as_deref()
    }

    /// Whether an earlier attempt with this payload may have been executed, so that "not
    /// executed" may be said of this attempt and not of the call.
    ///
    /// For a call that is not repeatable it is false: such a call is run again only after the
    /// target has said that it does not have it. For a repeatable one it is true from when an
    /// attempt ended as unknown, or did not come back, until the call is completed. It is also true
    /// if the store's answer leaves it open.
    pub fn maybe_executed_before(&self) -> bool {
        self.record.maybe_executed_before.includes(self.record.payload)
    }

    /// The fencing number. It grows by one with every claim of this key for as long as its record
    /// lives. It starts at 1 again once the record is deleted, an hour or more after it has
    /// expired.
    ///
    /// It is a fence for a target that refuses numbers lower than the greatest one it saw for the
    /// key. The target must forget the key before the record is deleted. It does not stop a process
    /// that was paused for longer than the record lived. A target that remembers for ever would
    /// refuse the calls of the key's next life.
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

    /// What is left of the lease by the clock at this moment: the most that the request's own
    /// time-out may be if it is sent now.
    pub fn remaining(&self) -> Duration {
        self.lease_until().since(self.inner.now())
    }

    /// Whether the request was claimed as safe to repeat.
    pub fn is_repeatable(&self) -> bool {
        self.record.repeatable
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.inner.settings.clock.clone()
    }

    fn released(&self) -> Record {
        self.ended(Status::Released, self.inner.now())
    }

    /// The record with nothing left to decide, to be kept for a while.
    fn ended(&self, status: Status, now: EpochMs) -> Record {
        let mut record = (*self.record).clone();
        record.status = status;
        record.settles_at = None;
        record.kept_until = Some(now.plus(self.expiry));
        record
    }

    async fn give_up(&self, record: Record) -> Result<(), give_up::Error> {
        self.advance(record, Status::OPEN, |found| found.status == Status::Released)
            .await
            .map_err(|stopped| self.give_up_error(stopped))
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

impl<S, P> fmt::Debug for Claim<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.record).finish()
    }
}
