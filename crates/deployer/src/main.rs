//! The deployer's command line. `cargo xtask deploy`, `destroy` and `unresolved` call it.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use slowlane_deployer::unresolved::{self, CallName};
use slowlane_deployer::{Deployer, Endpoint, Outputs, Plan, Progress, Unresolved};
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
    /// Calls that may have been executed, and of which nobody knows
    ///
    /// A workflow that failed with Slowlane.NeedsPerson has its call here. Look at the API, then
    /// say what is there by `resolve`, and start the workflow anew.
    #[command(subcommand)]
    Unresolved(UnresolvedCommand),
}

#[derive(Subcommand)]
enum UnresolvedCommand {
    /// List them, the oldest first
    ///
    /// NEEDS_PERSON: the worker has found out what it could, and waits for you. UNKNOWN (its
    /// answer was lost) and DISPATCHED (its worker did not come back): a worker asks the API when
    /// the call is handed out again; if its workflow has ended, decide it here. Reads the whole
    /// table.
    List {
        #[command(flatten)]
        target: Target,
        /// The most calls to list
        #[arg(long, default_value_t = 100)]
        most: usize,
        /// Print JSON: [{key, scope, state, since, why, payload_sha256, attempt}]
        #[arg(long)]
        json: bool,
    },
    /// Say whether the API has executed a call
    ///
    /// With --done the answer is stored, and a new run of the workflow gets it without a call.
    /// With --not-done a new run makes the call. It must be the same request under the same key.
    Resolve {
        #[command(flatten)]
        target: Target,
        /// The call's idempotency key
        key: String,
        /// Its tenant, if it has one
        #[arg(long, default_value = unresolved::DEFAULT_SCOPE)]
        scope: String,
        #[command(flatten)]
        decision: Decision,
        /// With --done: the id of the record that the API has for it
        #[arg(long, conflicts_with = "not_done")]
        id: Option<String>,
        /// With --done: the HTTP status that the answer would have had
        #[arg(long, default_value_t = 204, conflicts_with = "not_done")]
        status: u16,
        /// With --done: the body that the answer would have had
        #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "not_done")]
        body: Option<serde_json::Value>,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Decision {
    /// The API has executed it
    #[arg(long)]
    done: bool,
    /// The API has not executed it, and will not
    #[arg(long)]
    not_done: bool,
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

    async fn unresolved(&self) -> anyhow::Result<Unresolved> {
        let deployer = Deployer::new(self.endpoint()).await;
        let outputs = deployer.outputs(&self.stack).await.context("reading the stack's outputs")?;
        Ok(Unresolved::new(deployer.config(), &outputs.idempotency_table_name))
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

fn json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
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
        Command::Unresolved(command) => run_unresolved(command).await?,
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the list is the command's result")]
async fn run_unresolved(command: UnresolvedCommand) -> anyhow::Result<()> {
    match command {
        UnresolvedCommand::List { target, most, json } => {
            let records = target.unresolved().await?.list(most).await?;
            if json {
                println!("{:#}", unresolved::as_json(&records));
            } else if records.is_empty() {
                eprintln!("no call is unresolved");
            } else {
                println!("{}", unresolved::table(&records));
            }
            if records.len() == most {
                eprintln!("there may be more than {most}: see --most");
            }
        }
        UnresolvedCommand::Resolve { target, key, scope, decision, id, status, body } => {
            let call = CallName::new(&scope, &key)?;
            let calls = target.unresolved().await?;
            if decision.done {
                calls.done(&call, status, id.as_deref(), body.as_ref()).await?;
                eprintln!("{key} is done: a new run of its workflow gets the stored answer");
            } else {
                calls.not_done(&call).await?;
                eprintln!("{key} is not done: a new run of its workflow makes the call");
            }
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
