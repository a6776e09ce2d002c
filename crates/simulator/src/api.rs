//! The slow, limited API behind the worker: [what it takes](limits), a time for each call, outages,
//! and faults before and after a call takes effect.

mod client;
pub mod limits;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_aws_simulator::cloud::Cloud;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::Event;
use slowlane_worker::{Counted, Left};

pub use self::client::{ApiClient, Told};
use self::limits::{Limits, Refused, Request};
use crate::faults::Fault;
use crate::ledger::{Ledger, Nature};
use crate::scenario::{Outage, OutageKind, Scenario};

/// The longest that the API works on a request while somebody listens, or while it seems to.
const LONGEST_WORK: Duration = Duration::from_secs(25);
/// The longest that the API works on a request after it has broken the connection.
const LONGEST_LATE_WORK_MS: u64 = 870_000;
/// How long the target says that the API may work on once nobody listens: both together.
const SETTLES_AFTER: Duration = Duration::from_secs(900);
/// The longest that the API is out of order: usually, and at worst.
const LONGEST_OUTAGE_MS: u64 = 60_000;
const LONGEST_LONG_OUTAGE_MS: u64 = 4 * 3_600_000;
/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(5);

/// The event of the API's start on a call. The first of its two numbers is the call's.
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
    limits: Limits,
    latency: Latency,
    dice: Dice,
    outages: Vec<Outage>,
    /// Whether a 429 for a rate says how long to wait.
    retry_after: bool,
    /// Whether answers say what is left of rates, and whether these count units.
    says_left: Option<CountsUnits>,
    /// Until when it is out of order.
    down_until: Moment,
    /// How many requests it works on whose connection it has broken.
    late: u32,
}

/// Whether calls have units, or each counts as one.
#[derive(Clone, Copy)]
struct CountsUnits(bool);

/// What the API does with a request.
enum Served {
    Answered(Answer),
    /// The connection broke.
    Broken,
    /// There was no connection to begin with.
    NotSent,
}

enum Answer {
    /// The record, and how many bytes the answer has beside it.
    Created(String, usize),
    Found(Option<String>),
    /// With how long to wait, if it says so.
    TooManyRequests(Option<Duration>),
    Unauthorized,
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
    /// The API of a scenario.
    pub fn new(cloud: Cloud, ledger: Ledger, scenario: &Scenario) -> SlowApi {
        let Scenario { api, limit, seed, .. } = scenario;
        let pool = Rc::new(RefCell::new(Pool {
            limits: Limits::new(api, *limit, *seed),
            latency: api.latency(),
            dice: Dice::new(*seed, 4),
            outages: api.outages.clone(),
            retry_after: api.retry_after,
            says_left: api
                .says_left
                .then(|| CountsUnits(scenario.load.iter().any(|load| load.units.is_some()))),
            down_until: Moment::START,
            late: 0,
        }));
        SlowApi { cloud, ledger, pool }
    }

    /// The limit is raised: the API takes more, and still does if it is lowered again.
    pub fn raise_limit(&self, limit: u32) {
        self.pool.borrow_mut().limits.raise(limit);
    }

    /// How many of our calls it takes at once at present.
    pub fn at_once(&self) -> u32 {
        let now = self.cloud.now();
        let pool = self.pool.borrow();
        let is_out = pool.outages.iter().any(|outage| outage.is_on(now)) || now < pool.down_until;
        if is_out { 0 } else { pool.limits.at_once(now) }
    }

    /// Whether it works on requests whose answer nobody expects.
    pub fn works_on(&self) -> bool {
        let pool = self.pool.borrow();
        pool.limits.working() > 0 || pool.late > 0
    }

    /// The API's side of a request. It works on whether or not the caller still listens.
    async fn serve(self, call: u64, ask: Ask, enqueued_at: Option<Moment>) -> Served {
        if let Some(served) = self.is_out_of_order().await {
            return served;
        }
        let units = match self.takes(call, ask) {
            Ok(units) => units,
            Err(answer) => {
                tokio::time::sleep(REFUSAL).await;
                return Served::Answered(answer);
            }
        };
        let started = self.cloud.now();
        self.ledger.books().figures().usage.takes(units, self.working(), started);
        if matches!(ask, Ask::Execute) {
            self.ledger.books().starts(call, enqueued_at, started);
        }
        self.cloud.state().saw(started, Event::Run(API_STARTS, call, 0));
        let served = self.work(call, ask).await;
        let now = self.cloud.now();
        self.cloud.state().saw(now, Event::Run(API_ENDS, call, 0));
        self.ledger.books().worked(now.since(started), now);
        self.pool.borrow_mut().limits.is_done();
        self.ledger.books().figures().usage.works_on(self.working(), now);
        served
    }

    /// What an answer to a call says is left of the API's rates.
    fn left(&self, call: u64) -> Vec<Left> {
        let request = self.ledger.books().request_of(call);
        let mut pool = self.pool.borrow_mut();
        let Some(CountsUnits(units)) = pool.says_left else { return Vec::new() };
        let counted = match units {
            true => Counted::Units { of_call: request.units },
            false => Counted::Calls,
        };
        let said = pool.limits.left(request, self.cloud.now()).into_iter();
        said.map(|slowlane_limiter::Left { units: left, of, resets_in, evenly }| Left {
            counted,
            left,
            of,
            resets_in,
            evenly,
        })
        .collect()
    }

    /// How many requests it works on.
    pub fn working(&self) -> u32 {
        self.pool.borrow().limits.working()
    }

    /// What the API does instead of its work, if it is out of order.
    async fn is_out_of_order(&self) -> Option<Served> {
        let now = self.cloud.now();
        let outage = {
            let pool = self.pool.borrow();
            pool.outages.iter().find(|outage| outage.is_on(now)).copied()
        };
        if outage.is_some() {
            self.ledger.books().figures().fails_in_outage();
        }
        let kind = match outage {
            Some(outage) if outage.kind == OutageKind::Silence => {
                self.cloud.clock().sleep_until(outage.ends()).await;
                return Some(Served::Broken);
            }
            Some(outage) => outage.kind,
            None if self.is_down() => OutageKind::ServerErrors,
            None => return None,
        };
        tokio::time::sleep(REFUSAL).await;
        Some(match kind {
            OutageKind::NoConnection => Served::NotSent,
            OutageKind::RefusedCredentials => Served::Answered(Answer::Unauthorized),
            OutageKind::ServerErrors | OutageKind::Silence => Served::Answered(Answer::ServerError),
        })
    }

    /// Takes a request, and returns its units, or says why not.
    fn takes(&self, call: u64, ask: Ask) -> Result<u64, Answer> {
        let request = match ask {
            Ask::Execute => self.ledger.books().request_of(call),
            Ask::LookUp => Request { units: 1, ..self.ledger.books().request_of(call) },
        };
        let now = self.cloud.now();
        let taken = self.pool.borrow_mut().limits.take(request, now);
        if self.strikes(Fault::ApiThrottle) {
            if taken.is_ok() {
                self.pool.borrow_mut().limits.is_done();
            }
            return Err(Answer::TooManyRequests(None));
        }
        taken.map(|()| request.units).map_err(|refused| {
            self.ledger.books().throttled(refused, now);
            let wait = match refused {
                Refused::Own { wait } => wait,
                Refused::Others => None,
            };
            Answer::TooManyRequests(wait.filter(|_| self.pool.borrow().retry_after))
        })
    }

    /// Until when it answers nobody, or did so last.
    pub fn out_of_order_until(&self, now: Moment) -> Option<Moment> {
        let pool = self.pool.borrow();
        let outages = pool.outages.iter().filter(|outage| outage.begins() <= now);
        let down = (pool.down_until > Moment::START).then_some(pool.down_until);
        outages.map(Outage::ends).chain(down).max()
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

    /// Carries out a call whose caller has gone.
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
