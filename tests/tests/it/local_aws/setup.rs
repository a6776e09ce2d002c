//! A stack for each scenario, on the local AWS that the scenarios of a process share.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use aws_config::SdkConfig;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use serde_json::{Value, json};
use slowlane_deployer::{Deployer, Endpoint, Progress};
use slowlane_local::report::Observed;
use slowlane_local::run::{self, Execution, Item, Started};
use slowlane_local::{
    Dispatch, MiniStack, OnHigher, Report, Settings, Stack, Target, Tools, Workload, sandbox,
};
use slowlane_message::Priority;
use tokio::sync::OnceCell;

/// Never dropped, since it is static: its watchdog stops it when this process ends.
static MINISTACK: OnceCell<MiniStack> = OnceCell::const_new();

/// Longer than any scenario takes; a workflow that has not ended by then is stuck.
const TIMEOUT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(100);

/// A deployed stack, and what it was deployed with.
pub(crate) struct Scenario {
    name: String,
    pub(crate) stack: Stack,
    pub(crate) settings: Settings,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExecutionStatus,
    pub(crate) output: Value,
    pub(crate) error: String,
    pub(crate) cause: Value,
}

/// The API with a limit of 2 and calls of 50 ms, without faults, reached by the doorbell.
pub(crate) fn settings() -> Settings {
    Settings {
        sandbox: sandbox::Settings {
            limit: 2,
            rates: Vec::new(),
            latency_ms: 50,
            fault: None,
            open: false,
        },
        dispatch: Dispatch::Doorbell,
        on_higher: OnHigher::Swap,
        parameters: Vec::new(),
    }
}

impl Scenario {
    pub(crate) async fn deploy(name: &str, settings: Settings) -> anyhow::Result<Self> {
        let tools = Tools::from_env()?;
        let directory = empty_directory(name)?;
        let ministack = ministack(&tools, &directory).await?;
        let progress = Progress::hidden();
        let stack =
            Stack::deploy(ministack, &tools, name, &settings, &directory, &progress).await?;
        Ok(Self { name: name.to_owned(), stack, settings })
    }

    /// The same with another API than NetSuite.
    pub(crate) async fn deploy_target(name: &str, target: &Target) -> anyhow::Result<Self> {
        let tools = Tools::from_env()?;
        let directory = empty_directory(name)?;
        let ministack = ministack(&tools, &directory).await?;
        let progress = Progress::hidden();
        let stack =
            Stack::deploy_target(ministack, &tools, name, target, &directory, &progress).await?;
        Ok(Self { name: name.to_owned(), stack, settings: settings() })
    }

    /// The name of its stack.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs orders to their end and checks what must hold whatever happens.
    pub(crate) async fn run(
        &self,
        workload: &Workload,
    ) -> anyhow::Result<(Report, Vec<Execution>)> {
        let executions = run::run(&self.stack, workload, &Started::default()).await?;
        ensure!(self.stack.settle(TIMEOUT).await?, "messages were left in the queues");
        let report = self.report(&executions).await?;
        ensure!(report.broken_promises().is_empty(), "{:?}: {report:#?}", report.broken_promises());
        Ok((report, executions))
    }

    /// Makes these calls as BATCH, as fast as they are taken, and waits for their ends.
    pub(crate) async fn batch(
        &self,
        calls: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<Vec<Execution>> {
        let item = |mut call: Value| {
            call["priority"] = json!("BATCH");
            let name = call["idempotency_key"].as_str().context("a call has a key")?.to_owned();
            anyhow::Ok(Item { name, priority: Priority::Batch, input: call.to_string() })
        };
        let items = calls.into_iter().map(item).collect::<anyhow::Result<Vec<_>>>()?;
        let (machine, started) = (&self.stack.outputs().throttled_call_arn, Started::default());
        Ok(run::run_items(&self.stack, machine, &items, Duration::ZERO, &started).await?)
    }

    /// Waits until so many calls have reached the API.
    pub(crate) async fn made(&self, calls: u64) -> anyhow::Result<()> {
        let requests = async || anyhow::Ok(self.stack.sandbox().stats().await?.requests);
        wait_until(&format!("{calls} calls are made"), async || Ok(requests().await? >= calls))
            .await
    }

    pub(crate) async fn report(&self, executions: &[Execution]) -> anyhow::Result<Report> {
        Ok(Report::new(&Observed {
            dispatch: self.settings.dispatch,
            on_higher: self.settings.on_higher,
            limit: self.settings.sandbox.limit,
            latency_ms: self.settings.sandbox.latency_ms,
            executions,
            sandbox: &self.stack.sandbox().report().await?,
            worker: self.stack.worker_counts()?,
            dead_letters: self.dead_letters().await?,
            rate: None,
            outage: None,
        }))
    }

    pub(crate) async fn dead_letters(&self) -> anyhow::Result<u64> {
        Ok(self.stack.depth(&self.stack.outputs().dead_letter_queue_url).await?.total())
    }

    /// Creates a state machine of a workflow team's own.
    pub(crate) async fn machine(&self, name: &str, definition: &Value) -> anyhow::Result<String> {
        let machine = aws_sdk_sfn::Client::new(self.stack.sdk())
            .create_state_machine()
            .name(name)
            .definition(definition.to_string())
            .role_arn("arn:aws:iam::000000000000:role/own")
            .send()
            .await?;
        Ok(machine.state_machine_arn)
    }

    /// Starts one execution and waits for its end.
    pub(crate) async fn execute(&self, machine: &str, input: &Value) -> anyhow::Result<Ended> {
        self.end_of(&self.start(machine, input).await?).await
    }

    /// Starts one execution and answers its ARN.
    pub(crate) async fn start(&self, machine: &str, input: &Value) -> anyhow::Result<String> {
        let sfn = aws_sdk_sfn::Client::new(self.stack.sdk());
        let input = input.to_string();
        let started = sfn.start_execution().state_machine_arn(machine).input(input).send().await?;
        Ok(started.execution_arn)
    }

    /// What happened in an execution, a line for each state and each failure, for a snapshot.
    pub(crate) async fn history(&self, arn: &str) -> anyhow::Result<String> {
        let sfn = aws_sdk_sfn::Client::new(self.stack.sdk());
        let events = sfn.get_execution_history().execution_arn(arn).into_paginator().items();
        let events: Vec<_> = events.send().try_collect().await?;
        let lines: Vec<String> = events.iter().filter_map(history_line).collect();
        Ok(lines.join("\n"))
    }

    /// Waits for the end of an execution.
    pub(crate) async fn end_of(&self, arn: &str) -> anyhow::Result<Ended> {
        let sfn = aws_sdk_sfn::Client::new(self.stack.sdk());
        let start = Instant::now();
        loop {
            let execution = sfn.describe_execution().execution_arn(arn).send().await?;
            if execution.status != ExecutionStatus::Running {
                return Ok(Ended {
                    status: execution.status,
                    output: json_or_null(execution.output.as_deref()),
                    error: execution.error.unwrap_or_default(),
                    cause: json_or_null(execution.cause.as_deref()),
                });
            }
            if start.elapsed() >= TIMEOUT {
                let input = execution.input.unwrap_or_default();
                let log = self.log_of(&json_or_null(Some(&input))["idempotency_key"]);
                bail!("the execution with {input} did not end; the logs say of it:\n{log}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What enqueuer and worker have logged about a call.
    fn log_of(&self, key: &Value) -> String {
        let key = key.to_string();
        let logs = ["enqueuer.log", "worker.log"].map(|log| {
            std::fs::read_to_string(self.stack.directory().join(log)).unwrap_or_default()
        });
        let lines = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(&key));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Puts a message on a queue as somebody would by hand.
    pub(crate) async fn send(&self, queue_url: &str, body: &str) -> anyhow::Result<()> {
        let sqs = aws_sdk_sqs::Client::new(self.stack.sdk());
        sqs.send_message().queue_url(queue_url).message_body(body).send().await?;
        Ok(())
    }

    /// Waits for a message and takes it.
    pub(crate) async fn receive(
        &self,
        queue_url: &str,
    ) -> anyhow::Result<aws_sdk_sqs::types::Message> {
        let sqs = aws_sdk_sqs::Client::new(self.stack.sdk());
        let received = sqs
            .receive_message()
            .queue_url(queue_url)
            .wait_time_seconds(20)
            .message_attribute_names("All")
            .send()
            .await?;
        received.messages.unwrap_or_default().pop().context("no message came within 20 s")
    }
}

/// What a history's event says; nothing for one that only repeats another. Tokens, ids and times are left
/// out, since they differ from run to run.
fn history_line(event: &HistoryEvent) -> Option<String> {
    if let Some(entered) = event.state_entered_event_details() {
        let kind = event.r#type.as_str().trim_end_matches("StateEntered");
        return Some(format!("{} ({kind})", entered.name));
    }
    if let Some(failed) = event.task_failed_event_details() {
        return Some(format!("  fails with {}", failed.error().unwrap_or_default()));
    }
    if let Some(failed) = event.execution_failed_event_details() {
        let cause = json_or_null(failed.cause());
        let message = cause["message"].as_str().unwrap_or_default().to_owned();
        return Some(format!("FAILED {}: {message}", failed.error().unwrap_or_default()));
    }
    event.execution_succeeded_event_details().map(|_| "SUCCEEDED".to_owned())
}

/// The local AWS of this process, with nothing deployed for the caller.
pub(crate) async fn local_aws(name: &str) -> anyhow::Result<SdkConfig> {
    let ministack = ministack(&Tools::from_env()?, &empty_directory(name)?).await?;
    let endpoint = Endpoint::Local { url: ministack.endpoint().to_owned() };
    Ok(Deployer::new(endpoint).await.config().clone())
}

async fn ministack(tools: &Tools, directory: &Path) -> anyhow::Result<&'static MiniStack> {
    Ok(MINISTACK.get_or_try_init(|| MiniStack::start(&tools.python, directory)).await?)
}

/// A create, which can be found again by its external id and must not be made twice.
pub(crate) fn create(priority: &str, key: &str) -> Value {
    order(priority, key, &json!({ "method": "POST", "resource": "salesOrder" }))
}

/// A record of an API that takes any, which may be made again.
pub(crate) fn record(priority: &str, key: &str) -> Value {
    json!({
        "priority": priority,
        "idempotency_key": key,
        "request": { "method": "PUT", "resource": format!("orders/{key}"), "body": { "quantity": 1 } },
    })
}

/// The same as an upsert, which may be made again. The local AWS kills the workers of a function that is
/// changed, as AWS does not. Where that is at a bad moment, a create waits a quarter of an hour for what
/// NetSuite may still be at work on, and an upsert runs again.
pub(crate) fn upsert(priority: &str, key: &str) -> Value {
    let resource = format!("salesOrder/eid:{key}?replace=item");
    order(priority, key, &json!({ "method": "PUT", "resource": resource }))
}

fn order(priority: &str, key: &str, request: &Value) -> Value {
    let mut call = json!({ "priority": priority, "idempotency_key": key, "request": request });
    call["request"]["body"] = json!({
        "externalId": key,
        "entity": { "id": "7" },
        "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }] },
    });
    call
}

/// Waits until something has come about.
pub(crate) async fn wait_until(
    what: &str,
    is_so: impl AsyncFn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_so().await? {
        ensure!(start.elapsed() < TIMEOUT, "it did not come about that {what}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Milliseconds since 1970, as the sandbox reads them from the same machine's clock.
pub(crate) fn now_ms() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64
}

/// This repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A directory below `target/` for a scenario's logs; what an earlier run left in it is removed.
pub(crate) fn empty_directory(scenario: &str) -> anyhow::Result<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(scenario);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn json_or_null(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
