//! Each alarm in front of what it is for, and all of them in front of an hour at full load. The real
//! programs run on the simulated AWS, and the alarms look at what CloudWatch would have seen.

mod cloudwatch;
mod dashboard;
mod hangs;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use cloudwatch::{CloudWatch, Deployed};
use slowlane_deployer::watch::ALARMS;
use slowlane_message::Priority;
use slowlane_simulator::monitor::Monitor;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Api, Dispatch, Load, Scenario};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the stack of a scenario is deployed with, the alarms' parameters by their defaults.
fn deployed(scenario: &Scenario) -> Deployed {
    Deployed {
        doorbell: scenario.dispatch == Dispatch::Doorbell,
        high_wait_secs: 60,
        wait_secs: 10_800,
        api_timeout_secs: scenario.api_timeout_secs,
    }
}

fn play(scenario: &Scenario) -> anyhow::Result<(CloudWatch, Outcome)> {
    let seen = CloudWatch::default();
    let monitor: Rc<dyn Monitor> = Rc::new(seen.clone());
    let onlooker = Onlooker {
        watch: Some(Box::new(seen.clone())),
        monitor: Some(monitor),
        ..Onlooker::nobody()
    };
    let outcome = run(scenario, onlooker)?;
    Ok((seen, outcome))
}

/// The alarms that would have begun in a run, each with its minute.
fn begun(scenario: &Scenario, seen: &CloudWatch) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let mut begun = Vec::new();
    for alarm in &ALARMS {
        if let Some(minute) = seen.begins(alarm, deployed(scenario))? {
            begun.push((alarm.name, minute));
        }
    }
    Ok(begun)
}

/// An hour in which every slot always has a call: as much comes as the API takes, on top of a backlog
/// of BATCH calls.
fn an_hour_at_full_load(dispatch: Dispatch) -> Scenario {
    let coming =
        |priority, calls, every_ms| Load { random: true, ..Load::new(priority, calls, every_ms) };
    Scenario {
        dispatch,
        limit: 5,
        api: Api { p99_ms: Some(20_000.0), ..Api::fixed(9_000.0) },
        load: vec![
            Load::new(Priority::Batch, 200, 0.0),
            coming(Priority::High, 180, 20_000.0),
            coming(Priority::Normal, 600, 6_000.0),
            coming(Priority::Batch, 1_000, 3_600.0),
        ],
        ..Scenario::default()
    }
}

/// Plays the hour, and answers the alarms that it raises.
fn alarms_at_full_load(dispatch: Dispatch) -> anyhow::Result<Vec<&'static str>> {
    let scenario = an_hour_at_full_load(dispatch);
    let (seen, outcome) = play(&scenario)?;
    assert!(seen.minutes() >= 60, "{} minutes", seen.minutes());
    assert_eq!(outcome.ends.get("Succeeded"), Some(&scenario.calls()), "{:?}", outcome.ends);
    let used = outcome.measures.utilisation;
    assert!(used > 0.9, "the slots were used to {used}");
    Ok(begun(&scenario, &seen)?.into_iter().map(|(name, _)| name).collect())
}

#[test]
fn an_hour_at_full_load_raises_no_alarm() -> anyhow::Result<()> {
    assert_eq!(alarms_at_full_load(Dispatch::Doorbell)?, [""; 0]);
    Ok(())
}

/// With deferral a HIGH call waits until a delivery of it happens upon a free slot, which at full load
/// is a matter of many minutes. Its alarm says so, and no other begins.
#[test]
fn with_deferral_only_high_calls_wait_too_long() -> anyhow::Result<()> {
    assert_eq!(alarms_at_full_load(Dispatch::DeferralSwap)?, ["HighWaitsTooLong"]);
    Ok(())
}
