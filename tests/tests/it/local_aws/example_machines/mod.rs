//! The example machines on the whole path: what they do to the API, and how they end.

mod bulk_load;
mod dynamic_map;
mod interactive;
mod saga;
mod slow_lane;

use std::path::Path;

use anyhow::Context;
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
