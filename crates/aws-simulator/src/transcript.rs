//! What happened, in order. It is hashed, so that two runs can be compared. It is watched, so that
//! invariants are checked all the time. And it is written down when a person asks for it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cloud::lambda::{Failure, FunctionId};
use crate::cloud::requests::Action;
use crate::cloud::sqs::QueueId;
use crate::cloud::tokens::Token;
use crate::time::Moment;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// An environment of a function: its number over the whole run.
    Environment(FunctionId, u32),
    /// Somebody outside of the cloud.
    Person,
}

/// Something that happened.
#[derive(Clone, Debug, Hash)]
pub enum Event<'a> {
    /// A request was answered, or went wrong.
    Request {
        /// Who sent it.
        caller: Caller,
        /// What it asked for.
        action: Action,
        /// The HTTP status, 0 if the connection broke.
        status: u16,
    },
    /// A queue took a message.
    Sent {
        /// The queue.
        queue: QueueId,
        /// The message.
        message: u64,
        /// Its text.
        body: Unhashed<'a>,
    },
    /// A message was delivered.
    Received {
        /// The queue.
        queue: QueueId,
        /// The message.
        message: u64,
        /// How often it has been received, this time included.
        receive_count: u32,
    },
    /// A message was deleted.
    Deleted {
        /// The queue.
        queue: QueueId,
        /// The message.
        message: u64,
    },
    /// A redrive policy moved a message to the dead-letter queue.
    Buried {
        /// The queue it was on.
        queue: QueueId,
        /// The message.
        message: u64,
        /// Its text.
        body: &'a str,
    },
    /// A delivery was refused for want of concurrency.
    Throttled(FunctionId),
    /// An asynchronous invocation was dropped: it was refused until it was too old.
    Dropped(FunctionId),
    /// An invocation began, in this environment.
    Started(FunctionId, u32),
    /// An invocation ended.
    Finished(FunctionId, u32, Option<&'a Failure>),
    /// A task began to wait.
    Waits(Token),
    /// A task's wait is over, in this way.
    Over(Token, &'static str),
    /// Anything a run adds of its own: what, and two numbers that say which.
    Run(&'static str, u64, u64),
}

/// A text that is told to those who watch, and is no part of the transcript's hash.
#[derive(Clone, Copy, Debug)]
pub struct Unhashed<'a>(pub &'a str);

impl Hash for Unhashed<'_> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Sees every event as it happens.
pub trait Watch: Send {
    /// `event` happened at `now`.
    fn saw(&mut self, now: Moment, event: &Event<'_>);
}

/// One that is shared with whoever looks afterwards at what it has seen.
impl<W: Watch> Watch for Arc<Mutex<W>> {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        self.lock().unwrap_or_else(PoisonError::into_inner).saw(now, event);
    }
}

/// The hash of all events so far, and who else sees them.
#[derive(Default)]
pub struct Transcript {
    hasher: DefaultHasher,
    events: u64,
    watches: Vec<Box<dyn Watch>>,
}

impl Transcript {
    /// Lets `watch` see every event from now on.
    pub fn watch(&mut self, watch: Box<dyn Watch>) {
        self.watches.push(watch);
    }

    /// Takes note of an event.
    pub fn saw(&mut self, now: Moment, event: &Event<'_>) {
        self.events += 1;
        (now, event).hash(&mut self.hasher);
        for watch in &mut self.watches {
            watch.saw(now, event);
        }
    }

    /// The hash of all events so far: equal for two runs of the same build with the same seed.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events, {:016x}", self.events, self.hash())
    }
}
