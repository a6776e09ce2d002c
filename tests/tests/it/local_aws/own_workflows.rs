//! A team's own workflow makes a call: by the state of `throttled-call`, pasted, or by that machine
//! as a child. Each names a refused call in its own way, here as on AWS.

use std::path::Path;

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::setup::{Scenario, settings};

/// A sales order of this customer.
fn call(key: &str, customer: Option<&str>) -> Value {
    let items = json!({ "items": [{ "item": { "id": "5" }, "quantity": 1 }] });
    let mut call = json!({
        "priority": "NORMAL",
        "idempotency_key": key,
        "request": {
            "method": "PUT",
            "resource": format!("salesOrder/eid:{key}?replace=item"),
            "body": { "item": items },
        },
    });
    if let Some(id) = customer {
        call["request"]["body"]["entity"] = json!({ "id": id });
    }
    call
}

/// The state that calls, from the checked-in machine, filled in as its template fills it in.
fn inline_state(scenario: &Scenario) -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state-machines");
    let outputs = scenario.stack.outputs();
    let grace = outputs.grace_seconds.as_deref().context("a new stack has a grace")?;
    let machine = std::fs::read_to_string(path.join("throttled-call.asl.json"))?
        .replace("${EnqueuerArn}", &outputs.enqueuer_function_name)
        .replace("${DefaultDeadlineSeconds}", "600")
        .replace("${GraceSeconds}", grace);
    Ok(serde_json::from_str::<Value>(&machine)?["States"]["Call"].take())
}

/// How the page for integrators says that the error of a child is read from the cause.
fn error_in_cause() -> anyhow::Result<String> {
    const PAGE: &str = include_str!("../../../../state-machines/README.md");
    let expressions = PAGE.split('`').filter(|code| code.contains("$states.errorOutput.Cause"));
    let [expression] = expressions.collect::<Vec<_>>()[..] else {
        anyhow::bail!("the page has another number of such expressions than one");
    };
    Ok(format!("{{% {expression} %}}"))
}

/// A machine of one Task that makes its input's call, and what becomes of that one's errors.
fn machine(mut task: Value, catch: Value) -> Value {
    task["Catch"] = catch;
    json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Call",
        "States": {
            "Call": task,
            "Refused": { "Type": "Pass", "End": true },
            "CaughtByAnotherName": { "Type": "Fail", "Error": "CaughtByAnotherName" },
        },
    })
}

#[tokio::test]
async fn the_state_of_throttled_call_works_in_another_machine() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("inline", settings()).await?;
    let catch = json!([{
        "ErrorEquals": ["Slowlane.Rejected"],
        "Output": "{% $parse($states.errorOutput.Cause) %}",
        "Next": "Refused",
    }]);
    let definition = machine(inline_state(&scenario)?, catch);
    let machine = scenario.machine("inline", &definition).await?;

    let ended = scenario.execute(&machine, &call("good", Some("7"))).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert!(ended.output["id"].is_string(), "{ended:?}");

    let ended = scenario.execute(&machine, &call("refused", None)).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["status"], 400, "the Catch fired: {ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_child_that_fails_is_states_task_failed_with_its_error_in_the_cause() -> anyhow::Result<()>
{
    let scenario = Scenario::deploy("child", settings()).await?;
    let child = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {
            "StateMachineArn": scenario.stack.outputs().throttled_call_arn,
            "Input": "{% $states.input %}",
        },
        "Output": "{% $states.result.Output %}",
        "End": true,
    });
    let catch = json!([
        { "ErrorEquals": ["Slowlane.Rejected"], "Next": "CaughtByAnotherName" },
        {
            "ErrorEquals": ["States.TaskFailed"],
            "Output": {
                "error": error_in_cause()?,
                "cause": "{% $parse($parse($states.errorOutput.Cause).Cause) %}",
            },
            "Next": "Refused",
        },
    ]);
    let machine = scenario.machine("child", &machine(child, catch)).await?;

    let ended = scenario.execute(&machine, &call("good", Some("7"))).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert!(ended.output["id"].is_string(), "{ended:?}");

    let ended = scenario.execute(&machine, &call("refused", None)).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["error"], "Slowlane.Rejected", "{ended:?}");
    assert_eq!(ended.output["cause"]["status"], 400, "{ended:?}");
    Ok(())
}
