use super::{Target, print};
use clap::Args;
use slowlane_deployer::{Outputs, Plan, Progress};
use std::path::PathBuf;

/// Create the stack, or change it to what the template and the parameters say
#[derive(Args)]
#[command(after_help = "\
Example: a limit of 5, with the credentials of a profile
  cargo xtask deploy --profile prod -p NetSuiteAccountId=1234567 -p ApiConcurrency=5")]
pub(crate) struct Deploy {
    #[command(flatten)]
    target: Target,
    /// A template parameter, as often as needed; infra/template.yaml describes them
    ///
    /// A parameter that is not given keeps its value; in a new stack it has its default.
    /// NetSuiteAccountId has none.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    parameters: Vec<(String, String)>,
    /// The repository: infra/template.yaml and state-machines/ are taken from it
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    /// The directory of the release binaries slowlane-enqueuer and slowlane-worker
    ///
    /// By `cargo xtask deploy` they are built, unless this is given.
    #[arg(long, default_value = "target/release")]
    lambdas: PathBuf,
    /// A bucket of this account for the Lambdas and the state machines
    ///
    /// Without it one is made, slowlane-artifacts-ACCOUNT-REGION.
    #[arg(long, value_name = "NAME")]
    artifact_bucket: Option<String>,
    /// On a local endpoint: the directory for what the Lambdas print; it is made if need be
    #[arg(long, value_name = "DIR")]
    local_logs: Option<PathBuf>,
}

/// Print the outputs of a deployed stack
#[derive(Args)]
pub(crate) struct ShowOutputs {
    #[command(flatten)]
    target: Target,
}

impl Deploy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut plan = Plan::new(&self.target.stack, &self.repository, &self.lambdas);
        plan.parameters.extend(self.parameters);
        plan.artifact_bucket = self.artifact_bucket;
        plan.local_log_dir = self.local_logs;
        let outputs = self.target.deployer().await.deploy(&plan, &Progress::stderr()).await?;
        print_outputs(&outputs);
        Ok(())
    }
}

impl ShowOutputs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        print_outputs(&self.target.deployed().await?.1.outputs);
        Ok(())
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

fn print_outputs(outputs: &Outputs) {
    for (name, value) in [
        ("SalesOrderSyncArn", Some(&outputs.sales_order_sync_arn)),
        ("ThrottledCallArn", Some(&outputs.throttled_call_arn)),
        ("HighQueueUrl", Some(&outputs.high_queue_url)),
        ("NormalQueueUrl", Some(&outputs.normal_queue_url)),
        ("BatchQueueUrl", Some(&outputs.batch_queue_url)),
        ("DoorbellQueueUrl", outputs.doorbell_queue_url.as_ref()),
        ("DeadLetterQueueUrl", Some(&outputs.dead_letter_queue_url)),
        ("IdempotencyTableName", Some(&outputs.idempotency_table_name)),
        ("WorkerFunctionName", Some(&outputs.worker_function_name)),
        ("EnqueuerFunctionName", Some(&outputs.enqueuer_function_name)),
    ] {
        if let Some(value) = value {
            print(format_args!("{name:<21} {value}"));
        }
    }
}
