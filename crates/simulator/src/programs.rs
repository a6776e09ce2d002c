//! The real enqueuer and the real worker, as functions of the simulated cloud.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::Value;
use slowlane_aws_simulator::clients;
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::lambda::{DEFAULT_EVENT_AGE, FunctionId, FunctionSettings};
use slowlane_aws_simulator::cloud::mapping::MappingSettings;
use slowlane_aws_simulator::cloud::sqs::{QueueId, QueueSettings, Redrive, queue_url};
use slowlane_aws_simulator::cloud::{Cloud, Context, Environment, Functions, Input, Mapping};
use slowlane_aws_simulator::faults::Fault as AwsFault;
use slowlane_aws_simulator::time::Moment;
use slowlane_enqueuer::Enqueuer;
use slowlane_limiter::{Limit, Limits, Scope};
use slowlane_message::QueuedCall;
use slowlane_policy::timing::{
    CALL_RETENTION, DEAD_LETTER_RETENTION, ENQUEUER_TIMEOUT, RECORD_EXPIRY, Timing,
    max_receive_count,
};
use slowlane_policy::wake::EVENT_AGE;
use slowlane_worker::{Clients, Target, Worker};

use crate::ledger::tenant_name;
use crate::metered::USAGE_TABLE;
use crate::monitor::Monitor;
use crate::names::QUEUES;
use crate::plain_doorbell::PlainSlot;
use crate::scenario::{Dispatch, Mutant, Scenario, Told};
use crate::strategies::LIMIT;

/// The guard's table.
pub const TABLE: &str = "idempotency";

/// The table of limits that have a name.
pub const SHARED_TABLE: &str = "shared-limits";

/// The key under which the worker's guard keeps a call.
pub fn record_key(idempotency_key: &str, tenant: Option<u32>) -> String {
    let scope = tenant.map_or_else(|| QueuedCall::DEFAULT_SCOPE.to_owned(), tenant_name);
    format!("{scope}#{idempotency_key}")
}

/// Concurrency that an account has by default (doc), for the enqueuer to share.
const ACCOUNT_CONCURRENCY: u32 = 1_000;
const MEMORY_MB: u32 = 256;

/// What the template makes, on the simulated cloud.
pub struct Deployment {
    functions: Functions,
    stack: Rc<Stack>,
    /// The mappings that read the doorbell, or the queues of calls.
    mappings: RefCell<Vec<Rc<Mapping>>>,
    /// The queues of calls, most urgent first.
    pub calls: [QueueId; 3],
    /// The doorbell queue; it has no reader in the deferral wiring.
    pub doorbell: QueueId,
    /// The dead-letter queue.
    pub dead_letters: QueueId,
    /// The enqueuer.
    pub enqueuer: FunctionId,
    /// The worker.
    pub worker: FunctionId,
    /// The time-outs.
    pub timing: Timing,
}

/// Why a scenario cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No worker can wait for this API.
    #[error(transparent)]
    ApiTimeout(#[from] slowlane_policy::timing::BadApiTimeout),
    /// A program does not accept its environment.
    #[error("a program does not accept its environment: {0}")]
    Environment(String),
}

impl Deployment {
    /// Makes what the template makes: queues, table, functions and mappings. Each environment of the
    /// worker calls a target that `connect` makes. What the worker prints goes to `monitor`.
    ///
    /// # Errors
    /// The scenario's numbers do not fit together.
    pub fn create<T: Target + 'static>(
        scenario: &Scenario,
        functions: &Functions,
        connect: impl Fn(&SdkConfig) -> T + 'static,
        monitor: Option<Rc<dyn Monitor>>,
    ) -> Result<Deployment, Error> {
        let cloud = functions.cloud();
        let timing = Timing::for_api_timeout(scenario.api_timeout_secs)?;
        let (calls, doorbell, dead_letters) = queues(scenario, cloud, &timing);
        cloud.state().dynamo.create(TableSettings {
            name: TABLE.to_owned(),
            key: "id".to_owned(),
            ttl: Some("expires_at".to_owned()),
        });
        cloud.state().dynamo.create(TableSettings {
            name: SHARED_TABLE.to_owned(),
            key: "id".to_owned(),
            ttl: Some("expires_at".to_owned()),
        });
        if scenario.metering.is_some() {
            let expires = Some("expires_at".to_owned());
            let settings = TableSettings::new(USAGE_TABLE, "id");
            cloud.state().dynamo.create(TableSettings { ttl: expires, ..settings });
        }
        for out in &scenario.shared_table_out {
            let span = (SHARED_TABLE.to_owned(), out.begins(), out.ends());
            cloud.state().tables_out.push(span);
        }
        if scenario.mutant == Some(Mutant::MayNotReceive) {
            let for_ever = Moment::from_millis(u64::MAX);
            cloud.state().outages.insert(AwsFault::ReceiveRefused, for_ever);
        }
        let stack = Rc::new(Stack {
            scenario: scenario.clone(),
            timing,
            dispatch: Cell::new(scenario.dispatch),
            limit: Cell::new(scenario.limit),
        });
        let enqueuer = enqueuer(&stack, functions)?;
        let worker = worker(&stack, functions, connect, monitor)?;
        let deployment = Deployment {
            functions: functions.clone(),
            stack,
            mappings: RefCell::default(),
            calls,
            doorbell,
            dead_letters,
            enqueuer,
            worker,
            timing,
        };
        *deployment.mappings.borrow_mut() = deployment.map();
        Ok(deployment)
    }

    /// How a call finds its slot at present.
    pub fn dispatch(&self) -> Dispatch {
        self.stack.dispatch.get()
    }

    /// The API's limit as the stack has it at present.
    pub fn limit(&self) -> u32 {
        self.stack.limit.get()
    }

    /// Deploys another limit.
    pub fn set_limit(&self, limit: u32) {
        self.stack.limit.set(limit);
        self.functions.set_concurrency(self.worker, self.stack.slots());
        self.functions.deploy();
        if self.dispatch() == Dispatch::Doorbell {
            for mapping in self.mappings.borrow().iter() {
                mapping.set_maximum_concurrency(self.stack.most_at_once());
            }
        }
    }

    /// Deploys the other wiring in CloudFormation's order (doc). The functions and the queues
    /// change, then the new mappings come, and the old ones go in the cleanup at the end. `pause`
    /// is waited for before each of the two latter steps.
    pub async fn switch(&self, pause: [Duration; 2]) {
        let to = match self.dispatch() {
            Dispatch::Doorbell => Dispatch::DeferralSwap,
            _ => Dispatch::Doorbell,
        };
        self.stack.dispatch.set(to);
        for queue in self.calls {
            let visibility = call_visibility(to, &self.timing);
            self.functions.cloud().state().sqs.set_visibility(queue, visibility);
        }
        self.functions.deploy();
        tokio::time::sleep(pause[0]).await;
        let new = self.map();
        let old = std::mem::replace(&mut *self.mappings.borrow_mut(), new);
        tokio::time::sleep(pause[1]).await;
        old.iter().for_each(|mapping| mapping.delete());
        if to != Dispatch::Doorbell {
            self.functions.cloud().state().sqs.purge(self.doorbell);
        }
    }

    /// The mappings of the present wiring. The other strategies have no queue.
    fn map(&self) -> Vec<Rc<Mapping>> {
        let mapping = |queue, maximum_concurrency| {
            self.functions.create_mapping(MappingSettings {
                queue,
                function: self.worker,
                batch_size: 1,
                maximum_concurrency,
                reports_failures: true,
            })
        };
        match self.dispatch() {
            _ if self.stack.scenario.mutant == Some(Mutant::NoMapping) => Vec::new(),
            Dispatch::Doorbell | Dispatch::DoorbellPlain => {
                vec![mapping(self.doorbell, Some(self.stack.most_at_once()))]
            }
            Dispatch::DeferralSwap | Dispatch::DeferralYield => {
                self.calls.map(|queue| mapping(queue, None)).into()
            }
            _ => Vec::new(),
        }
    }
}

/// What the stack's parameters say at present: each new environment is made from them.
struct Stack {
    scenario: Scenario,
    timing: Timing,
    dispatch: Cell<Dispatch>,
    limit: Cell<u32>,
}

impl Stack {
    /// The worker's reserved concurrency.
    fn slots(&self) -> u32 {
        match self.scenario.mutant {
            Some(Mutant::OneSlotTooMany) => self.limit.get() + 1,
            Some(Mutant::NoSlots) => 0,
            _ => self.limit.get(),
        }
    }

    /// `MaximumConcurrency` of the doorbell's mapping: 2 at least (model).
    fn most_at_once(&self) -> u32 {
        self.slots().max(2)
    }

    /// An environment variable of the enqueuer.
    fn of_enqueuer(&self, name: &str) -> Option<String> {
        let silent = self.scenario.mutant == Some(Mutant::NoRing);
        if name == "DISPATCH" && silent { Some("deferral".to_owned()) } else { self.variable(name) }
    }

    /// An environment variable of the worker in this environment.
    fn of_worker(&self, name: &str, environment: u64) -> Option<String> {
        let alone = self.scenario.mutant == Some(Mutant::LimitsAlone);
        let lowest_first = self.scenario.mutant == Some(Mutant::LowestFirst);
        let plain = self.dispatch.get() == Dispatch::DoorbellPlain;
        match name {
            "LIMIT_KEY" if alone => Some(format!("{LIMIT}-{environment:016x}")),
            "LIMITS" if self.scenario.dispatch.is_the_workers() => {
                told(&self.scenario.limits, self.scenario.mutant)
            }
            "DISPATCH" if plain => Some("deferral".to_owned()),
            "MAX_DEFERRALS" if plain => Some("0".to_owned()),
            "HIGH_QUEUE_URL" if lowest_first => self.variable("BATCH_QUEUE_URL"),
            "BATCH_QUEUE_URL" if lowest_first => self.variable("HIGH_QUEUE_URL"),
            name => self.variable(name),
        }
    }

    /// The programs' environment variables, as the template sets them.
    fn variable(&self, name: &str) -> Option<String> {
        let Stack { scenario, timing, .. } = self;
        let secs = |time: Duration| time.as_secs().to_string();
        let (dispatch, on_higher) = match self.dispatch.get() {
            Dispatch::DeferralSwap => ("deferral", "swap"),
            Dispatch::DeferralYield => ("deferral", "yield"),
            _ => ("doorbell", "swap"),
        };
        let receives = max_receive_count(scenario.max_deferrals, scenario.max_attempts);
        Some(match name {
            "AWS_LAMBDA_FUNCTION_NAME" => "worker".to_owned(),
            "API_CONCURRENCY" => self.limit.get().to_string(),
            "DISPATCH" => dispatch.to_owned(),
            "ON_HIGHER" => on_higher.to_owned(),
            "HIGH_QUEUE_URL" => queue_url("high"),
            "NORMAL_QUEUE_URL" => queue_url("normal"),
            "BATCH_QUEUE_URL" => queue_url("batch"),
            "DOORBELL_QUEUE_URL" => queue_url("doorbell"),
            "DEAD_LETTER_QUEUE_URL" => queue_url("dead"),
            "IDEMPOTENCY_TABLE" => TABLE.to_owned(),
            "SHARED_LIMITS_TABLE" => SHARED_TABLE.to_owned(),
            "USAGE_TABLE" => scenario.metering.map(|_| USAGE_TABLE.to_owned())?,
            "BUDGETS" => {
                let units = scenario.metering.and_then(|metering| metering.units_a_day)?;
                format!(r#"[{{"tokens":"{units}/day"}}]"#)
            }
            "LIMIT_KEY" if scenario.mutant == Some(Mutant::DeafToOperators) => "other".to_owned(),
            "LIMIT_KEY" => LIMIT.to_owned(),
            "SHARE_EVERY" => scenario.share_every.to_string(),
            "MAX_DEFERRALS" => scenario.max_deferrals.to_string(),
            "MAX_WAIT_SECS" => scenario.max_wait_secs.to_string(),
            "MAX_ATTEMPTS" => scenario.max_attempts.to_string(),
            "MAX_RECEIVE_COUNT" => receives.to_string(),
            "API_TIMEOUT_SECS" => secs(timing.api_timeout),
            "CALL_VISIBILITY_SECS" => secs(timing.call_visibility),
            "RING_VISIBILITY_SECS" => secs(timing.ring_visibility),
            "FUNCTION_TIMEOUT_SECS" => secs(timing.function_timeout),
            "WORK_WINDOW_SECS" => secs(timing.work_window),
            "RECORD_EXPIRY_SECS" => secs(RECORD_EXPIRY),
            "DEFAULT_DEADLINE_SECS" => scenario.deadline_secs.to_string(),
            _ => return None,
        })
    }
}

/// What is told of the API's limits, as the template sets it.
fn told(limits: &[Told], mutant: Option<Mutant>) -> Option<String> {
    let mut limits: Vec<Limit> = limits.iter().filter_map(Told::limit).collect();
    if mutant == Some(Mutant::OneTenantForAll) {
        limits.iter_mut().for_each(|limit| limit.scope = Scope::Target);
    }
    Limits::try_from(limits).ok().filter(|limits| !limits.is_empty()).map(|limits| limits.to_json())
}

/// The visibility timeout of the queues of calls.
fn call_visibility(dispatch: Dispatch, timing: &Timing) -> Duration {
    match dispatch {
        Dispatch::Doorbell | Dispatch::DoorbellPlain => timing.call_visibility,
        _ => timing.deferral_visibility,
    }
}

fn queues(scenario: &Scenario, cloud: &Cloud, timing: &Timing) -> ([QueueId; 3], QueueId, QueueId) {
    let settings = |name: &str, visibility, redrive, retention| QueueSettings {
        name: name.to_owned(),
        visibility,
        redrive,
        retention,
    };
    // SQS's default visibility timeout, which the template leaves the dead-letter queue.
    let default = Duration::from_secs(30);
    let dead_letters = cloud.create_queue(settings("dead", default, None, DEAD_LETTER_RETENTION));
    let max_receive_count = match scenario.mutant {
        Some(Mutant::FewReceives) => 2,
        _ => max_receive_count(scenario.max_deferrals, scenario.max_attempts),
    };
    let redrive = Redrive { to: dead_letters, max_receive_count };
    let visibility = call_visibility(scenario.dispatch, timing);
    let calls = QUEUES
        .map(|name| cloud.create_queue(settings(name, visibility, Some(redrive), CALL_RETENTION)));
    let ring = timing.ring_visibility;
    let doorbell = cloud.create_queue(settings("doorbell", ring, None, CALL_RETENTION));
    (calls, doorbell, dead_letters)
}

fn enqueuer(stack: &Rc<Stack>, functions: &Functions) -> Result<FunctionId, Error> {
    let config = |stack: &Stack| {
        slowlane_enqueuer::Config::from_vars(|name| stack.of_enqueuer(name))
            .map_err(|error| Error::Environment(error.to_string()))
    };
    config(stack)?;
    let scenario = &stack.scenario;
    let settings = FunctionSettings {
        name: "enqueuer".to_owned(),
        concurrency: ACCOUNT_CONCURRENCY.saturating_sub(scenario.limit).max(1),
        timeout: ENQUEUER_TIMEOUT,
        event_age: DEFAULT_EVENT_AGE,
        memory_mb: MEMORY_MB,
        cold_start: scenario.cold_start.latency(),
    };
    let stack = stack.clone();
    let boot = move |sdk: SdkConfig, _: u64| {
        let config = checked(config(&stack));
        let enqueuer = Enqueuer::new(config, clients::sqs(&sdk));
        Rc::new(EnqueuerProgram(enqueuer)) as Rc<dyn Environment>
    };
    Ok(functions.create(settings, Rc::new(boot)))
}

fn worker<T: Target + 'static>(
    stack: &Rc<Stack>,
    functions: &Functions,
    connect: impl Fn(&SdkConfig) -> T + 'static,
    monitor: Option<Rc<dyn Monitor>>,
) -> Result<FunctionId, Error> {
    let config = |stack: &Stack, environment: u64| {
        slowlane_worker::Config::from_vars(|name| stack.of_worker(name, environment))
            .map_err(|error| Error::Environment(error.to_string()))
    };
    config(stack, 0)?;
    let (scenario, timing) = (&stack.scenario, &stack.timing);
    let settings = FunctionSettings {
        name: "worker".to_owned(),
        concurrency: stack.slots(),
        timeout: timing.function_timeout,
        event_age: EVENT_AGE,
        memory_mb: MEMORY_MB,
        cold_start: scenario.cold_start.latency(),
    };
    let mutant = scenario.mutant;
    let cloud = functions.cloud().clone();
    let plain = scenario.dispatch == Dispatch::DoorbellPlain;
    let share_every = NonZeroU32::new(scenario.share_every).unwrap_or(NonZeroU32::MIN);
    let call_visibility = timing.call_visibility;
    let stack = stack.clone();
    let boot = move |sdk: SdkConfig, seed: u64| {
        if mutant == Some(Mutant::NeverStarts) {
            return Rc::new(Unbooted) as Rc<dyn Environment>;
        }
        let config = checked(config(&stack, seed));
        let clients = Clients {
            sqs: clients::sqs(&sdk),
            sfn: clients::sfn(&sdk),
            dynamodb: clients::dynamodb(&sdk),
            lambda: clients::lambda(&sdk),
        };
        let sqs = clients.sqs.clone();
        let worker = Worker::new(config, clients, connect(&sdk), seed);
        let worker = checked(worker.map_err(|error| Error::Environment(error.to_string())));
        let (clock, monitor) = (cloud.clone(), monitor.clone());
        let worker = worker.with_metrics(move |record| {
            if let Some(monitor) = &monitor {
                monitor.printed(clock.now(), record);
            }
        });
        if plain {
            let turn = Cell::new(seed >> 32);
            Rc::new(PlainSlot { worker, sqs, turn, share_every, call_visibility })
                as Rc<dyn Environment>
        } else {
            Rc::new(WorkerProgram { worker, cloud: cloud.clone() })
        }
    };
    Ok(functions.create(settings, Rc::new(boot)))
}

/// The settings of a new environment.
///
/// # Panics
/// If the program does not accept them: it accepted the first ones, and what changes since is the
/// limit and the wiring.
fn checked<T>(config: Result<T, Error>) -> T {
    config.unwrap_or_else(|error| panic!("{error}"))
}

/// A program that ends before it takes its first event.
struct Unbooted;

impl Environment for Unbooted {
    fn handle(
        self: Rc<Self>,
        _: Input,
        _: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async { Err("Runtime.ExitError".to_owned()) })
    }
}

struct EnqueuerProgram(Enqueuer);

impl Environment for EnqueuerProgram {
    fn handle(
        self: Rc<Self>,
        input: Input,
        _: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async move {
            let Input::Payload(payload) = input else {
                return Err("the enqueuer takes a payload".to_owned());
            };
            match self.0.handle(payload, None).await {
                Ok(_) => Ok(Value::Null),
                Err(error) => Err(error.name().to_owned()),
            }
        })
    }
}

struct WorkerProgram<T> {
    worker: Worker<T>,
    cloud: Cloud,
}

impl<T: Target + 'static> Environment for WorkerProgram<T> {
    fn handle(
        self: Rc<Self>,
        input: Input,
        context: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async move {
            let handled = match input {
                Input::Batch(queue, messages) => {
                    let event = self.cloud.sqs_event(queue, &messages);
                    self.worker.handle(event, context.deadline).await
                }
                Input::Payload(payload) => {
                    let handed = serde_json::from_value(payload).map_err(|e| e.to_string())?;
                    self.worker.handle_ring(handed, context.deadline).await
                }
            };
            serde_json::to_value(handled.response).map_err(|error| error.to_string())
        })
    }
}
