//! What the guard costs: claim, mark and complete in memory and against an endpoint, beside
//! one plain `PutItem`, measured in turn in one run.
//!
//! ```sh
//! cargo run --release -p slowlane-idempotency --example overhead -- http://127.0.0.1:4566
//! ```
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::json;
use slowlane_idempotency::{
    Claimed, DynamoDbStore, Guard, Key, MemoryStore, Request, Scope, Settings, Store,
};

const ROUNDS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::args().nth(1).context("the endpoint is missing")?;
    let client = client(&endpoint);
    let table = format!("overhead-{}", uuid::Uuid::new_v4());
    create_table(&client, &table).await?;
    let memory = Guard::new(MemoryStore::new(), Settings::default());
    let store = DynamoDbStore::new(client.clone(), &table);
    let dynamodb = Guard::new(store, Settings::default());

    let [mut put, mut marked, mut repeatable, mut replay, mut in_memory] =
        std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS {
        put.push(timed(plain_put(&client, &table, round)).await?);
        marked.push(timed(call(&dynamodb, round, false)).await?);
        repeatable.push(timed(call(&dynamodb, ROUNDS + round, true)).await?);
        replay.push(timed(known(&dynamodb, round)).await?);
        in_memory.push(timed(call(&memory, round, false)).await?);
    }

    let plain = median(put);
    println!("{ROUNDS} rounds against {endpoint}");
    println!("p50                                   time     / one PutItem   requests");
    for (what, times, requests) in [
        ("one plain PutItem", vec![plain], 1),
        ("claim + dispatched + complete", marked, 3),
        ("claim + complete (repeatable)", repeatable, 2),
        ("replay of a stored result", replay, 1),
        ("claim + dispatched + complete, memory", in_memory, 0),
    ] {
        let time = median(times);
        let ratio = time.as_secs_f64() / plain.as_secs_f64();
        println!("{what:<37} {time:>9.1?} {ratio:>10.3}   {requests:>12}");
    }
    client.delete_table().table_name(&table).send().await?;
    Ok(())
}

fn request(round: usize, repeatable: bool) -> anyhow::Result<Request> {
    let (scope, key) = (Scope::new("overhead")?, Key::new(format!("order-{round}"))?);
    let payload = json!({"method": "PUT", "resource": "salesOrder/eid:order", "round": round});
    Ok(Request::new(scope, key, &payload)?.repeatable(repeatable))
}

async fn call<S: Store>(guard: &Guard<S>, round: usize, repeatable: bool) -> anyhow::Result<()> {
    let Claimed::Run(claim) = guard.claim(&request(round, repeatable)?).await? else {
        bail!("a new key did not run");
    };
    claim.dispatched().await?;
    claim.complete(&json!({"status": 204, "id": "1001"})).await?;
    Ok(())
}

async fn known<S: Store>(guard: &Guard<S>, round: usize) -> anyhow::Result<()> {
    let Claimed::Replay(_) = guard.claim(&request(round, false)?).await? else {
        bail!("a completed call was not replayed");
    };
    Ok(())
}

async fn plain_put(client: &Client, table: &str, round: usize) -> anyhow::Result<()> {
    let put = client
        .put_item()
        .table_name(table)
        .item("id", AttributeValue::S(format!("plain-{round}")))
        .item("body", AttributeValue::S("b".repeat(400)));
    put.send().await?;
    Ok(())
}

async fn timed(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn client(endpoint: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "example"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

async fn create_table(client: &Client, name: &str) -> anyhow::Result<()> {
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S)
        .build()?;
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build()?;
    let create = client
        .create_table()
        .table_name(name)
        .attribute_definitions(id)
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest);
    create.send().await?;
    Ok(())
}
