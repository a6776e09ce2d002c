//! The command line and the library below it against the local AWS server, with Lambdas that are never invoked.
//!
//! Needs the Python environment that `cargo xtask test` makes.

mod dead_letters;
mod demo;
mod deploy;
mod destroy;
mod limits;
mod moto;
mod rights;
mod stages;
mod status;
mod transcripts;
mod unchanged;
mod unresolved;

use anyhow::Context as _;
use slowlane_deployer::{Deployer, Endpoint, Outputs, Plan, Progress};
use slowlane_idempotency::{
    Claim, Claimed, Dispatched, DynamoDbStore, Guard, Key, Request, Scope, Settings,
};
use slowlane_local::MiniStack;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Local {
    directory: tempfile::TempDir,
    // Ends when this is dropped.
    ministack: MiniStack,
    deployer: Deployer,
}

impl Local {
    async fn start() -> anyhow::Result<Self> {
        let python =
            std::env::var_os("SLOWLANE_PYTHON").context("run this by `cargo xtask test`")?;
        let directory = tempfile::tempdir()?;
        write_lambdas(directory.path())?;
        let ministack = MiniStack::start(Path::new(&python), directory.path()).await?;
        let endpoint = Endpoint::Local { url: ministack.endpoint().into() };
        let deployer = Deployer::new(endpoint).await;
        Ok(Self { directory, ministack, deployer })
    }

    /// The same with the stack `trial`.
    async fn deployed() -> anyhow::Result<(Self, Outputs)> {
        let local = Self::start().await?;
        let outputs = local.deployer.deploy(&local.plan(), &Progress::hidden()).await?;
        Ok((local, outputs))
    }

    fn plan(&self) -> Plan {
        plan(self.directory.path())
    }

    /// A copy of what is deployed of the repository, with a template that `change` has changed.
    fn changed(&self, change: impl Fn(String) -> String) -> anyhow::Result<PathBuf> {
        changed(self.directory.path().join("repository"), change)
    }

    /// Runs `slowlane` on a stack, with no terminal to ask at.
    fn run_on(&self, stack: &str, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        let endpoint = ["--stack", stack, "--endpoint-url", self.ministack.endpoint()];
        Ok(command.args(args).args(endpoint).stdin(Stdio::null()).output()?)
    }

    /// The same on the stack `trial`, for what must succeed: what it printed.
    fn told(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run_on("trial", args)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// And what it printed as JSON.
    fn told_json(&self, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        let told = self.told(&[args, &["--json"]].concat())?;
        serde_json::from_str(&told).with_context(|| told.clone())
    }

    /// For what must fail: what it said.
    fn refused(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.run_on("trial", args)?;
        anyhow::ensure!(!output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }

    fn store(&self, outputs: &Outputs) -> DynamoDbStore {
        let client = aws_sdk_dynamodb::Client::new(self.deployer.config());
        DynamoDbStore::new(client, &outputs.idempotency_table_name)
    }

    fn guard(&self, outputs: &Outputs) -> Guard<DynamoDbStore> {
        Guard::new(self.store(outputs), Settings::default())
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(self.deployer.config())
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn write_lambdas(directory: &Path) -> anyhow::Result<()> {
    for name in ["enqueuer", "worker", "caller", "front-door"] {
        let name = format!("slowlane-{name}");
        fs::write(directory.join(name), "#!/bin/sh\n")?;
    }
    Ok(())
}

/// A template of `infra`, as YAML.
fn template(name: &str) -> anyhow::Result<serde_yaml_ng::Value> {
    let text = fs::read_to_string(repository().join(format!("infra/{name}.yaml")))?;
    Ok(serde_yaml_ng::from_str(&text)?)
}

/// The stack `trial`, with the Lambdas of a directory.
fn plan(lambdas: &Path) -> Plan {
    Plan::new("trial", &repository(), lambdas).parameter("ApiProfile", "http")
}

/// A copy of what is deployed of the repository, with a template that `change` has changed.
fn changed(copy: PathBuf, change: impl Fn(String) -> String) -> anyhow::Result<PathBuf> {
    for folder in ["infra", "state-machines"] {
        fs::create_dir_all(copy.join(folder))?;
    }
    for name in ["throttled-call.asl.json", "sales-order-sync.asl.json"] {
        let machine = format!("state-machines/{name}");
        fs::copy(repository().join(&machine), copy.join(&machine))?;
    }
    let template = fs::read_to_string(repository().join("infra/template.yaml"))?;
    let changed = change(template.clone());
    assert_ne!(changed, template, "nothing was changed");
    fs::write(copy.join("infra/template.yaml"), changed)?;
    Ok(copy)
}

fn request(scope: &str, key: &str) -> anyhow::Result<Request> {
    Ok(Request::new(Scope::new(scope)?, Key::new(key)?, "the same request")?)
}

async fn claim(
    guard: &Guard<DynamoDbStore>,
    scope: &str,
    key: &str,
) -> anyhow::Result<Claim<DynamoDbStore>> {
    match guard.claim(&request(scope, key)?).await? {
        Claimed::Run(claim) => Ok(claim),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn dispatched(
    guard: &Guard<DynamoDbStore>,
    scope: &str,
    key: &str,
) -> anyhow::Result<Dispatched<DynamoDbStore>> {
    Ok(claim(guard, scope, key).await?.dispatched().await?)
}

/// The body of a queued call.
fn queued_call(key: &str, token: &str) -> serde_json::Value {
    serde_json::json!({
        "version": "1.1",
        "task_token": token,
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {"method": "PUT", "resource": format!("salesOrder/eid:{key}")},
        "enqueued_at": "2026-11-21T11:00:00.000Z",
        "deadline": "2126-11-21T11:00:00.000Z",
    })
}
