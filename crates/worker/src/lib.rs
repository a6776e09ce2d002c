//! The worker Lambda: it takes the most urgent call there is, guards it so that it has one
//! effect, makes it, and resumes the workflow that waits for it.
//!
//! One running invocation is one *slot* of the API's limit, because the function's reserved
//! concurrency is that limit. The way of a call through the files:
//!
//! 1. An SQS event arrives at [`Worker::handle`]. Its queue tells which wiring woke the worker:
//!    a ring of the doorbell ([`slot`]) or a call itself ([`deferral`]). A ring can also be
//!    handed on by another slot ([`wake`]).
//! 2. A message is taken from the most urgent queue that has one ([`receive`]).
//! 3. It is prepared, called and settled ([`process`]), with the answer named in [`outcome`]
//!    and each way to end it in [`ending`].
//! 4. The paused workflow is told ([`task_callback`]), and so is whoever watches ([`metrics`]).
//!
//! The API behind it is a [`Target`]. A team with its own writes a `main` of three lines:
//!
//! ```no_run
//! # use slowlane_message::QueuedCall;
//! # use slowlane_policy::settle::Outcome;
//! # use slowlane_worker::{AfterLoss, Target, TargetResponse};
//! # struct Crm;
//! # impl Crm { async fn connect(_: &aws_config::SdkConfig) -> Result<Crm, std::io::Error> { Ok(Crm) } }
//! # impl Target for Crm {
//! #     async fn call(&self, _: &QueuedCall) -> Outcome<TargetResponse> {
//! #         Outcome::Succeeded(TargetResponse::new(200))
//! #     }
//! #     fn after_loss(&self, _: &QueuedCall) -> AfterLoss { AfterLoss::Repeat }
//! # }
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), lambda_runtime::Error> {
//!     slowlane_worker::run(Crm::connect).await
//! }
//! ```

mod clients;
mod config;
mod deferral;
mod ending;
mod metrics;
mod outcome;
mod process;
mod receive;
mod slot;
mod target;
pub mod targets;
mod task_callback;
mod wake;

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_smithy_types::timeout::TimeoutConfig;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use slowlane_idempotency::{DynamoDbStore, Guard};
use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs;
use slowlane_message::Priority;
use slowlane_policy::deferral::DeferralSettings;
use slowlane_policy::settle::RetrySettings;
use slowlane_policy::wake::allowance;
use tokio::time::Instant;

// What a worker of one's own needs beside this crate, in the versions that fit it.
pub use aws_config;
pub use lambda_runtime;
pub use reqwest;

pub use clients::Clients;
pub use config::{Config, Dispatch, QueueUrls};
pub use metrics::Counts;
pub use slowlane_lambda::env;
pub use slowlane_message::{Method, QueuedCall};
pub use slowlane_policy::deferral::OnHigher;
pub use slowlane_policy::settle::{Outcome, Why};
pub use target::{AfterLoss, Reconciled, Target, TargetResponse};
pub use wake::{HandedRing, Wake};

use process::Ended;
use receive::{Queues, Received, Ring};
use slot::Done;
use task_callback::TaskCallback;
use wake::Function;

/// Runs the worker as a Lambda function until Lambda stops it. `connect` makes the target;
/// it is given the SDK configuration to read secrets with.
///
/// # Errors
/// A bad environment (every bad variable is named), or a target that could not be made.
pub async fn run<T, E>(
    connect: impl AsyncFnOnce(&SdkConfig) -> Result<T, E>,
) -> Result<(), lambda_runtime::Error>
where
    T: Target,
    E: Into<lambda_runtime::Error>,
{
    let lookup = |name: &str| std::env::var(name).ok();
    logs::init(&lookup("LOG_LEVEL").unwrap_or_default());
    let config = Config::from_vars(lookup)?;
    // A request that hangs would hold a slot. A long poll of a second is the slowest of ours.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let target = connect(&sdk).await.map_err(Into::into)?;
    let worker = Worker::new(config, Clients::new(&sdk), target, fastrand::u64(..));
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Wake>| {
        let deadline = worker.deadline(event.context.deadline);
        let handled = match event.payload {
            Wake::Mapping(event) => worker.handle(event, deadline).await,
            Wake::Slot(handed) => worker.handle_ring(handed, deadline).await,
        };
        Ok::<_, lambda_runtime::Error>(handled.response)
    }))
    .await
}

/// The worker: a slot of the limit whenever one of its invocations runs.
pub struct Worker<T> {
    config: Config,
    queues: Queues,
    guard: Guard<DynamoDbStore>,
    callback: TaskCallback,
    function: Function,
    target: T,
    clock: Clock,
    retry: RetrySettings,
    rng: RefCell<fastrand::Rng>,
    /// Counted over all invocations of this process, so that each priority has its share
    /// however short they are.
    turn: Cell<u64>,
    emit: Box<dyn Fn(&Value)>,
}

/// What an invocation answers, and what it did.
#[derive(Debug)]
pub struct Handled {
    /// The answer to the event source mapping: messages that it must leave in their queue.
    pub response: SqsBatchResponse,
    /// What was done, summed over the event's messages.
    pub counts: Counts,
}

impl<T: Target> Worker<T> {
    /// A worker that speaks to AWS by `clients`. `seed` rules its jitter.
    pub fn new(config: Config, clients: Clients, target: T, seed: u64) -> Self {
        let Clients { sqs, sfn, dynamodb, lambda } = clients;
        let clock = Clock::of(sqs.config().time_source());
        let mut rng = fastrand::Rng::with_seed(seed);
        Worker {
            // Slots that start together must not take their turns for the lower queues together.
            turn: Cell::new(rng.u64(..1 << 32)),
            queues: Queues::new(sqs, &config),
            guard: guard(&config, dynamodb, &clock, seed),
            callback: TaskCallback::new(sfn),
            function: Function::new(lambda, config.function.clone()),
            target,
            clock,
            retry: RetrySettings::for_max_wait(config.max_wait),
            rng: RefCell::new(rng),
            emit: Box::new(metrics::print_line),
            config,
        }
    }

    /// Sends the metrics' JSON lines elsewhere than to stdout.
    #[must_use]
    pub fn with_metrics(mut self, emit: impl Fn(&Value) + 'static) -> Self {
        self.emit = Box::new(emit);
        self
    }

    /// Handles one event of a mapping, which ends at `deadline` at the latest.
    pub async fn handle(&self, event: SqsEvent, deadline: Instant) -> Handled {
        let mut response = SqsBatchResponse::default();
        let mut counts = Counts::default();
        // A mapping of BatchSize 1, as the template has it, brings one record.
        for record in event.records {
            let message_id = record.message_id.clone().unwrap_or_default();
            let (done, keep) = match &self.config.dispatch {
                Dispatch::Doorbell { limit, .. } => {
                    let ring = Ring(record.receipt_handle.unwrap_or_default());
                    let done = self.serve_ring(&ring, allowance(*limit), deadline).await;
                    (done.counts, !done.ring_served)
                }
                Dispatch::Deferral { on_higher, max_deferrals } => {
                    let settings = DeferralSettings {
                        on_higher: *on_higher,
                        max_deferrals: *max_deferrals,
                        max_wait: self.config.max_wait,
                    };
                    self.serve_record(record, &settings).await
                }
            };
            counts += done;
            if keep {
                response.add_failure(message_id);
            }
        }
        self.report_invocation(counts);
        Handled { response, counts }
    }

    /// Handles a ring that another slot has handed on, until `deadline` at the latest. No mapping
    /// will delete that ring.
    pub async fn handle_ring(&self, handed: HandedRing, deadline: Instant) -> Handled {
        let done = self.serve_ring(&handed.ring, handed.allowance, deadline).await;
        if done.ring_served {
            self.queues.delete_rings(&[handed.ring]).await;
        }
        self.report_invocation(done.counts);
        Handled { response: SqsBatchResponse::default(), counts: done.counts }
    }

    async fn serve_ring(&self, ring: &Ring, allowance: u32, deadline: Instant) -> Done {
        let Dispatch::Doorbell { share_every, .. } = self.config.dispatch else {
            // A ring that was on its way while the deployment changed its wiring.
            return Done { counts: Counts::default(), ring_served: true };
        };
        self.queues.hold_ring(ring).await;
        // A call taken at the last moment must still end before Lambda kills us.
        let stop_at =
            deadline.checked_sub(self.config.call_visibility).unwrap_or_else(Instant::now);
        self.run_slot(stop_at, share_every, allowance).await
    }

    async fn serve_record(
        &self,
        record: SqsMessage,
        settings: &DeferralSettings,
    ) -> (Counts, bool) {
        let Some(priority) = self.queue_of(&record) else {
            // Not one of our queues: a mapping that nobody asked for. Its message is left alone.
            tracing::error!(source = ?record.event_source_arn, "an event of an unknown queue");
            return (Counts::default(), true);
        };
        let attribute = |name: &str| record.attributes.get(name);
        let sent_ms = attribute("SentTimestamp").and_then(|text| text.parse().ok()).unwrap_or(0);
        let age_ms = self.clock.now().as_millisecond().saturating_sub(sent_ms);
        let receive_count =
            attribute("ApproximateReceiveCount").and_then(|text| text.parse().ok()).unwrap_or(1);
        let woken = Received {
            priority,
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            body: record.body.unwrap_or_default(),
            receive_count,
            dead_letter: record.message_attributes.contains_key(receive::REASON),
        };
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let deferred = self.serve_call(woken, age, settings).await;
        (deferred.counts, deferred.keep)
    }

    /// The priority of the queue that a record comes from.
    fn queue_of(&self, record: &SqsMessage) -> Option<Priority> {
        let source = record.event_source_arn.as_deref()?.rsplit(':').next()?;
        let name = |priority| self.config.queues.of(priority).rsplit('/').next();
        Priority::ALL.into_iter().find(|priority| name(*priority) == Some(source))
    }

    /// The moment of Lambda's deadline, which it gives in milliseconds since 1970.
    fn deadline(&self, epoch_ms: u64) -> Instant {
        let now_ms = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        Instant::now() + Duration::from_millis(epoch_ms.saturating_sub(now_ms))
    }

    /// The number of the slot's present turn, and with it whose turn it is.
    fn turn(&self) -> u64 {
        self.turn.get()
    }

    fn end_turn(&self) {
        self.turn.set(self.turn.get().wrapping_add(1));
    }

    /// Randomness for the policy, in [0, 1).
    fn unit(&self) -> f64 {
        self.rng.borrow_mut().f64()
    }

    fn report_invocation(&self, counts: Counts) {
        let doorbell = matches!(self.config.dispatch, Dispatch::Doorbell { .. });
        let now = self.clock.now();
        (self.emit)(&counts.into_emf(&self.config.metrics_namespace, now, doorbell));
    }

    fn report(&self, ended: &Ended) {
        let now = self.clock.now();
        (self.emit)(&metrics::call_record(&self.config.metrics_namespace, now, ended));
    }
}

fn guard(
    config: &Config,
    dynamodb: aws_sdk_dynamodb::Client,
    clock: &Clock,
    seed: u64,
) -> Guard<DynamoDbStore> {
    let store = DynamoDbStore::new(dynamodb, &config.idempotency_table);
    let clock = clock.clone();
    // Owners must differ between any two claims, so they come from a stream of their own.
    let owners = Mutex::new(fastrand::Rng::with_seed(seed ^ 0x006F_776E_6572));
    let settings = slowlane_idempotency::Settings {
        clock: Arc::new(move || clock.system_time()),
        new_owner: Arc::new(move || {
            let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
            uuid::Builder::from_random_bytes(owners.u128(..).to_be_bytes()).into_uuid()
        }),
        ..Default::default()
    };
    Guard::new(store, settings)
}
