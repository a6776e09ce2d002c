//! The demo on the local AWS: a rate that is kept, and an outage in which nothing fails. They need what
//! `cargo xtask test` makes.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Runs a demo to its end: its report, and what it told on the way.
fn demo(args: &[&str]) -> anyhow::Result<(Value, String)> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_slowlane-local"))
        .arg("demo")
        .args(args)
        .arg("--report")
        .arg(&report)
        .stdin(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{told}");
    let report = std::fs::read_to_string(report).with_context(|| told.clone())?;
    Ok((serde_json::from_str(&report)?, told))
}

const ORDERS: [&str; 6] = ["--high", "2", "--normal", "8", "--batch", "30"];

#[test]
fn a_rate_that_the_worker_is_told_is_never_passed() -> anyhow::Result<()> {
    let (report, told) = demo(&[&ORDERS[..], &["--rate", "8/s", "--latency-ms", "50"]].concat())?;
    assert_eq!(report["executions"]["succeeded"], 40, "{report:#}");
    assert_eq!(report["http_429"], 0, "{report:#}");
    let most = report["rate"]["most"].as_u64().context("what was used")?;
    // Without the rate, five slots would make a hundred calls a second.
    assert!((2..=8).contains(&most), "{report:#}");
    assert!(told.contains("calls a second (8/s)"), "{told}");
    Ok(())
}

#[test]
fn an_outage_fails_nothing_and_all_is_as_before_after_it() -> anyhow::Result<()> {
    // So many that there are enough after it for all slots: they come back one, two, four at a time.
    let orders = ["--high", "2", "--normal", "8", "--batch", "90"];
    let (report, told) = demo(&[&orders[..], &["--outage", "8s", "--latency-ms", "400"]].concat())?;
    assert_eq!(report["executions"]["succeeded"], 100, "{report:#}");
    assert_eq!((&report["dead_letters"], &report["duplicate_effects"]), (&0.into(), &0.into()));
    let outage = &report["outage"];
    // Some under way, twice with a new token, and then a probe now and again. Without the breaker five
    // slots that are refused at once would make hundreds of requests.
    let refused = outage["refused"].as_u64().context("what was refused")?;
    assert!((1..=60).contains(&refused), "{report:#}");
    assert!(outage["full_again_s"].is_number(), "{report:#}");
    assert!(told.contains("DOWN for"), "{told}");
    Ok(())
}

#[test]
fn a_scenario_has_limits_of_its_own() {
    let refused = demo(&["--scenario", "bulk", "--rate", "8/s"]).unwrap_err().to_string();
    assert!(refused.contains("a scenario has limits of its own"), "{refused}");
}
