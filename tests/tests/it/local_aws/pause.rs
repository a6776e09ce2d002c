//! An operator pauses the limit of a deployed stack, looks at it, and resumes it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use slowlane_deployer::limits::{Author, Limit};
use slowlane_deployer::{Deployer, Endpoint};

use super::setup::{Scenario, settings};

const CALLS: usize = 20;
/// How long a pause may take to be heeded: a second, a running call, and what this machine adds.
const HEEDED_WITHIN: Duration = Duration::from_secs(3);

fn call(number: usize) -> Value {
    json!({
        "priority": "BATCH",
        "idempotency_key": format!("paused-{number}"),
        "request": {
            "method": "PUT",
            "resource": format!("salesOrder/eid:paused-{number}?replace=item"),
            "body": {
                "entity": { "id": "7" },
                "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
            },
        },
    })
}

async fn limit(scenario: &Scenario) -> anyhow::Result<Limit> {
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let deployed = deployer.deployed(scenario.name()).await?;
    Ok(Limit::of(deployer.config(), &deployed)?)
}

#[tokio::test]
async fn no_call_is_made_in_a_pause_and_all_are_made_after_it() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.latency_ms = 500;
    let scenario = Scenario::deploy("pause", settings).await?;
    let limit = limit(&scenario).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let requests = async || anyhow::Ok(scenario.stack.sandbox().stats().await?.requests);
    let inputs: Vec<Value> = (1..=CALLS).map(call).collect();
    let workflows = inputs.iter().map(|input| scenario.execute(machine, input));
    let operator = async {
        let start = Instant::now();
        while requests().await? < 3 {
            ensure!(start.elapsed() < Duration::from_secs(120), "no call reached the API");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        limit.pause(None, &Author::new("jan", "a release")).await?;
        tokio::time::sleep(HEEDED_WITHIN).await;
        let heeded = requests().await?;
        ensure!(heeded < CALLS as u64, "nothing was left to pause");
        tokio::time::sleep(Duration::from_secs(6)).await;
        ensure!(requests().await? == heeded, "a call was made in the pause");

        let shown = limit.standing().await?.as_json();
        let said = (&shown["mode"], &shown["who"], &shown["why"]);
        ensure!(said == (&json!("paused"), &json!("jan"), &json!("a release")), "{shown:#}");
        limit.resume(&Author::new("jan", "it is out")).await?;
        Ok(())
    };
    let workflows = futures::future::try_join_all(workflows);
    let (ended, ()) = futures::future::try_join(workflows, operator).await?;
    for ended in &ended {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    let shown = limit.standing().await?.as_text();
    assert!(shown.starts_with("pause: run, 2 calls at once\n"), "{shown}");
    assert!(shown.contains("it is out") && shown.contains("a release"), "{shown}");
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}
