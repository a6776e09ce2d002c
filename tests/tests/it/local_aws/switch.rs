//! A stack whose wiring is switched while calls wait: each of them still ends, with one record.

use std::path::Path;

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::Value;
use slowlane_deployer::{Deployer, Endpoint, Plan, Progress};
use slowlane_local::{Dispatch, Tools};

use super::setup::{Scenario, settings, upsert};

const CALLS: usize = 16;

/// So many are done when the wiring is switched; the others wait or run.
const DONE_BEFORE: u64 = 3;

fn call(number: usize) -> Value {
    upsert("BATCH", &format!("order-{number}"))
}

/// Deploys the stack again with another wiring, and all else as it is.
async fn switch(scenario: &Scenario, to: Dispatch) -> anyhow::Result<()> {
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let lambdas = Tools::from_env()?.lambdas;
    let mut plan = Plan::new(scenario.name(), &repository, &lambdas).parameter("Dispatch", to);
    plan.local_log_dir = Some(scenario.stack.directory().to_owned());
    Deployer::new(Endpoint::Local { url }).await.deploy(&plan, &Progress::hidden()).await?;
    Ok(())
}

async fn calls_survive(name: &str, from: Dispatch, to: Dispatch) -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.latency_ms = 1_000;
    settings.dispatch = from;
    let scenario = Scenario::deploy(name, settings).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let inputs: Vec<Value> = (1..=CALLS).map(call).collect();
    let workflows = inputs.iter().map(|input| scenario.execute(machine, input));
    let switched = async {
        scenario.made(DONE_BEFORE + 1).await?;
        switch(&scenario, to).await
    };
    let (ended, ()) =
        futures::future::try_join(futures::future::try_join_all(workflows), switched).await?;
    for ended in &ended {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    let stats = scenario.stack.sandbox().stats().await?;
    assert_eq!((stats.duplicate_effects, stats.http_429), (0, 0), "{stats:?}");
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}

#[tokio::test]
async fn calls_that_wait_survive_a_switch_from_deferral_to_doorbell() -> anyhow::Result<()> {
    calls_survive("switch-to-doorbell", Dispatch::Deferral, Dispatch::Doorbell).await
}

#[tokio::test]
async fn calls_that_wait_survive_a_switch_from_doorbell_to_deferral() -> anyhow::Result<()> {
    calls_survive("switch-to-deferral", Dispatch::Doorbell, Dispatch::Deferral).await
}
