//! What every scenario does: makes machines of the examples, starts them, waits, and shows how far it
//! is.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::ExecutionStatus;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use slowlane_local::Stack;
use slowlane_local::sandbox::{ApiCall, SandboxReport};

/// Requests to the local AWS under way at once.
const AT_ONCE: usize = 4;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(200);
/// Longer than NetSuite must be asked about a call whose answer was lost.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// The deployed stack, and its API.
pub(super) struct Scene<'a> {
    pub(super) stack: &'a Stack,
    sfn: Client,
    pub(super) limit: u32,
    pub(super) latency_ms: u64,
}

/// How an execution ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) succeeded: bool,
    pub(super) output: Value,
    /// Empty if it succeeded.
    pub(super) error: String,
}

/// What a step was to the API.
pub(super) struct AtApi {
    pub(super) calls: Vec<ApiCall>,
    pub(super) requests: u64,
    /// Requests that were answered 429.
    pub(super) http_429: u64,
}

/// What a scenario showed.
pub(crate) struct Shown {
    /// For people.
    pub(crate) table: String,
    /// The same for programs.
    pub(crate) report: Value,
    /// What must never happen and did, in words.
    pub(crate) broken_promises: Vec<String>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(stack: &'a Stack, limit: u32, latency_ms: u64) -> Self {
        Self { stack, sfn: Client::new(stack.sdk()), limit, latency_ms }
    }

    /// Creates a machine of `state-machines/examples`, filled in as a team fills it in. `caller` is a
    /// caller's function, for a machine that goes straight to the API.
    pub(super) async fn example(&self, name: &str, caller: &str) -> anyhow::Result<String> {
        let file = repository().join(format!("state-machines/examples/{name}.asl.json"));
        let outputs = self.stack.outputs();
        let grace = outputs.grace_seconds.as_deref().context("a new stack has a grace")?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .replace("${CallerArn}", caller)
            .replace("${EnqueuerArn}", &outputs.enqueuer_function_name)
            .replace("${DefaultDeadlineSeconds}", "21600")
            .replace("${GraceSeconds}", grace);
        let machine = self
            .sfn
            .create_state_machine()
            .name(name)
            .definition(text)
            .role_arn("arn:aws:iam::000000000000:role/demo")
            .send()
            .await
            .with_context(|| format!("the local AWS does not take the machine {name}"))?;
        Ok(machine.state_machine_arn)
    }

    /// S3 with a new bucket of this name.
    pub(super) async fn s3(&self, bucket: &str) -> anyhow::Result<aws_sdk_s3::Client> {
        let config = aws_sdk_s3::config::Builder::from(self.stack.sdk()).force_path_style(true);
        let s3 = aws_sdk_s3::Client::from_conf(config.build());
        s3.create_bucket().bucket(bucket).send().await.context("the local AWS makes no bucket")?;
        Ok(s3)
    }

    /// Starts an execution for each input, named after its key.
    pub(super) async fn start_all(
        &self,
        machine: &str,
        inputs: &[(String, Value)],
    ) -> anyhow::Result<()> {
        stream::iter(inputs)
            .map(async |(name, input)| {
                let started = self.sfn.start_execution().state_machine_arn(machine).name(name);
                started.input(input.to_string()).send().await.map(drop)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
            .context("the local AWS does not start an execution")
    }

    /// Waits until no execution of the machine runs, and answers how each ended, by name.
    pub(super) async fn ends(&self, machine: &str) -> anyhow::Result<BTreeMap<String, Ended>> {
        let start = Instant::now();
        let running = || self.list(machine, Some(ExecutionStatus::Running));
        while let left = running().await?.len()
            && left > 0
        {
            ensure!(start.elapsed() < TIMEOUT, "{left} executions of {machine} did not end");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let all = self.list(machine, None).await?;
        stream::iter(all)
            .map(async |(name, arn)| Ok((name, self.describe(&arn).await?.context("it ended")?)))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn list(
        &self,
        machine: &str,
        status: Option<ExecutionStatus>,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let items = self.sfn.list_executions().state_machine_arn(machine).set_status_filter(status);
        let items = items.into_paginator().items().send();
        let items: Vec<_> =
            items.try_collect().await.context("the local AWS lists no executions")?;
        Ok(items.into_iter().map(|item| (item.name, item.execution_arn)).collect())
    }

    /// Starts one execution and waits for its end.
    pub(super) async fn execute(&self, machine: &str, input: &Value) -> anyhow::Result<Ended> {
        let started = self.sfn.start_execution().state_machine_arn(machine);
        let started = started.input(input.to_string()).send().await?;
        let start = Instant::now();
        loop {
            if let Some(ended) = self.describe(&started.execution_arn).await? {
                return Ok(ended);
            }
            ensure!(start.elapsed() < TIMEOUT, "an execution of {machine} did not end");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn describe(&self, arn: &str) -> anyhow::Result<Option<Ended>> {
        let execution = self.sfn.describe_execution().execution_arn(arn).send().await?;
        if execution.status == ExecutionStatus::Running {
            return Ok(None);
        }
        let output = execution.output.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Some(Ended {
            succeeded: execution.status == ExecutionStatus::Succeeded,
            output: output.unwrap_or_default(),
            error: execution.error.unwrap_or_default(),
        }))
    }

    /// Runs a step that makes so many calls, and shows how far it is. Answers what came of it, and what
    /// it was to the API.
    pub(super) async fn measured<T>(
        &self,
        what: &str,
        calls: usize,
        step: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, AtApi)> {
        let sandbox = self.stack.sandbox();
        let (so_far, before) = (sandbox.report().await?.calls.len(), sandbox.stats().await?);
        let done = |seen: &SandboxReport| seen.calls.len() - so_far;
        let result = self.with_progress(what, calls, done, step).await?;
        let after = sandbox.stats().await?;
        let at_api = AtApi {
            calls: sandbox.report().await?.calls.split_off(so_far),
            requests: after.requests - before.requests,
            http_429: after.http_429 - before.http_429,
        };
        Ok((result, at_api))
    }

    /// Shows how far a step is, until it is done: a bar on a terminal, a line a second elsewhere.
    pub(super) async fn with_progress<T>(
        &self,
        what: &str,
        total: usize,
        done: impl Fn(&SandboxReport) -> usize,
        step: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            result = step => result,
            never = self.watch(what, total, done) => match never {},
        }
    }

    async fn watch(
        &self,
        what: &str,
        total: usize,
        done: impl Fn(&SandboxReport) -> usize,
    ) -> Infallible {
        let bar = bar(what, total);
        let start = Instant::now();
        let mut last = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let sandbox = self.stack.sandbox();
            // A question without an answer is asked again a second later.
            let (Ok(report), Ok(stats)) = (sandbox.report().await, sandbox.stats().await) else {
                continue;
            };
            let done = done(&report).min(total);
            let at_api = format!(
                "{} of {} slots in use, {} answered 429",
                stats.in_flight, self.limit, stats.http_429
            );
            bar.set_position(done as u64);
            bar.set_message(at_api.clone());
            let line = format!("{done} of {total} | {at_api}");
            if bar.is_hidden() && line != last {
                eprintln!("{:>6.1} s | {what} | {line}", start.elapsed().as_secs_f64());
                last = line;
            }
        }
    }
}

/// Cleared when it is dropped.
fn bar(what: &str, total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos:>5}/{len} {msg}");
    ProgressBar::new(total as u64)
        .with_prefix(what.to_owned())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A sales order, good or without the customer that NetSuite asks for.
pub(super) fn order(key: &str, priority: &str, is_good: bool) -> Value {
    let mut body = json!({ "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] } });
    if is_good {
        body["entity"] = json!({ "id": "7" });
    }
    json!({
        "priority": priority,
        "idempotency_key": key,
        "request": {
            "method": "PUT",
            "resource": format!("salesOrder/eid:{key}?replace=item"),
            "body": body,
        },
    })
}

/// The repository that this program was built from.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
