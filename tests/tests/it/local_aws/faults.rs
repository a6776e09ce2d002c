//! What goes wrong at the API after the call has left.

use std::time::Duration;

use slowlane_local::Workload;

use super::setup::{Scenario, settings};

#[tokio::test]
async fn a_write_whose_answer_was_lost_leaves_one_record() -> anyhow::Result<()> {
    let mut settings = settings();
    // One: if several different calls fail in a row, the breaker opens, and its rings sleep for
    // minutes after all calls have ended.
    settings.sandbox.fault = Some("drop-after-commit:1".to_owned());
    let scenario = Scenario::deploy("drop-after-commit", settings).await?;
    let workload = Workload::made_up(6, 2, 1, Duration::from_millis(200));
    let (report, _) = scenario.run(&workload).await?;
    assert_eq!((report.executions.succeeded, report.dead_letters), (9, 0), "{report:#?}");
    let calls = scenario.stack.sandbox().report().await?.calls;
    let dropped: Vec<_> = calls.iter().filter(|call| call.fault.is_some()).collect();
    assert_eq!(dropped.len(), 1, "{calls:#?}");
    // An order is an upsert that replaces its lines: it is sent again, and has one effect.
    for call in dropped {
        let again =
            calls.iter().filter(|other| other.external_id == call.external_id && other.is_write());
        assert_eq!(again.count(), 2, "{calls:#?}");
    }
    assert_eq!(report.duplicate_effects, 0, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn too_many_requests_by_others_use_up_no_attempt() -> anyhow::Result<()> {
    let mut settings = settings();
    settings.sandbox.fault = Some("429-burst:8".to_owned());
    settings.parameters = vec![("MaxAttempts", "1".to_owned())];
    let scenario = Scenario::deploy("burst-of-429", settings).await?;
    let workload = Workload::made_up(4, 1, 1, Duration::from_millis(200));
    let (report, _) = scenario.run(&workload).await?;
    assert_eq!((report.executions.succeeded, report.http_429), (6, 8), "{report:#?}");
    Ok(())
}
