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
//! # use slowlane_worker::{AfterLoss, Outcome, QueuedCall, Target, TargetResponse};
//! # use slowlane_worker::{aws_config, lambda_runtime};
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
use std::str::FromStr;
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
use slowlane_policy::timing::{DEFERRAL_VISIBILITY_FACTOR, RING_AGAIN};
use slowlane_policy::wake::allowance;
use tokio::time::Instant;

// What a worker of one's own needs beside this crate, each in the version that fits it.
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
use receive::{Queues, Received, Ring, WokenBy};
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
        // Boxed: the SDK's futures nest so deep that a team's `main` would have to raise its
        // `recursion_limit`.
        let handled = match event.payload {
            Wake::Mapping(event) => Box::pin(worker.handle(event, deadline)).await,
            Wake::Slot(handed) => Box::pin(worker.handle_ring(handed, deadline)).await,
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
    /// The number of the slot's turn. It is counted over all invocations of this process, so that
    /// each priority has its share however short they are.
    turn: Cell<u64>,
    /// When this process last rang for calls that a mapping of the other wiring had brought.
    rung_after_switch: Cell<Option<Instant>>,
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
            rung_after_switch: Cell::new(None),
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
                Dispatch::Doorbell { limit, queue_url, .. } if is_of(&record, queue_url) => {
                    self.serve_ring_record(record, allowance(*limit), deadline).await
                }
                Dispatch::Doorbell { .. } => self.serve_unrung(record).await,
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
        let woken_by = WokenBy { ring: handed.ring, receive_count: 1 };
        let done = self.serve_ring(&woken_by, handed.allowance, deadline).await;
        if done.ring_served {
            self.queues.delete_rings(&[woken_by.ring]).await;
        }
        self.report_invocation(done.counts);
        Handled { response: SqsBatchResponse::default(), counts: done.counts }
    }

    /// Serves a ring that a mapping has brought, and says whether it must stay.
    async fn serve_ring_record(
        &self,
        record: SqsMessage,
        allowance: u32,
        deadline: Instant,
    ) -> (Counts, bool) {
        let says = slowlane_message::Ring::parse(record.body.as_deref().unwrap_or_default());
        let woken_by = WokenBy {
            receive_count: receive_count(&record),
            ring: Ring(record.receipt_handle.unwrap_or_default()),
        };
        let done = self.serve_ring(&woken_by, allowance, deadline).await;
        // A ring that stays says the same when it comes back.
        let may_go = done.ring_served && self.ring_again(says).await;
        (done.counts, !may_go)
    }

    /// Rings again if the ring says so; false if that could not be done.
    async fn ring_again(&self, says: slowlane_message::Ring) -> bool {
        if says.again_until.is_none_or(|until| until <= self.clock.now()) {
            return true;
        }
        let rung = self.queues.send_ring(RING_AGAIN, &says).await;
        if let Err(error) = &rung {
            tracing::warn!(%error, "the ring itself comes back");
        }
        rung.is_ok()
    }

    /// Runs a call that was brought by a mapping of the deferral wiring, from which the stack has
    /// just been switched, and says whether its message must stay. To give it back would only
    /// have that mapping bring it again.
    async fn serve_unrung(&self, record: SqsMessage) -> (Counts, bool) {
        let Some(received) = self.received(record) else { return (Counts::default(), true) };
        self.ring_after_switch().await;
        let mut counts = Counts::default();
        let keep = self.run_here(received, &mut counts).await;
        (counts, keep)
    }

    /// Nobody has rung for the calls of the other wiring. What is hidden now may become visible
    /// until the longest visibility time-out of that wiring is over. Whatever brings such calls
    /// brings many: they are rung for once in a while.
    async fn ring_after_switch(&self) {
        let now = Instant::now();
        let rung_at = self.rung_after_switch.get();
        if rung_at.is_some_and(|at| now.duration_since(at) < RING_AGAIN) {
            return;
        }
        let horizon = self.config.function_timeout * DEFERRAL_VISIBILITY_FACTOR;
        let again_until = self.clock.now().checked_add(horizon).ok();
        match self.queues.send_ring(Duration::ZERO, &slowlane_message::Ring { again_until }).await {
            Ok(()) => self.rung_after_switch.set(Some(now)),
            Err(error) => tracing::warn!(%error, "what waits beside this call is not rung for"),
        }
    }

    async fn serve_ring(&self, woken_by: &WokenBy, allowance: u32, deadline: Instant) -> Done {
        let Dispatch::Doorbell { share_every, .. } = self.config.dispatch else {
            // A ring that was on its way while the deployment changed its wiring.
            return Done { counts: Counts::default(), ring_served: true };
        };
        self.queues.hold_ring(&woken_by.ring).await;
        // A call taken at the last moment must still end before Lambda kills us.
        let stop_at =
            deadline.checked_sub(self.config.call_visibility).unwrap_or_else(Instant::now);
        self.run_slot(woken_by, stop_at, share_every, allowance).await
    }

    async fn serve_record(
        &self,
        record: SqsMessage,
        settings: &DeferralSettings,
    ) -> (Counts, bool) {
        let sent_ms = attribute(&record, "SentTimestamp").unwrap_or(0);
        let age_ms = self.clock.now().as_millisecond().saturating_sub(sent_ms);
        let Some(woken) = self.received(record) else { return (Counts::default(), true) };
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let deferred = self.serve_call(woken, age, settings).await;
        (deferred.counts, deferred.keep)
    }

    /// A call that a mapping has brought.
    fn received(&self, record: SqsMessage) -> Option<Received> {
        let Some(priority) = self.queue_of(&record) else {
            // Not one of our queues: a mapping that nobody asked for, or one of a wiring that is
            // no more. Its message is left alone.
            tracing::warn!(source = ?record.event_source_arn, "an event of an unknown queue");
            return None;
        };
        Some(Received {
            priority,
            receive_count: receive_count(&record),
            dead_letter: record.message_attributes.contains_key(receive::REASON),
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            body: record.body.unwrap_or_default(),
        })
    }

    /// The priority of the queue that a record comes from.
    fn queue_of(&self, record: &SqsMessage) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| is_of(record, self.config.queues.of(*priority)))
    }

    /// The moment of Lambda's deadline, which it gives in milliseconds since 1970.
    fn deadline(&self, epoch_ms: u64) -> Instant {
        let now_ms = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        Instant::now() + Duration::from_millis(epoch_ms.saturating_sub(now_ms))
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

/// Whether a record comes from the queue of this URL.
fn is_of(record: &SqsMessage, url: &str) -> bool {
    let source = record.event_source_arn.as_deref().and_then(|arn| arn.rsplit(':').next());
    source.is_some() && source == url.rsplit('/').next()
}

fn attribute<A: FromStr>(record: &SqsMessage, name: &str) -> Option<A> {
    record.attributes.get(name)?.parse().ok()
}

fn receive_count(record: &SqsMessage) -> u32 {
    attribute(record, "ApproximateReceiveCount").unwrap_or(1)
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
