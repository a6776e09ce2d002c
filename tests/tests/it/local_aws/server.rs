//! What the local AWS must do for the other scenarios to mean anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use slowlane_local::{MiniStack, Tools};

use super::setup::{Ended, Scenario, empty_directory, settings};

/// On a busy machine a short expression takes long. AWS does not fail it for that.
#[tokio::test]
async fn an_expression_may_take_seconds() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("slow-expression", settings()).await?;
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Count",
        "States": {
            "Count": {
                "Type": "Pass",
                "Output": { "count": "{% $count([1..100000].($ * 2)) %}" },
                "End": true,
            },
        },
    });
    let machine = scenario.machine("slow-expression", &definition).await?;
    let ended = scenario.execute(&machine, &json!({})).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["count"], 100_000);
    Ok(())
}

/// A machine of one Task that hands its token to the enqueuer, with these fields of its own. What
/// it catches is its output.
async fn waiting(scenario: &Scenario, fields: Value) -> anyhow::Result<String> {
    let mut task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Arguments": {
            "FunctionName": scenario.stack.outputs().enqueuer_function_name,
            "Payload": {
                "version": "1.1",
                "task_token": "{% $states.context.Task.Token %}",
                "priority": "{% $states.input.priority %}",
                "idempotency_key": "{% 'waiting-' & $string($states.input.secs) %}",
                "request": {
                    "method": "PUT",
                    "resource": "salesOrder/eid:waiting?replace=item",
                    "body": {
                        "entity": { "id": "7" },
                        "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
                    },
                },
            },
        },
        "Catch": [{
            "ErrorEquals": ["States.ALL"],
            "Output": {
                "error": "{% $states.errorOutput.Error %}",
                "retries": "{% $states.context.State.RetryCount %}",
            },
            "Next": "Caught",
        }],
        "End": true,
    });
    if let (Value::Object(task), Value::Object(fields)) = (&mut task, fields) {
        task.extend(fields);
    }
    let definition = json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Wait",
        "States": { "Wait": task, "Caught": { "Type": "Pass", "End": true } },
    });
    scenario.machine("waiting", &definition).await
}

fn caught(ended: &Ended) -> (&str, &Value) {
    (ended.output["error"].as_str().unwrap_or_default(), &ended.output["retries"])
}

#[tokio::test]
async fn a_time_out_may_be_an_expression_and_must_be_whole_seconds() -> anyhow::Result<()> {
    let mut slow = settings();
    slow.sandbox.latency_ms = 4_000;
    let scenario = Scenario::deploy("time-out", slow).await?;
    let fields = json!({ "TimeoutSeconds": "{% $states.input.secs %}" });
    let machine = waiting(&scenario, fields).await?;
    for (secs, error) in [
        (json!(1), "States.Timeout"),
        (json!(270.5), "States.QueryEvaluationError"),
        (json!(0), "States.QueryEvaluationError"),
        (json!("60"), "States.QueryEvaluationError"),
        // The expression has no result.
        (Value::Null, "States.QueryEvaluationError"),
    ] {
        let mut input = json!({ "priority": "HIGH" });
        if !secs.is_null() {
            input["secs"] = secs.clone();
        }
        let ended = scenario.execute(&machine, &input).await?;
        assert_eq!(caught(&ended).0, error, "{secs} s: {ended:?}");
    }
    let ended = scenario.execute(&machine, &json!({ "priority": "HIGH", "secs": 60 })).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(caught(&ended), ("", &Value::Null), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_function_that_fails_with_a_task_token_is_retried_and_caught() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("function-error", settings()).await?;
    let retry = json!([{
        "ErrorEquals": ["Slowlane.InvalidMessage"], "IntervalSeconds": 1, "MaxAttempts": 2,
    }]);
    let machine = waiting(&scenario, json!({ "Retry": retry })).await?;
    let ended = scenario.execute(&machine, &json!({ "priority": "SOON" })).await?;
    assert_eq!(caught(&ended), ("Slowlane.InvalidMessage", &json!(2)), "{ended:?}");
    Ok(())
}

/// The lessons reach into the server's inside. Another version must not run half taught.
#[tokio::test]
async fn a_server_whose_inside_is_another_does_not_start() -> anyhow::Result<()> {
    let directory = empty_directory("another-inside")?;
    let python = changed_python(
        &directory,
        "from ministack.services import stepfunctions\n\
         stepfunctions._call_lambda = lambda func_ref, event, scope: None\n",
    )?;
    let Err(error) = MiniStack::start(&python, &directory).await else {
        anyhow::bail!("it started");
    };
    let told = error.to_string();
    assert!(told.contains("_call_lambda takes ['func_ref', 'event', 'scope']"), "{told}");
    Ok(())
}

/// The interpreter with the local server, in which this runs before anything else.
fn changed_python(directory: &Path, first: &str) -> anyhow::Result<PathBuf> {
    std::fs::write(directory.join("sitecustomize.py"), first)?;
    let python = directory.join("python");
    // Another process writes it: a file that this process has open for writing while another test
    // forks cannot be executed.
    let script = "printf '#!/bin/sh\\nPYTHONPATH=%s exec %s \"$@\"\\n' \"$2\" \"$3\" >\"$1\" \
                  && chmod +x \"$1\"";
    let written = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .args([python.as_path(), directory, &Tools::from_env()?.python])
        .status()?;
    ensure!(written.success(), "cannot write {}", python.display());
    Ok(python)
}
