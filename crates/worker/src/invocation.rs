//! One invocation of the worker: how the deployment is wired says who handles what woke it.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use serde_json::Value;
use slowlane_idempotency::{DynamoDbStore, Guard};
use slowlane_lambda::clock::Clock;
use slowlane_lambda::spans::Exporter;
use slowlane_limiter::{DateListener, SharedCorrection};
use slowlane_policy::deferral::DeferralSettings;
use slowlane_policy::settle::RetrySettings;
use tokio::time::Instant;

use crate::aws::clients::Clients;
use crate::aws::deletes::Deletes;
use crate::aws::doorbell::Doorbell;
use crate::aws::function::{Function, HandedRing};
use crate::aws::queues::Queues;
use crate::aws::task_callback::TaskCallback;
use crate::call::Calls;
use crate::config::{Config, Dispatch};
use crate::doorbell::Slots;
use crate::limits::{self, Limits};
use crate::metering::Metering;
use crate::metrics::{self, Counts, Reporter};
use crate::target::Target;
use crate::{deferral, doorbell};

/// The worker: a slot of the limit whenever one of its invocations runs.
pub struct Worker<T> {
    wiring: Wiring,
    calls: Calls<T>,
    reporter: Reporter,
}

/// How a queued call finds a slot.
enum Wiring {
    Doorbell(Slots),
    Deferral(DeferralSettings),
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
    ///
    /// # Errors
    /// Limits that contradict themselves.
    pub fn new(
        config: Config,
        clients: Clients,
        target: T,
        seed: u64,
    ) -> Result<Self, limits::Error> {
        let clock = Clock::of(clients.sqs.config().time_source());
        let system: Arc<dyn slowlane_limiter::Clock> = Arc::new({
            let clock = clock.clone();
            move || clock.system_time()
        });
        let correction = SharedCorrection::new();
        let clients = clients.heard_by(&DateListener::new(correction.clone(), system.clone()));
        let Clients { sqs, sfn, dynamodb, lambda } = clients;
        let mut rng = fastrand::Rng::with_seed(seed);
        // Slots that start together must not take their turns for the lower queues together.
        let first_turn = rng.u64(..1 << 32);
        let wiring = match &config.dispatch {
            Dispatch::Doorbell { queue_url, share_every, limit, ring_visibility } => {
                let visibility = config.call_visibility;
                Wiring::Doorbell(Slots {
                    doorbell: Doorbell::new(sqs.clone(), queue_url, *ring_visibility, visibility),
                    function: Function::new(lambda, config.function.clone()),
                    limit: *limit,
                    share_every: *share_every,
                    turn: Cell::new(first_turn),
                    rung_after_switch: Cell::new(None),
                    asleep: Cell::default(),
                })
            }
            Dispatch::Deferral { on_higher, max_deferrals, .. } => {
                Wiring::Deferral(DeferralSettings {
                    on_higher: *on_higher,
                    max_deferrals: *max_deferrals,
                    max_wait: config.max_wait,
                })
            }
        };
        let reporter = Reporter {
            clock: clock.clone(),
            namespace: config.metrics_namespace.clone(),
            emit: Box::new(metrics::print_line),
            spans: None,
        };
        let limits = Limits::new(&config, &dynamodb, system, correction, seed)?;
        let metering = Metering::new(&config, &dynamodb, &clock, seed);
        let calls = Calls {
            deletes: Deletes::new(sqs.clone(), config.queues.clone()),
            queues: Queues::new(sqs, &config),
            doorbell: wiring.doorbell().cloned(),
            guard: guard(&config, dynamodb, &clock, seed),
            callback: TaskCallback::new(sfn),
            target,
            clock,
            retry: RetrySettings::for_max_wait(config.max_wait),
            limits,
            metering,
            renewed_at: Cell::new(None),
            rng: RefCell::new(rng),
            config,
        };
        Ok(Worker { wiring, calls, reporter })
    }

    /// Sends the metrics' JSON lines elsewhere than to stdout.
    #[must_use]
    pub fn with_metrics(mut self, emit: impl Fn(&Value) + 'static) -> Self {
        self.reporter.emit = Box::new(emit);
        self
    }

    /// Sends each call's spans by `exporter`.
    #[must_use]
    pub fn with_spans(mut self, exporter: Option<Exporter>) -> Self {
        self.reporter.spans = exporter;
        self
    }

    /// Handles one event of a mapping, which ends at `deadline` at the latest.
    pub async fn handle(&self, event: SqsEvent, deadline: Instant) -> Handled {
        let Worker { wiring, calls, reporter } = self;
        let mut response = SqsBatchResponse::default();
        let mut counts = Counts::default();
        // A mapping of BatchSize 1, as the template has it, brings one record.
        for record in event.records {
            let message_id = record.message_id.clone().unwrap_or_default();
            let (done, keep) = match wiring {
                Wiring::Doorbell(slots) => {
                    let invocation = doorbell::Invocation { slots, calls, reporter, deadline };
                    invocation.handle(record).await
                }
                Wiring::Deferral(settings) => {
                    deferral::Invocation { settings, calls, reporter }.handle(record).await
                }
            };
            counts += done;
            if keep {
                response.add_failure(message_id);
            }
        }
        self.report(response, counts).await
    }

    /// Handles a ring that another slot has handed on, until `deadline` at the latest.
    pub async fn handle_ring(&self, handed: HandedRing, deadline: Instant) -> Handled {
        let Worker { wiring, calls, reporter } = self;
        let counts = match wiring {
            Wiring::Doorbell(slots) => {
                let invocation = doorbell::Invocation { slots, calls, reporter, deadline };
                invocation.handle_ring(handed).await
            }
            // A ring that was on its way while the deployment changed its wiring.
            Wiring::Deferral(_) => Counts::default(),
        };
        self.report(SqsBatchResponse::default(), counts).await
    }

    async fn report(&self, response: SqsBatchResponse, mut counts: Counts) -> Handled {
        if let Some(metering) = &self.calls.metering {
            metering.write_rest().await;
            counts.usage_unreached += metering.take_unreached();
        }
        counts.grants_of_own_share += self.calls.limits.take_grants_of_own_share();
        counts.limits_unreached += self.calls.limits.take_unreached();
        let concurrency = self.calls.limits.concurrency();
        let secret_ends = self.calls.target.secret_ends();
        let doorbell = self.wiring.doorbell().is_some();
        self.reporter.invocation(counts, doorbell, concurrency, secret_ends);
        if let Some(exporter) = &self.reporter.spans {
            exporter.flush().await;
        }
        Handled { response, counts }
    }

    /// The moment that Lambda gives in milliseconds since 1970.
    pub(crate) fn moment_of(&self, epoch_ms: u64) -> Instant {
        let now_ms = u64::try_from(self.calls.clock.now().as_millisecond()).unwrap_or(0);
        Instant::now() + Duration::from_millis(epoch_ms.saturating_sub(now_ms))
    }
}

impl Wiring {
    fn doorbell(&self) -> Option<&Doorbell> {
        match self {
            Wiring::Doorbell(slots) => Some(&slots.doorbell),
            Wiring::Deferral(_) => None,
        }
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
