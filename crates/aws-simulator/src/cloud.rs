//! The cloud: the pure core of each service, and the state that they share.
//!
//! Each service's module takes commands and gives answers; the moment and the dice are
//! arguments. The only waiting is done by [`Cloud`]'s async functions, on tokio's clock.

pub mod dynamodb;
pub mod events;
pub mod lambda;
pub mod mapping;
pub mod parameters;
pub mod requests;
pub mod sqs;
pub mod tokens;

mod delivery;
mod functions;
mod handler;
mod invoked;
mod odds;
mod sqs_event;
mod tasks;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::chance::{Dice, Latency};
use crate::faults::{Fault, Faults};
use crate::time::{Clock, Moment};
use crate::transcript::{Event, Transcript};
pub use delivery::Mapping;
use dynamodb::{Dynamo, TableSettings};
use events::Events;
pub use functions::{Boot, Context, Environment, Functions, Input};
pub use odds::Odds;
use parameters::Parameters;
use requests::{Action, Requests};
use sqs::{QueueId, QueueSettings, Sqs};
pub use tasks::{Task, Waited};
use tokens::{Token, Tokens};

/// What a cloud is made with.
#[derive(Clone, Debug)]
pub struct CloudSettings {
    /// The run's seed.
    pub seed: u64,
    /// The unconfirmed facts.
    pub parameters: Parameters,
    /// One AWS request, there and back.
    pub latency: Latency,
    /// What goes wrong.
    pub faults: Faults,
    /// How often a client sends a request that fails in a way which may pass, the first time
    /// included; the SDK's default is 3.
    pub sdk_attempts: u32,
    /// The same for ReceiveMessage: 1 for programs that turn the SDK's retries off there, because a
    /// receive whose answer was lost has hidden its messages.
    pub receive_attempts: u32,
}

impl CloudSettings {
    /// A cloud without faults, under `seed`.
    pub fn new(seed: u64) -> CloudSettings {
        CloudSettings {
            seed,
            parameters: Parameters::default(),
            latency: Latency::AWS_REQUEST,
            faults: Faults::none(),
            sdk_attempts: 3,
            receive_attempts: 3,
        }
    }
}

/// A handle on the services that programs send requests to; clones are the same cloud. What runs
/// the programs is [`Functions`].
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

/// Everything that requests change. It is never locked across an await.
pub struct State {
    /// The queues.
    pub sqs: Sqs,
    /// The tables.
    pub dynamo: Dynamo,
    /// Step Functions' tasks.
    pub tokens: Tokens,
    /// Lambda's asynchronous invocations.
    pub events: Events,
    /// Secrets Manager: text by name.
    pub secrets: HashMap<String, String>,
    /// What has been asked of AWS, for the price.
    pub requests: Requests,
    /// What happened, hashed and watched.
    pub transcript: Transcript,
    /// What goes wrong.
    pub faults: Faults,
    /// Until when a fault lasts that strikes everybody for a while.
    pub outages: BTreeMap<Fault, Moment>,
    /// Tables that cannot be reached, from when and until when, while all others can.
    pub tables_out: Vec<(String, Moment, Moment)>,
    parameters: Parameters,
    latency: Latency,
    sdk_attempts: u32,
    receive_attempts: u32,
    /// Travel times have dice of their own: whether a fault strikes does not change them.
    pub(crate) travel: Dice,
    dice: Dice,
    /// One for each queue: rung when a message may be had.
    bells: Vec<Arc<Notify>>,
    /// Executions that wait for their task to end.
    waiting: HashMap<Token, oneshot::Sender<()>>,
}

impl State {
    /// The queues, and what they decide by chance with.
    pub fn sqs(&mut self) -> (&mut Sqs, Odds<'_>) {
        let odds =
            Odds { dice: &mut self.dice, parameters: &self.parameters, faults: &mut self.faults };
        (&mut self.sqs, odds)
    }

    /// The unconfirmed facts.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Takes note of an event.
    pub fn saw(&mut self, now: Moment, event: Event<'_>) {
        self.transcript.saw(now, &event);
    }

    /// True with probability `p`, by the cloud's own dice.
    pub(crate) fn dice_happens(&mut self, p: f64) -> bool {
        self.dice.happens(p)
    }

    /// A fresh seed from the cloud's own dice.
    pub(crate) fn dice_seed(&mut self) -> u64 {
        self.dice.seed()
    }

    /// How often a client sends such a request, the first time included.
    pub(crate) fn attempts(&self, action: Action) -> u32 {
        match action {
            Action::ReceiveMessage => self.receive_attempts,
            _ => self.sdk_attempts,
        }
    }

    /// Wakes one of those that poll `queue`.
    pub fn ring_bell(&self, queue: QueueId) {
        self.bells[queue.0 as usize].notify_one();
    }

    /// How long one AWS request takes, there and back.
    pub(crate) fn travel_time(&mut self) -> std::time::Duration {
        let mut time = self.travel.draw(&self.latency);
        if self.faults.strikes(Fault::SlowRequest) {
            time *= 100;
        }
        time
    }
}

impl Cloud {
    /// An empty cloud whose time starts now. Needs a tokio runtime with paused time.
    pub fn new(settings: CloudSettings) -> Cloud {
        // The little that the SDK's own code leaves to chance is seeded, too.
        fastrand::seed(settings.seed);
        Cloud {
            inner: Arc::new(Inner {
                clock: Clock::start(),
                state: Mutex::new(State {
                    sqs: Sqs::default(),
                    dynamo: Dynamo::default(),
                    tokens: Tokens::default(),
                    events: Events::default(),
                    secrets: HashMap::new(),
                    requests: Requests::default(),
                    transcript: Transcript::default(),
                    faults: settings.faults,
                    outages: BTreeMap::new(),
                    tables_out: Vec::new(),
                    parameters: settings.parameters,
                    latency: settings.latency,
                    sdk_attempts: settings.sdk_attempts,
                    receive_attempts: settings.receive_attempts,
                    travel: Dice::new(settings.seed, 1),
                    dice: Dice::new(settings.seed, 2),
                    bells: Vec::new(),
                    waiting: HashMap::new(),
                }),
            }),
        }
    }

    /// The cloud's clock.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        self.inner.clock.now()
    }

    /// The state, for as long as nothing is awaited.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a queue.
    pub fn create_queue(&self, settings: QueueSettings) -> QueueId {
        let mut state = self.state();
        state.bells.push(Arc::new(Notify::new()));
        state.sqs.create(settings)
    }

    /// Creates a table.
    pub fn create_table(&self, settings: TableSettings) {
        self.state().dynamo.create(settings);
    }

    /// Waits as long as one way of an AWS request takes.
    pub async fn travel_one_way(&self) {
        let time = self.state().travel_time() / 2;
        tokio::time::sleep(time).await;
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cloud at {:?}", self.now())
    }
}
