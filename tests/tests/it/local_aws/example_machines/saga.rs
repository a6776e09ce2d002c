//! Two calls that belong together, whatever becomes of the second.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::super::setup::{Ended, Scenario, settings};
use super::{answers, example, order};

/// A saga of two orders.
fn saga(first: &str, second: Value) -> Value {
    let undo = json!({
        "priority": "NORMAL",
        "idempotency_key": format!("{first}/undo"),
        "request": { "method": "DELETE", "resource": format!("salesOrder/eid:{first}") },
    });
    json!({ "first": order(first, true), "second": second, "undo": undo })
}

#[tokio::test]
async fn its_first_call_is_undone_when_the_second_is_refused() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("saga", settings()).await?;
    let machine = example(&scenario, "saga").await?;
    let ended = scenario.execute(&machine, &saga("first", order("second", false))).await?;
    assert_eq!(ended.error, "Slowlane.Rejected", "{ended:?}");
    assert_eq!(ended.cause["message"], "the second call failed, and the first was undone");
    assert_eq!(answers(&scenario).await?, ["PUT first 204", "PUT second 400", "DELETE first 204"]);

    let ended = scenario.execute(&machine, &saga("third", order("fourth", true))).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(answers(&scenario).await?[3..], ["PUT third 204", "PUT fourth 204"]);
    Ok(())
}

/// Runs a saga whose second call meets a fault, and answers its end and its history.
async fn with_fault(scenario: &Scenario, fault: &str) -> anyhow::Result<(Ended, String)> {
    let machine = example(scenario, "saga").await?;
    let execution = scenario.start(&machine, &saga("first", order("second", true))).await?;
    // A fault strikes calls that begin after it was asked for: the first has begun.
    while scenario.stack.sandbox().stats().await?.in_flight == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scenario.stack.sandbox().inject(fault).await?;
    let ended = scenario.end_of(&execution).await?;
    Ok((ended, scenario.history(&execution).await?))
}

/// An API of which each call takes long enough for somebody to break it meanwhile.
async fn slow(name: &str) -> anyhow::Result<Scenario> {
    let mut settings = settings();
    settings.sandbox.latency_ms = 1_000;
    settings.parameters = vec![("MaxAttempts", "2".to_owned())];
    Scenario::deploy(name, settings).await
}

/// NetSuite may have done what it answers 500 to. So the first call stands, and the error says so.
#[tokio::test]
async fn nothing_is_undone_when_the_second_call_fails_with_500s() -> anyhow::Result<()> {
    let scenario = slow("saga-500").await?;
    let (ended, history) = with_fault(&scenario, "500:for=10m").await?;
    assert_eq!(ended.error, "Saga.NothingUndone", "{ended:?}");
    assert_eq!(ended.cause["second"]["Error"], "Slowlane.OutcomeUnknown", "{ended:?}");
    let answered = answers(&scenario).await?;
    assert_eq!(answered, ["PUT first 204", "PUT second 500", "PUT second 500"]);
    insta::assert_snapshot!(history, @r"
    Begin (Pass)
    First (Task)
    Second (Task)
      fails with Slowlane.OutcomeUnknown
    NothingUndone (Fail)
    FAILED Saga.NothingUndone: the second call was executed, or may have been: the first stands
    ");
    Ok(())
}

/// A saga outlasts a 500: its second call is one that may be made twice.
#[tokio::test]
async fn a_second_call_that_fails_once_is_made_again() -> anyhow::Result<()> {
    let scenario = slow("saga-500-once").await?;
    let (ended, history) = with_fault(&scenario, "500-after-commit:1").await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    let stats = scenario.stack.sandbox().stats().await?;
    assert_eq!(stats.duplicate_effects, 0, "{history}");
    insta::assert_snapshot!(history, @r"
    Begin (Pass)
    First (Task)
    Second (Task)
    SUCCEEDED
    ");
    Ok(())
}
