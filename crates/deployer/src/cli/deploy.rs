use super::{Target, print};
use anyhow::ensure;
use clap::Args;
use slowlane_deployer::{Outputs, Plan, Progress};
use std::io::{BufRead, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// Create the stack, or change it to what the template and the parameters say
///
/// It shows what would be added, changed, replaced and removed, and asks before it does it. A change
/// that fails is rolled back by CloudFormation; deploy again when its cause is gone. A deploy that is
/// interrupted goes on at CloudFormation: wait for its end, and deploy again.
#[derive(Args)]
#[command(after_help = "\
Examples: a limit of 5, with the credentials of a profile; what a higher one would change
  cargo xtask deploy --profile prod -p NetSuiteAccountId=1234567 -p ApiConcurrency=5
  cargo xtask deploy --profile prod -p ApiConcurrency=10 --plan")]
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
    /// A tag for the stack and all that is in it, as often as needed
    ///
    /// Those that the stack has stay. application=slowlane is always one.
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = name_and_value)]
    tags: Vec<(String, String)>,
    /// Only show what would be done
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do it even if queues or tables are replaced or leave the stack
    ///
    /// What they hold is then no longer found by the stack, and is lost where the template does not
    /// keep it.
    #[arg(long)]
    allow_replacement: bool,
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
        plan.tags.extend(self.tags);
        plan.allow_replacement = self.allow_replacement;
        plan.artifact_bucket = self.artifact_bucket;
        plan.local_log_dir = self.local_logs;
        let deployer = self.target.deployer().await;
        let progress = Progress::stderr();
        let prepared = deployer.prepare(&plan, &progress).await?;
        if let Some(changes) = prepared.changes() {
            eprintln!("\n{changes}\n");
            if self.plan {
                return Ok(prepared.discard().await?);
            }
            let refused = !self.allow_replacement && !changes.data_at_risk().is_empty();
            if !refused && !self.yes {
                let stdin = std::io::stdin();
                let terminal = stdin.is_terminal() && std::io::stderr().is_terminal();
                if let Err(error) = ask(terminal, &mut stdin.lock()) {
                    prepared.discard().await?;
                    return Err(error);
                }
            }
        } else if self.plan {
            eprintln!("{}: nothing to change", self.target.stack);
            return Ok(());
        }
        print_outputs(&prepared.execute(&progress).await?);
        Ok(())
    }
}

impl ShowOutputs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        print_outputs(&self.target.deployed().await?.1.outputs);
        Ok(())
    }
}

/// Wants a "yes". Without somebody to say it nothing may be changed.
fn ask(terminal: bool, input: &mut impl BufRead) -> anyhow::Result<()> {
    ensure!(terminal, "nothing was changed: there is no terminal to ask at; give --yes");
    eprint!("do it? (yes) ");
    std::io::stderr().flush()?;
    let mut typed = String::new();
    input.read_line(&mut typed)?;
    ensure!(typed.trim() == "yes", "nothing was changed: that is not yes");
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_at_a_terminal_changes_anything() {
        ask(true, &mut "yes\n".as_bytes()).unwrap();
        for (terminal, typed) in [(true, ""), (true, "\n"), (true, "y\n"), (false, "yes\n")] {
            let told = ask(terminal, &mut typed.as_bytes()).unwrap_err().to_string();
            assert!(told.starts_with("nothing was changed"), "{typed:?}: {told}");
        }
    }
}
