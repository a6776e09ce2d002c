//! A scenario, run: workflows start, the real programs work, things go wrong, and the books are
//! kept until every workflow has ended.

mod measure;
mod outcome;
mod people;
mod workflow;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use aws_config::SdkConfig;
use jiff::Timestamp;
use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_aws_simulator::cloud::mapping;
use slowlane_aws_simulator::cloud::parameters::Unconfirmed;
use slowlane_aws_simulator::cloud::sqs::{QueueId, Send};
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Functions};
use slowlane_aws_simulator::faults::{Faults, Rates};
use slowlane_aws_simulator::time::{Moment, in_virtual_time};
use slowlane_aws_simulator::transcript::Watch;

pub use self::outcome::{Measures, Outcome};
use crate::api::SlowApi;
use crate::ledger::{Invariant, Ledger, WaitBound, key_of};
use crate::monitor::{self, Monitor};
use crate::programs::{self, Deployment, TABLE, record_key};
use crate::promises::Promises;
use crate::scenario::{self, Dispatch, Load, Scenario};
use crate::strategies::Rival;
use crate::vendor::VendorApi;

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
        let connect = {
            let (api, mutant) = (api.clone(), scenario.mutant);
            move |_: &SdkConfig| api.client(mutant)
        };
        let monitor = onlooker.monitor.clone();
        let vendor = scenario.api.profile.as_deref();
        let vendor =
            vendor.map(|name| VendorApi::new(name, scenario, &cloud, &ledger)).transpose()?;
        let deployment = match vendor.clone() {
            None => Deployment::create(scenario, &functions, connect, monitor)?,
            Some(vendor) => {
                let connect = move |sdk: &SdkConfig| vendor.client(sdk);
                Deployment::create(scenario, &functions, connect, monitor)?
            }
        };
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
            vendor,
            lost_rings: Cell::default(),
            switching: Cell::default(),
        });
        run.play(onlooker.progress).await;
        Ok(run.outcome())
    })?
}

/// The bound that `slowlane_policy::dispatch` states, where it holds: the doorbell without faults.
/// The API's longest call must be known, nobody may pause it, and it has no limit but the ceiling.
/// A mapping starts with five pollers whatever the limit.
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
    /// The API in its place, if it is a vendor's.
    vendor: Option<VendorApi>,
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
                let unserved = waiting.saturating_sub(self.working().into());
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

    /// Waits until `until`, and returns how many requests were sent to AWS since `from`.
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
            && self.working() == 0
            && !self.switching.get()
    }

    /// How many requests the API works on.
    fn working(&self) -> u32 {
        self.vendor.as_ref().map_or_else(|| self.api.working(), VendorApi::working)
    }

    fn lies_on(&self, queues: &[QueueId]) -> usize {
        let now = self.cloud.now();
        let mut state = self.cloud.state();
        let (sqs, mut odds) = state.sqs();
        let count = |queue: &QueueId| {
            let counts = sqs.counts(*queue, now, &mut odds);
            counts.visible + counts.in_flight + counts.delayed
        };
        queues.iter().map(count).sum()
    }
}

/// Shows the queues to CloudWatch, as long as the run lasts.
async fn show_queues(cloud: Cloud, monitor: Rc<dyn Monitor>) {
    loop {
        tokio::time::sleep(monitor::EVERY).await;
        monitor.queues(cloud.now(), &monitor::gauges(&cloud));
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
