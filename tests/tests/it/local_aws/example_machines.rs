//! The example machines on the whole path: what they do to the API, and how they end.

use std::path::Path;

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::setup::{Scenario, settings};

/// A sales order, good or without the customer that NetSuite asks for.
fn order(key: &str, good: bool) -> Value {
    let mut body = json!({ "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] } });
    if good {
        body["entity"] = json!({ "id": "7" });
    }
    json!({
        "priority": "NORMAL",
        "idempotency_key": key,
        "request": {
            "method": "PUT",
            "resource": format!("salesOrder/eid:{key}?replace=item"),
            "body": body,
        },
    })
}

/// Creates an example machine, filled in as a team fills it in.
async fn example(scenario: &Scenario, name: &str) -> anyhow::Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state-machines/examples");
    let outputs = scenario.stack.outputs();
    let grace = outputs.grace_seconds.as_deref().context("a new stack has a grace")?;
    let definition = std::fs::read_to_string(directory.join(format!("{name}.asl.json")))?
        .replace("${EnqueuerArn}", &outputs.enqueuer_function_name)
        .replace("${SlowEnqueuerArn}", &outputs.enqueuer_function_name)
        .replace("${DefaultDeadlineSeconds}", "600")
        .replace("${GraceSeconds}", grace);
    scenario.machine(name, &serde_json::from_str(&definition)?).await
}

#[tokio::test]
async fn a_fan_out_joins_its_calls_and_names_the_one_that_failed() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("fan-out", settings()).await?;
    let machine = example(&scenario, "fan-out").await?;
    let calls = json!({ "calls": [order("a", true), order("b", false), order("c", true)] });
    let ended = scenario.execute(&machine, &calls).await?;
    assert_eq!(ended.error, "FanOut.SomeFailed", "{ended:?}");
    let failed = json!([{ "idempotency_key": "b", "error": "Slowlane.Rejected" }]);
    assert_eq!(ended.cause["failed"], failed, "{ended:?}");
    assert_eq!(ended.cause["succeeded"], json!(["a", "c"]), "{ended:?}");
    Ok(())
}

/// What the API answered, in order: the method, the record and the status.
async fn answers(scenario: &Scenario) -> anyhow::Result<Vec<String>> {
    let calls = scenario.stack.sandbox().report().await?.calls;
    let told = calls.iter().map(|call| {
        let record = call.external_id.as_deref().unwrap_or("?");
        format!("{} {record} {}", call.method, call.status)
    });
    Ok(told.collect())
}

#[tokio::test]
async fn a_saga_undoes_its_first_call_when_the_second_is_refused() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("saga", settings()).await?;
    let machine = example(&scenario, "saga").await?;
    let undo = json!({
        "priority": "NORMAL",
        "idempotency_key": "first/undo",
        "request": { "method": "DELETE", "resource": "salesOrder/eid:first" },
    });
    let mut saga =
        json!({ "first": order("first", true), "second": order("second", false), "undo": undo });
    let ended = scenario.execute(&machine, &saga).await?;
    assert_eq!(ended.error, "Slowlane.Rejected", "{ended:?}");
    assert_eq!(ended.cause["message"], "the second call failed, and the first was undone");
    assert_eq!(answers(&scenario).await?, ["PUT first 204", "PUT second 400", "DELETE first 204"],);

    saga["first"] = order("third", true);
    saga["second"] = order("fourth", true);
    let ended = scenario.execute(&machine, &saga).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(answers(&scenario).await?[3..], ["PUT third 204", "PUT fourth 204"]);
    Ok(())
}

#[tokio::test]
async fn a_call_that_stays_throttled_goes_by_the_slow_lane() -> anyhow::Result<()> {
    let mut settings = settings();
    // Once in each lane: a throttled call rests for longer than this one has patience.
    settings.sandbox.fault = Some("429-burst:2".to_owned());
    let scenario = Scenario::deploy("slow-lane", settings).await?;
    let machine = example(&scenario, "slow-lane-fallback").await?;
    let mut call = order("throttled", true);
    call["priority"] = json!("HIGH");
    call["patience_secs"] = json!(2);
    let ended = scenario.execute(&machine, &call).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["lane"], "slow", "{ended:?}");
    assert_eq!(answers(&scenario).await?, ["PUT throttled 204"], "it is made once");

    let ended = scenario.execute(&machine, &order("at-once", true)).await?;
    assert_eq!(ended.output["lane"], "fast", "{ended:?}");
    Ok(())
}

const ITEMS: usize = 200;

#[tokio::test]
async fn a_bulk_load_makes_each_call_once_however_often_it_runs() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("bulk-load", settings()).await?;
    let machine = example(&scenario, "bulk-load").await?;
    let s3 = aws_sdk_s3::config::Builder::from(scenario.stack.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket("loads").send().await?;
    // One of them is refused.
    let lines = (0..ITEMS).map(|n| order(&format!("bulk-{n}"), n != 7).to_string());
    let lines = lines.collect::<Vec<_>>().join("\n");
    s3.put_object()
        .bucket("loads")
        .key("orders.jsonl")
        .body(lines.into_bytes().into())
        .send()
        .await?;
    let load = json!({
        "bucket": "loads",
        "key": "orders.jsonl",
        "results": { "bucket": "loads", "prefix": "results" },
        "max_concurrency": 10,
    });
    for run in 1..=2 {
        let ended = scenario.execute(&machine, &load).await?;
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "run {run}: {ended:?}");
        let report = scenario.stack.sandbox().report().await?;
        let written = report.calls.iter().filter(|call| call.status == 204).count();
        assert_eq!(written, ITEMS - 1, "run {run}");
        assert_eq!((report.duplicate_effects, report.max_concurrency), (0, 2), "run {run}");
        let failed = failed_of(&s3, &ended.output).await?;
        assert_eq!(failed.as_array().map(Vec::len), Some(1), "run {run}: {failed}");
        let cause: Value = serde_json::from_str(failed[0]["Cause"].as_str().context("a cause")?)?;
        let refused = json!([{ "idempotency_key": "bulk-7", "error": "Slowlane.Rejected" }]);
        assert_eq!(cause["failed"], refused, "run {run}");
    }
    Ok(())
}

/// The children that failed, by the manifest that the run left.
async fn failed_of(s3: &aws_sdk_s3::Client, output: &Value) -> anyhow::Result<Value> {
    let manifest = &output["ResultWriterDetails"]["Key"];
    let manifest = object(s3, manifest.as_str().context("a manifest")?).await?;
    let file = &manifest["ResultFiles"]["FAILED"][0]["Key"];
    object(s3, file.as_str().context("a file of failed children")?).await
}

async fn object(s3: &aws_sdk_s3::Client, key: &str) -> anyhow::Result<Value> {
    let object = s3.get_object().bucket("loads").key(key).send().await?;
    Ok(serde_json::from_slice(&object.body.collect().await?.into_bytes())?)
}
