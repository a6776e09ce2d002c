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

/// What a call's request and the 100 tokens that it may write count for at `llmock`: a quarter of the
/// request's bytes, and all that the answer may have.
const UNITS: u32 = 130;
const WRITES: u32 = 100;

/// More than fit into a minute's tokens.
const CALLS: u32 = 29;
const TOKENS_A_MINUTE: u32 = 2_700;
const CALLS_A_MINUTE: u32 = 600;

/// The resource of calls in the common form.
const CHAT: &str = "chat";

/// A model's API as `llmock` speaks it.
struct Model {
    profile: &'static str,
    base: &'static str,
    path: &'static str,
    name: &'static str,
}

const OPENAI: Model =
    Model { profile: "openai", base: "", path: "v1/chat/completions", name: "gpt-4o-mini" };
const ANTHROPIC: Model = Model {
    profile: "anthropic",
    base: "/anthropic",
    path: "v1/messages",
    name: "claude-haiku-4-5",
};

impl Model {
    fn ask(&self, number: u32) -> Value {
        let mut call = json!({
            "priority": "BATCH",
            "idempotency_key": format!("ask-{number}"),
            "request": {
                "method": "POST",
                "resource": self.path,
                "body": {
                    "model": self.name,
                    "max_tokens": WRITES,
                    "messages": [{ "role": "user", "content": format!("What is order {number}?") }],
                },
            },
        });
        match self.is_chat() {
            true => call["request"]["content"] = CHAT.into(),
            false => call["units"] = UNITS.into(),
        }
        call
    }

    fn is_chat(&self) -> bool {
        self.path == CHAT
    }
}

/// What `llmock` says of its client.
struct Judged {
    /// Whether waits were heeded and nothing was a storm.
    verdict: Value,
    /// The status of each answer.
    statuses: Vec<u64>,
}

/// `llmock` has two buckets, of requests and of tokens. Each is full at the start, and fills evenly at
/// its limit a minute. A request takes all that it may come to, and nothing if it is refused. `None` if
/// it is not installed.
async fn judged_by_llmock(
    name: &str,
    model: &Model,
    limits: Option<&Value>,
) -> anyhow::Result<Option<Judged>> {
    let (tokens, calls) = (TOKENS_A_MINUTE.to_string(), CALLS_A_MINUTE.to_string());
    let serve = ["serve", "--tpm", &tokens, "--rpm", &calls];
    let Some(mut command) = python("llmock.cli", &serve)? else { return Ok(None) };
    let with_port = |port: u16| {
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command
    };
    let judge = Judge::start(name, with_port, "/_llmock/verdict").await?;
    let mut target = target(model.profile, format!("{}{}", judge.url, model.base));
    let limits = limits.map(|limits| ("Limits".to_owned(), limits.to_string()));
    target.parameters.extend(limits);
    let scenario = Scenario::deploy_target(name, &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let calls: Vec<Value> = (1..=CALLS).map(|number| model.ask(number)).collect();
    let ends = try_join_all(calls.iter().map(|call| scenario.execute(machine, call))).await?;
    for ended in &ends {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
        let text = ended.output["body"]["text"].as_str();
        assert_eq!(text.is_some_and(|text| !text.is_empty()), model.is_chat(), "{ended:?}");
    }
    let verdict = judge.get("/_llmock/verdict").await?;
    assert_eq!(verdict["passed"], true, "{verdict:#}");
    assert_eq!(verdict["calls"], CALLS, "{verdict:#}");
    let answered = judge.get("/_llmock/requests").await?;
    let answered = answered["requests"].as_array().into_iter().flatten();
    let statuses = answered.filter_map(|request| request["status"].as_u64()).collect();
    Ok(Some(Judged { verdict, statuses }))
}

/// Nobody has configured the limit, so the calls meet it, and heed the waits.
async fn meets_the_limit(model: &Model) -> anyhow::Result<()> {
    let name = format!("llmock-{}{}", model.profile, if model.is_chat() { "-chat" } else { "" });
    let Some(judged) = judged_by_llmock(&name, model, None).await? else { return Ok(()) };
    assert!(judged.statuses.contains(&429), "no call met the limit: {:#}", judged.verdict);
    Ok(())
}

/// The limits are configured, so no call is refused for them.
async fn keeps_the_limits(model: &Model) -> anyhow::Result<()> {
    let name = format!("llmock-{}-told", model.profile);
    let limits = json!([
        { "rate": format!("{CALLS_A_MINUTE}/1m"), "bucket": CALLS_A_MINUTE },
        { "rate": format!("{TOKENS_A_MINUTE}/1m"), "bucket": TOKENS_A_MINUTE, "largest": 200 },
    ]);
    let judged = judged_by_llmock(&name, model, Some(&limits)).await?;
    let Some(Judged { verdict, statuses }) = judged else { return Ok(()) };
    assert_eq!(statuses, vec![200; CALLS as usize], "{verdict:#}");
    assert_eq!(verdict["attempts"], CALLS, "{verdict:#}");
    assert_eq!(verdict["findings"], json!([]), "{verdict:#}");
    Ok(())
}

#[tokio::test]
async fn llmock_finds_no_fault_with_our_openai() -> anyhow::Result<()> {
    meets_the_limit(&OPENAI).await
}

#[tokio::test]
async fn llmock_finds_no_fault_with_our_anthropic() -> anyhow::Result<()> {
    meets_the_limit(&ANTHROPIC).await
}

#[tokio::test]
async fn llmock_finds_no_fault_with_questions_in_the_common_form() -> anyhow::Result<()> {
    meets_the_limit(&Model { path: CHAT, ..OPENAI }).await?;
    meets_the_limit(&Model { path: CHAT, ..ANTHROPIC }).await
}

#[tokio::test]
async fn llmock_refuses_none_of_our_openai_whose_limits_are_told() -> anyhow::Result<()> {
    keeps_the_limits(&OPENAI).await
}

#[tokio::test]
async fn llmock_refuses_none_of_our_anthropic_whose_limits_are_told() -> anyhow::Result<()> {
    keeps_the_limits(&ANTHROPIC).await
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

/// SAP's own mock server, with one of its services.
async fn odata(name: &str, root: &str) -> anyhow::Result<Option<Judge>> {
    let script = repository().join("crates/vendor-sandbox/tests/foreign/odata_server.js");
    let Some(mut command) = node(&script.canonicalize()?)? else { return Ok(None) };
    let with_port = |port: u16| {
        command.arg(port.to_string());
        command
    };
    Judge::start(name, with_port, root).await.map(Some)
}

/// V2 takes several calls in one as parts of MIME only.
#[tokio::test]
async fn saps_own_mock_server_takes_our_batches_of_v2() -> anyhow::Result<()> {
    let root = "/sap/opu/odata/sap/ORDERS_SRV";
    let Some(judge) = odata("fe-mockserver-v2", root).await? else { return Ok(()) };
    let target = target("sap-odata", format!("{}{root}", judge.url));
    let scenario = Scenario::deploy_target("fe-mockserver-v2", &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let batch = |key: &str, requests: Value| {
        json!({
            "priority": "HIGH",
            "idempotency_key": key,
            "request": {
                "method": "POST",
                "resource": "$batch",
                "content": "multipart",
                "body": { "requests": requests },
            },
            "at_most_once": true,
        })
    };
    let make = |id: &str, group: &str| {
        let body = json!({ "ID": id, "Reference": "a\r\n--slowlane-batch--", "Quantity": 2 });
        json!({ "id": id, "method": "POST", "url": "SalesOrder", "body": body, "atomicityGroup": group })
    };
    let outcomes = |parts: &Value| {
        let parts = parts.as_array().into_iter().flatten();
        parts
            .map(|part| json!([part["reference"], part["outcome"], part["id"]]))
            .collect::<Vec<_>>()
    };

    let read = json!({ "id": "read", "method": "GET", "url": "SalesOrder('none')" });
    let call = batch("made", json!([make("21", "g"), make("22", "g"), read, make("23", "h")]));
    let made = scenario.execute(machine, &call).await?;
    assert_eq!(made.status, ExecutionStatus::Succeeded, "{made:?}");
    assert_eq!(made.output["partly_succeeded"], true, "{made:?}");
    let expected = json!([
        ["21", "succeeded", "21"],
        ["22", "succeeded", "22"],
        ["read", "rejected", null],
        ["23", "succeeded", "23"],
    ]);
    assert_eq!(json!(outcomes(&made.output["parts"])), expected, "{made:?}");
    let second = &made.output["body"]["responses"][1]["body"]["d"];
    assert_eq!(second["Reference"], "a\r\n--slowlane-batch--", "{made:?}");
    let order = judge.get(&format!("{root}/SalesOrder('22')")).await?;
    assert_eq!(order["d"]["Quantity"], 2, "{order}");

    // One refusal is the answer to the whole changeset.
    let none = json!({ "id": "none", "method": "PATCH", "url": "SalesOrder('none')", "body": { "Quantity": 1 }, "atomicityGroup": "g" });
    let refused =
        scenario.execute(machine, &batch("refused", json!([none, make("24", "g")]))).await?;
    let expected = json!([["none", "rejected", null], ["24", "rejected", null]]);
    assert_eq!(json!(outcomes(&refused.output["parts"])), expected, "{refused:?}");
    Ok(())
}

/// SAP's own mock server checks ETags. It gives a CSRF token, and takes writes without one too.
#[tokio::test]
async fn saps_own_mock_server_takes_our_odata() -> anyhow::Result<()> {
    let root = "/sap/opu/odata4/orders";
    let Some(judge) = odata("fe-mockserver", root).await? else { return Ok(()) };
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
