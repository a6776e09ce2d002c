//! Servers that others wrote, in the place of the API: what they say of the worker is not ours to decide.
//! They are installed by `cargo xtask test`, pinned and hashed (`crates/vendor-sandbox/tests/foreign`).

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use serde_json::{Value, json};
use slowlane_local::sandbox::VendorSettings;
use slowlane_local::{ProcessGroup, Target};

use super::setup::{Scenario, empty_directory, repository};

#[path = "../../../../crates/vendor-sandbox/tests/foreign/installed.rs"]
mod installed;

use installed::installed;

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that answers on a port of this machine, until it is dropped.
struct Judge {
    _process: ProcessGroup,
    url: String,
}

impl Judge {
    /// Starts a server by a command that is given its port, and waits until `path` is answered.
    async fn start(
        name: &str,
        command: impl FnOnce(u16) -> Command,
        path: &str,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = empty_directory(&format!("{name}-server"))?.join("server.log");
        let mut process = ProcessGroup::spawn(&mut command(port), &log, None)?;
        let url = format!("http://127.0.0.1:{port}");
        let start = Instant::now();
        while reqwest::get(format!("{url}{path}")).await.is_err() {
            ensure!(process.exited()?.is_none(), "{name} has ended: {}", process.log_tail());
            ensure!(start.elapsed() < READY_TIMEOUT, "{name} does not listen: {}", log.display());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Self { _process: process, url })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(reqwest::get(format!("{}{path}", self.url)).await?.error_for_status()?.json().await?)
    }
}

fn python(module: &str, args: &[&str]) -> anyhow::Result<Option<Command>> {
    let Some(python) = installed("SLOWLANE_FOREIGN_PYTHON")? else { return Ok(None) };
    let mut command = Command::new(python);
    command.args(["-m", module]).args(args);
    Ok(Some(command))
}

fn node(script: &Path) -> anyhow::Result<Option<Command>> {
    let Some(folder) = installed("SLOWLANE_FOREIGN_NODE")? else { return Ok(None) };
    let modules = folder.join("node_modules");
    let mut command = Command::new("node");
    command.arg(modules.join(script)).env("NODE_PATH", modules);
    Ok(Some(command))
}

/// A profile's target at a judge: two calls at once.
fn target(profile: &str, url: String) -> Target {
    let sandbox = VendorSettings::new(profile, 2, 50);
    Target { elsewhere: Some(url), ..Target::of_profile(sandbox) }
}

/// A call of a model that may write 100 tokens.
fn ask(path: &str, model: &str, number: u32) -> Value {
    json!({
        "priority": "BATCH",
        "idempotency_key": format!("ask-{number}"),
        "request": {
            "method": "POST",
            "resource": path,
            "body": {
                "model": model,
                "max_tokens": 100,
                "messages": [{ "role": "user", "content": format!("What is order {number}?") }],
            },
        },
    })
}

/// More than fit into a minute's tokens.
const CALLS: u32 = 29;

/// `llmock` enforces tokens a minute and says of its client whether it heeded the waits and was no storm.
/// Nobody has configured the limit, so the calls meet it.
async fn judged_by_llmock(
    profile: &str,
    base: &str,
    path: &str,
    model: &str,
) -> anyhow::Result<()> {
    let name = format!("llmock-{profile}");
    let Some(mut command) = python("llmock.cli", &["serve", "--tpm", "2700", "--rpm", "600"])?
    else {
        return Ok(());
    };
    let with_port = |port: u16| {
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command
    };
    let judge = Judge::start(&name, with_port, "/_llmock/verdict").await?;
    let target = target(profile, format!("{}{base}", judge.url));
    let scenario = Scenario::deploy_target(&name, &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let calls: Vec<Value> = (1..=CALLS).map(|number| ask(path, model, number)).collect();
    let ends = try_join_all(calls.iter().map(|call| scenario.execute(machine, call))).await?;
    for ended in &ends {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    let verdict = judge.get("/_llmock/verdict").await?;
    assert_eq!(verdict["passed"], true, "{verdict:#}");
    assert_eq!(verdict["calls"], CALLS, "{verdict:#}");
    let attempts = verdict["attempts"].as_u64().unwrap_or_default();
    assert!(attempts > u64::from(CALLS), "no call met the limit: {verdict:#}");
    Ok(())
}

#[tokio::test]
async fn llmock_finds_no_fault_with_our_openai() -> anyhow::Result<()> {
    judged_by_llmock("openai", "", "v1/chat/completions", "gpt-4o-mini").await
}

#[tokio::test]
async fn llmock_finds_no_fault_with_our_anthropic() -> anyhow::Result<()> {
    judged_by_llmock("anthropic", "/anthropic", "v1/messages", "claude-haiku-4-5").await
}

fn charge(key: &str, source: &str) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {
            "method": "POST",
            "resource": "v1/charges",
            "body": { "amount": 2000, "currency": "usd", "source": source },
        },
    })
}

/// `stripe-stateful-mock` keeps keys, and answers as its test tokens say: one after the other.
#[tokio::test]
async fn stripe_stateful_mock_has_one_charge_for_each_call() -> anyhow::Result<()> {
    let script = Path::new("stripe-stateful-mock/dist/cli.js");
    let Some(mut command) = node(script)? else { return Ok(()) };
    let with_port = |port: u16| {
        command.env("PORT", port.to_string());
        command
    };
    let judge = Judge::start("stripe-stateful-mock", with_port, "/v1/charges").await?;
    let mut target = target("stripe", judge.url.clone());
    target.parameters.insert("MaxAttempts".to_owned(), "2".to_owned());
    let scenario = Scenario::deploy_target("stripe-stateful-mock", &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;

    // A limit, and then the charge: a 429 is not stored under the key.
    let limited = scenario.execute(machine, &charge("limited", "tok_429|tok_visa")).await?;
    assert_eq!(limited.status, ExecutionStatus::Succeeded, "{limited:?}");
    let id = limited.output["id"].as_str().unwrap_or_default();
    assert!(id.starts_with("ch_"), "{limited:?}");

    let declined = scenario.execute(machine, &charge("declined", "tok_chargeDeclined")).await?;
    assert_eq!(declined.error, "Slowlane.Rejected", "{declined:?}");
    assert_eq!(declined.cause["code"], "card_declined", "{declined:?}");

    // A 500 is stored under the key and comes again, and this call wrote no name by which the
    // charge could be looked for. So nobody knows, and the key keeps another attempt from charging
    // twice.
    let failed = scenario.execute(machine, &charge("failed", "tok_500|tok_visa")).await?;
    assert_eq!(failed.error, "Slowlane.OutcomeUnknown", "{failed:?}");

    let list = reqwest::Client::new().get(format!("{}/v1/charges", judge.url));
    let charges: Value = list.bearer_auth("sk_test_sandbox").send().await?.json().await?;
    let charges = charges["data"].as_array().into_iter().flatten();
    let paid: Vec<_> = charges.filter(|charge| charge["paid"] == true).collect();
    assert_eq!(paid.len(), 1, "{paid:#?}");
    Ok(())
}

/// SAP's own mock server checks ETags. It gives a CSRF token, and takes writes without one too.
#[tokio::test]
async fn saps_own_mock_server_takes_our_odata() -> anyhow::Result<()> {
    let script = repository().join("crates/vendor-sandbox/tests/foreign/odata_server.js");
    let Some(mut command) = node(&script.canonicalize()?)? else { return Ok(()) };
    let with_port = |port: u16| {
        command.arg(port.to_string());
        command
    };
    let root = "/sap/opu/odata4/orders";
    let judge = Judge::start("fe-mockserver", with_port, root).await?;
    let target = target("sap-odata", format!("{}{root}", judge.url));
    let scenario = Scenario::deploy_target("fe-mockserver", &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let call = |key: &str, method: &str, resource: &str, body: Value| {
        json!({
            "priority": "HIGH",
            "idempotency_key": key,
            "request": { "method": method, "resource": resource, "body": body },
            // OData has no way to ask after a lost POST.
            "at_most_once": method == "POST",
        })
    };

    let order = json!({ "ID": "2", "Reference": "second", "Quantity": 2 });
    let made = scenario.execute(machine, &call("make", "POST", "SalesOrder", order)).await?;
    assert_eq!(made.status, ExecutionStatus::Succeeded, "{made:?}");
    assert_eq!(made.output["id"], "2", "{made:?}");

    // The profile fetches the ETag before; without it the server refuses the change.
    let change = call("change", "PATCH", "SalesOrder('1')", json!({ "Quantity": 5 }));
    let changed = scenario.execute(machine, &change).await?;
    assert_eq!(changed.status, ExecutionStatus::Succeeded, "{changed:?}");
    let order = judge.get(&format!("{root}/SalesOrder('1')")).await?;
    assert_eq!(order["Quantity"], 5, "{order}");

    // A workflow's own ETag counts, and one that is stale changes nothing.
    let mut stale = call("stale", "PATCH", "SalesOrder('1')", json!({ "Quantity": 7 }));
    stale["request"]["headers"] = json!({ "if-match": "W/\"stale\"" });
    let refused = scenario.execute(machine, &stale).await?;
    assert_eq!(refused.status, ExecutionStatus::Failed, "{refused:?}");
    let order = judge.get(&format!("{root}/SalesOrder('1')")).await?;
    assert_eq!(order["Quantity"], 5, "{order}");
    Ok(())
}
