//! An operator's day: the commands of `slowlane` on a stack in which calls went wrong.

use std::process::Command;

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use slowlane_local::Tools;

use super::setup::{Scenario, settings};

/// Runs a command on the scenario's stack, and gives what it printed.
pub(super) fn operate(scenario: &Scenario, args: &[&str]) -> anyhow::Result<String> {
    let endpoint = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?;
    // It lies beside the Lambdas, which are built in the same go.
    let program = Tools::from_env()?.lambdas.join("slowlane");
    let output = Command::new(&program)
        .args(args)
        .args(["--stack", scenario.name(), "--endpoint-url", endpoint])
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

pub(super) fn operate_json(scenario: &Scenario, args: &[&str]) -> anyhow::Result<Value> {
    let printed = operate(scenario, &[args, &["--json"]].concat())?;
    serde_json::from_str(&printed).with_context(|| printed.clone())
}

fn call(key: &str, method: &str, resource: &str) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {
            "method": method,
            "resource": resource,
            "body": {
                "entity": { "id": "7" },
                "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
            },
        },
        "at_most_once": true,
    })
}

#[tokio::test]
async fn a_call_of_unknown_outcome_is_found_decided_and_answered() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.fault = Some("drop-after-commit:1".to_owned());
    let scenario = Scenario::deploy("operator-decides", settings).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let lost = call("o-1", "POST", "salesOrder");
    let ended = scenario.execute(machine, &lost).await?;
    assert_eq!(ended.error, "Slowlane.NeedsPerson", "{ended:?}");

    let status = operate_json(&scenario, &["status"])?;
    assert_eq!((&status["unresolved"], &status["dead_letters"]), (&json!(1), &json!(1)));
    let found = operate_json(&scenario, &["calls", "find", "o-1"])?;
    assert_eq!(found["record"]["state"], "NEEDS_PERSON", "{found:#}");
    // The log lines name the execution that waited: the child, which made the call.
    assert_eq!(found["execution"]["status"], "FAILED", "{found:#}");
    let listed = operate_json(&scenario, &["calls", "unresolved", "list"])?;
    assert_eq!(
        (&listed[0]["key"], &listed[0]["method"], &listed[0]["resource"]),
        (&json!("o-1"), &json!("POST"), &json!("salesOrder")),
        "{listed:#}"
    );

    operate(&scenario, &["calls", "unresolved", "resolve", "o-1", "--done", "--id", "1001"])?;
    operate(&scenario, &["calls", "dead-letters", "drop", "o-1", "--yes"])?;
    let status = operate_json(&scenario, &["status"])?;
    assert_eq!((&status["unresolved"], &status["dead_letters"]), (&json!(0), &json!(0)));
    let ended = scenario.execute(machine, &lost).await?;
    assert_eq!(ended.output["id"], "1001", "{ended:?}");
    assert_eq!(scenario.stack.sandbox().stats().await?.requests, 1, "it was not made again");
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_is_found_and_restarted() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.fault = Some("500:1".to_owned());
    settings.parameters = vec![("MaxAttempts", "1".to_owned())];
    let scenario = Scenario::deploy("operator-restarts", settings).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let order = call("o-2", "PUT", "salesOrder/eid:o-2?replace=item");
    let ended = scenario.execute(machine, &order).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error, "Slowlane.OutcomeUnknown", "{ended:?}");

    let letters = operate_json(&scenario, &["calls", "dead-letters", "list"])?;
    assert_eq!(letters[0]["key"], "o-2", "{letters:#}");
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("Slowlane.OutcomeUnknown: "), "{letters:#}");

    let restarted = operate_json(&scenario, &["calls", "dead-letters", "restart", "o-2"])?;
    let execution = restarted[0]["execution_arn"].as_str().context("a new execution")?;
    let ended = scenario.end_of(execution).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(operate_json(&scenario, &["calls", "dead-letters", "list"])?, json!([]));
    let found = operate_json(&scenario, &["calls", "find", "o-2"])?;
    assert_eq!(found["record"]["state"], "COMPLETED", "{found:#}");
    assert_eq!(scenario.stack.sandbox().stats().await?.duplicate_effects, 0);
    Ok(())
}
