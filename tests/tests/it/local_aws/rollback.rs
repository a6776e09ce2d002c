//! A stack that is changed while calls wait and run, and changed back: each of them still ends, with
//! one record.
//!
//! The local server kills the invocations of a function that is updated. On AWS they go on to their end;
//! here a call that was at the API is cleared up, as after any other kill.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::Value;
use slowlane_deployer::{Deployer, Endpoint, Plan, Progress};
use slowlane_local::Tools;

use super::setup::{Scenario, repository, settings, upsert};

const CALLS: usize = 24;

/// What another version changes: time-outs and with them all visibilities, attempts, the limit and
/// what each process reads at its start.
const NEW: [(&str, &str); 4] = [
    ("ApiTimeoutSeconds", "30"),
    ("MaxAttempts", "3"),
    ("ApiConcurrency", "1"),
    ("LogLevel", "debug"),
];
const OLD: [(&str, &str); 4] = [
    ("ApiTimeoutSeconds", "10"),
    ("MaxAttempts", "5"),
    ("ApiConcurrency", "2"),
    ("LogLevel", "info"),
];

fn call(number: usize) -> Value {
    upsert("BATCH", &format!("order-{number}"))
}

async fn deploy(scenario: &Scenario, parameters: [(&str, &str); 4]) -> anyhow::Result<()> {
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let lambdas = Tools::from_env()?.lambdas;
    let mut plan = Plan::new(scenario.name(), &repository(), &lambdas);
    for (name, value) in parameters {
        plan = plan.parameter(name, value);
    }
    plan.local_log_dir = Some(scenario.stack.directory().to_owned());
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let prepared = deployer.prepare(&plan, &Progress::hidden()).await?;
    let changes = prepared.changes().context("something is changed")?;
    ensure!(changes.data_at_risk().is_empty(), "queues and table stay: {changes}");
    prepared.execute(&Progress::hidden()).await?;
    Ok(())
}

#[tokio::test]
async fn a_change_and_its_way_back_lose_no_call() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.latency_ms = 1_000;
    settings.parameters = OLD.map(|(name, value)| (name, value.to_owned())).into();
    let scenario = Scenario::deploy("rollback", settings).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let inputs: Vec<Value> = (1..=CALLS).map(call).collect();
    let workflows = inputs.iter().map(|input| scenario.execute(machine, input));
    let operator = async {
        scenario.made(3).await?;
        deploy(&scenario, NEW).await?;
        scenario.made(10).await?;
        deploy(&scenario, OLD).await
    };
    let (ended, ()) =
        futures::future::try_join(futures::future::try_join_all(workflows), operator).await?;
    for ended in &ended {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    let report = scenario.stack.sandbox().report().await?;
    let written: BTreeSet<_> =
        report.calls.iter().filter_map(|call| call.external_id.as_ref()).collect();
    assert_eq!((written.len(), report.duplicate_effects), (CALLS, 0), "{report:#?}");
    assert_eq!(report.http_429, 0, "{report:#?}");
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}
