//! A call that may or may not have been executed, and the ways to decide it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::claim::{Claim, shortened};
use crate::clock::EpochMs;
use crate::inner::Inner;
use crate::key::RecordId;
use crate::record::{MaybeExecuted, Owner, Record, Status, StoredResult, When, Write};
use crate::request::{Request, Span, Terms};
use crate::store::{self, Store, Written};

/// A call that may have been executed. Ask the target, then say what it answered:
/// [`adopt`](Self::adopt), [`run_again`](Self::run_again), [`release`](Self::release) or
/// [`needs_person`](Self::needs_person).
///
/// "The target has it" counts at any time. "It does not" counts only if the call had
/// [settled](Self::settles_at) before the target was asked, because until then the request may
/// still be on its way. So this handle must have been made after that moment. If it was not, wait
/// for [`wait`](Self::wait), claim again, and ask again. Of two who decide at once, one is told
/// that it was [superseded](resolve::Error::Superseded) and should claim again.
pub struct Unknown<S> {
    inner: Arc<Inner<S>>,
    record: Box<Record>,
    terms: Terms,
    next_owner: Owner,
    settles_at: EpochMs,
    wait: Duration,
}

/// What deciding an [`Unknown`] can fail with.
pub mod resolve {
    use std::fmt;

    use super::{EpochMs, Record, RecordId, Unknown, store};

    /// A call that was not taken over, given back.
    pub struct NotRunAgain<S> {
        /// The handle as it was. It stays too old if it was made before the call had
        /// settled: claim again, and ask again.
        pub unknown: Box<Unknown<S>>,
        /// Why.
        pub error: Error,
    }

    impl<S> fmt::Display for NotRunAgain<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.error.fmt(f)
        }
    }

    impl<S> fmt::Debug for NotRunAgain<S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NotRunAgain")
                .field("unknown", &self.unknown)
                .field("error", &self.error)
                .finish()
        }
    }

    impl<S> std::error::Error for NotRunAgain<S> {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.error.source()
        }
    }

    impl<S> From<NotRunAgain<S>> for Error {
        fn from(not_run_again: NotRunAgain<S>) -> Self {
            not_run_again.error
        }
    }

    /// Why nothing was decided.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
    pub enum Error {
        /// The record changed: its holder came back, or somebody else decided first.
        #[error("{id}: somebody else decided it; {}", found.as_ref().map_or("there is no record".into(), |record| format!("found {record}")))]
        Superseded {
            /// Scope and key.
            id: RecordId,
            /// The record as it stands; `None` if it is gone.
            found: Option<Box<Record>>,
        },
        /// Too early: the target may have executed it after it was asked.
        #[error("{id}: the target may still execute it until {until}; {record}")]
        NotSettled {
            /// Scope and key.
            id: RecordId,
            /// From when on to claim and ask again.
            until: EpochMs,
            /// The record.
            record: Box<Record>,
        },
        /// The new claim's lease would be over before it began.
        #[error("{id}: no time left to run, the lease would end at {lease_until} and it is {now}")]
        NoTimeLeft {
            /// Scope and key.
            id: RecordId,
            /// The end that the request asked for.
            lease_until: EpochMs,
            /// The guard's clock.
            now: EpochMs,
        },
        /// The value cannot be written as JSON.
        #[error("{id}: the result cannot be written as JSON")]
        Json {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: serde_json::Error,
        },
        /// The store failed (or the result is too large for it: [`store::Error::TooLarge`]).
        #[error("{id}: the decision could not be stored")]
        Store {
            /// Scope and key.
            id: RecordId,
            /// Why.
            source: store::Error,
        },
    }
}

impl<S: Store> Unknown<S> {
    pub(crate) fn new(
        inner: Arc<Inner<S>>,
        record: Box<Record>,
        request: Option<&Request>,
        now: EpochMs,
    ) -> Self {
        let settings = &inner.settings;
        let settles_at = record.settled_at(settings.settle_window).plus(settings.skew_margin);
        Self {
            terms: request.map_or_else(|| record_terms(&record), |request| request.terms),
            next_owner: inner.new_owner(),
            wait: settles_at.since(now),
            settles_at,
            inner,
            record,
        }
    }

    /// The target has executed it, and this is its result: stores it as if the call had
    /// just completed. It is right at any time, also before the call has settled: ask early
    /// and often.
    ///
    /// # Errors
    /// [`resolve::Error`], but not that it has not settled.
    pub async fn adopt<T>(&self, value: &T) -> Result<(), resolve::Error>
    where
        T: Serialize + ?Sized,
    {
        let value = serde_json::to_value(value)
            .map_err(|source| resolve::Error::Json { id: self.id().clone(), source })?;
        let now = self.inner.now();
        let mut record = self.ended(Status::Completed, now);
        record.completed_at = Some(now);
        record.maybe_executed_before = MaybeExecuted::No;
        record.end_life();
        record.result = Some(StoredResult::Inline(value.to_string()));
        let adopted = self.decide(record).await?;
        if let Some(cache) = &self.inner.cache {
            cache.insert(&adopted, value);
        }
        Ok(())
    }

    /// The target does not have it: takes the call over, to run it again with a higher
    /// attempt number.
    ///
    /// # Errors
    /// [`NotRunAgain`](resolve::NotRunAgain) gives this handle back, to be asked for what it
    /// knows. [`NotSettled`](resolve::Error::NotSettled) if the target was asked too early.
    pub async fn run_again(self) -> Result<Claim<S>, resolve::NotRunAgain<S>> {
        match self.take_over().await {
            Ok(record) => Ok(Claim::new(self.inner, record, &self.terms)),
            Err(error) => Err(resolve::NotRunAgain { unknown: Box::new(self), error }),
        }
    }

    async fn take_over(&self) -> Result<Record, resolve::Error> {
        self.check_settled()?;
        let now = self.inner.now();
        let Span { lease_until, settles_at, kept_until } =
            self.terms.span(&self.inner.settings, now).map_err(|lease_until| {
                resolve::Error::NoTimeLeft { id: self.id().clone(), lease_until, now }
            })?;
        let mut record = self.ended(Status::Claimed, now);
        record.holder.attempt += 1;
        record.repeatable = self.terms.repeatable;
        record.claimed_at = now;
        record.lease_until = lease_until;
        record.settles_at = Some(settles_at);
        record.kept_until = Some(kept_until);
        record.dispatched_at = None;
        self.decide(record).await
    }

    /// The target does not have it, and nobody will run it on this call's behalf: the next
    /// claim runs, as the first of a new life.
    ///
    /// # Errors
    /// [`NotSettled`](resolve::Error::NotSettled) if the target was asked too early, or
    /// another [`resolve::Error`].
    pub async fn release(&self) -> Result<(), resolve::Error> {
        self.check_settled()?;
        let mut record = self.ended(Status::Released, self.inner.now());
        record.end_life();
        self.decide(record).await.map(|_| ())
    }

    /// The target cannot say: a person must decide. Later claims answer
    /// [`NeedsPerson`](crate::Claimed::NeedsPerson) until then. `why` is kept (at most
    /// 500 bytes of it).
    ///
    /// # Errors
    /// [`resolve::Error`], but not that it has not settled.
    pub async fn needs_person(&self, why: impl fmt::Display) -> Result<(), resolve::Error> {
        let mut record = (*self.record).clone();
        record.status = Status::NeedsPerson;
        record.unknown_since = Some(self.since());
        record.settles_at = Some(self.record.settled_at(self.inner.settings.settle_window));
        record.why = Some(shortened(&why));
        record.kept_until = None;
        record.end_life();
        self.decide(record).await.map(|_| ())
    }

    /// How many attempts counted as [tries](Claim::tries) so far.
    pub fn tries(&self) -> u64 {
        self.record.holder.attempt.saturating_sub(self.record.untried)
    }

    /// Since when nobody knows.
    pub fn since(&self) -> EpochMs {
        self.record.uncertain_since()
    }

    /// From when the target's "I do not have it" counts, the skew margin included.
    pub fn settles_at(&self) -> EpochMs {
        self.settles_at
    }

    /// How long that was away when this handle was made; zero if it has settled.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Why it is unknown, or why a person must decide.
    pub fn why(&self) -> Option<&str> {
        self.record.why.as_deref()
    }

    /// The record as it stood.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Scope and key.
    pub fn id(&self) -> &RecordId {
        &self.record.id
    }

    /// The key alone.
    pub fn key(&self) -> &str {
        self.record.id.key()
    }

    /// Looks at when this handle was made, not at the present. The target was asked at some time
    /// after that, and its "no" holds only for the moment when it was asked.
    fn check_settled(&self) -> Result<(), resolve::Error> {
        if self.wait.is_zero() {
            return Ok(());
        }
        Err(resolve::Error::NotSettled {
            id: self.id().clone(),
            until: self.settles_at,
            record: self.record.clone(),
        })
    }

    /// The record in our name with nothing left to decide, to be kept from `now` on.
    fn ended(&self, status: Status, now: EpochMs) -> Record {
        let mut record = (*self.record).clone();
        record.status = status;
        record.holder.owner = self.next_owner;
        record.unknown_since = None;
        record.settles_at = None;
        record.why = None;
        record.kept_until = Some(now.plus(self.terms.expiry(&self.inner.settings)));
        record
    }

    /// One write over exactly the claim that this handle is about. Answers with the
    /// record as stored: ours, or our own earlier try whose reply was lost.
    async fn decide(&self, record: Record) -> Result<Record, resolve::Error> {
        let write =
            Write { record, when: When::Held { by: self.record.holder, from: Status::OPEN } };
        let status = write.record.status;
        let written = self.inner.store.write(&write).await;
        match written.map_err(|source| resolve::Error::Store { id: self.id().clone(), source })? {
            Written::Applied { .. } => {
                tracing::info!(id = %self.id(), %status, "decided");
                Ok(write.record)
            }
            Written::Refused(Some(found)) if is_our_earlier_try(&found, &write.record) => {
                Ok(*found)
            }
            Written::Refused(found) => {
                Err(resolve::Error::Superseded { id: self.id().clone(), found })
            }
        }
    }
}

/// What the record itself says, for a handle that was made without a request.
fn record_terms(record: &Record) -> Terms {
    Terms {
        repeatable: record.repeatable,
        settle_window: record.settle_window(),
        ..Terms::default()
    }
}

fn is_our_earlier_try(found: &Record, wanted: &Record) -> bool {
    found.holder == wanted.holder && found.status == wanted.status && found.result == wanted.result
}

impl<S> fmt::Debug for Unknown<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown")
            .field("record", &self.record)
            .field("settles_at", &self.settles_at)
            .finish_non_exhaustive()
    }
}
