//! Calls that cannot begin in time go behind all others instead of failing.

use std::collections::BTreeSet;

use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use serde_json::json;

use super::super::setup::{Scenario, settings};
use super::{answers, example, example_with, order};

#[tokio::test]
async fn a_call_that_stays_throttled_goes_by_the_slow_lane() -> anyhow::Result<()> {
    let mut settings = settings();
    // Once in each lane: a throttled call rests for longer than this one has patience.
    settings.sandbox.fault = Some("429-burst:2".to_owned());
    let scenario = Scenario::deploy("slow-lane", settings).await?;
    let machine = example(&scenario, "slow-lane-fallback").await?;
    let mut call = order("throttled", true);
    call["priority"] = json!("HIGH");
    call["patience_secs"] = json!(2);
    let ended = scenario.execute(&machine, &call).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    assert_eq!(ended.output["lane"], "slow", "{ended:?}");
    assert_eq!(answers(&scenario).await?, ["PUT throttled 204"], "it is made once");

    let ended = scenario.execute(&machine, &order("at-once", true)).await?;
    assert_eq!(ended.output["lane"], "fast", "{ended:?}");
    Ok(())
}

/// Urgent calls of the throttled lane.
const CALLS: usize = 6;

/// The API of the fast lane refuses everybody for as long as this takes; the slow lane has an account of
/// its own.
#[tokio::test]
async fn nothing_is_lost_when_the_slow_lane_is_another_stack() -> anyhow::Result<()> {
    let mut throttled = settings();
    throttled.sandbox.fault = Some("429-burst:for=1h".to_owned());
    let fast = Scenario::deploy("fast-lane", throttled).await?;
    let slow = Scenario::deploy("slower-stack", settings()).await?;
    let slow_enqueuer = &slow.stack.outputs().enqueuer_function_name;
    let machine =
        example_with(&fast, "slow-lane-fallback", &[("SlowEnqueuerArn", slow_enqueuer)]).await?;
    let calls = (0..CALLS).map(|n| {
        let mut call = order(&format!("urgent-{n}"), true);
        call["priority"] = json!("HIGH");
        call["patience_secs"] = json!(3);
        call
    });
    let calls: Vec<_> = calls.collect();
    let ends = try_join_all(calls.iter().map(|call| fast.execute(&machine, call))).await?;
    for ended in &ends {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
        assert_eq!(ended.output["lane"], "slow", "{ended:?}");
    }
    let made: BTreeSet<_> = answers(&slow).await?.into_iter().collect();
    let expected: BTreeSet<_> = (0..CALLS).map(|n| format!("PUT urgent-{n} 204")).collect();
    assert_eq!(made, expected);
    assert_eq!(slow.stack.sandbox().stats().await?.duplicate_effects, 0);
    let refused = fast.stack.sandbox().stats().await?.http_429;
    assert!(refused >= 1, "the fast lane was tried");
    assert_eq!(answers(&fast).await?, [""; 0], "the fast lane made none");
    // Each try of the fast lane is kept, as any call that met its deadline is.
    assert_eq!(fast.dead_letters().await?, CALLS as u64);
    assert_eq!(slow.dead_letters().await?, 0);
    Ok(())
}
