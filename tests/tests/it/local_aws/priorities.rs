//! Orders of all priorities, through both wirings, within small limits.

use std::time::Duration;

use slowlane_local::{Dispatch, OnHigher, Report, Workload};

use super::setup::{Scenario, settings};

/// Runs 22 orders and checks that each was written, once, and that nothing is left anywhere.
async fn run_22(
    name: &str,
    limit: u32,
    dispatch: Dispatch,
    on_higher: OnHigher,
) -> anyhow::Result<Report> {
    let mut settings = settings();
    settings.sandbox.limit = limit;
    settings.dispatch = dispatch;
    settings.on_higher = on_higher;
    let scenario = Scenario::deploy(name, settings).await?;
    let workload = Workload::made_up(12, 6, 4, Duration::from_millis(200));
    let (report, _) = scenario.run(&workload).await?;
    assert_eq!((report.executions.started, report.executions.succeeded), (22, 22), "{report:#?}");
    assert_eq!((report.calls, report.http_429, report.dead_letters), (22, 0, 0), "{report:#?}");
    let waits = [report.wait_ms.high, report.wait_ms.normal, report.wait_ms.batch];
    assert_eq!(waits.map(|waits| waits.n), [4, 6, 12]);
    Ok(report)
}

#[tokio::test]
async fn doorbell_with_two_slots() -> anyhow::Result<()> {
    let report = run_22("doorbell-2", 2, Dispatch::Doorbell, OnHigher::Swap).await?;
    assert_eq!((report.worker.deferrals, report.worker.swaps), (0, 0));
    Ok(())
}

#[tokio::test]
async fn doorbell_with_one_slot() -> anyhow::Result<()> {
    run_22("doorbell-1", 1, Dispatch::Doorbell, OnHigher::Swap).await?;
    Ok(())
}

/// More slots than a mapping begins with: those that work wake others, and the API still sees no
/// more calls than its limit.
#[tokio::test]
async fn doorbell_with_twelve_slots() -> anyhow::Result<()> {
    let report = run_22("doorbell-12", 12, Dispatch::Doorbell, OnHigher::Swap).await?;
    assert!(report.worker.slots_woken > 0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn deferral_that_swaps() -> anyhow::Result<()> {
    let report = run_22("deferral-swap", 2, Dispatch::Deferral, OnHigher::Swap).await?;
    // Every swap is a deferral of the call that gave way.
    assert!(report.worker.swaps <= report.worker.deferrals, "{report:#?}");
    assert!(report.worker.invocations > 0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn deferral_that_yields() -> anyhow::Result<()> {
    let report = run_22("deferral-yield", 2, Dispatch::Deferral, OnHigher::Yield).await?;
    assert_eq!(report.worker.swaps, 0, "{report:#?}");
    Ok(())
}
