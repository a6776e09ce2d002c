//! Clients that others wrote, unmodified but for the address, against the sandbox of their vendor. They
//! need what `cargo xtask test` installs: `tests/foreign`.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use slowlane_vendor_sandbox::{Measure, Rate, Report, Settings};

use crate::served::{Served, quick};

#[path = "../foreign/installed.rs"]
mod installed;

use installed::installed;

/// Runs a client's script against a sandbox, whose faults begin after so many calls.
async fn judged(script: &str, dialect: &str, settings: Settings) -> anyhow::Result<Option<Report>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let mut command = if script.ends_with(".py") {
        let Some(python) = installed("SLOWLANE_FOREIGN_PYTHON")? else { return Ok(None) };
        Command::new(python)
    } else {
        let Some(modules) = installed("SLOWLANE_FOREIGN_NODE")? else { return Ok(None) };
        let mut node = Command::new("node");
        node.env("NODE_PATH", modules.join("node_modules"));
        node
    };
    let served = Served::start(dialect, settings).await;
    command.arg(folder.join(script)).arg(&served.base_url).arg(&served.base_url);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    ensure!(output.status.success(), "{}", said.concat());
    Ok(Some(served.report()))
}

fn rates(rates: &[(Measure, &str)]) -> anyhow::Result<Settings> {
    let rate =
        |(measure, text): &(Measure, &str)| anyhow::Ok(Rate { measure: *measure, ..text.parse()? });
    Ok(Settings { rates: rates.iter().map(rate).collect::<Result<_, _>>()?, ..quick() })
}

#[tokio::test]
async fn stripe() -> anyhow::Result<()> {
    let report = judged("stripe_client.py", "stripe", quick()).await?;
    // A customer, a charge, and one after the limit; what was replayed is not made twice.
    let made =
        report.map(|report| (report.records_created, report.duplicate_effects, report.http_429));
    assert_eq!(made.unwrap_or((3, 0, 2)), (3, 0, 2));
    Ok(())
}

#[tokio::test]
async fn openai() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Units, "100000/60s"), (Measure::Calls, "1000/60s")])?;
    let report = judged("openai_client.py", "openai", settings).await?;
    // The client's repeat came after the wait.
    let heeded = report.map(|report| (report.http_429, report.came_early));
    assert_eq!(heeded.unwrap_or((2, 1)), (2, 1), "the script's own second call comes early");
    Ok(())
}

#[tokio::test]
async fn anthropic() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Units, "100000/60s"), (Measure::Calls, "1000/60s")])?;
    let report = judged("anthropic_client.py", "anthropic", settings).await?;
    let heeded = report.map(|report| (report.http_429, report.came_early));
    assert_eq!(heeded.unwrap_or((2, 1)), (2, 1), "the script's own second call comes early");
    Ok(())
}

#[tokio::test]
async fn simple_salesforce() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Quota, "15000/1d")])?;
    let report = judged("salesforce_client.py", "salesforce", settings).await?;
    let made = report.map(|report| (report.records_created, report.http_429));
    assert_eq!(made.unwrap_or((2, 1)), (2, 1));
    Ok(())
}

#[tokio::test]
async fn jsforce() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Quota, "15000/1d")])?;
    let report = judged("jsforce_client.js", "salesforce", settings).await?;
    let made = report.map(|report| (report.records_created, report.http_429));
    assert_eq!(made.unwrap_or((2, 1)), (2, 1));
    Ok(())
}

#[tokio::test]
async fn dynamics_web_api() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Calls, "6000/300s"), (Measure::Time, "20m/5m")])?;
    let report = judged("dynamics_client.js", "dynamics", settings).await?;
    // Three rows that were made alone, and what was upserted a second time made none.
    let made =
        report.map(|report| (report.records_created, report.duplicate_effects, report.http_429));
    assert_eq!(made.unwrap_or((3, 0, 1)), (3, 0, 1));
    Ok(())
}

#[tokio::test]
async fn boto3() -> anyhow::Result<()> {
    let report = judged("bedrock_client.py", "bedrock", quick()).await?;
    // Of what was throttled boto3's own repeat came through.
    let report = report.map(|report| report.http_429);
    assert_eq!(report.unwrap_or(2), 2);
    Ok(())
}

#[tokio::test]
async fn hubspot() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Calls, "100/10s")])?;
    let report = judged("hubspot_client.py", "hubspot", settings).await?;
    let made = report.map(|report| (report.records_created, report.http_429));
    assert_eq!(made.unwrap_or((2, 1)), (2, 1));
    Ok(())
}

#[tokio::test]
async fn octokit() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Calls, "100/1m")])?;
    let report = judged("octokit_client.js", "github", settings).await?;
    // An issue, its comment, a file and a label.
    let made = report.map(|report| (report.records_created, report.http_429));
    assert_eq!(made.unwrap_or((4, 1)), (4, 1));
    Ok(())
}

#[tokio::test]
async fn zendesk() -> anyhow::Result<()> {
    let settings = rates(&[(Measure::Calls, "700/1m")])?;
    let report = judged("zendesk_client.js", "zendesk", settings).await?;
    let made = report.map(|report| report.records_created);
    assert_eq!(made.unwrap_or(2), 2, "a ticket and a user");
    Ok(())
}
