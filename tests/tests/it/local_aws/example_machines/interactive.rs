//! A call that somebody waits for: it goes before all others, and fails by name where it could not begin
//! in time or where no answer came.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::super::setup::{Scenario, settings, wait_until};
use super::{answers, example, order};

/// What somebody asks for. How urgent it is and for how long, the machine says.
fn asked(key: &str) -> Value {
    let order = order(key, true);
    json!({ "idempotency_key": key, "request": order["request"] })
}

/// Calls that nobody waits for.
fn batch(calls: u32) -> impl Iterator<Item = Value> {
    (0..calls).map(|n| order(&format!("batch-{n}"), true))
}

#[tokio::test]
async fn it_is_answered_before_calls_that_have_waited_for_longer() -> anyhow::Result<()> {
    const WAITING: u64 = 20;
    let mut settings = settings();
    settings.sandbox.latency_ms = 500;
    let scenario = Scenario::deploy("interactive", settings).await?;
    let machine = example(&scenario, "interactive-call").await?;
    let ask = async {
        let queue = &scenario.stack.outputs().batch_queue_url;
        wait_until(
            "calls wait",
            async || Ok(scenario.stack.depth(queue).await?.waiting >= WAITING),
        )
        .await?;
        scenario.execute(&machine, &asked("asked")).await
    };
    let (_, ended) = futures::try_join!(scenario.batch(batch(60)), ask)?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["status"], 204, "{ended:?}");
    assert_eq!(ended.output["replayed"], false, "{ended:?}");

    let calls = scenario.stack.sandbox().report().await?.calls;
    let is_asked = |name: Option<&str>| name == Some("asked");
    let (asked, others): (Vec<_>, Vec<_>) =
        calls.iter().partition(|call| is_asked(call.external_id.as_deref()));
    assert_eq!(asked.len(), 1, "{calls:#?}");
    let overtaken = others.iter().filter(|call| {
        call.enqueued_at_ms < asked[0].enqueued_at_ms && call.start_ms > asked[0].start_ms
    });
    let overtaken = overtaken.count();
    assert!(overtaken >= 5, "it overtook {overtaken} of {WAITING} calls");
    Ok(())
}

/// Longer than the machine gives a call to begin.
const BUSY: Duration = Duration::from_secs(9);

#[tokio::test]
async fn it_fails_by_name_and_unexecuted_where_no_slot_was_free_in_time() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.latency_ms = BUSY.as_secs() * 1_000;
    let slots = settings.sandbox.limit;
    let scenario = Scenario::deploy("interactive-late", settings).await?;
    let machine = example(&scenario, "interactive-call").await?;
    let ask = async {
        let sandbox = scenario.stack.sandbox();
        wait_until("every slot is busy", async || Ok(sandbox.stats().await?.in_flight == slots))
            .await?;
        scenario.execute(&machine, &asked("too-late")).await
    };
    let (_, ended) = futures::try_join!(scenario.batch(batch(slots)), ask)?;
    assert_eq!(ended.error, "Slowlane.DeadlineExceeded", "{ended:?}");
    let why = ended.cause["message"].as_str().unwrap_or_default();
    assert!(why.ends_with("passed while it was queued"), "{ended:?}");
    let mut answered = answers(&scenario).await?;
    answered.sort();
    assert_eq!(answered, ["PUT batch-0 204", "PUT batch-1 204"], "it was never sent");
    assert_eq!(scenario.dead_letters().await?, 1, "it is kept");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_nobody_waited_for_comes_with_the_same_key() -> anyhow::Result<()> {
    let mut settings = settings();
    // Longer than the machine waits, and shorter than the worker does.
    settings.sandbox.fault = Some("slow:1,by=45s".to_owned());
    settings.parameters = vec![("ApiTimeoutSeconds", "60".to_owned())];
    let scenario = Scenario::deploy("interactive-slow", settings).await?;
    let machine = example(&scenario, "interactive-call").await?;
    let ended = scenario.execute(&machine, &asked("slow")).await?;
    assert_eq!(ended.error, "Interactive.NoAnswer", "{ended:?}");

    let sandbox = scenario.stack.sandbox();
    wait_until("the API has answered", async || Ok(!sandbox.report().await?.calls.is_empty()))
        .await?;
    let ended = scenario.execute(&machine, &asked("slow")).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["replayed"], true, "{ended:?}");
    assert_eq!(answers(&scenario).await?, ["PUT slow 204"], "it was made once");
    Ok(())
}
