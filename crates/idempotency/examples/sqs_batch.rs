//! A Lambda behind an SQS queue that creates a record in an ERP once per order. It reports what
//! failed in its batch, and asks the ERP about calls whose outcome nobody knows.
//!
//! The event source mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use slowlane_idempotency::{
    DynamoDbStore, Failure, Found, Guard, Key, Request, Scope, Settings, Store,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch {
    #[serde(rename = "Records")]
    pub(crate) records: Vec<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) message_id: String,
    pub(crate) body: String,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) batch_item_failures: Vec<Failed>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failed {
    pub(crate) item_identifier: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) lines: Vec<String>,
}

/// What the ERP can do: create a record, and say whether it has one.
pub(crate) trait Erp {
    async fn create(&self, order: &Order, time_out: Duration) -> Result<String, Failure<Error>>;
    async fn find(&self, external_id: &str) -> Result<Option<String>, Error>;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = DynamoDbStore::new(client, std::env::var("IDEMPOTENCY_TABLE")?);
    let guard = &Guard::new(store, Settings::default());
    let handler = |event: LambdaEvent<Batch>| async move {
        let deadline = event.context.deadline();
        Ok::<_, Error>(handle(guard, &Demo, event.payload, deadline).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}

/// One message after the other; what did not end well comes back after its visibility
/// timeout, and reaches the dead letter queue if it never does.
pub(crate) async fn handle<S: Store>(
    guard: &Guard<S>,
    erp: &impl Erp,
    batch: Batch,
    deadline: SystemTime,
) -> Answer {
    let mut batch_item_failures = Vec::new();
    for message in batch.records {
        if let Err(error) = once(guard, erp, &message, deadline).await {
            eprintln!("message {}: {error}", message.message_id);
            let item_identifier = message.message_id;
            batch_item_failures.push(Failed { item_identifier });
        }
    }
    Answer { batch_item_failures }
}

async fn once<S: Store>(
    guard: &Guard<S>,
    erp: &impl Erp,
    message: &Message,
    deadline: SystemTime,
) -> Result<(), Error> {
    let order: Order = serde_json::from_str(&message.body)?;
    // The order's number and not the message's: a producer that sends twice makes two messages.
    let request = Request::new(Scope::new("erp.orders")?, Key::new(&order.id)?, &order)?
        .lease_until(deadline);
    let call = |turn: slowlane_idempotency::Turn| erp.create(&order, turn.remaining());
    let ask = async || {
        Ok(match erp.find(&order.id).await? {
            Some(id) => Found::Executed(id),
            None => Found::NotExecuted,
        })
    };
    guard.run_or_ask(&request, call, ask).await?;
    Ok(())
}

/// An ERP that always succeeds.
struct Demo;

impl Erp for Demo {
    async fn create(&self, order: &Order, _: Duration) -> Result<String, Failure<Error>> {
        Ok(format!("record of {} lines", order.lines.len()))
    }

    async fn find(&self, _: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }
}
