//! moto's CloudFormation as a second opinion: others wrote it, after AWS's documentation, and it
//! carries out the template without any help of ours. Where it is known not to do as AWS does, its
//! answer is stated here too, so that a release of moto which does so is noticed:
//!
//! | moto | so |
//! |---|---|
//! | plans each resource of the template, also those whose condition does not hold | what is made is compared |
//! | hands out no outputs after a change set | an `UpdateStack` makes it look |
//! | compares parameters as they are given, without defaults, to tell whether there is a change | all are given |
//! | plans nothing where only a parameter has changed | what becomes of the resource is compared, and a changed template is planned too |
//! | tells no values in its plan, and not whether a resource is replaced | the recorded answers of AWS do (`deployer/src/stack/changes`) |
//! | leaves a queue's redrive policy as it was created | that is looked at |
//! | deletes what the template retains | nothing is left of a stack that is destroyed |
//! | sets no time to live, and tells an empty list of subnets as `['']` | neither is looked at |
//!
//! `cargo xtask test` installs it, pinned and hashed (`tests/moto`).

use super::{changed, plan, template, write_lambdas};
use anyhow::{Context as _, ensure};
use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_yaml_ng::Value;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::stack::changes::Effect;
use slowlane_deployer::stack::{Changes, Description, Stack};
use slowlane_deployer::{DeployError, Deployer, Endpoint, Files, Outputs, Plan, Progress, outputs};
use slowlane_local::ProcessGroup;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "../../../vendor-sandbox/tests/foreign/installed.rs"]
mod installed;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A moto server, until it is dropped, and a deployer that takes it for AWS.
struct Moto {
    _process: ProcessGroup,
    directory: tempfile::TempDir,
    deployer: Deployer,
    defaults: Vec<(String, String)>,
}

impl Moto {
    /// Nothing if it is not installed, which the test's output says.
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(python) = installed::installed("SLOWLANE_MOTO_PYTHON")? else { return Ok(None) };
        let directory = tempfile::tempdir()?;
        write_lambdas(directory.path())?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()]);
        let log = directory.path().join("moto.log");
        let mut process = ProcessGroup::spawn(&mut command, &log, None)?;
        // By this name it finds the bucket of a template's address in the path.
        let url = format!("http://localhost:{port}");
        let start = Instant::now();
        while reqwest::get(format!("{url}/moto-api/")).await.is_err() {
            ensure!(process.exited()?.is_none(), "moto has ended: {}", process.log_tail());
            ensure!(
                start.elapsed() < READY_TIMEOUT,
                "moto does not listen: {}",
                process.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
        let deployer = Deployer::new(Endpoint::Local { url }).await;
        Ok(Some(Self { _process: process, directory, deployer, defaults: defaults()? }))
    }

    fn plan(&self) -> Plan {
        let mut plan = plan(self.directory.path());
        for (name, default) in &self.defaults {
            plan.parameters.entry(name.clone()).or_insert_with(|| default.clone());
        }
        plan
    }

    async fn described(&self) -> anyhow::Result<Description> {
        Ok(Stack::new(self.deployer.config(), "trial", POLL).describe().await?)
    }

    async fn planned(&self, plan: &Plan) -> anyhow::Result<Option<Changes>> {
        let prepared = self.deployer.prepare(plan, &Progress::hidden()).await?;
        let changes = prepared.changes().cloned();
        prepared.discard().await?;
        Ok(changes)
    }

    /// The stack `trial`, from a change set of the real template.
    async fn create(&self) -> anyhow::Result<Outputs> {
        // An UpdateStack must change something.
        let first = self.plan().parameter("MaxAttempts", 3);
        let created = self.deployer.deploy(&first, &Progress::hidden()).await;
        let Err(DeployError::Local(error)) = created else {
            anyhow::bail!("it hands out outputs now: {created:?}");
        };
        ensure!(error.to_string().contains("no WorkerFunctionName"), "{error}");
        self.update_stack().await?;
        Ok(self.deployer.deployed("trial").await?.outputs)
    }

    /// Makes the stack what the plan says, and makes it look at the template's outputs.
    async fn update_stack(&self) -> anyhow::Result<()> {
        let mut parameters = self.described().await?.parameters;
        parameters.extend(self.plan().parameters);
        let parameters = parameters.iter().map(|(name, value)| {
            Parameter::builder().parameter_key(name).parameter_value(value).build()
        });
        aws_sdk_cloudformation::Client::new(self.deployer.config())
            .update_stack()
            .stack_name("trial")
            .use_previous_template(true)
            .set_parameters(Some(parameters.collect()))
            .capabilities(Capability::CapabilityIam)
            .send()
            .await?;
        Ok(())
    }

    /// The concurrency that the worker reserves, and the greatest of its mapping.
    async fn concurrency(&self, worker: &str) -> anyhow::Result<(Option<i32>, Option<i32>)> {
        let lambda = aws_sdk_lambda::Client::new(self.deployer.config());
        let reserved = lambda.get_function_concurrency().function_name(worker).send().await?;
        let mappings = lambda.list_event_source_mappings().function_name(worker).send().await?;
        let [mapping] = mappings.event_source_mappings() else {
            anyhow::bail!("{mappings:?}");
        };
        let greatest = mapping.scaling_config().and_then(|scaling| scaling.maximum_concurrency());
        Ok((reserved.reserved_concurrent_executions(), greatest))
    }
}

/// The template's parameters that have a default, with it.
fn defaults() -> anyhow::Result<Vec<(String, String)>> {
    let template = template("template")?;
    let parameters = template["Parameters"].as_mapping().context("parameters")?.iter();
    let default = |(name, parameter): (&Value, &Value)| {
        let default = &parameter["Default"];
        let text = default.as_str().map(str::to_owned);
        let text = text.or_else(|| default.as_u64().map(|number| number.to_string()))?;
        Some((name.as_str()?.to_owned(), text))
    };
    Ok(parameters.filter_map(default).collect())
}

/// The names of the resources with this effect.
fn names(changes: &Changes, effect: Effect) -> BTreeSet<&str> {
    let with_it = changes.resources.iter().filter(|change| change.effect == effect);
    with_it.map(|change| change.logical_id.as_str()).collect()
}

#[tokio::test]
async fn a_plan_of_a_new_stack_names_all_of_it_and_leaves_nothing() -> anyhow::Result<()> {
    let Some(moto) = Moto::start().await? else { return Ok(()) };
    let planned = moto.planned(&moto.plan()).await?.context("a new stack is a change")?;
    assert!(planned.creates, "{planned}");
    let added = names(&planned, Effect::Added);
    assert_eq!(added.len(), planned.resources.len(), "{planned}");
    for expected in ["HighQueue", "IdempotencyTable", "WorkerFunction", "DoorbellMapping"] {
        assert!(added.contains(expected), "{expected}: {planned}");
    }
    assert!(added.contains("HighMapping"), "it looks at conditions now: {planned}");

    let gone = moto.deployer.deployed("trial").await;
    assert!(matches!(gone, Err(outputs::Error::NoStack { .. })), "{gone:?}");
    Ok(())
}

/// What the template says is what another's CloudFormation makes of it, and nothing has to be set by
/// API afterwards, as it must on the local AWS.
#[tokio::test]
async fn a_change_set_makes_what_the_template_says() -> anyhow::Result<()> {
    let Some(moto) = Moto::start().await? else { return Ok(()) };
    let outputs = moto.create().await?;
    let resources = moto.described().await?.resources;
    for (output, resource) in [
        (&outputs.high_queue_url, "HighQueue"),
        (&outputs.normal_queue_url, "NormalQueue"),
        (&outputs.batch_queue_url, "BatchQueue"),
        (&outputs.dead_letter_queue_url, "DeadLetterQueue"),
        (&outputs.idempotency_table_name, "IdempotencyTable"),
        (&outputs.worker_function_name, "WorkerFunction"),
        (&outputs.enqueuer_function_name, "EnqueuerFunction"),
        (&outputs.throttled_call_arn, "ThrottledCall"),
        (&outputs.sales_order_sync_arn, "SalesOrderSync"),
    ] {
        assert_eq!(resources.get(resource), Some(output), "{resource}");
    }
    assert_eq!(outputs.doorbell_queue_url.as_ref(), resources.get("DoorbellQueue"));
    assert_eq!(outputs.grace_seconds.as_deref(), Some("270"));
    assert!(!resources.contains_key("HighMapping"), "{resources:?}");

    assert_eq!(moto.concurrency(&outputs.worker_function_name).await?, (Some(5), Some(5)));
    let sqs = aws_sdk_sqs::Client::new(moto.deployer.config());
    let asked = sqs.get_queue_attributes().queue_url(&outputs.high_queue_url);
    let queue = asked.attribute_names(QueueAttributeName::All).send().await?;
    let attribute = |name| queue.attributes()?.get(&name).map(String::as_str);
    assert_eq!(attribute(QueueAttributeName::VisibilityTimeout), Some("90"));
    assert_eq!(attribute(QueueAttributeName::SqsManagedSseEnabled), Some("true"));
    let redrive = attribute(QueueAttributeName::RedrivePolicy).unwrap_or_default();
    let redrive: serde_json::Value = serde_json::from_str(redrive)?;
    assert_eq!(redrive["maxReceiveCount"], 435, "for three attempts, as it was created");
    Ok(())
}

#[tokio::test]
async fn a_stack_is_left_alone_changed_and_deleted() -> anyhow::Result<()> {
    let Some(moto) = Moto::start().await? else { return Ok(()) };
    let progress = Progress::hidden();
    let outputs = moto.create().await?;
    // It says so as AWS does, by a change set that has failed; the local AWS refuses to make one.
    assert_eq!(moto.planned(&moto.plan()).await?, None);
    assert_eq!(moto.deployer.deploy(&moto.plan(), &progress).await?, outputs);

    let lowered = moto.plan().parameter("ApiConcurrency", 3);
    let planned = moto.planned(&lowered).await?.context("a parameter has changed")?;
    assert!(planned.to_string().contains("\n  ApiConcurrency: 5 -> 3\n"), "{planned}");
    assert!(planned.resources.is_empty(), "it plans parameters now: {planned}");
    assert_eq!(moto.deployer.deploy(&lowered, &progress).await?, outputs);
    assert_eq!(moto.concurrency(&outputs.worker_function_name).await?, (Some(3), Some(3)));

    let left = moto.deployer.destroy("trial", Data::Delete, &progress).await?;
    assert_eq!(left, Some(Vec::new()));
    let gone = moto.deployer.deployed("trial").await;
    assert!(matches!(gone, Err(outputs::Error::NoStack { .. })), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_changed_template_is_planned_and_no_table_is_taken_out_unasked() -> anyhow::Result<()> {
    let Some(moto) = Moto::start().await? else { return Ok(()) };
    let outputs = moto.create().await?;
    let with = |template: PathBuf| Plan { files: Files::Repository(template), ..moto.plan() };
    let larger = |template: String| template.replace("MemorySize: 256", "MemorySize: 512");
    let planned =
        moto.planned(&with(changed(moto.directory.path().join("larger"), larger)?)).await?;
    let planned = planned.context("the template has changed")?;
    let functions = BTreeSet::from(["EnqueuerFunction", "WorkerFunction"]);
    assert_eq!(names(&planned, Effect::Changed), functions, "{planned}");
    assert_eq!(planned.resources.len(), functions.len(), "{planned}");

    let renamed = |template: String| {
        let template = template.replace("IdempotencyTable", "OtherTable");
        template.replace("OtherTableName", "IdempotencyTableName")
    };
    let renamed = with(changed(moto.directory.path().join("renamed"), renamed)?);
    let refused = moto.deployer.deploy(&renamed, &Progress::hidden()).await;
    let Err(DeployError::Replaces(at_risk)) = refused else { anyhow::bail!("{refused:?}") };
    let at_risk: Vec<_> = at_risk.iter().map(|change| change.logical_id.as_str()).collect();
    assert_eq!(at_risk, ["IdempotencyTable"]);
    assert_eq!(moto.deployer.deployed("trial").await?.outputs, outputs);
    Ok(())
}
