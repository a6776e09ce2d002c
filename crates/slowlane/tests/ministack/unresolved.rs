use super::{Local, claim, dispatched, queued_call, request};
use slowlane_idempotency::{Claimed, Guard, Key, Scope, Settings};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn a_person_lists_and_decides_what_nobody_knows() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    assert_eq!(local.told(&["calls", "unresolved", "list"])?, "");
    assert_eq!(local.told(&["calls", "unresolved", "list", "--json"])?, "[]\n");

    // Two calls of 2023, and one of this moment.
    let store = local.store(&outputs);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let settings = Settings { clock: Arc::new(move || then), ..Settings::default() };
    let past = Guard::new(store.clone(), settings);
    let guard = Guard::new(store, Settings::default());
    dispatched(&past, "calls", "order-1").await?.needs_person("no answer, nobody to ask").await?;
    dispatched(&past, "acme", "order-2").await?.unknown("no answer").await?;
    dispatched(&guard, "calls", "order-3").await?.unknown("no answer just now").await?;
    claim(&guard, "calls", "order-4").await?;

    let table = local.told(&["calls", "unresolved", "list"])?;
    for text in ["order-1", "NEEDS_PERSON", "nobody to ask", "acme", "2023-11-14T22:13:20.000Z"] {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    assert!(!table.contains("order-4"), "it is in progress:\n{table}");
    let listed: serde_json::Value =
        serde_json::from_str(&local.told(&["calls", "unresolved", "list", "--json"])?)?;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    assert_eq!(listed[2]["key"], "order-3", "the oldest come first: {listed}");
    assert_eq!(listed[2]["payload_sha256"], request("calls", "order-3")?.payload().to_string());

    // What it was to do stands in its dead letter only.
    assert_eq!(listed[0]["resource"], serde_json::Value::Null, "{listed}");
    let letter = queued_call("order-1", "AQCEAAAAKgAAAAMAAAAA").to_string();
    let queue = &outputs.dead_letter_queue_url;
    local.sqs().send_message().queue_url(queue).message_body(letter).send().await?;
    let listed = local.told_json(&["calls", "unresolved", "list"])?;
    let one = listed.as_array().into_iter().flatten().find(|one| one["key"] == "order-1");
    let shown = one.map(|one| (one["method"].as_str(), one["resource"].as_str()));
    assert_eq!(shown, Some((Some("PUT"), Some("salesOrder/eid:order-1"))), "{listed}");
    let table = local.told(&["calls", "unresolved", "list"])?;
    assert!(table.contains("PUT salesOrder/eid:order-1"), "{table}");

    // It is there: a new run gets the answer. It is not: a new run makes the call.
    let body = r#"{"lines":2}"#;
    local.told(&[
        "calls",
        "unresolved",
        "resolve",
        "order-1",
        "--done",
        "--id",
        "1001",
        "--body",
        body,
    ])?;
    let Claimed::Replay(answer) = guard.claim(&request("calls", "order-1")?).await? else {
        anyhow::bail!("the answer is not given again");
    };
    assert_eq!(answer, serde_json::json!({ "status": 204, "id": "1001", "body": { "lines": 2 } }));
    let record = guard.read(&Scope::new("calls")?, &Key::new("order-1")?).await?;
    let kept = record.and_then(|record| Some(record.kept_until?.since(record.completed_at?)));
    let days = Duration::from_secs(35 * 86_400);
    assert_eq!(kept, Some(days), "as long as what a worker stores");
    local.told(&["calls", "unresolved", "resolve", "order-2", "--scope", "acme", "--not-done"])?;
    assert_eq!(claim(&guard, "acme", "order-2").await?.attempt(), 2);

    for (args, why) in [
        (
            &["resolve", "order-1", "--not-done"][..],
            "nothing to decide: calls#order-1 is COMPLETED",
        ),
        (&["resolve", "order-4", "--done"][..], "nothing to decide: calls#order-4 is CLAIMED"),
        (&["resolve", "order-5", "--done"][..], "no call \"order-5\" in the scope \"calls\""),
        (&["resolve", "order-3", "--not-done"][..], "may still execute it until"),
        (&["resolve", "order-3"][..], "--done"),
        (&["resolve", "order-3", "--done", "--not-done"][..], "cannot be used with"),
        (&["resolve", "order-3", "--not-done", "--id", "1"][..], "cannot be used with"),
        (&["resolve", "order-3", "--done", "--body", "{"][..], "--body"),
    ] {
        let told = local.refused(&[&["calls", "unresolved"], args].concat())?;
        assert!(told.contains(why), "{args:?}: {told}");
    }
    Ok(())
}
