//! Running a function's real code: an environment is booted, handles one event at a time, and
//! may die at any of its await points.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::Value;
use tokio::time::Sleep;

use super::Cloud;
use super::lambda::{Admission, Bill, Failure, Function, FunctionId, FunctionSettings};
use super::parameters::Unconfirmed;
use super::sqs::{QueueId, Received};
use crate::faults::{Fault, Faults};
use crate::time::{Moment, Skew};
use crate::transcript::{Caller, Event};

/// What a function is invoked with.
#[derive(Clone, Debug)]
pub enum Input {
    /// A payload, from a state machine.
    Payload(Value),
    /// Messages of a queue, from a mapping.
    Batch(QueueId, Arc<[Received]>),
}

/// What lives in an environment between invocations, and handles them.
///
/// Dropping the future is the death of the process at that await point; so it must not start
/// tasks or threads of its own.
pub trait Environment {
    /// Handles one event; the answer is the function's JSON, or its error.
    fn handle(
        self: Rc<Self>,
        input: Input,
        context: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>>;
}

/// What the Lambda runtime tells a handler.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// When the invocation is killed.
    pub deadline: tokio::time::Instant,
}

/// Makes an environment, as the function's `main` would: from the SDK's configuration, and a
/// seed for whatever its code leaves to chance.
pub type Boot = Rc<dyn Fn(SdkConfig, u64) -> Rc<dyn Environment>>;

/// An environment and its number over the whole run.
#[derive(Clone)]
struct Machine {
    environment: Rc<dyn Environment>,
    number: u32,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine {}", self.number)
    }
}

/// When a crash strikes, the invocation dies after up to 2, 4, 8 ... of these await points: short
/// invocations die as well as those that run many calls.
const LONGEST_LIFE_LOG2: u64 = 8;

/// The longest that an environment is paused: longer than most leases and visibility timeouts of
/// work that takes seconds.
const LONGEST_FREEZE_MS: u64 = 120_000;

/// After how many await points a fault strikes an invocation, if it does.
fn await_points(faults: &mut Faults, fault: Fault) -> Option<u64> {
    faults.strikes(fault).then(|| {
        let scale = 1 + faults.below(LONGEST_LIFE_LOG2);
        faults.below(1 << scale)
    })
}

/// The functions of an account, and the code that runs in them. It lives on one thread, as all
/// that it runs.
#[derive(Clone)]
pub struct Functions {
    cloud: Cloud,
    account: Rc<RefCell<Account>>,
}

#[derive(Default)]
struct Account {
    functions: Vec<Hosted>,
    machines: u32,
}

struct Hosted {
    function: Function<Machine>,
    boot: Boot,
}

impl Functions {
    /// No functions yet.
    pub fn new(cloud: Cloud) -> Functions {
        let functions = Functions { cloud, account: Rc::default() };
        tokio::task::spawn_local(functions.clone().keep_running_events());
        functions
    }

    /// The services that the functions send requests to.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Creates a function whose environments are made by `boot`.
    pub fn create(&self, settings: FunctionSettings, boot: Boot) -> FunctionId {
        let functions = &mut self.account.borrow_mut().functions;
        functions.push(Hosted { function: Function::new(settings), boot });
        FunctionId(functions.len() as u32 - 1)
    }

    /// What a function's invocations add up to.
    pub fn bill(&self, function: FunctionId) -> Bill {
        self.with(function, |function| function.bill())
    }

    /// How many invocations of a function hold a slot.
    pub fn running(&self, function: FunctionId) -> u32 {
        self.with(function, |function| function.running())
    }

    /// The function of this name.
    ///
    /// # Panics
    /// If there is none, because one of our programs asked for it.
    pub(super) fn named(&self, name: &str) -> FunctionId {
        let functions = &self.account.borrow().functions;
        let position = functions.iter().position(|hosted| hosted.function.settings().name == name);
        match position {
            Some(position) => FunctionId(position as u32),
            None => panic!("no function is called {name:?}"),
        }
    }

    pub(super) fn event_age(&self, function: FunctionId) -> Duration {
        self.with(function, |function| function.settings().event_age)
    }

    /// Changes how many invocations of a function may run at once. Those that run go on (nothing
    /// found that says otherwise).
    pub fn set_concurrency(&self, function: FunctionId, concurrency: u32) {
        self.with(function, |function| function.set_concurrency(concurrency));
    }

    /// Deploys every function afresh.
    pub fn deploy(&self) {
        for hosted in &mut self.account.borrow_mut().functions {
            hosted.function.deploy();
        }
    }

    fn with<T>(&self, function: FunctionId, what: impl FnOnce(&mut Function<Machine>) -> T) -> T {
        let functions = &mut self.account.borrow_mut().functions;
        what(&mut functions[function.0 as usize].function)
    }

    /// Invokes a function and waits for its answer. The invocation runs on if the caller does not.
    ///
    /// # Errors
    /// It was throttled, killed, died, or answered with an error.
    ///
    /// # Panics
    /// If the function's code panics: the run must not go on as if that were a crash.
    pub async fn invoke(&self, function: FunctionId, input: Input) -> Result<Value, Failure> {
        self.cloud.travel_one_way().await;
        let now = self.cloud.now();
        let admission = {
            let mut state = self.cloud.state();
            let admission = self.with(function, |f| f.admit(now, state.parameters()));
            if admission.is_err() {
                state.saw(now, Event::Throttled(function));
            }
            admission
        };
        let answer = match admission {
            Err(throttled) => Err(throttled),
            Ok(admission) => {
                let run = tokio::task::spawn_local(self.clone().run(function, admission, input));
                match run.await {
                    Ok(answer) => answer,
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => Err(Failure::Crashed),
                }
            }
        };
        self.cloud.travel_one_way().await;
        answer
    }

    async fn run(
        self,
        function: FunctionId,
        admission: Admission<Machine>,
        input: Input,
    ) -> Result<Value, Failure> {
        let cloud = &self.cloud;
        let admitted = cloud.now();
        let machine = match admission.environment {
            Some(machine) => machine,
            None => self.boot(function).await,
        };
        let (life, pause) = {
            let now = cloud.now();
            let mut state = cloud.state();
            state.saw(now, Event::Started(function, machine.number));
            let life = await_points(&mut state.faults, Fault::Crash);
            let pause = await_points(&mut state.faults, Fault::Freeze)
                .map(|after| (after, Duration::from_millis(state.faults.below(LONGEST_FREEZE_MS))));
            (life, pause)
        };
        let timeout = self.with(function, |f| f.settings().timeout);
        let deadline = tokio::time::Instant::now() + timeout;
        let work = machine.environment.clone().handle(input, Context { deadline });
        let mortal = Mortal { work: Some(work), life, pause, frozen: None };
        let answer = match tokio::time::timeout_at(deadline, mortal).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::TimedOut),
        };
        let died = matches!(answer, Err(Failure::TimedOut | Failure::Crashed));
        let ended = cloud.now();
        let lag = {
            let mut state = cloud.state();
            state.saw(ended, Event::Finished(function, machine.number, answer.as_ref().err()));
            state.parameters().duration(Unconfirmed::SlotReleaseLag)
        };
        let survivor = (!died).then_some(machine);
        let (version, ran) = (admission.version, ended.since(admitted));
        tokio::task::spawn_local(self.clone().release(function, survivor, version, ran, lag));
        answer
    }

    async fn release(
        self,
        function: FunctionId,
        survivor: Option<Machine>,
        version: u32,
        ran: Duration,
        lag: Duration,
    ) {
        tokio::time::sleep(lag).await;
        let now = self.cloud.now();
        self.with(function, |f| f.release(survivor, version, ran, now));
    }

    async fn boot(&self, function: FunctionId) -> Machine {
        let latency = self.with(function, |f| f.settings().cold_start);
        let (number, boot) = {
            let account = &mut *self.account.borrow_mut();
            account.machines += 1;
            (account.machines, account.functions[function.0 as usize].boot.clone())
        };
        let (cold_start, seed, skew) = {
            let mut state = self.cloud.state();
            let skew = skew(&mut state.faults, self.cloud.now());
            (state.travel.draw(&latency), state.dice_seed(), skew)
        };
        tokio::time::sleep(cold_start).await;
        let sdk = self.cloud.sdk(Caller::Environment(function, number), skew);
        Machine { environment: boot(sdk, seed), number }
    }
}

/// How wrong a new environment's clock is: by a second at most, even after it is set.
fn skew(faults: &mut Faults, now: Moment) -> Skew {
    let wrong = |faults: &mut Faults| faults.below(2_001) as i64 - 1_000;
    let mut skew = Skew::default();
    if faults.strikes(Fault::ClockSkew) {
        skew.millis = wrong(faults);
    }
    if faults.strikes(Fault::ClockSteps) {
        let at = now.plus(Duration::from_millis(faults.below(LONGEST_UNSTEPPED_MS)));
        skew.step = Some((at, wrong(faults)));
    }
    skew
}

/// The longest until a clock that is to be set is set.
const LONGEST_UNSTEPPED_MS: u64 = 120_000;

/// A process that may die, or be paused: after `life` await points its future is dropped, after those
/// of `pause` it is not polled for a while.
struct Mortal<F> {
    work: Option<F>,
    life: Option<u64>,
    pause: Option<(u64, Duration)>,
    frozen: Option<Pin<Box<Sleep>>>,
}

impl<F> Mortal<F> {
    /// Whether the process is paused at this await point.
    fn is_frozen(&mut self, context: &mut std::task::Context<'_>) -> bool {
        match &mut self.pause {
            Some((0, lasts)) => {
                self.frozen = Some(Box::pin(tokio::time::sleep(*lasts)));
                self.pause = None;
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        let frozen =
            self.frozen.as_mut().is_some_and(|end| end.as_mut().poll(context).is_pending());
        if !frozen {
            self.frozen = None;
        }
        frozen
    }
}

impl<F> Future for Mortal<F>
where
    F: Future<Output = Result<Value, String>> + Unpin,
{
    type Output = Result<Value, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        if self.is_frozen(context) {
            return Poll::Pending;
        }
        let Some(work) = &mut self.work else {
            return Poll::Ready(Err(Failure::Crashed));
        };
        if let Poll::Ready(answer) = Pin::new(work).poll(context) {
            return Poll::Ready(answer.map_err(Failure::Error));
        }
        match &mut self.life {
            Some(0) => {
                self.work = None;
                Poll::Ready(Err(Failure::Crashed))
            }
            Some(left) => {
                *left -= 1;
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}
