//! Calls that are not safe to repeat, and of which the API cannot be asked.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use slowlane_deployer::Unresolved;
use slowlane_deployer::unresolved::CallName;
use slowlane_message::QueuedCall;

use super::setup::{Scenario, settings};

/// A sales order without an external id: nobody could find it by what the call says.
fn order(key: &str, at_most_once: Option<bool>) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {
            "method": "POST",
            "resource": "salesOrder",
            "body": {
                "entity": { "id": "7" },
                "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
            },
        },
        "at_most_once": at_most_once,
    })
}

#[tokio::test]
async fn what_could_not_be_cleared_up_is_not_sent() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("not-reconcilable", settings()).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let refused = scenario.execute(machine, &order("o-1", None)).await?;
    assert_eq!(refused.status, ExecutionStatus::Failed, "{refused:?}");
    assert_eq!(refused.error, "Slowlane.NotReconcilable", "{refused:?}");
    let message = refused.cause["message"].as_str().unwrap_or_default();
    assert!(message.contains("externalId") && message.contains("at_most_once"), "{refused:?}");
    assert_eq!(scenario.stack.sandbox().stats().await?.requests, 0);

    // Nothing was done under the key, so the call may come again with what it lacked.
    let sent = scenario.execute(machine, &order("o-1", Some(true))).await?;
    assert_eq!(sent.status, ExecutionStatus::Succeeded, "{sent:?}");
    assert_eq!(scenario.stack.sandbox().stats().await?.requests, 1);
    Ok(())
}

#[tokio::test]
async fn at_most_once_leaves_a_lost_answer_to_a_person() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.fault = Some("drop-after-commit:1".to_owned());
    let scenario = Scenario::deploy("at-most-once", settings).await?;
    let outputs = scenario.stack.outputs();
    let call = order("o-1", Some(true));
    // A new run of the workflow does not make the call again either.
    for _ in 0..2 {
        let lost = scenario.execute(&outputs.throttled_call_arn, &call).await?;
        assert_eq!(lost.status, ExecutionStatus::Failed, "{lost:?}");
        assert_eq!(lost.error, "Slowlane.NeedsPerson", "{lost:?}");
        assert_eq!(scenario.stack.sandbox().stats().await?.requests, 1);
    }

    let unresolved = Unresolved::new(scenario.stack.sdk(), &outputs.idempotency_table_name);
    let listed = unresolved.list(10).await?;
    let listed: Vec<_> = listed.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(listed, ["calls#o-1"]);
    let name = CallName::new(QueuedCall::DEFAULT_SCOPE, "o-1")?;
    unresolved.done(&name, 204, Some("1001"), None).await?;
    assert!(unresolved.list(10).await?.is_empty());

    let told = scenario.execute(&outputs.throttled_call_arn, &call).await?;
    assert_eq!(told.output, json!({ "status": 204, "id": "1001", "replayed": true }), "{told:?}");
    let stats = scenario.stack.sandbox().stats().await?;
    assert_eq!((stats.requests, stats.duplicate_effects), (1, 0));
    Ok(())
}
