//! What the guard costs: claim, mark and complete, in memory and against an endpoint, compared with
//! one plain `PutItem`. They are measured by turns in one run, with the number of requests that
//! each makes.
//!
//! ```sh
//! cargo run -p slowlane-idempotency --example overhead -- http://127.0.0.1:4566
//! ```
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    Claimed, Cursor, DynamoDbStore, EpochMs, Guard, Key, MemoryStore, Page, Record, RecordId,
    Request, Scope, Settings, Store, Write, Written, store,
};

const ROUNDS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::args().nth(1).context("the endpoint is missing")?;
    let client = client(&endpoint);
    let table = format!("overhead-{}", uuid::Uuid::new_v4());
    create_table(&client, &table).await?;
    let memory = Counting::new(MemoryStore::new());
    let in_memory = Guard::new(memory.clone(), Settings::default());
    let dynamodb = Counting::new(DynamoDbStore::new(client.clone(), &table));
    let guard = Guard::new(dynamodb.clone(), Settings::default());

    let mut rows = [
        Row::new("one plain PutItem"),
        Row::new("claim + dispatched + complete"),
        Row::new("claim + complete (repeatable)"),
        Row::new("replay of a stored result"),
        Row::new("claim + dispatched + complete, memory"),
        Row::new("claim + complete (repeatable), memory"),
    ];
    let plain = AtomicU64::new(0);
    for round in 0..ROUNDS {
        let [put, marked, repeatable, replay, marked_here, repeatable_here] = &mut rows;
        put.measure(&plain, plain_put(&client, &table, round, &plain)).await?;
        marked.measure(&dynamodb.requests, call(&guard, round, false)).await?;
        repeatable.measure(&dynamodb.requests, call(&guard, ROUNDS + round, true)).await?;
        replay.measure(&dynamodb.requests, known(&guard, round)).await?;
        marked_here.measure(&memory.requests, call(&in_memory, round, false)).await?;
        repeatable_here.measure(&memory.requests, call(&in_memory, ROUNDS + round, true)).await?;
    }

    let [put, ..] = &rows;
    let unit = put.median();
    println!("{ROUNDS} rounds against {endpoint}");
    println!(
        "p50                                   time     / one PutItem   requests to the store"
    );
    for row in &rows {
        let (time, requests) = (row.median(), row.requests as f64 / ROUNDS as f64);
        let ratio = time.as_secs_f64() / unit.as_secs_f64();
        println!("{:<37} {time:>9.1?} {ratio:>10.3}   {requests:>12.2}", row.what);
    }
    client.delete_table().table_name(&table).send().await?;
    Ok(())
}

/// What was measured of one thing.
struct Row {
    what: &'static str,
    times: Vec<Duration>,
    requests: u64,
}

impl Row {
    fn new(what: &'static str) -> Self {
        Self { what, times: Vec::with_capacity(ROUNDS), requests: 0 }
    }

    async fn measure(
        &mut self,
        requests: &AtomicU64,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let (before, start) = (requests.load(Ordering::Relaxed), Instant::now());
        work.await?;
        self.times.push(start.elapsed());
        self.requests += requests.load(Ordering::Relaxed) - before;
        Ok(())
    }

    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2]
    }
}

/// A store that counts what it is asked; each of these is one request to DynamoDB.
#[derive(Clone)]
struct Counting<S> {
    store: S,
    requests: Arc<AtomicU64>,
}

impl<S> Counting<S> {
    fn new(store: S) -> Self {
        Self { store, requests: Arc::default() }
    }

    fn counted(&self) -> &S {
        self.requests.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

impl<S: Store> Store for Counting<S> {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        self.counted().write(write).await
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        self.counted().read(id).await
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        self.counted().unresolved(lapsed_before, most, after).await
    }
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
    let claim = claim.dispatched().await?;
    claim.complete(&json!({"status": 204, "id": "1001"})).await?;
    Ok(())
}

async fn known<S: Store>(guard: &Guard<S>, round: usize) -> anyhow::Result<()> {
    let Claimed::Replay(_) = guard.claim(&request(round, false)?).await? else {
        bail!("a completed call was not replayed");
    };
    Ok(())
}

async fn plain_put(
    client: &Client,
    table: &str,
    round: usize,
    requests: &AtomicU64,
) -> anyhow::Result<()> {
    requests.fetch_add(1, Ordering::Relaxed);
    let put = client
        .put_item()
        .table_name(table)
        .item("id", AttributeValue::S(format!("plain-{round}")))
        .item("body", AttributeValue::S("b".repeat(400)));
    put.send().await?;
    Ok(())
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
