//! The slow, limited API behind the worker: a pool of permits, a time for each call, and faults
//! before and after it takes effect. It is a `Target` of the real worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_aws_simulator::cloud::Cloud;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::Event;
use slowlane_message::{Method, QueuedCall};
use slowlane_policy::settle::{Outcome, Why};
use slowlane_worker::{AfterLoss, Reconciled, Target, TargetResponse};
use tokio::sync::oneshot;

use crate::faults::Fault;
use crate::ledger::{Ledger, Nature, call_of};
use crate::scenario::Mutant;

/// The longest that the API works on a request while somebody listens, or while it seems to.
const LONGEST_WORK: Duration = Duration::from_secs(25);
/// The longest that the API works on a request after it has broken the connection.
const LONGEST_LATE_WORK_MS: u64 = 870_000;
/// How long the target says that it may work on after nobody listens: both together.
const SETTLES_AFTER: Duration = Duration::from_secs(900);
/// The longest that the API is out of order, usually and at times.
const LONGEST_OUTAGE_MS: u64 = 60_000;
const LONGEST_LONG_OUTAGE_MS: u64 = 4 * 3_600_000;
/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(5);

/// The event of the API's starting to work on a call, whose number is the first of its two.
pub const API_STARTS: &str = "API starts";
/// The event of its end.
pub const API_ENDS: &str = "API ends";

/// The API; clones are the same API.
#[derive(Clone)]
pub struct SlowApi {
    cloud: Cloud,
    ledger: Ledger,
    pool: Rc<RefCell<Pool>>,
}

struct Pool {
    limit: u32,
    /// Requests it works on, those whose caller is gone included.
    working: u32,
    latency: Latency,
    dice: Dice,
    /// Until when it is out of order.
    down_until: Moment,
    /// How many requests it works on whose connection it has broken.
    late: u32,
}

/// What the API does with a request.
enum Served {
    Answered(Answer),
    /// The connection broke.
    Broken,
}

enum Answer {
    /// The record, and how many bytes the answer has beside it.
    Created(String, usize),
    Found(Option<String>),
    TooManyRequests,
    Rejected,
    /// The record is there already.
    Exists,
    ServerError,
    /// A 400 with a code that nobody has documented.
    OddRefusal,
}

#[derive(Clone, Copy)]
enum Ask {
    Execute,
    LookUp,
}

impl SlowApi {
    /// An API with this limit, whose calls take this long.
    pub fn new(cloud: Cloud, ledger: Ledger, limit: u32, latency: Latency, dice: Dice) -> SlowApi {
        let pool = Rc::new(RefCell::new(Pool {
            limit,
            working: 0,
            latency,
            dice,
            down_until: Moment::START,
            late: 0,
        }));
        SlowApi { cloud, ledger, pool }
    }

    /// The limit is raised: the API takes more, and goes on to if it is lowered again.
    pub fn raise_limit(&self, limit: u32) {
        let mut pool = self.pool.borrow_mut();
        pool.limit = pool.limit.max(limit);
    }

    /// Whether it works on requests of which nobody expects an answer.
    pub fn works_on(&self) -> bool {
        let pool = self.pool.borrow();
        pool.working > 0 || pool.late > 0
    }

    /// The API as one environment of the worker sees it, with a mistake if it is to have one.
    pub fn client(&self, mutant: Option<Mutant>) -> ApiClient {
        ApiClient { api: self.clone(), busy: Cell::new(false), mutant }
    }

    /// The API's side of a request. It works on whether or not the caller still listens.
    async fn serve(self, call: u64, ask: Ask, enqueued_at: Option<Moment>) -> Served {
        if self.is_down() {
            tokio::time::sleep(REFUSAL).await;
            return Served::Answered(Answer::ServerError);
        }
        let took_permit = {
            let mut pool = self.pool.borrow_mut();
            let free = pool.working < pool.limit;
            pool.working += u32::from(free);
            free
        };
        let others = self.strikes(Fault::ApiThrottle);
        if !took_permit || others {
            if took_permit {
                self.pool.borrow_mut().working -= 1;
            }
            if !others {
                self.ledger.books().throttled();
            }
            tokio::time::sleep(REFUSAL).await;
            return Served::Answered(Answer::TooManyRequests);
        }
        let started = self.cloud.now();
        if matches!(ask, Ask::Execute) {
            self.ledger.books().starts(call, enqueued_at, started);
        }
        self.cloud.state().saw(started, Event::Run(API_STARTS, call, 0));
        let served = self.work(call, ask).await;
        let now = self.cloud.now();
        self.cloud.state().saw(now, Event::Run(API_ENDS, call, 0));
        self.ledger.books().worked(now.since(started), now);
        self.pool.borrow_mut().working -= 1;
        served
    }

    fn is_down(&self) -> bool {
        let now = self.cloud.now();
        let mut pool = self.pool.borrow_mut();
        let outages = [
            (Fault::ApiOutage, LONGEST_OUTAGE_MS),
            (Fault::ApiDownForHours, LONGEST_LONG_OUTAGE_MS),
        ];
        for (fault, longest) in outages {
            if self.strikes(fault) {
                let lasts = Duration::from_millis(self.cloud.state().faults.below(longest));
                pool.down_until = pool.down_until.max(now.plus(lasts));
            }
        }
        now < pool.down_until
    }

    async fn work(&self, call: u64, ask: Ask) -> Served {
        let mut time = {
            let pool = &mut *self.pool.borrow_mut();
            pool.dice.draw(&pool.latency)
        };
        if self.strikes(Fault::ApiSlow) {
            time = (time * 20).min(LONGEST_WORK);
        }
        let lost = self.strikes(Fault::ApiLostRequest);
        let failed = self.strikes(Fault::ApiError);
        let late = self.strikes(Fault::ApiWorksLate);
        let asked_at = self.cloud.now();
        tokio::time::sleep(time).await;
        if lost {
            return Served::Broken;
        }
        if failed {
            return Served::Answered(Answer::ServerError);
        }
        let answer = match ask {
            Ask::LookUp if self.has_record(call) && self.strikes(Fault::ApiRefusesDuplicate) => {
                self.ledger.books().misleads(call);
                Answer::Found(None)
            }
            Ask::LookUp => Answer::Found(self.ledger.books().record_of(call)),
            Ask::Execute if late => {
                tokio::task::spawn_local(self.clone().execute_late(call, asked_at));
                return Served::Broken;
            }
            Ask::Execute => self.execute(call, asked_at),
        };
        if self.strikes(Fault::ApiLostReply) {
            return Served::Broken;
        }
        if self.strikes(Fault::ApiErrorAfterCommit) {
            let odd = self.cloud.state().faults.below(2) == 1;
            return Served::Answered(if odd { Answer::OddRefusal } else { Answer::ServerError });
        }
        Served::Answered(answer)
    }

    fn execute(&self, call: u64, asked_at: Moment) -> Answer {
        let now = self.cloud.now();
        let refuses = self.cloud.state().faults.rates().of(Fault::ApiRefusesDuplicate) > 0.0;
        if refuses && self.has_record(call) {
            return Answer::Exists;
        }
        let mut books = self.ledger.books();
        match books.nature(call) {
            Nature::Bad => Answer::Rejected,
            Nature::Good => Answer::Created(books.takes_effect(call, asked_at, now), 0),
            Nature::Wordy(bytes) => Answer::Created(books.takes_effect(call, asked_at, now), bytes),
        }
    }

    fn has_record(&self, call: u64) -> bool {
        self.ledger.books().has_record(call)
    }

    /// Carries a call out of which nobody hears any more.
    async fn execute_late(self, call: u64, asked_at: Moment) {
        self.pool.borrow_mut().late += 1;
        let lasts = Duration::from_millis(self.cloud.state().faults.below(LONGEST_LATE_WORK_MS));
        tokio::time::sleep(lasts).await;
        self.execute(call, asked_at);
        self.pool.borrow_mut().late -= 1;
    }

    fn strikes(&self, fault: Fault) -> bool {
        self.cloud.state().faults.strikes(fault)
    }
}

/// The API as one environment of the worker sees it.
pub struct ApiClient {
    api: SlowApi,
    busy: Cell<bool>,
    mutant: Option<Mutant>,
}

/// What the API told a caller that executed a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was done; this is the record, and so many bytes came with it.
    Created(String, usize),
    /// It was not done: the limit.
    TooManyRequests,
    /// It will never be done.
    Rejected,
    /// What it would make is there already.
    Exists,
    /// It was refused for a reason that nobody has documented.
    OddRefusal,
    /// Nobody knows.
    Unknown,
}

impl ApiClient {
    /// Executes a call which was asked for at `enqueued_at`.
    pub async fn execute(&self, call: u64, enqueued_at: Option<Moment>) -> Told {
        match self.ask(call, Ask::Execute, enqueued_at).await {
            Served::Answered(Answer::Created(id, bytes)) => Told::Created(id, bytes),
            Served::Answered(Answer::Found(Some(id))) => Told::Created(id, 0),
            Served::Answered(Answer::TooManyRequests) => Told::TooManyRequests,
            Served::Answered(Answer::Rejected | Answer::Found(None)) => Told::Rejected,
            Served::Answered(Answer::Exists) => Told::Exists,
            Served::Answered(Answer::OddRefusal) => Told::OddRefusal,
            Served::Answered(Answer::ServerError) | Served::Broken => Told::Unknown,
        }
    }

    async fn ask(&self, call: u64, ask: Ask, enqueued_at: Option<Moment>) -> Served {
        let now = self.api.cloud.now();
        if self.busy.get() {
            self.api.ledger.books().asks_twice(now, call);
        }
        let _slot = Slot::take(self);
        let (sender, answer) = oneshot::channel();
        let api = self.api.clone();
        tokio::task::spawn_local(async move {
            let served = api.serve(call, ask, enqueued_at).await;
            // A caller that is gone does not read its answer.
            let _ = sender.send(served);
        });
        answer.await.unwrap_or(Served::Broken)
    }
}

/// A live invocation's request at the API: gone with the invocation.
struct Slot<'a>(&'a ApiClient);

impl Slot<'_> {
    fn take(client: &ApiClient) -> Slot<'_> {
        client.busy.set(true);
        client.api.ledger.books().asks(client.api.cloud.now());
        Slot(client)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.api.ledger.books().asked();
    }
}

impl Target for ApiClient {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let Some(number) = call_of(call.idempotency_key.as_str()) else {
            return Outcome::Rejected("not a call of this run".into());
        };
        let enqueued_at = Moment::from_epoch_millis(call.enqueued_at.as_millisecond());
        match (self.execute(number, enqueued_at).await, self.mutant) {
            (Told::Unknown, Some(Mutant::LostMeansNotDone)) => {
                Outcome::Transient("the connection broke".into())
            }
            (Told::Created(..), Some(Mutant::Rejects)) => Outcome::Rejected("no".into()),
            (Told::Created(..), Some(Mutant::WrongRecord)) => {
                let id = Some("no such record".to_owned());
                Outcome::Succeeded(TargetResponse { id, ..TargetResponse::new(201) })
            }
            (Told::Created(id, bytes), _) => {
                let body = (bytes > 0).then(|| Value::from("x".repeat(bytes)));
                Outcome::Succeeded(TargetResponse {
                    id: Some(id),
                    body,
                    ..TargetResponse::new(201)
                })
            }
            (Told::TooManyRequests, _) => Outcome::Throttled { retry_after: None },
            (Told::OddRefusal, Some(Mutant::EveryRefusalRejects)) => Outcome::Rejected("no".into()),
            (Told::OddRefusal, _) => Outcome::Unknown("a 400 that nobody has documented".into()),
            (Told::Exists, _) => Outcome::AlreadyExists("it is there already".into()),
            (Told::Rejected, _) => Outcome::Rejected(Why {
                message: "the API refuses it".to_owned(),
                status: Some(400),
                code: Some("INVALID_CONTENT".to_owned()),
            }),
            (Told::Unknown, _) => Outcome::Unknown("no answer, or a 500".into()),
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        let everything = self.mutant == Some(Mutant::EverythingRepeatable);
        if everything || call.request.method == Method::Put {
            return AfterLoss::Repeat;
        }
        AfterLoss::Reconcile
    }

    fn settles_after(&self, _: &QueuedCall) -> Duration {
        match self.mutant {
            Some(Mutant::SettlesSoon) => Duration::from_secs(30),
            _ => SETTLES_AFTER,
        }
    }

    async fn reconcile(&self, call: &QueuedCall) -> Reconciled {
        let Some(number) = call_of(call.idempotency_key.as_str()) else {
            return Reconciled::NotDone;
        };
        match self.ask(number, Ask::LookUp, None).await {
            Served::Answered(Answer::Found(Some(id))) => {
                Reconciled::Done(TargetResponse { id: Some(id), ..TargetResponse::new(201) })
            }
            Served::Answered(Answer::Found(None)) => Reconciled::NotDone,
            _ => Reconciled::TryAgain("the API could not be asked".to_owned()),
        }
    }
}
