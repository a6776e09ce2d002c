use super::{Local, queued_call};
use anyhow::Context as _;
use serde_json::{Value, json};
use slowlane_deployer::limits::{Author, Limit, Setting};
use slowlane_deployer::{Outputs, Progress};
use slowlane_limiter::{
    Decision, DynamoDbStore, LimitKey, Limiter, Limits, Rate, Settings, SlotId,
};
use std::time::Duration;

const WHY: [&str; 4] = ["--who", "ada", "--why", "the vendor works on it"];

#[tokio::test]
async fn calls_are_paused_and_resumed_by_a_name_and_for_a_reason() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let shown = local.told_json(&["limits", "show"])?;
    assert_eq!((&shown["mode"], &shown["concurrency"]), (&json!("run"), &json!(5)), "{shown:#}");
    assert!(local.told(&["limits", "show"])?.contains("nobody has changed it"));

    let paused = local.told_json(&[&["pause", "--for", "2h"], &WHY[..]].concat())?;
    let said = (&paused["mode"], &paused["who"], &paused["why"]);
    assert_eq!(said, (&json!("paused"), &json!("ada"), &json!(WHY[3])), "{paused:#}");
    assert!(paused["until"].is_string(), "{paused:#}");
    let status = local.told(&["status"])?;
    assert!(status.contains("paused until ") && status.contains("by ada: the vendor"), "{status}");

    let drained = local.told_json(&[&["drain"], &WHY[..]].concat())?;
    assert_eq!((&drained["mode"], &drained["until"]), (&json!("draining"), &json!(null)));
    let doorbell = outputs.doorbell_queue_url.context("a doorbell")?;
    let rings = async || slowlane_deployer::queues::depth(&local.sqs(), &doorbell).await;
    assert_eq!(rings().await?.total(), 0);
    let resumed = local.told_json(&[&["resume"], &WHY[..]].concat())?;
    assert_eq!(resumed["mode"], "run");
    assert_eq!(rings().await?.total(), 5, "every slot is woken");
    let changes = resumed["changes"].as_array().context("a list")?;
    let changes: Vec<_> = changes.iter().map(|change| change["change"].clone()).collect();
    assert_eq!(changes, ["pause", "drain", "resume"]);
    assert!(!local.told(&["status"])?.contains("by ada"));

    // Without a reason nothing is changed.
    for args in [&["pause"][..], &["drain"], &["resume"], &["pause", "--for", "-2h", "--why", "x"]]
    {
        let output = local.run_on("trial", args)?;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    assert_eq!(local.told_json(&["limits", "show"])?, resumed);
    Ok(())
}

const CONFIGURED: &str =
    r#"[{"rate":"100/20s"},{"quota":"15000/1d"},{"rate":"2/s","per":"tenant"}]"#;

fn rate(units: u64) -> Rate {
    Rate::new(units, Duration::from_secs(20))
}

#[tokio::test]
async fn limits_are_set_shown_with_what_is_used_and_set_back() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let plan = local.plan().parameter("Limits", CONFIGURED);
    let outputs = local.deployer.deploy(&plan, &Progress::hidden()).await?;
    let shown = local.told_json(&["limits", "show"])?;
    assert_eq!(shown["configured"], serde_json::from_str::<Value>(CONFIGURED)?);
    let configured = json!({
        "concurrency": 5,
        "rates": ["100/20s"],
        "quotas": ["15000/1d"],
        "tenant_rates": ["2/s"],
        "tenant_quotas": [],
    });
    assert_eq!(shown["effective"], configured, "{shown:#}");
    assert_eq!(shown["used"]["quotas"][0]["left"], 15_000, "{shown:#}");

    // What the worker's own limiter has used of them.
    let limiter = limiter(&local, &outputs, CONFIGURED)?;
    for _ in 0..3 {
        limiter.grant(1).await?;
    }
    let used = &local.told_json(&["limits", "show"])?["used"];
    assert_eq!(
        (&used["quotas"][0]["spent"], &used["quotas"][0]["left"]),
        (&json!(3), &json!(14_997))
    );
    let free_at: jiff::Timestamp =
        serde_json::from_value(used["rates"][0]["next_free_at"].clone())?;
    assert!(free_at > jiff::Timestamp::now(), "{used:#}");

    let deployed = local.deployer.deployed("trial").await?;
    let limit = Limit::of(local.deployer.config(), &deployed)?;
    let ada = Author::new("ada", "the vendor asked");
    let slower = Setting { rates: Some(vec![rate(50)]), ..Setting::default() };
    let was_set = limit.set(&slower, &ada).await?;
    assert_eq!((was_set.before.rates, was_set.now.rates), (vec![rate(100)], vec![rate(50)]));
    let fewer = Setting { concurrency: Some(3), ..Setting::default() };
    let was_set = limit.set(&fewer, &ada).await?;
    assert_eq!((was_set.now.concurrency, was_set.now.rates), (3, vec![rate(50)]));
    let too_many = Setting { concurrency: Some(6), ..Setting::default() };
    let error = limit.set(&too_many, &ada).await.unwrap_err().to_string();
    assert!(error.starts_with("6 calls at once are more than 5"), "{error}");

    let shown = local.told_json(&["limits", "show"])?;
    let mut effective = configured.clone();
    (effective["concurrency"], effective["rates"]) = (json!(3), json!(["50/20s"]));
    assert_eq!(shown["effective"], effective, "{shown:#}");
    assert_eq!(
        (&shown["changes"][1]["who"], &shown["changes"][1]["change"]),
        (&json!("ada"), &json!("set"))
    );
    // The worker heeds it.
    limiter.look().await;
    assert_eq!(limiter.standings().await?.rates, [rate(50)]);
    let told = local.told(&["limits", "show"])?;
    for text in
        ["run, 3 calls at once", "100/20s      50/20s", "rate of each tenant", "the vendor asked"]
    {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }

    let typed = [&["limits", "set", "--rate", "30/20s"], &WHY[..]].concat();
    let was_set = local.told_json(&typed)?;
    assert_eq!(was_set["now"]["rates"], json!(["30/20s"]), "{was_set:#}");
    assert_eq!(was_set["now"]["concurrency"], 3, "what is not named stays: {was_set:#}");
    let mut effective = was_set["now"].clone();

    let typed = [&["limits", "set", "--concurrency", "2"], &WHY[..]].concat();
    let was_set = local.told_json(&typed)?;
    assert_eq!(was_set["now"]["concurrency"], 2, "{was_set:#}");
    effective["concurrency"] = json!(2);

    let typed = [&["limits", "set", "--rate", "30/1m,per=tenant"], &WHY[..]].concat();
    let was_set = local.told_json(&typed)?;
    effective["tenant_rates"] = json!(["30/1m"]);
    assert_eq!(was_set["now"], effective, "the target's rates stay: {was_set:#}");
    let told = local.told(&["limits", "show"])?;
    let row = told.lines().find(|line| line.contains("rate of each tenant")).context("a row")?;
    assert!(row.contains("2/s") && row.contains("30/1m"), "{told}");

    let doorbell = outputs.doorbell_queue_url.context("a doorbell")?;
    let rings = slowlane_deployer::queues::depth(&local.sqs(), &doorbell).await?.total();
    let back = [&["limits", "set", "--as-configured"], &WHY[..]].concat();
    let was_set = local.told_json(&back)?;
    assert_eq!((&was_set["before"], &was_set["now"]), (&effective, &configured), "{was_set:#}");
    assert_eq!(was_set["limit"], "trial");
    let woken = slowlane_deployer::queues::depth(&local.sqs(), &doorbell).await?.total() - rings;
    assert_eq!(woken, 5, "there may be more room: every slot is woken");

    for (args, told) in [
        (&[][..], "say what to set: --concurrency, --rate"),
        (&["--rate", "100"], "`100` is no number of calls in a span of time"),
        (&["--concurrency", "0"], "--concurrency"),
    ] {
        let output = local.run_on("trial", &[&["limits", "set"], args, &WHY[..]].concat())?;
        let said = String::from_utf8(output.stderr)?;
        assert!(output.status.code() == Some(2) && said.contains(told), "{args:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn it_is_said_which_limit_a_call_waits_for_and_until_when() -> anyhow::Result<()> {
    const LIMITS: &str = r#"[{"rate":"1/1m"},{"quota":"3/1d"}]"#;
    let local = Local::start().await?;
    let plan = local.plan().parameter("Limits", LIMITS);
    let outputs = local.deployer.deploy(&plan, &Progress::hidden()).await?;
    for key in ["order-0", "order-1", "order-2"] {
        let body = queued_call(key, "AQCEAAAAKgAAAAMAAAAA").to_string();
        local
            .sqs()
            .send_message()
            .queue_url(&outputs.high_queue_url)
            .message_body(body)
            .send()
            .await?;
    }
    let queued = json!({"message": "queued", "idempotency_key": "order-1", "priority": "HIGH"});
    local.log("EnqueuerLogs", &[queued]).await?;
    let why = async || local.told_json(&["why", "order-1"]);
    // Two are before it, and the rate is a call each minute.
    let secs = why().await?["estimate_secs"].as_u64().context("an estimate")?;
    assert!((119..=122).contains(&secs), "{secs}");

    // One was made, so two are left today, and it is the third.
    let limiter = limiter(&local, &outputs, LIMITS)?;
    anyhow::ensure!(matches!(limiter.grant(1).await?, Decision::Granted(_)));
    let why = why().await?;
    let because = why["because"].to_string();
    assert!(because.contains("the rate 1/1m binds: a call each 60234 ms"), "{why:#}");
    let tomorrow = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).tomorrow()?;
    let tomorrow = tomorrow.start_of_day()?.timestamp();
    assert_eq!(why["not_before"], tomorrow.to_string(), "{why:#}");
    let told = local.told(&["why", "order-1"])?;
    assert!(told.contains(&format!("no limit lets it go before {tomorrow}")), "{told}");
    assert!(local.told(&["status"])?.contains("the rate 1/1m binds"));
    Ok(())
}

/// A limiter as a slot of the worker has it.
fn limiter(
    local: &Local,
    outputs: &Outputs,
    limits: &str,
) -> anyhow::Result<Limiter<DynamoDbStore>> {
    let client = aws_sdk_dynamodb::Client::new(local.deployer.config());
    let store = DynamoDbStore::new(client, &outputs.idempotency_table_name);
    let limits = Limits::from_json(limits)?;
    let settings = Settings {
        rates: limits[..1].iter().filter_map(|limit| limit.rate()).collect(),
        quotas: limits.iter().filter_map(|limit| limit.quota()).collect(),
        ..Settings::default()
    };
    Ok(Limiter::new(store, LimitKey::new("trial")?, SlotId::new("slot-1")?, settings)?)
}
