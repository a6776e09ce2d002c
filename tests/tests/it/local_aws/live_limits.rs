//! Limits that an operator changes while calls run, by the command line: fewer calls at once, another
//! rate, and back.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use slowlane_local::run::{Ending, Execution};
use slowlane_local::sandbox::{ApiCall, VendorSettings};
use slowlane_local::{Rate, Target};

use super::operations::{operate, operate_json};
use super::setup::{Scenario, now_ms, record};

/// Within how many milliseconds a change is heeded, beside a running call: a second, and what a machine
/// adds that many tests share.
const HEEDED_MS: f64 = 2_000.0;

fn orders(calls: u32) -> impl Iterator<Item = Value> {
    (0..calls).map(|n| record("BATCH", &format!("order-{n}")))
}

/// A stack for an API of so many calls at once, each of so many milliseconds.
async fn deploy(name: &str, slots: u32, call_ms: u64, limits: &Value) -> anyhow::Result<Scenario> {
    let mut target = Target::of_profile(VendorSettings::new("http", slots, call_ms));
    target.parameters.insert("Limits".to_owned(), limits.to_string());
    Scenario::deploy_target(name, &target).await
}

/// Sets a limit, lets the calls go on under it, and sets it back. Answers when either was done.
async fn set_for_a_while(
    scenario: &Scenario,
    limit: [&str; 2],
    lasts: Duration,
) -> anyhow::Result<(f64, f64)> {
    let by = ["--who", "ada", "--why", "a slow day"];
    operate(scenario, &[&["limits", "set"], &limit[..], &by[..]].concat())?;
    let from = now_ms();
    tokio::time::sleep(lasts).await;
    let until = now_ms();
    operate(scenario, &[&["limits", "set", "--as-configured"], &by[..]].concat())?;
    Ok((from, until))
}

/// Calls that began from a moment to another.
fn begun(calls: &[ApiCall], from: f64, until: f64) -> Vec<ApiCall> {
    let within = calls.iter().filter(|call| from <= call.start_ms && call.start_ms < until);
    within.cloned().collect()
}

/// The most calls that were under way at once when one of these began.
fn at_once(calls: &[ApiCall], begun: &[ApiCall]) -> usize {
    let under_way = |moment: f64| {
        calls.iter().filter(|call| call.start_ms <= moment && moment < call.end_ms).count()
    };
    begun.iter().map(|call| under_way(call.start_ms)).max().unwrap_or(0)
}

/// All have ended well, and the API has had each once. Answers what it saw.
async fn all_made(scenario: &Scenario, ended: &[Execution]) -> anyhow::Result<Vec<ApiCall>> {
    let failed = ended.iter().find(|execution| execution.ending != Ending::Succeeded);
    ensure!(failed.is_none(), "{failed:?}");
    let report = scenario.stack.sandbox().report().await?;
    let counts = (report.calls.len(), report.duplicate_effects, report.http_429);
    ensure!(counts == (ended.len(), 0, 0), "{counts:?}");
    ensure!(scenario.dead_letters().await? == 0, "a call could not be run");
    Ok(report.calls)
}

#[tokio::test]
async fn fewer_calls_at_once_are_heeded_at_once_and_set_back() -> anyhow::Result<()> {
    const SLOTS: u32 = 4;
    const CALL_MS: u64 = 500;
    let scenario = deploy("fewer-at-once", SLOTS, CALL_MS, &json!([])).await?;
    let operator = async {
        scenario.made(12).await?;
        let set = set_for_a_while(&scenario, ["--concurrency", "1"], Duration::from_secs(10));
        let lowered = set.await?;
        let shown = operate_json(&scenario, &["limits", "show"])?;
        anyhow::Ok((lowered, shown))
    };
    let (ended, ((from, until), shown)) = futures::try_join!(scenario.batch(orders(80)), operator)?;
    let calls = all_made(&scenario, &ended).await?;
    assert_eq!(at_once(&calls, &begun(&calls, 0.0, from)), SLOTS as usize, "before");
    let heeded = from + CALL_MS as f64 + HEEDED_MS;
    let lowered = begun(&calls, heeded, until);
    assert_eq!(at_once(&calls, &lowered), 1, "while it was lowered");
    assert!(lowered.len() >= 3, "one at a time goes on: {}", lowered.len());
    assert_eq!(at_once(&calls, &begun(&calls, until, f64::MAX)), SLOTS as usize, "after");

    assert_eq!(shown["effective"]["concurrency"], SLOTS, "{shown:#}");
    let said: Vec<_> =
        (0..2).map(|n| (&shown["changes"][n]["who"], &shown["changes"][n]["why"])).collect();
    assert_eq!(said, [(&json!("ada"), &json!("a slow day")); 2], "{shown:#}");
    Ok(())
}

#[tokio::test]
async fn another_rate_is_heeded_at_once_and_set_back() -> anyhow::Result<()> {
    const SLOWER: &str = "10/5s";
    const CALL_MS: u64 = 50;
    let configured: Rate = "40/5s".parse()?;
    let scenario =
        deploy("another-rate", 4, CALL_MS, &json!([{ "rate": configured.to_string() }])).await?;
    let operator = async {
        scenario.made(30).await?;
        set_for_a_while(&scenario, ["--rate", SLOWER], Duration::from_secs(15)).await
    };
    let (ended, (from, until)) = futures::try_join!(scenario.batch(orders(160)), operator)?;
    let calls = all_made(&scenario, &ended).await?;
    let used = configured.used_by(&calls);
    assert!(used.most as u64 <= configured.calls(), "{used:?}");

    let slower: Rate = SLOWER.parse()?;
    let heeded = begun(&calls, from + HEEDED_MS, until);
    let used = slower.used_by(&heeded);
    assert!(used.most as u64 <= slower.calls(), "{used:?}");
    assert!(heeded.len() >= 3, "calls go on: {}", heeded.len());
    // Faster again than the slower rate would ever let them go.
    let after = slower.used_by(&begun(&calls, until + HEEDED_MS, f64::MAX));
    assert!(after.most as u64 > 2 * slower.calls(), "{after:?}");
    Ok(())
}
