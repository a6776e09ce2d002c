//! The DynamoDB store on a server that speaks DynamoDB: MiniStack, started by the interpreter in
//! `SLOWLANE_PYTHON`, which `cargo xtask test` sets.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Config, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ReturnConsumedCapacity, ScalarAttributeType,
};
use slowlane_limiter::{
    Ask, Author, Change, Control, DateListener, Decision, DynamoDbStore, Entry, LimitKey, Limiter,
    Margin, Moment, Quota, QuotaTerm, Rate, RateTerm, Reserve, Settings, SharedCorrection, Store,
    SystemClock, Units, conformance,
};
use tokio::net::TcpStream;

use crate::{START, millis, seconds, slot};

/// A server and its files. It ends when this is dropped.
struct LocalAws {
    server: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        let _ended_already = self.server.kill();
        let _no_zombie = self.server.wait();
    }
}

/// Requests of a client, its own retries included.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<AtomicU32>);

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "Requests"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Requests {
    fn since_last(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl LocalAws {
    async fn start() -> anyhow::Result<Self> {
        let python =
            std::env::var_os("SLOWLANE_PYTHON").context("run this by `cargo xtask test`")?;
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let server = Command::new(python)
            .args(["-m", "ministack"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("TMPDIR", directory.path())
            .env("LOG_LEVEL", "WARNING")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut local = Self { server, port, _directory: directory };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            let ended = local.server.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the server ended: {ended:?}");
            anyhow::ensure!(start.elapsed() < seconds(60), "the server does not answer");
            tokio::time::sleep(millis(25)).await;
        }
        Ok(local)
    }

    fn config(&self) -> aws_sdk_dynamodb::config::Builder {
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
    }

    /// A client, the requests it makes, and a table of the README's.
    async fn table(&self, name: &str) -> anyhow::Result<(Client, Requests)> {
        let requests = Requests::default();
        let config = self.config().interceptor(requests.clone()).build();
        let client = Client::from_conf(config);
        let id = AttributeDefinition::builder().attribute_name("id");
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(id.attribute_type(ScalarAttributeType::S).build()?)
            .key_schema(key.build()?)
            .send()
            .await?;
        requests.since_last();
        Ok((client, requests))
    }
}

fn reserve(now: Moment, horizon: Duration) -> Reserve {
    let term = RateTerm { cost: millis(100), burst: Duration::ZERO };
    Reserve { now, horizon, calls: 1, rates: vec![term], quotas: vec![], overdraw: false }
}

#[tokio::test]
async fn the_store_conforms() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (client, _) = local.table("limits").await?;
    conformance::check(&DynamoDbStore::new(client.clone(), "limits"), "suite").await?;
    // Two processes know nothing of each other's guesses.
    let first = DynamoDbStore::new(client.clone(), "limits");
    let second = DynamoDbStore::new(client, "limits");
    let limit = LimitKey::new("two")?;
    let ask = reserve(START, seconds(60));
    let mut moments = Vec::new();
    for _ in 0..5 {
        let (a, b) = futures::try_join!(first.reserve(&limit, &ask), second.reserve(&limit, &ask))?;
        moments.extend([a, b].into_iter().flatten().map(|granted| granted.at));
    }
    moments.sort_unstable();
    let expected: Vec<_> = (0..10).map(|call| START.plus(millis(100) * call)).collect();
    assert_eq!(moments, expected);
    Ok(())
}

/// As the README states it.
#[tokio::test]
async fn what_each_operation_costs() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (client, requests) = local.table("limits").await?;
    let store = DynamoDbStore::new(client.clone(), "limits");
    let limit = LimitKey::new("crm")?;

    // While the rate binds: one each.
    let mut granted = Vec::new();
    for _ in 0..10 {
        granted.extend(store.reserve(&limit, &reserve(START, seconds(60))).await?);
    }
    assert_eq!((granted.len(), requests.since_last()), (10, 10));
    // Too early: one as well, and nothing is held.
    let refused = store.reserve(&limit, &reserve(START, millis(300))).await?;
    assert_eq!(refused.unwrap_err().retry_at, START.plus(millis(700)));
    assert_eq!(requests.since_last(), 1);
    // A fleet whose slots ask seldom still guesses that the rate binds.
    let other = DynamoDbStore::new(client.clone(), "limits");
    let mut grants = 0;
    for turn in 10..30 {
        let now = START.plus(millis(100) * turn).minus(millis(250));
        for store in [&store, &other] {
            grants += u32::from(store.reserve(&limit, &reserve(now, millis(300))).await?.is_ok());
        }
    }
    let (made, grants) = (requests.since_last(), grants);
    assert!(grants >= 20 && made <= 42, "{made} requests for 40 questions, {grants} granted");
    // While it does not bind.
    for turn in 1..=10 {
        let now = START.plus(seconds(100 * turn));
        assert!(store.reserve(&limit, &reserve(now, millis(300))).await?.is_ok());
    }
    assert_eq!(requests.since_last(), 11, "one wrong guess, when it ceased to bind");
    // Several grants a write, several rates and a quota: still one.
    let quota = QuotaTerm { units: 1, limit: 1000, resets_at: START.plus(seconds(1 << 20)) };
    let second = RateTerm { cost: millis(30), burst: Duration::ZERO };
    let mut all = reserve(START.plus(seconds(2000)), millis(300));
    all.rates.push(second);
    all.quotas.push(quota);
    all.calls = 5;
    assert_eq!(store.reserve(&limit, &all).await?.map(|granted| granted.moments.len()), Ok(5));
    assert_eq!(requests.since_last(), 1);

    let last = store.reserve(&limit, &reserve(START.plus(seconds(3000)), millis(300))).await?;
    let last = last.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    requests.since_last();
    assert!(store.undo(&limit, &last.before, &last.after).await?);
    assert_eq!(requests.since_last(), 1);
    store.record(&limit).await?;
    store.enter(&limit, &slot(1), Entry { entered_at: START, lease_until: START }).await?;
    store.leave(&limit, &slot(1), None).await?;
    let by = Author::new("a test", "to count");
    let control = Control::default().changed(START, &Change::Drain, &by);
    assert!(store.control(&limit, &control).await?);
    assert_eq!(requests.since_last(), 4, "one each");

    // Where units are counted: a read and a write for each step. A hundred calls are in the window.
    let rate = Rate::tokens(3_000_000, seconds(60), 4_000);
    let take = rate.take(Units::about(900, 3), &Margin::default())?;
    for call in 0..100 {
        let now = START.plus(millis(583) * call);
        let (rates, quotas) = (vec![take], vec![]);
        let ask = Ask { now, horizon: seconds(2), rates, quotas, instead_of: None };
        let reserved = store.ledger(&limit).await?.reserve(&ask);
        let (_, after) = reserved.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        assert!(store.replace_ledger(&limit, &after).await?);
    }
    assert_eq!(requests.since_last(), 200);
    one_write_unit(&client).await
}

/// Loses the replies of a client while it is told to: what was asked for is done.
#[derive(Clone, Debug, Default)]
struct LosesReplies(Arc<AtomicBool>);

impl Intercept for LosesReplies {
    fn name(&self) -> &'static str {
        "LosesReplies"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.swap(false, Ordering::Relaxed) {
            *context.response_mut().status_mut() = 503_u16.try_into()?;
        }
        Ok(())
    }
}

/// A call that is not made gives its unit of a quota back. The reply to that is lost, and it is not done
/// a second time.
#[tokio::test]
async fn a_grant_is_given_back_once_also_if_the_reply_is_lost() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (_, _) = local.table("limits").await?;
    let loses = LosesReplies::default();
    let client = Client::from_conf(local.config().interceptor(loses.clone()).build());
    let store = DynamoDbStore::new(client, "limits");
    let limit = LimitKey::new("crm")?;
    let settings =
        Settings { quotas: vec![Quota::every(10, seconds(86_400))], ..Settings::default() };
    let limiter = Limiter::new(store.clone(), limit.clone(), slot(1), settings)?;
    let mut grants = Vec::new();
    for _ in 0..4 {
        let Decision::Granted(grant) = limiter.reserve(1).await? else { anyhow::bail!("refused") };
        grants.push(grant);
    }
    let last = grants.pop().context("there are four")?;
    loses.0.store(true, Ordering::Relaxed);
    limiter.give_back(last).await;
    assert!(!loses.0.load(Ordering::Relaxed), "a reply was lost");
    assert_eq!(store.meter(&limit).await?.spent[0].units, 3);
    Ok(())
}

/// A call each three days: what is due in a week is not tidied away after a day.
#[tokio::test]
async fn a_meter_is_kept_until_all_that_is_due_is_past() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (client, _) = local.table("limits").await?;
    let store = DynamoDbStore::new(client.clone(), "limits");
    let limit = LimitKey::new("crm")?;
    let day = seconds(86_400);
    let slow = RateTerm { cost: day * 3, burst: Duration::ZERO };
    for _ in 0..3 {
        let ask = Reserve { rates: vec![slow], ..reserve(START, day * 6) };
        assert!(store.reserve(&limit, &ask).await?.is_ok());
        let due = store.meter(&limit).await?.due[0];
        let item = client.scan().table_name("limits").send().await?.items()[0].clone();
        let expires: u64 =
            item["expires_at"].as_n().map_err(|_| anyhow::anyhow!("a number"))?.parse()?;
        assert!(Moment(1_000_000 * expires) >= due, "{due} is forgotten at {expires}");
    }
    Ok(())
}

/// What the server says that it costs to write an item of ours.
async fn one_write_unit(client: &Client) -> anyhow::Result<()> {
    let scanned = client.scan().table_name("limits").send().await?;
    assert_eq!(scanned.count(), 3, "a meter, a record and a ledger");
    for item in scanned.items() {
        let put = client.put_item().table_name("limits").set_item(Some(item.clone()));
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
        assert_eq!(put.consumed_capacity.and_then(|cost| cost.capacity_units), Some(1.0));
    }
    let get = client.get_item().table_name("limits").consistent_read(true);
    let get = get.key("id", AttributeValue::S("limiter#control#crm".into()));
    let get = get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
    assert_eq!(get.consumed_capacity.and_then(|cost| cost.capacity_units), Some(1.0));
    Ok(())
}

/// A hundred slots at work, as the register's docs and the README say.
#[tokio::test]
async fn a_register_of_a_hundred_slots() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (client, _) = local.table("limits").await?;
    let store = DynamoDbStore::new(client.clone(), "limits");
    let limit = LimitKey::new("crm")?;
    let entry = Entry { entered_at: START, lease_until: START.plus(seconds(10)) };
    for number in 0..100 {
        // As long as a Lambda's request id.
        let id = format!("{number:08}-58e3-4d8a-9f0e-000000000000");
        store.enter(&limit, &slot(id), entry).await?;
    }
    let record = store.record(&limit).await?;
    assert_eq!(record.register.live(START), 100);
    let item = client.scan().table_name("limits").send().await?.items().first().cloned();
    let put = client.put_item().table_name("limits").set_item(item);
    let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
    let units = put.consumed_capacity.and_then(|cost| cost.capacity_units);
    assert_eq!(units, Some(8.0));
    Ok(())
}

#[tokio::test]
async fn the_clock_is_corrected_by_the_servers_answers() -> anyhow::Result<()> {
    let local = LocalAws::start().await?;
    let (client, _) = local.table("limits").await?;
    drop(client);
    let correction = SharedCorrection::new();
    // Two seconds fast.
    let fast = || slowlane_limiter::Clock::now(&SystemClock) + seconds(2);
    let listener = DateListener::new(correction.clone(), Arc::new(fast));
    let client = Client::from_conf(local.config().interceptor(listener).build());
    let store = DynamoDbStore::new(client, "limits");
    let limit = LimitKey::new("crm")?;
    for _ in 0..25 {
        store.record(&limit).await?;
        tokio::time::sleep(millis(73)).await;
    }
    let now = correction.correct(fast());
    let truth = Moment::from(slowlane_limiter::Clock::now(&SystemClock));
    let stated = correction.uncertainty(fast()).context("answers have dates")?;
    let off = now.since(truth).max(truth.since(now));
    assert!(off <= stated + millis(5), "off by {off:?}, said {stated:?}");
    assert!(off < millis(200), "off by {off:?}");
    Ok(())
}
