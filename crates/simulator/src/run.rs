//! A scenario, run: workflows start, the real programs work, things go wrong, and the books are
//! kept until every workflow has ended.

mod people;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_aws_simulator::cloud::dynamodb::Units;
use slowlane_aws_simulator::cloud::lambda::{Bill, Failure};
use slowlane_aws_simulator::cloud::mapping;
use slowlane_aws_simulator::cloud::parameters::Unconfirmed;
use slowlane_aws_simulator::cloud::requests::Requests;
use slowlane_aws_simulator::cloud::sqs::Send;
use slowlane_aws_simulator::cloud::tokens::Ended;
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Functions, Input, State, Waited};
use slowlane_aws_simulator::faults::{Fault as AwsFault, Faults, Kind, Rates, Struck};
use slowlane_aws_simulator::time::{Moment, in_virtual_time};
use slowlane_aws_simulator::transcript::{Event, Watch};
use slowlane_message::Priority;
use slowlane_policy::timing::LONGEST_RING_BACKOFF;

use crate::api::SlowApi;
use crate::faults::Fault;
use crate::figures::{Outages, Receives, Tenants, Wait};
use crate::ledger::{
    Books, End, Invariant, Ledger, Nature, Violation, WaitBound, key_of, tenant_name,
};
use crate::monitor::{self, Monitor};
use crate::programs::{self, Deployment, TABLE, record_key};
use crate::promises::Promises;
use crate::scenario::{self, Dispatch, Load, Pause, Scenario};
use crate::strategies::{Rival, Wanted};

/// How long after the gate has opened a slot may still sleep, and what it then finds first is made
/// before what is overdue.
const LONGEST_SLEEP: Duration = Duration::from_secs(900);
/// How often the run looks after itself: invariants that hold over time, and operators' faults.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks in a row a call may be without a ring. Its enqueuer may just be between sending
/// the call and ringing, with three tries of each.
const LONGEST_UNRUNG: u32 = 60;
/// The event of a workflow's asking for a call: its number and its priority.
pub const ASKED: &str = "asked";
/// How long after the last workflow's end leftovers may take to be cleared away.
const LONGEST_DRAIN: Duration = Duration::from_secs(7_200);
/// How long after its workflow's end a call is remembered in a run without faults.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Sizes of answers that do not fit: a workflow takes 262,144 bytes, an item 409,600.
const LARGE_ANSWERS: [usize; 2] = [300_000, 450_000];
/// The longest deadline that a workflow asks for; what is allowed is half of it.
const LONGEST_WISH_SECS: u64 = 20 * 86_400;
/// What the keys of the limiter's items begin with.
const LIMITER_ITEMS: &str = "limiter";
/// State transitions of one execution: the start, the task and the end.
const TRANSITIONS: u64 = 3;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The hash of everything that happened.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How many faults were due to strike, those that were spared included.
    pub strikes: u64,
    /// How often each fault struck.
    pub struck: Struck,
    /// What was broken; empty if all held.
    pub violations: Vec<Violation>,
    /// How many executions ended in each way.
    pub ends: BTreeMap<Arc<str>, u64>,
    /// The figures.
    pub measures: Measures,
}

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Measures {
    /// Calls.
    pub calls: u64,
    /// Virtual time from the API's first start to its last end.
    pub makespan: Duration,
    /// Time that the API worked, over the limit times the makespan.
    pub utilisation: f64,
    /// The most calls of live invocations at the API at once.
    pub max_concurrency: u32,
    /// The share of what the API would have taken, while more waited, that it was given; where it
    /// can be told ([`Usage::permitted_used`](crate::usage::Usage::permitted_used)).
    pub permitted_used: Option<f64>,
    /// Calls that the API refused because of its limit.
    pub http_429: u64,
    /// Of these, those that it would have refused also if nobody else had used it.
    pub own_429: u64,
    /// Workflows that failed or timed out.
    pub failed: u64,
    /// How often calls were received from their queues.
    pub receives: Receives,
    /// What the API's outages came to.
    pub outages: Option<Outages>,
    /// How long after the API began to take more at once it was in full use, at worst.
    pub full_use_after_rise: Option<Duration>,
    /// Requests to AWS while operators had paused the target, those of mappings included.
    pub pause_requests: u64,
    /// Waits beside a noisy tenant.
    pub tenants: Option<Tenants>,
    /// Writes to the limiter's items, those that failed their condition included.
    pub limiter_writes: u64,
    /// Reads of them.
    pub limiter_reads: u64,
    /// Deliveries that were refused for want of concurrency.
    pub throttled_deliveries: u64,
    /// Calls in the dead-letter queue that the API would have accepted.
    pub healthy_in_dlq: u64,
    /// Effects beyond the first of calls that must not be repeated.
    pub duplicates: u64,
    /// Wait from the enqueuer's sending to the API, most urgent priority first.
    pub waits: [Wait; 3],
    /// The stated bound on the wait of the BATCH call that waited longest, where there is one.
    pub batch_bound: Option<Duration>,
    /// Requests to AWS.
    pub requests: Requests,
    /// List price, USD.
    pub price: f64,
    /// Invocations of the worker.
    pub worker_invocations: u64,
    /// What Lambda bills of the worker.
    pub worker_bill: Bill,
    /// What Lambda bills of the enqueuer.
    pub enqueuer_bill: Bill,
    /// What DynamoDB bills.
    pub units: Units,
}

impl Measures {
    /// Requests to AWS, those of mappings included.
    pub fn aws_requests(&self) -> u64 {
        self.requests.sent() + self.requests.polls()
    }
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario is not sound.
    #[error(transparent)]
    Scenario(#[from] scenario::Error),
    /// Its programs could not be deployed.
    #[error(transparent)]
    Programs(#[from] programs::Error),
    /// The operating system gives no runtime.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Who looks on while a run goes.
pub struct Onlooker<'a> {
    /// Is told, every virtual second, how many calls have been opened and how many wait.
    pub progress: &'a dyn Fn(u64, u64),
    /// Sees every event.
    pub watch: Option<Box<dyn Watch>>,
    /// Is told what CloudWatch is told.
    pub monitor: Option<Rc<dyn Monitor>>,
}

impl Onlooker<'_> {
    /// Nobody.
    pub fn nobody() -> Onlooker<'static> {
        Onlooker { progress: &|_, _| {}, watch: None, monitor: None }
    }
}

/// Runs a scenario to its end.
///
/// # Errors
/// The scenario cannot be run; a broken invariant is part of the outcome.
pub fn run(scenario: &Scenario, onlooker: Onlooker<'_>) -> Result<Outcome, Error> {
    let rates = scenario.rates()?;
    // It may have been changed since it was read.
    scenario.check_that_it_is_kept()?;
    let seed = scenario.seed;
    let settings = CloudSettings {
        seed,
        parameters: scenario.parameters()?,
        latency: scenario.aws.latency(),
        faults: Faults::new(rates.clone(), scenario.spare.clone(), Dice::new(seed, 3)),
        sdk_attempts: scenario.sdk_attempts,
        // The worker turns the SDK's retries off for these.
        receive_attempts: 1,
    };
    in_virtual_time(async {
        let cloud = Cloud::new(settings);
        let ledger = Ledger::new(scenario, &rates);
        cloud.state().transcript.watch(Box::new(ledger.clone()));
        if let Some(watch) = onlooker.watch {
            cloud.state().transcript.watch(watch);
        }
        let functions = Functions::new(cloud.clone());
        let api = SlowApi::new(cloud.clone(), ledger.clone(), scenario);
        let deployment = Deployment::create(scenario, &functions, &api, onlooker.monitor.clone())?;
        if let Some(monitor) = onlooker.monitor {
            tokio::task::spawn_local(show_queues(cloud.clone(), monitor));
        }
        let rival = Rival::create(scenario, &functions, &api);
        if rival.is_some() {
            ledger.books().expect_overruns();
        }
        ledger.books().expect(Promises::of(scenario, &rates));
        if let Some(bound) = wait_bound(scenario, &rates) {
            ledger.books().expect_waits_within(bound);
        }
        let scenario = scenario.clone();
        let run = Rc::new(Run {
            scenario,
            cloud,
            functions,
            deployment,
            rival,
            ledger,
            ended: RefCell::default(),
            api,
            lost_rings: Cell::default(),
            switching: Cell::default(),
        });
        run.play(onlooker.progress).await;
        Ok(run.outcome())
    })?
}

/// The bound that `slowlane_policy::dispatch` states, where it holds: the doorbell, no faults, and
/// an API whose longest call is known, which nobody pauses and which has no limit but the ceiling. A
/// mapping starts with five pollers whatever the limit.
fn wait_bound(scenario: &Scenario, rates: &Rates) -> Option<WaitBound> {
    let doorbell = scenario.dispatch == Dispatch::Doorbell;
    let is_slow = scenario.api.p99_ms.is_some() || scenario.api.is_harder_than_its_limit();
    let is_steered = !scenario.pauses.is_empty() || !scenario.lowered.is_empty();
    let waits_for_more = is_steered || !scenario.limits.is_empty();
    if !doorbell || !rates.is_faultless() || is_slow || waits_for_more {
        return None;
    }
    let backoff = scenario.parameters().ok()?.duration(Unconfirmed::ThrottleBackoffCap);
    Some(WaitBound {
        slots: NonZeroU32::new(scenario.limit.min(mapping::FIRST_POLLERS))?,
        share_every: NonZeroU32::new(scenario.share_every)?,
        overhead: Duration::from_millis(500),
        slack: backoff + Duration::from_secs(2),
    })
}

struct Run {
    scenario: Scenario,
    cloud: Cloud,
    functions: Functions,
    deployment: Deployment,
    rival: Option<Rc<Rival>>,
    ledger: Ledger,
    /// Calls that ended, oldest first, whose records are still kept.
    ended: RefCell<VecDeque<(Moment, u64)>>,
    api: SlowApi,
    /// Rings that were lost and not yet made good.
    lost_rings: Cell<u32>,
    /// Whether the wiring is being switched.
    switching: Cell<bool>,
}

impl Run {
    async fn play(self: &Rc<Self>, progress: &dyn Fn(u64, u64)) {
        let mut dice = Dice::new(self.scenario.seed, 5);
        for load in &self.scenario.load {
            let arrivals = self.clone().arrivals(load.clone(), Dice::new(dice.seed(), 6));
            tokio::task::spawn_local(arrivals);
        }
        for pause in self.scenario.pauses.clone() {
            tokio::task::spawn_local(self.clone().operators_pause(pause));
            let run = self.clone();
            tokio::task::spawn_local(async move {
                let sent = run.requests_between(pause.begins(), pause.ends()).await;
                run.ledger.books().figures().sent_in_pause(sent);
            });
        }
        for lowered in self.scenario.lowered.clone() {
            tokio::task::spawn_local(self.clone().operators_lower(lowered));
        }
        for outage in self.scenario.api.outages.clone() {
            let run = self.clone();
            tokio::task::spawn_local(async move {
                let sent = run.requests_between(outage.begins(), outage.ends()).await;
                run.ledger.books().figures().sent_in_outage(sent);
            });
        }
        let total = self.scenario.calls();
        let mut unrung = 0;
        let (mut opened, mut waiting) = (0, 0);
        while opened < total || waiting > 0 {
            tokio::time::sleep(TICK).await;
            (opened, waiting) = {
                let (now, at_once) = (self.cloud.now(), self.api.at_once());
                let mut books = self.ledger.books();
                let (opened, waiting) = (books.opened(), books.waiting());
                let unserved = waiting.saturating_sub(self.api.working().into());
                books.figures().usage.begins(now, at_once, unserved);
                (opened, waiting)
            };
            progress(opened, waiting);
            self.operators_err();
            self.forget();
            unrung = if self.is_unrung() { unrung + 1 } else { 0 };
            if unrung == LONGEST_UNRUNG {
                let what = format!("{waiting} calls wait, and no ring is on its way");
                let now = self.cloud.now();
                self.ledger.books().violated(now, Invariant::NothingStranded, what);
            }
        }
        let end = self.cloud.now().plus(LONGEST_DRAIN);
        while self.cloud.now() < end && !self.is_drained() {
            tokio::time::sleep(TICK).await;
        }
    }

    async fn arrivals(self: Rc<Self>, load: Load, mut dice: Dice) {
        let mut at = load.start_ms as f64;
        for _ in 0..load.calls {
            self.cloud.clock().sleep_until(Moment::from_millis(at as u64)).await;
            let repeatable = dice.happens(self.scenario.repeatable);
            let nature = self.nature_of_next();
            let drawn = load.draw(&mut dice);
            let call = self.ledger.books().open(load.priority, repeatable, nature, drawn);
            let execution = self.clone().execution(call, load.priority, repeatable, dice.seed());
            tokio::task::spawn_local(execution);
            let gap = Latency::Exponential { mean_ms: load.every_ms };
            at += if load.random { dice.draw(&gap).as_secs_f64() * 1e3 } else { load.every_ms };
        }
    }

    /// Returns at `until` how many requests were sent to AWS since `from`.
    async fn requests_between(&self, from: Moment, until: Moment) -> u64 {
        let clock = self.cloud.clock();
        let sent = || {
            let state = self.cloud.state();
            state.requests.sent() + state.requests.polls()
        };
        clock.sleep_until(from).await;
        let before = sent();
        clock.sleep_until(until).await;
        sent() - before
    }

    fn nature_of_next(&self) -> Nature {
        let faults = &mut self.cloud.state().faults;
        if faults.strikes(Fault::ApiReject) {
            Nature::Bad
        } else if faults.strikes(Fault::ApiLargeAnswer) {
            // More than SendTaskSuccess takes, or more than an item of DynamoDB holds as well.
            Nature::Wordy(LARGE_ANSWERS[faults.below(2) as usize])
        } else {
            Nature::Good
        }
    }

    /// One workflow: it asks for a call and waits for the answer.
    async fn execution(self: Rc<Self>, call: u64, priority: Priority, repeatable: bool, seed: u64) {
        let mut dice = Dice::new(seed, 7);
        let asked = self.cloud.now();
        self.cloud.state().saw(asked, Event::Run(ASKED, call, priority as u64));
        let end = match &self.rival {
            None => self.task(call, priority, repeatable, &mut dice).await,
            Some(rival) => {
                let drawn = self.ledger.books().drawn(call);
                let wanted = Wanted { call, urgency: priority as usize, at: asked, drawn };
                rival.clone().execute(wanted, &mut dice).await
            }
        };
        let now = self.cloud.now();
        if end == End::TimedOut && self.nobody_could_tell(now) {
            self.ledger.books().could_not_be_told(call);
        } else {
            self.ledger.books().closes(call, &end, now);
        }
        self.ended.borrow_mut().push_back((now, call));
        let mut state = self.cloud.state();
        state.requests.count_transitions(TRANSITIONS);
        let (name, tag) = match end {
            End::Succeeded(_) => ("succeeded", 0),
            End::Failed(_) => ("failed", 1),
            End::TimedOut => ("timed out", 2),
            End::Stopped => ("stopped", 3),
        };
        state.saw(now, Event::Run(name, call, tag));
    }

    /// The task state of `throttled-call.asl.json`, with its Retry: from 1 s, doubling to 60 s, full
    /// jitter.
    async fn task(&self, call: u64, priority: Priority, repeatable: bool, dice: &mut Dice) -> End {
        let wish =
            if self.ledger.books().was_reopened(call) { None } else { self.wished_deadline() };
        let timeout =
            wish.unwrap_or(Duration::from_secs(self.scenario.deadline_secs)) + self.grace();
        let deadline = wish.map(|wish| self.cloud.now().plus(wish));
        let tenant = self.ledger.books().drawn(call).tenant;
        let mut tries: u32 = 0;
        loop {
            let task = self.cloud.begin_task();
            let token = task.token();
            let wanted = Asked { call, priority, repeatable, tenant, deadline };
            let payload = wanted.request(&token.to_string());
            let invoked = self.functions.invoke(self.deployment.enqueuer, Input::Payload(payload));
            let failure = match invoked.await {
                Ok(_) if self.cloud.state().faults.strikes(AwsFault::LostReply) => Failure::Unheard,
                Ok(_) => {
                    self.stop_perhaps(token);
                    return ended(self.cloud.wait_for(task, timeout).await);
                }
                Err(failure) => failure,
            };
            self.cloud.abandon(&task);
            let name = error_name(&failure);
            if tries >= most_tries(name) {
                return End::Failed(name.into());
            }
            let longest = (1u64 << tries.min(6)).min(60) as f64;
            tokio::time::sleep(Duration::from_secs_f64(longest * dice.fraction())).await;
            tries += 1;
        }
    }

    /// Whether no worker could receive a call in time to tell its workflow that its deadline has
    /// passed: receives were refused, and slots had not yet tried again; or nothing was to be received,
    /// since the API answered nobody or an operator had paused it.
    fn nobody_could_tell(&self, now: Moment) -> bool {
        let refused_until = self.cloud.state().outages.get(&AwsFault::ReceiveRefused).copied();
        let refused = refused_until.is_some_and(|until| now.since(until) < LONGEST_RING_BACKOFF);
        let begun = self.scenario.pauses.iter().filter(|pause| pause.begins() <= now);
        let shut_until = begun.map(Pause::ends).chain(self.api.out_of_order_until(now)).max();
        refused || shut_until.is_some_and(|until| now.since(until) < LONGEST_SLEEP)
    }

    /// The template's `GraceSeconds`, for the wiring in which it is longer if the stack is switched.
    fn grace(&self) -> Duration {
        let timing = &self.deployment.timing;
        let switches = self.scenario.faults.contains_key(Fault::SwitchDispatch.name());
        if self.scenario.dispatch == Dispatch::Doorbell && !switches {
            timing.function_timeout
        } else {
            timing.deferral_visibility
        }
    }

    /// The deadline that the workflow asks for, if it does.
    fn wished_deadline(&self) -> Option<Duration> {
        let faults = &mut self.cloud.state().faults;
        let strikes = faults.strikes(Fault::LongDeadline);
        strikes.then(|| Duration::from_secs(faults.below(LONGEST_WISH_SECS)))
    }

    fn stop_perhaps(&self, token: slowlane_aws_simulator::cloud::tokens::Token) {
        let delay = {
            let mut state = self.cloud.state();
            let strikes = state.faults.strikes(Fault::Stop);
            strikes.then(|| Duration::from_millis(state.faults.below(30_000)))
        };
        if let Some(delay) = delay {
            let cloud = self.cloud.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                let now = cloud.now();
                cloud.state().stop(token, now);
            });
        }
    }

    /// Without faults nothing asks for a call again a while after its end.
    fn forget(&self) {
        let now = self.cloud.now();
        let mut ended = self.ended.borrow_mut();
        let mut state = self.cloud.state();
        let mut books = self.ledger.books();
        if !books.is_faultless() {
            return;
        }
        while let Some((_, call)) = ended.pop_front_if(|(at, _)| now.since(*at) > REMEMBERED) {
            state.dynamo.forget(TABLE, &record_key(&key_of(call), books.drawn(call).tenant));
            books.forget(call);
        }
    }

    /// Whether calls wait on the queues although no ring exists and no slot works.
    fn is_unrung(&self) -> bool {
        let doorbell = self.deployment.dispatch() == Dispatch::Doorbell;
        if !doorbell
            || self.switching.get()
            || self.lost_rings.get() > 0
            || self.functions.running(self.deployment.worker) > 0
        {
            return false;
        }
        self.lies_on(&[self.deployment.doorbell]) == 0
            && self.lies_on(&self.deployment.calls) > 0
            && self.ledger.books().waiting() > 0
    }

    fn is_drained(&self) -> bool {
        self.functions.running(self.deployment.worker) == 0
            && self.lies_on(&self.deployment.calls) == 0
            && !self.api.works_on()
            && !self.switching.get()
    }

    fn lies_on(&self, queues: &[slowlane_aws_simulator::cloud::sqs::QueueId]) -> usize {
        let now = self.cloud.now();
        let mut state = self.cloud.state();
        let (sqs, mut odds) = state.sqs();
        let count = |queue: &slowlane_aws_simulator::cloud::sqs::QueueId| {
            let counts = sqs.counts(*queue, now, &mut odds);
            counts.visible + counts.in_flight + counts.delayed
        };
        queues.iter().map(count).sum()
    }

    fn outcome(&self) -> Outcome {
        let state = self.cloud.state();
        let mut books = self.ledger.books();
        Outcome {
            hash: state.transcript.hash(),
            events: state.transcript.events(),
            strikes: state.faults.count(),
            struck: state.faults.struck().clone(),
            violations: books.violations().to_vec(),
            ends: books.ends().clone(),
            measures: self.measures(&state, &mut books),
        }
    }

    fn measures(&self, state: &State, books: &mut Books) -> Measures {
        let worker: Bill = self.functions.bill(self.deployment.worker);
        let enqueuer = self.functions.bill(self.deployment.enqueuer);
        let mut bills = vec![worker, enqueuer];
        bills.extend(self.rival.iter().map(|rival| self.functions.bill(rival.caller())));
        let dead = state.sqs.bodies(self.deployment.dead_letters);
        let healthy_in_dlq = dead.filter(|body| books.is_healthy(body)).count() as u64;
        let calls = books.opened();
        let limiter = state.dynamo.asked_of(LIMITER_ITEMS);
        let figures = books.figures();
        Measures {
            calls,
            makespan: figures.makespan(),
            utilisation: figures.utilisation(self.scenario.limit),
            permitted_used: figures.usage.permitted_used(&self.scenario.api),
            http_429: figures.http_429(),
            own_429: figures.own_429(),
            throttled_deliveries: worker.throttled,
            healthy_in_dlq,
            waits: Priority::ALL.map(|priority| figures.wait(priority)),
            receives: figures.receives(calls),
            outages: figures.outages(&self.scenario),
            full_use_after_rise: figures.full_use_after_rise(&self.scenario),
            pause_requests: figures.pause_requests(),
            tenants: figures.tenants(),
            limiter_writes: limiter.writes,
            limiter_reads: limiter.reads,
            max_concurrency: books.most_at_api(),
            failed: books.failed(),
            duplicates: books.duplicates(),
            batch_bound: books.bound_of_longest(Priority::Batch),
            requests: state.requests,
            price: state.requests.price(&bills, state.dynamo.units()),
            worker_invocations: worker.invocations,
            worker_bill: worker,
            enqueuer_bill: enqueuer,
            units: state.dynamo.units(),
        }
    }
}

/// Shows the queues to CloudWatch, as long as the run lasts.
async fn show_queues(cloud: Cloud, monitor: Rc<dyn Monitor>) {
    loop {
        tokio::time::sleep(monitor::EVERY).await;
        monitor.queues(cloud.now(), &monitor::gauges(&cloud));
    }
}

/// What a workflow asks for.
struct Asked {
    call: u64,
    priority: Priority,
    repeatable: bool,
    tenant: Option<u32>,
    deadline: Option<Moment>,
}

impl Asked {
    fn request(&self, token: &str) -> Value {
        let method = if self.repeatable { "PUT" } else { "POST" };
        let key = key_of(self.call);
        json!({
            "version": "1.0",
            "task_token": token,
            "priority": self.priority.as_str(),
            "idempotency_key": key,
            "tenant": self.tenant.map(tenant_name),
            "request": {
                "method": method,
                "resource": format!("salesOrder/eid:{key}"),
                "body": {"memo": "simulated"},
            },
            "deadline": self.deadline.and_then(timestamp).map(|at| at.to_string()),
        })
    }
}

fn timestamp(at: Moment) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(at.epoch_millis()).ok()?).ok()
}

fn plain(body: &str) -> Send {
    Send {
        body: body.into(),
        attributes: None,
        trace_header: None,
        group: None,
        delay: Duration::ZERO,
    }
}

fn ended(waited: Waited) -> End {
    match waited {
        Waited::Ended(Ended::Succeeded(output)) => End::Succeeded(output),
        Waited::Ended(Ended::Failed { error, .. }) => End::Failed(error),
        Waited::TimedOut => End::TimedOut,
        Waited::Stopped => End::Stopped,
    }
}

/// The error under which Step Functions sees a failed invocation.
fn error_name(failure: &Failure) -> &str {
    match failure {
        Failure::Throttled => "Lambda.TooManyRequestsException",
        Failure::TimedOut | Failure::Crashed => "Lambda.Unknown",
        Failure::Unheard => "Lambda.SdkClientException",
        Failure::Error(name) => name,
    }
}

/// How often the state tries again after an error of this name.
fn most_tries(name: &str) -> u32 {
    match name {
        "Lambda.TooManyRequestsException"
        | "Lambda.SdkClientException"
        | "Slowlane.QueueUnavailable" => 45,
        "Lambda.Unknown" => 8,
        _ => 0,
    }
}
