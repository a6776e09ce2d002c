//! The usual steps in one call: claim, run a closure, classify its outcome, store it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::claim::dispatch::NotDispatched;
use crate::claim::{self, Claim, Dispatched, complete, dispatch};
use crate::clock::{Clock, EpochMs};
use crate::guard::{Claimed, Guard, Held};
use crate::key::RecordId;
use crate::record::Record;
use crate::request::Request;
use crate::store::Store;
use crate::unknown::Unknown;
use crate::unknown::resolve::{self, NotRunAgain};

/// What the closure is told about its turn.
#[derive(Clone)]
#[non_exhaustive]
pub struct Turn {
    /// The fencing number, for a target that can refuse older ones: see
    /// [`Claim::attempt`] for which targets it is a fence.
    pub attempt: u64,
    /// How many attempts count as tries, this one included.
    pub tries: u64,
    /// Whether an earlier attempt may have been executed: see
    /// [`Claim::maybe_executed_before`].
    pub maybe_executed_before: bool,
    /// When the lease ends: the request must have left, and its time-out must have ended,
    /// before that.
    pub lease_until: EpochMs,
    clock: Arc<dyn Clock>,
}

impl Turn {
    fn of<S: Store>(claim: &Dispatched<S>) -> Self {
        Self {
            attempt: claim.attempt(),
            tries: claim.tries(),
            maybe_executed_before: claim.maybe_executed_before(),
            lease_until: claim.lease_until(),
            clock: claim.clock(),
        }
    }

    /// What is left of the lease by the clock at this moment. If the request is sent now, its own
    /// time-out may be no longer. Read it when the request is made: if it is zero, the process was
    /// paused before, and must send nothing.
    pub fn remaining(&self) -> Duration {
        self.lease_until.since(self.clock.now().into())
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("attempt", &self.attempt)
            .field("tries", &self.tries)
            .field("maybe_executed_before", &self.maybe_executed_before)
            .field("lease_until", &self.lease_until)
            .finish_non_exhaustive()
    }
}

/// How the closure failed. `?` on an error of type `E` makes it [`Failure::Unknown`], the
/// careful reading; say [`Failure::NotExecuted`] where that is certain.
///
/// ```
/// use std::io;
/// use slowlane_idempotency::Failure;
///
/// struct Connection;
///
/// impl Connection {
///     fn open() -> io::Result<Self> {
///         // ...
///         # Ok(Self)
///     }
///
///     fn send(&self, order: &str) -> io::Result<String> {
///         // ...
///         # Ok(order.to_owned())
///     }
/// }
///
/// async fn create(order: &str) -> Result<u64, Failure<anyhow::Error>> {
///     // Without a connection nothing was sent.
///     let connection = Connection::open().map_err(Failure::not_executed)?;
///     // From here on it may have been executed. An error of another type than the
///     // closure's is brought to it by name ...
///     let answer = connection.send(order).map_err(Failure::unknown)?;
///     // ... and one of the same type by `?` alone.
///     Ok(id_in(&answer)?)
/// }
///
/// fn id_in(answer: &str) -> anyhow::Result<u64> {
///     Ok(answer.parse()?)
/// }
/// # futures::executor::block_on(create("1")).map_err(|_| ()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// The target surely did nothing: a rejection, a throttle, a refused connection.
    NotExecuted(E),
    /// Nobody knows: a time-out, a broken connection, a 5xx answer to a write.
    Unknown(E),
}

impl<E> Failure<E> {
    /// [`NotExecuted`](Self::NotExecuted) for an error of whatever type that can become `E`.
    pub fn not_executed(error: impl Into<E>) -> Self {
        Self::NotExecuted(error.into())
    }

    /// [`Unknown`](Self::Unknown) for an error of whatever type that can become `E`.
    pub fn unknown(error: impl Into<E>) -> Self {
        Self::Unknown(error.into())
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Unknown(error)
    }
}

/// What the target answers when it is asked about a call that may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It has executed it, with this result.
    Executed(T),
    /// It has not.
    NotExecuted,
    /// It cannot say: a person must decide.
    CannotTell,
}

/// A call that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// Its result.
    pub value: T,
    /// Where the result came from.
    pub how: How,
}

/// Where a result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// The closure ran now.
    Ran,
    /// It had been stored by an earlier run.
    Replayed,
    /// An earlier run had executed it without storing the result; the target gave it.
    Adopted,
}

/// Why [`Guard::run`] has no result. `E` is the closure's error; it is part of the message
/// and not a `source`, so that it may be an `anyhow::Error` too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<T, E> {
    /// The claim failed: no time left, another payload, or the store.
    #[error(transparent)]
    Claim(#[from] claim::Error),
    /// Somebody else is at it: come back after [`Held::wait`].
    #[error("{0}")]
    InProgress(Held),
    /// An earlier run may have executed it, and that cannot be decided yet (or no
    /// reconciling was given): come back after `wait`.
    #[error("{}: may have been executed, settles at {settles_at}; {record}", record.id)]
    Undecided {
        /// The record.
        record: Box<Record>,
        /// From when the target's "I do not have it" counts.
        settles_at: EpochMs,
        /// How long that was away.
        wait: Duration,
    },
    /// A person must decide.
    #[error("{}: a person must decide; {record}", record.id)]
    NeedsPerson {
        /// The record.
        record: Box<Record>,
    },
    /// The closure did not run, because the dispatched mark could not be written.
    #[error("the call did not run")]
    NotDispatched(#[source] dispatch::Error),
    /// The closure failed without effect; the next claim runs at once.
    #[error("{id}: the call failed without effect: {error}")]
    NotExecuted {
        /// Scope and key.
        id: RecordId,
        /// Why.
        error: E,
    },
    /// The closure failed, and nobody knows whether the target executed the call.
    #[error("{id}: the call failed, and it may have been executed: {error}")]
    MaybeExecuted {
        /// Scope and key.
        id: RecordId,
        /// Why.
        error: E,
    },
    /// The call was executed and its result could not be stored: here it is. A later
    /// claim will find the call unknown.
    #[error("the call was executed, its result is not stored")]
    NotStored {
        /// What the closure returned.
        value: T,
        /// Why.
        source: complete::Error,
    },
    /// Asking the target failed; nothing changed.
    #[error("{id}: the target could not be asked: {error}")]
    Reconcile {
        /// Scope and key.
        id: RecordId,
        /// Why.
        error: E,
    },
    /// What the target answered could not be stored.
    #[error("the answer about an unknown call is not stored")]
    Resolve(#[source] resolve::Error),
    /// The stored result is not of the expected type.
    #[error("{id}: the stored result cannot be read")]
    Unreadable {
        /// Scope and key.
        id: RecordId,
        /// Why.
        source: serde_json::Error,
    },
}

impl<S: Store> Guard<S> {
    /// Runs `call` once for `request`, however often it is asked to, and returns its
    /// result, which is stored as JSON.
    ///
    /// Unless the request is repeatable, an outcome that nobody knows (a crash, or
    /// [`Failure::Unknown`]) is reported as [`Error::Undecided`] from then on. Use
    /// [`run_or_ask`](Self::run_or_ask) if the target can be asked, or decide it with
    /// [`find_unresolved`](Self::find_unresolved).
    ///
    /// `call` is not started once the lease is over. Once started it is polled to its end, even
    /// after a pause that outlasts the lease, since it may bring the answer. It must send nothing
    /// when [`Turn::remaining`] is zero, and give its request no longer time-out. If the caller
    /// drops this future, for a time-out of its own, that is like a crash.
    ///
    /// # Errors
    /// [`enum@Error`].
    pub async fn run<T, E, F, Running>(
        &self,
        request: &Request,
        call: F,
    ) -> Result<Done<T>, Error<T, E>>
    where
        T: Serialize + DeserializeOwned,
        E: fmt::Display,
        F: FnOnce(Turn) -> Running,
        Running: Future<Output = Result<T, Failure<E>>>,
    {
        match self.next(request).await? {
            Next::Done(done) => Ok(done),
            Next::Run(claim) => execute(claim, call).await,
            Next::Ask(unknown) => Err(undecided(&unknown)),
        }
    }

    /// Like [`run`](Self::run). But where an earlier run may have executed the call, it `ask`s the
    /// target first. It adopts what the target has, runs again once the target surely does not have
    /// it, and leaves it to a person if the target cannot tell.
    ///
    /// # Errors
    /// [`enum@Error`].
    pub async fn run_or_ask<T, E, F, Running, A, Asking>(
        &self,
        request: &Request,
        call: F,
        ask: A,
    ) -> Result<Done<T>, Error<T, E>>
    where
        T: Serialize + DeserializeOwned,
        E: fmt::Display,
        F: FnOnce(Turn) -> Running,
        Running: Future<Output = Result<T, Failure<E>>>,
        A: FnOnce() -> Asking,
        Asking: Future<Output = Result<Found<T>, E>>,
    {
        let unknown = match self.next(request).await? {
            Next::Done(done) => return Ok(done),
            Next::Run(claim) => return execute(claim, call).await,
            Next::Ask(unknown) => unknown,
        };
        let found =
            ask().await.map_err(|error| Error::Reconcile { id: request.id().clone(), error })?;
        match found {
            Found::Executed(value) => {
                unknown.adopt(&value).await.map_err(Error::Resolve)?;
                let how = How::Adopted;
                Ok(Done { value, how })
            }
            Found::NotExecuted => match unknown.run_again().await {
                Ok(claim) => execute(claim, call).await,
                Err(NotRunAgain { unknown, error: resolve::Error::NotSettled { .. } }) => {
                    Err(undecided(&unknown))
                }
                Err(NotRunAgain { error, .. }) => Err(Error::Resolve(error)),
            },
            Found::CannotTell => {
                let why = "the target cannot tell whether it was executed";
                unknown.needs_person(why).await.map_err(Error::Resolve)?;
                Err(needs_person(&unknown))
            }
        }
    }

    async fn next<T, E>(&self, request: &Request) -> Result<Next<S, T>, Error<T, E>>
    where
        T: DeserializeOwned,
    {
        match self.claim(request).await? {
            Claimed::Run(claim) => Ok(Next::Run(claim)),
            Claimed::Unknown(unknown) => Ok(Next::Ask(unknown)),
            Claimed::Replay(stored) => replayed(stored, request).map(Next::Done),
            Claimed::InProgress(held) => Err(Error::InProgress(held)),
            Claimed::NeedsPerson(unknown) => Err(needs_person(&unknown)),
        }
    }
}

/// What a claim leaves to do.
enum Next<S, T> {
    Run(Claim<S>),
    Ask(Unknown<S>),
    Done(Done<T>),
}

/// Marks the call, runs it, and stores its outcome.
async fn execute<S, T, E, F, Running>(claim: Claim<S>, call: F) -> Result<Done<T>, Error<T, E>>
where
    S: Store,
    T: Serialize,
    E: fmt::Display,
    F: FnOnce(Turn) -> Running,
    Running: Future<Output = Result<T, Failure<E>>>,
{
    let claim = match claim.dispatched().await {
        Ok(claim) => claim,
        Err(NotDispatched { claim, error }) => {
            if let dispatch::Error::LeaseOver { .. } = error {
                report(claim.release().await);
            }
            return Err(Error::NotDispatched(error));
        }
    };
    let turn = Turn::of(&claim);
    let id = claim.id().clone();
    match call(turn).await {
        Ok(value) => match claim.complete(&value).await {
            Ok(()) => {
                let how = How::Ran;
                Ok(Done { value, how })
            }
            Err(source) => Err(Error::NotStored { value, source }),
        },
        Err(Failure::NotExecuted(error)) => {
            report(claim.release().await);
            Err(Error::NotExecuted { id, error })
        }
        Err(Failure::Unknown(error)) => {
            report(claim.unknown(&error).await);
            Err(Error::MaybeExecuted { id, error })
        }
    }
}

/// The closure's own error matters more to the caller. If giving up could not be stored,
/// the call counts as unknown once its lease is over, which is the careful reading.
fn report<E: fmt::Display>(given_up: Result<(), E>) {
    if let Err(error) = given_up {
        tracing::warn!("{error}");
    }
}

fn replayed<T, E>(stored: Value, request: &Request) -> Result<Done<T>, Error<T, E>>
where
    T: DeserializeOwned,
{
    let value = serde_json::from_value(stored)
        .map_err(|source| Error::Unreadable { id: request.id().clone(), source })?;
    let how = How::Replayed;
    Ok(Done { value, how })
}

fn undecided<S: Store, T, E>(unknown: &Unknown<S>) -> Error<T, E> {
    Error::Undecided {
        record: Box::new(unknown.record().clone()),
        settles_at: unknown.settles_at(),
        wait: unknown.wait(),
    }
}

fn needs_person<S: Store, T, E>(unknown: &Unknown<S>) -> Error<T, E> {
    Error::NeedsPerson { record: Box::new(unknown.record().clone()) }
}
