//! Two stacks of one account call the same API, and share its calls at once by a name.

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::{try_join_all, try_join3};
use serde_json::{Value, json};
use slowlane_deployer::limits::{Author, Limit, Setting};
use slowlane_deployer::{Addition, Deployer, Endpoint, Progress};
use slowlane_local::Target;
use slowlane_local::sandbox::VendorSettings;

use super::setup::{Scenario, local_aws, now_ms, record, repository};

const CALLS: usize = 40;
/// Of both stacks together, where each alone could make as many.
const AT_ONCE: usize = 4;
const LOWERED: usize = 2;
const CALL_MS: u64 = 500;
/// How long after a change more calls than that may be at the API: a second, a running call, and what
/// this machine adds.
const HEEDED_WITHIN: Duration = Duration::from_millis(1_000 + CALL_MS + 1_500);

/// An API that takes more at once than the stacks may make, which each have a ceiling of four.
fn target(table: &str) -> Target {
    let mut target = Target::of_profile(VendorSettings::new("http", 20, CALL_MS));
    let limits = json!([{ "concurrency": AT_ONCE, "name": "org" }]);
    for (name, value) in [
        ("ApiConcurrency", AT_ONCE.to_string()),
        ("Limits", limits.to_string()),
        ("SharedLimitsTable", table.to_owned()),
    ] {
        target.parameters.insert(name.to_owned(), value);
    }
    target
}

/// Runs calls of one stack to their end.
async fn run(scenario: &Scenario) -> anyhow::Result<()> {
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let calls: Vec<Value> = (1..=CALLS)
        .map(|number| record("BATCH", &format!("{}-{number}", scenario.name())))
        .collect();
    for ended in try_join_all(calls.iter().map(|call| scenario.execute(machine, call))).await? {
        ensure!(ended.status == ExecutionStatus::Succeeded, "{ended:?}");
    }
    Ok(())
}

/// The most calls at the API at once that began in a span of time.
fn most_at_once(calls: &[(f64, f64)], from: f64, until: f64) -> usize {
    let began = calls.iter().filter(|(start, _)| (from..until).contains(start));
    let beside = |at: f64| calls.iter().filter(|(start, end)| *start <= at && at < *end).count();
    began.map(|(start, _)| beside(*start)).max().unwrap_or(0)
}

#[tokio::test]
async fn two_stacks_on_one_name_never_make_more_calls_at_once_than_it_says() -> anyhow::Result<()> {
    let sdk = local_aws("shared-limits").await?;
    let url = sdk.endpoint_url().context("a local AWS has a URL")?.to_owned();
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let addition = Addition::shared_limits("shared-limits", &repository());
    let outputs = deployer.add(&addition, &Progress::hidden()).await?;
    let table = outputs.get("SharedLimitsTable").context("the addition has a table")?;
    let first = Scenario::deploy_target("shares-one", &target(table)).await?;
    let at_first = Some(first.stack.sandbox().endpoint().to_owned());
    let second = Target { elsewhere: at_first, secret: None, ..target(table) };
    let second = Scenario::deploy_target("shares-two", &second).await?;

    let limit = Limit::of(deployer.config(), &deployer.deployed("shares-one").await?)?;
    let operator = async {
        first.made(12).await?;
        let set = async |at_once: Option<usize>| {
            let setting = Setting {
                concurrency: at_once.map(u32::try_from).transpose()?,
                as_configured: at_once.is_none(),
                ..Setting::default()
            };
            limit.set(&setting, &Author::new("jan", "the vendor asked")).await?;
            anyhow::Ok(now_ms())
        };
        let lowered = set(Some(LOWERED)).await?;
        tokio::time::sleep(HEEDED_WITHIN + Duration::from_secs(5)).await;
        let shown = limit.standing().await?.as_json();
        ensure!(shown["shared"]["limit"] == "org", "{shown:#}");
        ensure!(shown["shared"]["concurrency"] == LOWERED, "{shown:#}");
        anyhow::Ok((lowered, set(None).await?))
    };
    let ((), (), (lowered, raised)) = try_join3(run(&first), run(&second), operator).await?;

    let report = first.stack.sandbox().report().await?;
    let calls: Vec<(f64, f64)> =
        report.calls.iter().map(|call| (call.start_ms, call.end_ms)).collect();
    assert_eq!((calls.len(), report.http_429, report.duplicate_effects), (2 * CALLS, 0, 0));
    let heeded = lowered + HEEDED_WITHIN.as_millis() as f64;
    assert_eq!(most_at_once(&calls, 0.0, f64::MAX), AT_ONCE, "{report:#?}");
    assert_eq!(most_at_once(&calls, heeded, raised), LOWERED, "{report:#?}");
    for stack in [&first, &second] {
        assert_eq!(stack.dead_letters().await?, 0);
    }
    Ok(())
}
