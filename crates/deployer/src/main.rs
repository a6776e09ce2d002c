//! The deployer's command line. `cargo xtask deploy` and `destroy` call it.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use slowlane_deployer::{Deployer, Endpoint, Outputs, Plan, Progress};
use std::path::PathBuf;

/// Deploys Slowlane to AWS, or to a server that speaks its API.
#[derive(Parser)]
#[command(name = "slowlane-deployer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create the stack, or change it to what the template and the parameters say
    Deploy {
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
        #[arg(long, default_value = "target/release")]
        lambdas: PathBuf,
        /// On a local endpoint: the directory for what the Lambdas print
        #[arg(long, value_name = "DIR")]
        local_logs: Option<PathBuf>,
    },
    /// Delete the stack (the artifact bucket stays)
    Destroy {
        #[command(flatten)]
        target: Target,
    },
    /// Print the outputs of a deployed stack
    Outputs {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Args)]
struct Target {
    /// The stack's name
    #[arg(long, default_value = "slowlane")]
    stack: String,
    /// A profile of ~/.aws/config
    #[arg(long, conflicts_with = "endpoint_url")]
    profile: Option<String>,
    /// An AWS region
    #[arg(long, conflicts_with = "endpoint_url")]
    region: Option<String>,
    /// A server to deploy to in place of AWS, such as http://127.0.0.1:4566
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl Target {
    fn endpoint(&self) -> Endpoint {
        match &self.endpoint_url {
            Some(url) => Endpoint::Local { url: url.clone() },
            None => Endpoint::Aws { profile: self.profile.clone(), region: self.region.clone() },
        }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let progress = Progress::stderr();
    match Cli::parse().command {
        Command::Deploy { target, parameters, repository, lambdas, local_logs } => {
            let mut plan = Plan::new(&target.stack, &repository, &lambdas);
            plan.parameters.extend(parameters);
            plan.local_log_dir = local_logs;
            let outputs = Deployer::new(target.endpoint()).await.deploy(&plan, &progress).await?;
            print(&outputs);
        }
        Command::Destroy { target } => {
            let existed =
                Deployer::new(target.endpoint()).await.destroy(&target.stack, &progress).await?;
            anyhow::ensure!(existed, "there is no stack {}", target.stack);
        }
        Command::Outputs { target } => {
            let outputs = Deployer::new(target.endpoint()).await.outputs(&target.stack).await;
            print(&outputs.context("reading the stack's outputs")?);
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the outputs are the command's result")]
fn print(outputs: &Outputs) {
    println!("SalesOrderSyncArn     {}", outputs.sales_order_sync_arn);
    println!("ThrottledCallArn      {}", outputs.throttled_call_arn);
    println!("HighQueueUrl          {}", outputs.high_queue_url);
    println!("NormalQueueUrl        {}", outputs.normal_queue_url);
    println!("BatchQueueUrl         {}", outputs.batch_queue_url);
    if let Some(url) = &outputs.doorbell_queue_url {
        println!("DoorbellQueueUrl      {url}");
    }
    println!("DeadLetterQueueUrl    {}", outputs.dead_letter_queue_url);
    println!("IdempotencyTableName  {}", outputs.idempotency_table_name);
    println!("WorkerFunctionName    {}", outputs.worker_function_name);
    println!("EnqueuerFunctionName  {}", outputs.enqueuer_function_name);
}
