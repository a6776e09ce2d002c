//! A Lambda that charges a customer once per order, however often it is invoked.
//!
//! The table: partition key `id` (S), time to live on `expires_at`. Its name comes in the
//! environment variable `IDEMPOTENCY_TABLE`.

use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use slowlane_idempotency::{
    DynamoDbStore, Failure, Guard, Key, Request, Scope, Settings, Store, Turn,
};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) charge: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let store = DynamoDbStore::new(client, std::env::var("IDEMPOTENCY_TABLE")?);
    let guard = &Guard::new(store, Settings::default());
    let handler = |event| async move { handle(guard, event).await };
    lambda_runtime::run(service_fn(handler)).await
}

pub(crate) async fn handle<S: Store>(
    guard: &Guard<S>,
    event: LambdaEvent<Order>,
) -> Result<Receipt, Error> {
    let order = event.payload;
    // After its deadline this process cannot run on, so the lease may end there.
    let request = Request::new(Scope::new("payments.charge")?, Key::new(&order.id)?, &order)?
        .lease_until(event.context.deadline());
    let done = guard.run(&request, |turn| charge(&order, turn)).await?;
    Ok(done.value)
}

/// Stands for the call of a payment API. A real one uses `turn.remaining()` as its time-out
/// and passes `turn.attempt` on if the API can refuse older attempts.
async fn charge(order: &Order, turn: Turn) -> Result<Receipt, Failure<std::io::Error>> {
    if turn.remaining() < Duration::from_millis(100) {
        let error = std::io::Error::other("too little time to wait for the answer");
        return Err(Failure::NotExecuted(error));
    }
    let charge = format!("charge of {} for {}", order.amount, order.id);
    Ok(Receipt { charge })
}
