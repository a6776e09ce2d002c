//! `slowlane demo`, from an empty folder: a target that ten lines describe, on a local AWS of its own.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// An API that nothing shipped knows, and what `slowlane init` would not know either.
const CONFIG: &str = r#"
[targets.crm]
profile = "crm.toml"
base_url = "https://crm.example.com/v2"
secret = "prod/crm"
concurrency = 2

[stages.prod]
region = "eu-central-1"
"#;

const PROFILE: &str = r#"
name = "crm"
title = "Our CRM"
settles_after = "2m"
id = [{ body = "/id" }]

[auth.header]
name = "x-api-key"
value = "{api_key}"

[[answers]]
status = "200-299"
outcome = "succeeded"

[[answers]]
status = 429
outcome = "throttled"
limit = "rate"
wait = [{ header = "retry-after", as = "retry_after" }]

[[after_loss]]
methods = ["PUT"]
repeat = {}
"#;

/// A call of the team's own, whose key stands in its body.
const CALL: &str = r#"
{ "method": "PUT", "resource": "customers/by-key/{key}", "body": { "reference": "{key}", "size": 2 } }
"#;

const CALLS: [&str; 8] = ["--high", "1", "--normal", "1", "--batch", "4", "--latency-ms", "50"];

/// Runs a demo to its end; what it printed on stdout, as JSON, and on stderr.
fn demo(folder: &Path, args: &[&str]) -> anyhow::Result<(Value, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_slowlane"))
        .arg("demo")
        .args(args)
        .args(CALLS)
        .arg("--json")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{stderr}");
    Ok((serde_json::from_slice(&output.stdout).context(stderr.clone())?, stderr))
}

#[test]
fn a_first_file_runs_as_it_is() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let init = Command::new(env!("CARGO_BIN_EXE_slowlane"))
        .args(["init", "--api", "salesforce", "--auth", "client_credentials", "--region"])
        .args(["eu-central-1", "--base-url", "https://acme.my.salesforce.com"])
        .current_dir(&folder)
        .output()?;
    ensure!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let (report, _) = demo(folder.path(), &[])?;
    assert_eq!(report["executions"]["succeeded"], 6, "{report:#}");
    assert_eq!((&report["http_429"], &report["lost"]), (&0.into(), &0.into()), "{report:#}");
    Ok(())
}

#[test]
fn an_api_that_nothing_shipped_knows_runs_against_plain_http() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, text) in [("slowlane.toml", CONFIG), ("crm.toml", PROFILE), ("call.json", CALL)] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let args = ["crm", "--call", "call.json", "--fault", "drop-after-commit:2"];
    let (report, told) = demo(folder.path(), &args)?;
    assert!(told.contains("no sandbox speaks the dialect of `crm`"), "{told}");
    assert!(told.contains("PUT customers/by-key/{key}"), "{told}");
    assert_eq!(report["executions"]["succeeded"], 6, "{report:#}");
    // Two answers were lost, and their calls made again: one effect each.
    assert_eq!((&report["calls"], &report["duplicate_effects"]), (&8.into(), &0.into()));
    assert_eq!((&report["limit"], &report["max_concurrency"]), (&2.into(), &2.into()));
    Ok(())
}
