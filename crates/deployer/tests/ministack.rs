//! The deployer against the local AWS server, with Lambdas that are never invoked.
//!
//! Needs the Python environment that `cargo xtask test` makes.

use anyhow::Context as _;
use slowlane_deployer::stack::{self, FailedResource};
use slowlane_deployer::{DeployError, Deployer, Endpoint, Plan, Progress};
use slowlane_idempotency::{
    Claim, Claimed, Dispatched, DynamoDbStore, Guard, Key, Request, Scope, Settings,
};
use slowlane_local::MiniStack;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
        for name in ["slowlane-enqueuer", "slowlane-worker"] {
            std::fs::write(directory.path().join(name), "#!/bin/sh\n")?;
        }
        let ministack = MiniStack::start(Path::new(&python), directory.path()).await?;
        let endpoint = Endpoint::Local { url: ministack.endpoint().into() };
        let deployer = Deployer::new(endpoint).await;
        Ok(Self { directory, ministack, deployer })
    }

    fn plan(&self) -> Plan {
        Plan::new("trial", &repository(), self.directory.path())
            .parameter("NetSuiteAccountId", "1234567")
    }

    /// Runs `slowlane-deployer unresolved`.
    fn unresolved(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane-deployer"));
        let endpoint = ["--stack", "trial", "--endpoint-url", self.ministack.endpoint()];
        Ok(command.arg("unresolved").args(args).args(endpoint).output()?)
    }

    /// The same, for what must succeed: what it printed.
    fn told(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.unresolved(args)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// And for what must fail: what it said.
    fn refused(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.unresolved(args)?;
        anyhow::ensure!(!output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reserved concurrency of the worker, and the greatest concurrency of each of its mappings.
async fn concurrency(
    deployer: &Deployer,
    worker: &str,
) -> anyhow::Result<(Option<i32>, Vec<Option<i32>>)> {
    let lambda = aws_sdk_lambda::Client::new(deployer.config());
    let reserved = lambda.get_function_concurrency().function_name(worker).send().await?;
    let mappings = lambda.list_event_source_mappings().function_name(worker).send().await?;
    let limits = mappings
        .event_source_mappings()
        .iter()
        .map(|mapping| mapping.scaling_config()?.maximum_concurrency())
        .collect();
    Ok((reserved.reserved_concurrent_executions(), limits))
}

#[tokio::test]
async fn a_stack_is_created_left_alone_changed_and_deleted() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let progress = Progress::hidden();
    let one_slot = local.plan().parameter("ApiConcurrency", 1);
    let created = local.deployer.deploy(&one_slot, &progress).await?;
    let worker = created.worker_function_name.as_str();
    assert!(created.doorbell_queue_url.is_some());
    assert_eq!(concurrency(&local.deployer, worker).await?, (Some(1), vec![Some(2)]));
    let ttl = aws_sdk_dynamodb::Client::new(local.deployer.config())
        .describe_time_to_live()
        .table_name(&created.idempotency_table_name)
        .send()
        .await?;
    let attribute = ttl.time_to_live_description().and_then(|ttl| ttl.attribute_name());
    assert_eq!(attribute, Some("expires_at"));

    // The second time there is no change, which is no failure. What is not given keeps its value.
    let nothing_given = Plan::new("trial", &repository(), local.directory.path());
    assert_eq!(local.deployer.deploy(&nothing_given, &progress).await?, created);
    assert_eq!(concurrency(&local.deployer, worker).await?.0, Some(1));

    let deferral = local.plan().parameter("ApiConcurrency", 3).parameter("Dispatch", "deferral");
    let changed = local.deployer.deploy(&deferral, &progress).await?;
    assert_eq!(changed.doorbell_queue_url, None);
    assert_eq!(changed.high_queue_url, created.high_queue_url, "the queues keep their messages");
    assert_eq!(concurrency(&local.deployer, worker).await?, (Some(3), vec![None; 3]));
    assert_eq!(local.deployer.outputs("trial").await?, changed);

    assert!(local.deployer.destroy("trial", &progress).await?);
    assert!(!local.deployer.destroy("trial", &progress).await?, "it is gone");
    let gone = local.deployer.outputs("trial").await;
    assert!(matches!(gone, Err(DeployError::Stack(stack::Error::Missing(_)))), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_deploy_names_the_resource_and_can_be_repeated() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let progress = Progress::hidden();
    let template = std::fs::read_to_string(repository().join("infra/template.yaml"))?;
    let broken = local.directory.path().join("template.yaml");
    std::fs::write(&broken, template.replace("Key: !Ref ThrottledCallKey", "Key: nowhere"))?;
    let mut plan = local.plan();
    plan.template = broken;
    let error = local.deployer.deploy(&plan, &progress).await;
    let Err(DeployError::Stack(stack::Error::Failed(failed))) = error else {
        anyhow::bail!("{error:?}");
    };
    assert_eq!(failed.status, "ROLLBACK_COMPLETE");
    let [FailedResource { logical_id, reason, .. }] = &failed.resources[..] else {
        anyhow::bail!("{failed:?}");
    };
    assert_eq!(logical_id, "ThrottledCall");
    assert!(reason.contains("nowhere"), "{reason}");

    // CloudFormation only lets a stack that was rolled back be deleted.
    local.deployer.deploy(&local.plan(), &progress).await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_parameter_is_told_in_the_services_words() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let plan = local.plan().parameter("Dispatch", "bell");
    let error = local.deployer.deploy(&plan, &Progress::hidden()).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("Dispatch") && text.contains("bell"), "{text}");
    Ok(())
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

#[tokio::test]
async fn a_person_lists_and_decides_what_nobody_knows() -> anyhow::Result<()> {
    let local = Local::start().await?;
    let outputs = local.deployer.deploy(&local.plan(), &Progress::hidden()).await?;
    assert_eq!(local.told(&["list"])?, "");
    assert_eq!(local.told(&["list", "--json"])?, "[]\n");

    // Two calls of 2023, and one of this moment.
    let client = aws_sdk_dynamodb::Client::new(local.deployer.config());
    let store = DynamoDbStore::new(client, &outputs.idempotency_table_name);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let settings = Settings { clock: Arc::new(move || then), ..Settings::default() };
    let past = Guard::new(store.clone(), settings);
    let guard = Guard::new(store, Settings::default());
    dispatched(&past, "calls", "order-1").await?.needs_person("no answer, nobody to ask").await?;
    dispatched(&past, "acme", "order-2").await?.unknown("no answer").await?;
    dispatched(&guard, "calls", "order-3").await?.unknown("no answer just now").await?;
    claim(&guard, "calls", "order-4").await?;

    let table = local.told(&["list"])?;
    for text in ["order-1", "NEEDS_PERSON", "nobody to ask", "acme", "2023-11-14T22:13:20.000Z"] {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
    assert!(!table.contains("order-4"), "it is in progress:\n{table}");
    let listed: serde_json::Value = serde_json::from_str(&local.told(&["list", "--json"])?)?;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    assert_eq!(listed[2]["key"], "order-3", "the oldest come first: {listed}");
    assert_eq!(listed[2]["payload_sha256"], request("calls", "order-3")?.payload().to_string());

    // It is there: a new run gets the answer. It is not: a new run makes the call.
    let body = r#"{"lines":2}"#;
    local.told(&["resolve", "order-1", "--done", "--id", "1001", "--body", body])?;
    let Claimed::Replay(answer) = guard.claim(&request("calls", "order-1")?).await? else {
        anyhow::bail!("the answer is not given again");
    };
    assert_eq!(answer, serde_json::json!({ "status": 204, "id": "1001", "body": { "lines": 2 } }));
    local.told(&["resolve", "order-2", "--scope", "acme", "--not-done"])?;
    assert_eq!(claim(&guard, "acme", "order-2").await?.attempt(), 2);

    for (args, why) in [
        (
            &["resolve", "order-1", "--not-done"][..],
            "nothing to decide: calls#order-1 is COMPLETED",
        ),
        (&["resolve", "order-4", "--done"][..], "nothing to decide: calls#order-4 is CLAIMED"),
        (&["resolve", "order-5", "--done"][..], "no call \"order-5\" in the scope \"calls\""),
        (&["resolve", "order-3", "--not-done"][..], "may still execute it until"),
        (&["resolve", "order-3"][..], "--done"),
        (&["resolve", "order-3", "--done", "--not-done"][..], "cannot be used with"),
        (&["resolve", "order-3", "--not-done", "--id", "1"][..], "cannot be used with"),
        (&["resolve", "order-3", "--done", "--body", "{"][..], "--body"),
    ] {
        let told = local.refused(args)?;
        assert!(told.contains(why), "{args:?}: {told}");
    }
    Ok(())
}
