//! What the enqueuer refuses, and what it sends beside a call.

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::setup::{Scenario, settings};

fn call(resource: &str) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": "order-1",
        "tenant": "acme",
        "request": {
            "method": "PUT",
            "resource": resource,
            "body": {
                "entity": { "id": "7" },
                "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
            },
        },
    })
}

#[tokio::test]
async fn a_tenants_call_goes_its_way_and_one_that_is_not_allowed_is_refused_by_name()
-> anyhow::Result<()> {
    let mut settings = settings();
    settings.parameters = vec![("AllowedCalls", "PUT salesOrder/*; GET customer/*".to_owned())];
    let scenario = Scenario::deploy("enqueuing", settings).await?;
    let outputs = scenario.stack.outputs();

    // Its queue takes a message group, as a standard queue does, and the worker finds its record.
    let tenants = call("salesOrder/eid:order-1?replace=item");
    let ended = scenario.execute(&outputs.throttled_call_arn, &tenants).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");

    let mut refused = call("salesOrder/../customer/eid:order-1");
    refused["version"] = json!("1.1");
    refused["task_token"] = json!("nobody");
    let answered = aws_sdk_lambda::Client::new(scenario.stack.sdk())
        .invoke()
        .function_name(&outputs.enqueuer_function_name)
        .payload(Blob::new(refused.to_string()))
        .send()
        .await?;
    assert!(answered.function_error.is_some(), "{answered:?}");
    let error: Value =
        serde_json::from_slice(answered.payload.unwrap_or_else(|| Blob::new("")).as_ref())?;
    assert_eq!(error["errorType"], "Slowlane.NotAllowed", "{error}");
    let message = error["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("a dot segment"), "{error}");
    assert_eq!(scenario.stack.sandbox().report().await?.calls.len(), 1);
    Ok(())
}
