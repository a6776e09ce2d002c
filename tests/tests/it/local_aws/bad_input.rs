//! What cannot be run: each says why, where somebody looks for it, and stops nobody else.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::json;
use slowlane_local::Workload;

use super::setup::{Scenario, settings};

#[tokio::test]
async fn a_malformed_message_goes_to_the_dead_letter_queue_and_the_others_go_on()
-> anyhow::Result<()> {
    let scenario = Scenario::deploy("malformed", settings()).await?;
    let outputs = scenario.stack.outputs();
    let body = r#"{"version":"1.0","priority":"BATCH"}"#;
    scenario.send(&outputs.batch_queue_url, body).await?;
    // By hand nobody has rung for it; the rings of the orders make slots look.
    let workload = Workload::made_up(4, 2, 1, Duration::from_millis(100));
    let (report, _) = scenario.run(&workload).await?;
    assert_eq!((report.executions.succeeded, report.dead_letters), (7, 1), "{report:#?}");

    let letter = scenario.receive(&outputs.dead_letter_queue_url).await?;
    assert_eq!(letter.body.as_deref(), Some(body));
    let attributes = letter.message_attributes.unwrap_or_default();
    let text = |name: &str| {
        attributes.get(name).and_then(|value| value.string_value.clone()).unwrap_or_default()
    };
    assert!(text("reason").starts_with("Slowlane.InvalidMessage: "), "{attributes:?}");
    assert!(text("reason").contains("task_token"), "{attributes:?}");
    assert_eq!(text("source_queue"), "BATCH");
    Ok(())
}

#[tokio::test]
async fn what_netsuite_rejects_fails_its_workflow_by_name_with_the_cause() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("rejected", settings()).await?;
    // Without the customer, which NetSuite requires of a sales order.
    let call = json!({
        "priority": "HIGH",
        "idempotency_key": "order-without-customer",
        "request": {
            "method": "PUT",
            "resource": "salesOrder/eid:order-without-customer?replace=item",
            "body": { "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] } },
        },
    });
    let ended = scenario.execute(&scenario.stack.outputs().throttled_call_arn, &call).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error, "Slowlane.Rejected");
    assert_eq!(ended.cause["status"], 400, "{ended:?}");
    let message = ended.cause["message"].as_str().unwrap_or_default();
    assert!(message.contains("entity"), "the cause names the field: {ended:?}");
    assert_eq!(scenario.dead_letters().await?, 0, "a rejection is an answer, not a dead letter");

    // The refusal did nothing, so the corrected call may use the same key.
    let mut corrected = call;
    corrected["request"]["body"]["entity"] = json!({ "id": "7" });
    let ended = scenario.execute(&scenario.stack.outputs().throttled_call_arn, &corrected).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert!(ended.output["id"].is_string(), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_priority_that_there_is_not_fails_its_workflow_at_once() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("bad-priority", settings()).await?;
    let call = json!({
        "priority": "SOON",
        "idempotency_key": "order-soon",
        "request": { "method": "PUT", "resource": "salesOrder/eid:order-soon", "body": {} },
    });
    let ended = scenario.execute(&scenario.stack.outputs().throttled_call_arn, &call).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error, "Slowlane.InvalidMessage", "{ended:?}");
    let message = ended.cause["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("priority") && message.contains("HIGH"), "{ended:?}");
    assert_eq!(scenario.stack.sandbox().stats().await?.requests, 0, "no call was spent on it");
    Ok(())
}

#[tokio::test]
async fn an_order_that_cannot_be_sent_is_refused_with_its_problems() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("bad-order", settings()).await?;
    let order = json!({ "order_id": "o-1", "customer_id": "7", "priority": "soon", "lines": [] });
    let ended = scenario.execute(&scenario.stack.outputs().sales_order_sync_arn, &order).await?;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error, "Slowlane.InvalidOrder", "{ended:?}");
    let problems = ended.cause["problems"].to_string();
    assert!(problems.contains("priority") && problems.contains("lines"), "{ended:?}");
    assert_eq!(scenario.stack.sandbox().stats().await?.requests, 0, "no call was spent on it");
    Ok(())
}

#[tokio::test]
async fn a_repeated_order_gets_the_stored_answer_without_another_call() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("repeated", settings()).await?;
    let order = json!({
        "order_id": "o-1", "customer_id": "7", "priority": "NORMAL",
        "lines": [{ "item_id": "5", "quantity": 2, "rate": 9.9 }],
    });
    let machine = &scenario.stack.outputs().sales_order_sync_arn;
    let first = scenario.execute(machine, &order).await?;
    assert_eq!(first.status, ExecutionStatus::Succeeded, "{first:?}");
    let second = scenario.execute(machine, &order).await?;
    assert_eq!(second.output["record_id"], first.output["record_id"], "{second:?}");
    assert_eq!(
        (&first.output["replayed"], &second.output["replayed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(scenario.stack.sandbox().report().await?.calls.len(), 1);
    Ok(())
}
