//! A Lambda that calls an API of 100 requests in 20 seconds, in any number of environments.
//! Together they keep the rate, a 429 holds them all, and an outage stops them all but for a probe.
//!
//! The table: partition key `id` (S), time to live on `expires_at`. Its name comes in the
//! environment variable `LIMITS_TABLE`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use slowlane_limiter::{
    DateListener, Decision, DynamoDbStore, FailureKind, LimitKey, Limiter, Rate, Report, Settings,
    SlotId, Store, SystemClock,
};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) id: String,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done(String),
    /// A state machine waits so long and tries again.
    WaitSeconds(u64),
}

/// What an API can say.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Created(String),
    TooMany(Option<Duration>),
    Unauthorized,
    ServerError,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings =
        Settings { rates: vec![Rate::new(100, Duration::from_secs(20))], ..Settings::default() };
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    // AWS's answers say how wrong this environment's clock is.
    let listener = DateListener::new(settings.correction.clone(), Arc::new(SystemClock));
    let config = aws_sdk_dynamodb::config::Builder::from(&aws).interceptor(listener).build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let store = DynamoDbStore::new(client, std::env::var("LIMITS_TABLE")?);
    let slot = SlotId::new(std::env::var("AWS_LAMBDA_LOG_STREAM_NAME")?.replace('#', "-"))?;
    let limiter = &Limiter::new(store, LimitKey::new("crm")?, slot, settings)?;
    let handler = |event| async move { handle(limiter, event, create).await };
    lambda_runtime::run(service_fn(handler)).await
}

pub(crate) async fn handle<S: Store>(
    limiter: &Limiter<S>,
    event: LambdaEvent<Order>,
    create: impl AsyncFnOnce(&Order) -> Reply,
) -> Result<Answer, Error> {
    let order = event.payload;
    let grant = match limiter.grant(1).await? {
        Decision::Granted(grant) => grant,
        Decision::Refused(waiting) => {
            let wait = waiting.until.map(|until| limiter.until(until));
            return Ok(Answer::WaitSeconds(wait.unwrap_or(Duration::from_secs(60)).as_secs() + 1));
        }
    };
    tokio::time::sleep(limiter.until(grant.at())).await;
    if limiter.now() >= grant.void_at() {
        return Ok(Answer::WaitSeconds(1));
    }
    let start = Instant::now();
    let reply = create(&order).await;
    let latency = start.elapsed();
    match reply {
        Reply::Created(id) => {
            limiter.answered(&order.id, latency).await;
            Ok(Answer::Done(id))
        }
        Reply::TooMany(retry_after) => {
            limiter.report(&order.id, &Report::Throttled { retry_after, latency }).await;
            let wait = retry_after.unwrap_or(Duration::from_secs(1));
            Ok(Answer::WaitSeconds(wait.as_secs().max(1)))
        }
        Reply::Unauthorized | Reply::ServerError => {
            let kind = match reply {
                Reply::Unauthorized => FailureKind::Credentials,
                _ => FailureKind::Server,
            };
            limiter.report(&order.id, &Report::Failed { kind }).await;
            Ok(Answer::WaitSeconds(5))
        }
    }
}

/// Stands for the call of a real API, which answers with a status and perhaps a `Retry-After`.
async fn create(order: &Order) -> Reply {
    reply(order, 201, None)
}

fn reply(order: &Order, status: u16, retry_after_secs: Option<u64>) -> Reply {
    match status {
        429 => Reply::TooMany(retry_after_secs.map(Duration::from_secs)),
        401 => Reply::Unauthorized,
        500.. => Reply::ServerError,
        _ => Reply::Created(format!("record of {}", order.id)),
    }
}
