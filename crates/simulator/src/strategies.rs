//! What a team would build instead, as small programs on the same cloud, with the same API behind.
//! They are modelled, not real code: a caller function without memory, and the states around it.
//!
//! | Strategy | In words |
//! |---|---|
//! | `direct` | the workflow calls the API from a function; a 429, or no connection, is retried by the state's Retry (8 tries, from 1 s, doubling, full jitter) |
//! | `cascade` | three functions behind each other, each with a slower Retry: 3 tries from 1 s, 5 from 10 s, 8 from 60 s |
//! | `semaphore` | a counter in DynamoDB, taken by a conditional update, with a wait of 3 s between tries, as in AWS's sample |
//! | `map` | a distributed Map with MaxConcurrency = limit over all that waits, most urgent first; what comes later waits for the next Map |
//! | `check-and-reject` | as `direct`, with a counter in DynamoDB for each window before the call: one that finds it full is retried as after a 429 |
//! | `limiter` | a function with `slowlane-limiter` in it and reserved concurrency = limit. It waits for the grants that are near. For the others the workflow waits, and tries again when the limiter says so (full jitter from 1 s, doubling to 60 s) |

mod callers;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::{Value, json};
use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::clients;
use slowlane_aws_simulator::cloud::dynamodb::{
    self, Bindings, Change, Item, Returns, TableSettings, Write,
};
use slowlane_aws_simulator::cloud::lambda::{
    DEFAULT_EVENT_AGE, Failure, FunctionId, FunctionSettings,
};
use slowlane_aws_simulator::cloud::requests::Action;
use slowlane_aws_simulator::cloud::{Environment, Functions, Input};
use slowlane_aws_simulator::time::Moment;
use slowlane_limiter::{Author, DynamoDbStore, LimitKey, Limiter, Settings, SlotId};
use tokio::sync::{Semaphore, oneshot};

use self::callers::{Caller, Counter, Limited, NOT_SENT, THROTTLED};
pub(crate) use self::callers::{LIMIT, TABLE};
use crate::api::SlowApi;
use crate::ledger::End;
use crate::scenario::{Dispatch, Drawn, Scenario};

/// The sample's wait between two tries to take the semaphore.
const SPIN: Duration = Duration::from_secs(3);
/// The longest pause of a Retry here (MaxDelaySeconds).
const LONGEST_PAUSE: f64 = 300.0;
/// The longest pause of a workflow that waits for its turn at the limiter.
const LONGEST_TURN_SECS: f64 = 60.0;

/// A state's Retry: tries after the first, and the first pause in seconds; pauses double, jitter
/// is full.
struct Retry {
    tries: u32,
    first_secs: f64,
}

const DIRECT: [Retry; 1] = [Retry { tries: 8, first_secs: 1.0 }];
const CASCADE: [Retry; 3] = [
    Retry { tries: 3, first_secs: 1.0 },
    Retry { tries: 5, first_secs: 10.0 },
    Retry { tries: 8, first_secs: 60.0 },
];

/// A call of such a workflow.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its number.
    pub call: u64,
    /// 0 is the most urgent.
    pub urgency: usize,
    /// When it was asked for.
    pub at: Moment,
    /// Its tenant and its units.
    pub drawn: Drawn,
}

/// The programs of one strategy, deployed.
pub struct Rival {
    strategy: Dispatch,
    limit: u32,
    /// How long a call may wait for its turn.
    patience: Duration,
    functions: Functions,
    caller: FunctionId,
    map: RefCell<Map>,
}

/// What the next Map is to do.
#[derive(Default)]
struct Map {
    runs: bool,
    waiting: Vec<(Wanted, oneshot::Sender<End>)>,
}

impl Rival {
    /// Deploys the strategy of a scenario, if it is one of these.
    pub fn create(scenario: &Scenario, functions: &Functions, api: &SlowApi) -> Option<Rc<Rival>> {
        match scenario.dispatch {
            Dispatch::Doorbell | Dispatch::DoorbellPlain => return None,
            Dispatch::DeferralSwap | Dispatch::DeferralYield => return None,
            _ => {}
        }
        let caller = Rival::deploy(scenario, functions, api);
        functions.cloud().state().dynamo.create(TableSettings {
            name: TABLE.to_owned(),
            key: "id".to_owned(),
            ttl: None,
        });
        Some(Rc::new(Rival {
            strategy: scenario.dispatch,
            limit: scenario.limit,
            patience: Duration::from_secs(scenario.deadline_secs),
            functions: functions.clone(),
            caller,
            map: RefCell::default(),
        }))
    }

    fn deploy(scenario: &Scenario, functions: &Functions, api: &SlowApi) -> FunctionId {
        let is_limited = scenario.dispatch == Dispatch::Limiter;
        let settings = FunctionSettings {
            name: "caller".to_owned(),
            concurrency: if is_limited { scenario.limit } else { 1_000 },
            timeout: Duration::from_secs(900),
            event_age: DEFAULT_EVENT_AGE,
            memory_mb: 256,
            cold_start: scenario.cold_start.latency(),
        };
        let (api, scenario) = (api.clone(), scenario.clone());
        let boot = move |sdk: SdkConfig, seed: u64| -> Rc<dyn Environment> {
            match scenario.dispatch {
                Dispatch::Limiter => Rc::new(Limited::new(&scenario, &sdk, &api, seed)),
                Dispatch::CheckAndReject => Rc::new(Counter::new(&scenario, &sdk, &api)),
                _ => Rc::new(Caller(api.client(None))),
            }
        };
        functions.create(settings, Rc::new(boot))
    }

    /// The function that calls the API.
    pub fn caller(&self) -> FunctionId {
        self.caller
    }

    /// One workflow's way to its answer.
    pub async fn execute(self: Rc<Self>, wanted: Wanted, dice: &mut Dice) -> End {
        match self.strategy {
            Dispatch::Semaphore => self.take_turn(wanted, dice).await,
            Dispatch::Map => self.join_map(wanted).await,
            Dispatch::Cascade => self.retry(wanted, &CASCADE, dice).await,
            Dispatch::Limiter => self.wait_for_turn(wanted, dice).await,
            _ => self.retry(wanted, &DIRECT, dice).await,
        }
    }

    /// The call, with one Retry after the other.
    async fn retry(&self, wanted: Wanted, cascade: &[Retry], dice: &mut Dice) -> End {
        for retry in cascade {
            for attempt in 0..=retry.tries {
                self.count_transition();
                match self.call(wanted).await {
                    Ok(end) => return end,
                    Err(Failure::Error(name)) if name != THROTTLED && name != NOT_SENT => {
                        return End::Failed(name.into());
                    }
                    Err(_) => {}
                }
                let longest = (retry.first_secs * 2f64.powi(attempt as i32)).min(LONGEST_PAUSE);
                let pause = Duration::from_secs_f64(longest * dice.fraction());
                tokio::time::sleep(pause).await;
            }
        }
        End::Failed("States.Runtime".into())
    }

    /// The call, as soon as the limiter lets it go.
    async fn wait_for_turn(&self, wanted: Wanted, dice: &mut Dice) -> End {
        let latest = wanted.at.plus(self.patience);
        let mut longest = 1.0;
        while self.functions.cloud().now() < latest {
            self.count_transition();
            let wait = match self.invoke(wanted).await {
                Ok(answer) if answer.get("id").is_some() => {
                    return End::Succeeded(answer.to_string().into());
                }
                Ok(answer) => answer["wait_ms"].as_u64().unwrap_or_default(),
                Err(Failure::Error(name)) => return End::Failed(name.into()),
                Err(_) => 0,
            };
            let jitter = Duration::from_secs_f64(longest * dice.fraction());
            tokio::time::sleep(Duration::from_millis(wait) + jitter).await;
            longest = (2.0 * longest).min(LONGEST_TURN_SECS);
        }
        End::Failed("DeadlineExceeded".into())
    }

    /// Takes the semaphore, spinning; calls; and gives it back.
    async fn take_turn(&self, wanted: Wanted, dice: &mut Dice) -> End {
        while !self.change_semaphore(1, "held < :limit OR attribute_not_exists(held)").await {
            // Wait, and back to the task: two more states.
            self.count_transition();
            tokio::time::sleep(SPIN).await;
        }
        let end = self.retry(wanted, &DIRECT, dice).await;
        self.change_semaphore(-1, "held > :none").await;
        end
    }

    async fn change_semaphore(&self, by: i32, condition: &str) -> bool {
        let cloud = self.functions.cloud();
        self.count_transition();
        cloud.travel_one_way().await;
        let now = cloud.now();
        let taken = {
            let mut state = cloud.state();
            state.requests.count(Action::UpdateItem, 0);
            let parameters = state.parameters().clone();
            let mut values = Item::default();
            values.set(":by", dynamodb::Value::Number(by.into()));
            values.set(":limit", dynamodb::Value::Number(self.limit.into()));
            values.set(":none", dynamodb::Value::Number(0));
            let write = Write {
                key: "api".into(),
                change: Change::Update("ADD held :by"),
                condition: Some(condition),
                bindings: Bindings { names: Vec::new(), values },
                returns: Returns::Nothing,
            };
            state.dynamo.write(TABLE, write, now, &parameters).is_ok()
        };
        cloud.travel_one_way().await;
        taken
    }

    async fn join_map(self: Rc<Self>, wanted: Wanted) -> End {
        let (sender, end) = oneshot::channel();
        let starts = {
            let mut map = self.map.borrow_mut();
            map.waiting.push((wanted, sender));
            !std::mem::replace(&mut map.runs, true)
        };
        if starts {
            tokio::task::spawn_local(self.clone().run_maps());
        }
        end.await.unwrap_or(End::TimedOut)
    }

    /// One Map after another, until nothing waits.
    async fn run_maps(self: Rc<Self>) {
        loop {
            // What comes within a request's time is in the same Map.
            self.functions.cloud().travel_one_way().await;
            let mut items = std::mem::take(&mut self.map.borrow_mut().waiting);
            if items.is_empty() {
                self.map.borrow_mut().runs = false;
                return;
            }
            items.sort_by_key(|(wanted, _)| (wanted.urgency, wanted.at));
            let permits = Arc::new(Semaphore::new(self.limit as usize));
            for (wanted, sender) in items {
                let permit = permits.clone().acquire_owned().await;
                let rival = self.clone();
                tokio::task::spawn_local(async move {
                    rival.count_transition();
                    let end = rival.call(wanted).await;
                    drop(permit);
                    let end = end.unwrap_or_else(|failure| End::Failed(failure.to_string().into()));
                    // A workflow that is gone does not mind.
                    let _ = sender.send(end);
                });
            }
            // The Map ends when its last item has.
            let _ = permits.acquire_many(self.limit).await;
        }
    }

    async fn call(&self, wanted: Wanted) -> Result<End, Failure> {
        Ok(End::Succeeded(self.invoke(wanted).await?.to_string().into()))
    }

    async fn invoke(&self, wanted: Wanted) -> Result<Value, Failure> {
        let Drawn { tenant, units, estimate } = wanted.drawn;
        let payload = json!({
            "call": wanted.call,
            "at": wanted.at.millis(),
            "tenant": tenant,
            "units": units,
            "estimate": estimate,
        });
        self.functions.invoke(self.caller, Input::Payload(payload)).await
    }

    fn count_transition(&self) {
        self.functions.cloud().state().requests.count_transitions(1);
    }
}

/// Changes the control record of the limit in this table, as a person does.
///
/// # Errors
/// The record could not be changed.
pub(crate) async fn change_limit(
    sdk: &SdkConfig,
    table: &str,
    change: &slowlane_limiter::Change,
    by: &Author,
) -> anyhow::Result<()> {
    let store = DynamoDbStore::new(clients::dynamodb(sdk), table);
    let settings = Settings { clock: callers::clock(sdk), ..Settings::default() };
    let (key, slot) = (LimitKey::new(LIMIT)?, SlotId::new("operator")?);
    Limiter::new(store, key, slot, settings)?.change(change, by).await?;
    Ok(())
}
