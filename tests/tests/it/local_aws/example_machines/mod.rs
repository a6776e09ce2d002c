//! The example machines on the whole path: what they do to the API, and how they end.

mod dynamic_map;
mod saga;
mod slow_lane;

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
    example_with(scenario, name, &[]).await
}

/// The same with names of its own for what the machine calls, before those of the scenario's stack.
async fn example_with(
    scenario: &Scenario,
    name: &str,
    own: &[(&str, &str)],
) -> anyhow::Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state-machines/examples");
    let mut definition = std::fs::read_to_string(directory.join(format!("{name}.asl.json")))?;
    let outputs = scenario.stack.outputs();
    let grace = outputs.grace_seconds.as_deref().context("a new stack has a grace")?;
    let stacks = [
        ("EnqueuerArn", outputs.enqueuer_function_name.as_str()),
        ("SlowEnqueuerArn", &outputs.enqueuer_function_name),
        ("DefaultDeadlineSeconds", "600"),
        ("GraceSeconds", grace),
    ];
    for (placeholder, value) in own.iter().chain(&stacks) {
        definition = definition.replace(&format!("${{{placeholder}}}"), value);
    }
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
