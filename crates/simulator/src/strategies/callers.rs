//! The functions that call the API in these strategies.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::TimeSource;
use serde_json::{Value, json};
use slowlane_aws_simulator::clients;
use slowlane_aws_simulator::cloud::{Context, Environment, Input};
use slowlane_aws_simulator::time::Moment;
use slowlane_limiter::{
    BoxStore, Clock, DateListener, Decision, DynamoDbStore, FailureKind, Grant, LimitKey, Limiter,
    MemoryStore, Rate, Report, Settings, SharedCorrection, SlotId, Waiting,
};

use crate::api::{ApiClient, SlowApi, Told};
use crate::ledger::tenant_name;
use crate::scenario::{Mutant, Per, Scenario, ToldRate};

/// The table of semaphores, counters and limits.
pub(crate) const TABLE: &str = "shared";
/// The name of the limit.
pub(crate) const LIMIT: &str = "api";
/// The error of a call that the API refused because of its limit.
pub(super) const THROTTLED: &str = "TooManyRequests";
/// The error of a call for which there was no connection.
pub(super) const NOT_SENT: &str = "NotSent";

/// A call as a function is asked for it.
#[derive(Clone, Copy)]
struct Asked {
    call: u64,
    at: Option<Moment>,
    tenant: Option<u32>,
    units: u64,
    estimate: u64,
}

impl Asked {
    fn read(input: Input) -> Result<Asked, String> {
        let Input::Payload(payload) = input else {
            return Err("a caller takes a payload".to_owned());
        };
        let number = |name: &str| payload[name].as_u64();
        Ok(Asked {
            call: number("call").unwrap_or_default(),
            at: number("at").map(Moment::from_millis),
            tenant: number("tenant").and_then(|tenant| u32::try_from(tenant).ok()),
            units: number("units").unwrap_or(1),
            estimate: number("estimate").unwrap_or(1),
        })
    }
}

type Handled = Pin<Box<dyn Future<Output = Result<Value, String>>>>;

/// Calls the API, and remembers nothing.
pub(super) struct Caller(pub(super) ApiClient);

impl Environment for Caller {
    fn handle(self: Rc<Self>, input: Input, _: Context) -> Handled {
        Box::pin(async move {
            let asked = Asked::read(input)?;
            answer(self.0.execute(asked.call, asked.at).await)
        })
    }
}

/// What a function without a limiter tells its workflow.
fn answer(told: Told) -> Result<Value, String> {
    match told {
        Told::Created(id, _) => Ok(json!({ "id": id })),
        Told::TooManyRequests(_) => Err(THROTTLED.to_owned()),
        Told::Rejected | Told::Exists => Err("Rejected".to_owned()),
        Told::Unauthorized => Err("Unauthorized".to_owned()),
        Told::NotSent => Err(NOT_SENT.to_owned()),
        Told::Unknown | Told::OddRefusal => Err("Unknown".to_owned()),
    }
}

/// Counts the calls of each window in DynamoDB, and refuses what is too much.
pub(super) struct Counter {
    api: ApiClient,
    dynamodb: aws_sdk_dynamodb::Client,
    rates: Vec<ToldRate>,
    now: Arc<dyn Clock>,
}

impl Counter {
    pub(super) fn new(scenario: &Scenario, sdk: &SdkConfig, api: &SlowApi) -> Counter {
        let rates = scenario.limits.iter().filter_map(|told| told.rate);
        Counter {
            api: api.client(None),
            dynamodb: clients::dynamodb(sdk),
            rates: rates.collect(),
            now: clock(sdk),
        }
    }

    /// Whether the window of now, as this function counts windows, has room.
    async fn counts(&self, rate: &ToldRate, units: u64) -> bool {
        let since = self.now.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let window = since.as_nanos() / rate.per().as_nanos().max(1);
        let number = |units: u64| AttributeValue::N(units.to_string());
        let counted = self.dynamodb.update_item().table_name(TABLE);
        let counted = counted
            .key("id", AttributeValue::S(format!("window#{window}")))
            .update_expression("ADD taken :units")
            .condition_expression("attribute_not_exists(taken) OR taken <= :room")
            .expression_attribute_values(":units", number(units))
            .expression_attribute_values(":room", number(rate.units.saturating_sub(units)));
        counted.send().await.is_ok()
    }
}

impl Environment for Counter {
    fn handle(self: Rc<Self>, input: Input, _: Context) -> Handled {
        Box::pin(async move {
            let asked = Asked::read(input)?;
            for rate in &self.rates {
                if !self.counts(rate, asked.estimate).await {
                    return Err(THROTTLED.to_owned());
                }
            }
            answer(self.api.execute(asked.call, asked.at).await)
        })
    }
}

/// Asks the limiter before each call, and tells it afterwards what became of it. A call that may not
/// go is told how long to wait.
pub(super) struct Limited {
    api: ApiClient,
    mutant: Option<Mutant>,
    scenario: Scenario,
    store: DynamoDbStore,
    slot: SlotId,
    clock: Arc<dyn Clock>,
    correction: SharedCorrection,
    limiters: RefCell<HashMap<Option<u32>, Limiter<BoxStore>>>,
}

impl Limited {
    pub(super) fn new(scenario: &Scenario, sdk: &SdkConfig, api: &SlowApi, seed: u64) -> Limited {
        let (clock, correction) = (clock(sdk), SharedCorrection::new());
        let listener = DateListener::new(correction.clone(), clock.clone());
        let config = clients::dynamodb_config(sdk).interceptor(listener);
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        Limited {
            api: api.client(None),
            mutant: scenario.mutant,
            scenario: scenario.clone(),
            store: DynamoDbStore::new(client, TABLE),
            slot: checked(SlotId::new(format!("function-{seed:016x}"))),
            clock,
            correction,
            limiters: RefCell::default(),
        }
    }

    /// The limiter of all calls, or of one tenant's.
    fn limiter(&self, tenant: Option<u32>) -> Limiter<BoxStore> {
        let mut limiters = self.limiters.borrow_mut();
        limiters.entry(tenant).or_insert_with(|| self.make_limiter(tenant)).clone()
    }

    fn make_limiter(&self, tenant: Option<u32>) -> Limiter<BoxStore> {
        let mut key = checked(LimitKey::new(LIMIT));
        if let Some(tenant) = tenant {
            key = checked(key.tenant(&tenant_name(tenant)));
        }
        let per = tenant.map(|_| Per::Tenant);
        let told = self.scenario.limits.iter().filter(|told| told.per == per);
        let rates: Vec<Rate> = told.filter_map(|told| told.rate.as_ref().map(rate)).collect();
        let deaf = self.mutant == Some(Mutant::DeafToOperators);
        let defaults = Settings::default();
        let settings = Settings {
            rates,
            ceiling: self.scenario.limit,
            read_every: if deaf { Duration::from_secs(86_400) } else { defaults.read_every },
            clock: self.clock.clone(),
            correction: self.correction.clone(),
            ..defaults
        };
        let store = match self.mutant {
            Some(Mutant::LimitsAlone) => BoxStore::new(MemoryStore::new()),
            _ => BoxStore::new(self.store.clone()),
        };
        checked(Limiter::new(store, key, self.slot.clone(), settings))
    }

    async fn handle_call(&self, asked: Asked) -> Result<Value, String> {
        let tenant = match self.mutant {
            Some(Mutant::OneTenantForAll) => asked.tenant.map(|_| 0),
            _ => asked.tenant,
        };
        let is_told = self.scenario.limits.iter().any(|told| told.per.is_some());
        let tenant = tenant.filter(|_| is_told).map(|tenant| self.limiter(Some(tenant)));
        let target = self.limiter(None);
        let mut grants = Vec::new();
        // A tenant's moment first, holding nothing else.
        for limiter in tenant.iter().chain([&target]) {
            match self.wait_for_grant(limiter, self.most(&asked)).await? {
                Ok(grant) => grants.push((limiter, grant)),
                Err(wait) => return Ok(wait),
            }
        }
        let began = self.clock.now();
        let told = self.api.execute(asked.call, asked.at).await;
        let latency = self.clock.now().duration_since(began).unwrap_or_default();
        for (limiter, grant) in &grants {
            let settled = limiter.settle(grant, asked.units).await;
            settled.map_err(|error| error.to_string())?;
        }
        self.tell(&target, asked.call, &told, latency).await;
        match told {
            told if self.mutant == Some(Mutant::TellsOutages) => answer(told),
            Told::TooManyRequests(_) | Told::Unauthorized | Told::NotSent => Ok(wait(None)),
            // Calls that may be repeated only: who needs more, needs a guard.
            Told::Unknown => Ok(wait(None)),
            told => answer(told),
        }
    }

    /// How many units a call may have: three times as many as it is thought to, if that may be wrong.
    fn most(&self, asked: &Asked) -> u64 {
        let is_exact = self.scenario.load.iter().all(|load| load.estimate_error == 0.0);
        let largest = self.scenario.load.iter().map(|load| load.most_units()).max();
        let most = if is_exact { asked.estimate } else { 3 * asked.estimate };
        most.min(largest.unwrap_or(most))
    }

    /// The moment of a grant, or how long to wait before the next question.
    async fn wait_for_grant(
        &self,
        limiter: &Limiter<BoxStore>,
        units: u64,
    ) -> Result<Result<Grant, Value>, String> {
        loop {
            let decision = limiter.grant(units).await.map_err(|error| error.to_string())?;
            let grant = match decision {
                Decision::Granted(grant) => grant,
                Decision::Refused(Waiting { until, .. }) => {
                    return Ok(Err(wait(until.map(|until| limiter.until(until)))));
                }
            };
            tokio::time::sleep(limiter.until(grant.at())).await;
            if limiter.now() < grant.void_at() {
                return Ok(Ok(grant));
            }
        }
    }

    async fn tell(&self, limiter: &Limiter<BoxStore>, call: u64, told: &Told, latency: Duration) {
        let failed = |kind| Report::Failed { kind };
        let report = match told {
            Told::TooManyRequests(retry_after) => {
                Report::Throttled { retry_after: *retry_after, latency }
            }
            Told::Unauthorized => failed(FailureKind::Credentials),
            Told::NotSent => failed(FailureKind::Connection),
            Told::Unknown => failed(FailureKind::Server),
            _ => return limiter.answered(&call.to_string(), latency).await,
        };
        limiter.report(&call.to_string(), &report).await;
    }
}

impl Environment for Limited {
    fn handle(self: Rc<Self>, input: Input, _: Context) -> Handled {
        Box::pin(async move { self.handle_call(Asked::read(input)?).await })
    }
}

/// What a function says whose call may not go yet.
fn wait(wait: Option<Duration>) -> Value {
    json!({ "wait_ms": wait.map(|wait| wait.as_millis() as u64) })
}

fn rate(told: &ToldRate) -> Rate {
    let ToldRate { units, bucket, largest, .. } = *told;
    match (bucket, largest) {
        (Some(capacity), largest) => {
            let bucket = Rate::bucket(capacity, units, told.per());
            Rate { largest: largest.unwrap_or(1), ..bucket }
        }
        (None, Some(largest)) => Rate::tokens(units, told.per(), largest),
        (None, None) => Rate::new(units, told.per()),
    }
}

/// The clock of an environment's machine, as wrong as it is.
pub(super) fn clock(sdk: &SdkConfig) -> Arc<dyn Clock> {
    let source = sdk.time_source();
    Arc::new(move || source.as_ref().map_or(std::time::UNIX_EPOCH, TimeSource::now))
}

/// What is made of a scenario's names and rates.
///
/// # Panics
/// If the limiter does not take a limit that was told: the run would say nothing.
fn checked<T, E: std::fmt::Display>(made: Result<T, E>) -> T {
    made.unwrap_or_else(|error| panic!("the limiter does not take what it is told: {error}"))
}
