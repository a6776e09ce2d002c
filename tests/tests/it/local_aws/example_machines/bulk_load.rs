//! A dataset in S3, a call of each item: each is made once, and one that fails is listed.

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::super::operations::operate_json;
use super::super::setup::{Scenario, settings};
use super::{example, order};

const BUCKET: &str = "loads";

/// S3 with these items in an object, and the load of it.
async fn dataset(
    scenario: &Scenario,
    items: &[Value],
) -> anyhow::Result<(aws_sdk_s3::Client, Value)> {
    let config = aws_sdk_s3::config::Builder::from(scenario.stack.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(config.build());
    s3.create_bucket().bucket(BUCKET).send().await?;
    let lines = items.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let put = s3.put_object().bucket(BUCKET).key("items.jsonl").body(lines.into_bytes().into());
    put.send().await?;
    let load = json!({
        "bucket": BUCKET,
        "key": "items.jsonl",
        "results": { "bucket": BUCKET, "prefix": "results" },
        "max_concurrency": 10,
    });
    Ok((s3, load))
}

/// The items that failed, with their errors, by the lists that the run left.
async fn failed_items(s3: &aws_sdk_s3::Client, output: &Value) -> anyhow::Result<Vec<Value>> {
    let manifest = output["ResultWriterDetails"]["Key"].as_str().context("a manifest")?;
    let manifest = object(s3, manifest).await?;
    let mut failed = Vec::new();
    for file in manifest["ResultFiles"]["FAILED"].as_array().context("lists of the failed")? {
        let children = object(s3, file["Key"].as_str().context("a key")?).await?;
        for child in children.as_array().context("children")? {
            let cause: Value = serde_json::from_str(child["Cause"].as_str().context("a cause")?)?;
            failed.extend(cause["failed"].as_array().context("items")?.clone());
        }
    }
    failed.sort_by_key(|item| item["idempotency_key"].to_string());
    Ok(failed)
}

async fn object(s3: &aws_sdk_s3::Client, key: &str) -> anyhow::Result<Value> {
    let object = s3.get_object().bucket(BUCKET).key(key).send().await?;
    Ok(serde_json::from_slice(&object.body.collect().await?.into_bytes())?)
}

#[tokio::test]
async fn each_call_is_made_once_however_often_the_load_runs() -> anyhow::Result<()> {
    const ITEMS: usize = 200;
    let scenario = Scenario::deploy("bulk-load", settings()).await?;
    let machine = example(&scenario, "bulk-load").await?;
    // One of them is refused.
    let items: Vec<Value> = (0..ITEMS).map(|n| order(&format!("bulk-{n}"), n != 7)).collect();
    let (s3, load) = dataset(&scenario, &items).await?;
    for run in 1..=2 {
        let ended = scenario.execute(&machine, &load).await?;
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "run {run}: {ended:?}");
        let report = scenario.stack.sandbox().report().await?;
        let written = report.calls.iter().filter(|call| call.status == 204).count();
        assert_eq!(written, ITEMS - 1, "run {run}");
        assert_eq!((report.duplicate_effects, report.max_concurrency), (0, 2), "run {run}");
        let refused = json!({ "idempotency_key": "bulk-7", "error": "Slowlane.Rejected" });
        assert_eq!(failed_items(&s3, &ended.output).await?, [refused], "run {run}");
    }
    Ok(())
}

/// What the API refuses has had its answer. What the worker could not run is kept beside.
#[tokio::test]
async fn an_item_that_fails_is_listed_and_kept_if_it_could_not_be_run() -> anyhow::Result<()> {
    const ITEMS: usize = 40;
    let scenario = Scenario::deploy("bulk-load-fails", settings()).await?;
    let machine = example(&scenario, "bulk-load").await?;
    let mut items: Vec<Value> = (0..ITEMS).map(|n| order(&format!("bulk-{n}"), n != 7)).collect();
    // A record without an id of its own: NetSuite could not be asked for it.
    items[23]["request"]["method"] = json!("POST");
    items[23]["request"]["resource"] = json!("salesOrder");
    let (s3, mut load) = dataset(&scenario, &items).await?;
    load["tolerated_failure_percentage"] = json!(50);

    let ended = scenario.execute(&machine, &load).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    let failed = failed_items(&s3, &ended.output).await?;
    let listed = json!([
        { "idempotency_key": "bulk-23", "error": "Slowlane.NotReconcilable" },
        { "idempotency_key": "bulk-7", "error": "Slowlane.Rejected" },
    ]);
    assert_eq!(json!(failed), listed);
    let letters = operate_json(&scenario, &["calls", "dead-letters", "list"])?;
    assert_eq!(letters.as_array().map(Vec::len), Some(1), "{letters:#}");
    assert_eq!(letters[0]["key"], "bulk-23", "{letters:#}");
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("Slowlane.NotReconcilable: "), "{letters:#}");
    let report = scenario.stack.sandbox().report().await?;
    let written = report.calls.iter().filter(|call| call.status == 204).count();
    assert_eq!((written, report.duplicate_effects), (ITEMS - 2, 0), "no other item is touched");
    Ok(())
}
