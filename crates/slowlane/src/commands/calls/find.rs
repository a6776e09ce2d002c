use crate::exit::Ended;
use crate::output::{print, print_json};
use crate::place::Place;
use clap::Args;
use slowlane_deployer::unresolved::CallName;
use slowlane_deployer::whereabouts::{self, Whereabouts};
use slowlane_message::QueuedCall;
use std::time::Duration;

/// Find a call by its idempotency key or its execution: where it is, and what happened to it
///
/// Its record in the guard, its dead letters, its lines in the Lambdas' logs and its workflow, as
/// far as a line names it. SQS cannot be asked for one message: that a call still waits is known
/// only from its log. A log line names no tenant, so the lines of other tenants' calls with the same
/// key are shown too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane calls find order-123
  slowlane calls find order-123 --scope acme --hours 72 --json
  slowlane calls find arn:aws:states:eu-central-1:123456789012:execution:throttled-call:order-123")]
pub(crate) struct Find {
    #[command(flatten)]
    place: Place,
    /// The call's idempotency key, or the ARN of the execution that waits for it
    #[arg(value_name = "KEY|EXECUTION")]
    call: String,
    /// Its tenant, if it has one
    #[arg(long, default_value = QueuedCall::DEFAULT_SCOPE)]
    scope: String,
    /// Of how many hours the logs are read
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// Print JSON: {key, now, record, dead_letters, log, execution, not_answered}; of an execution
    /// a list of these
    #[arg(long)]
    json: bool,
}

impl Find {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (deployer, deployed) = self.place.deployed().await?;
        let (config, window) = (deployer.config(), Duration::from_secs(self.hours * 3600));
        if !is_execution(&self.call) {
            let name = CallName::new(&self.scope, &self.call)?;
            let call = Whereabouts::of(config, &deployed, &name, window).await;
            if self.json {
                print_json(&call.as_json());
            } else {
                print(call.table());
            }
            return match call.is_known() {
                true => Ok(()),
                false => Err(nothing_known(&format!("the call {}", self.call))),
            };
        }
        let keys = whereabouts::keys_of_execution(config, &deployed, &self.call, window).await?;
        if keys.is_empty() {
            return Err(nothing_known(&format!(
                "a call of {}; a call is logged under the execution that waits for it, which may be \
                 a child of the one you look at; look at --hours too",
                self.call
            )));
        }
        let mut calls = Vec::new();
        for key in keys {
            let name = CallName::new(&self.scope, &key)?;
            calls.push(Whereabouts::of(config, &deployed, &name, window).await);
        }
        if self.json {
            print_json(&calls.iter().map(Whereabouts::as_json).collect());
        } else {
            let tables: Vec<_> = calls.iter().map(Whereabouts::table).collect();
            print(tables.join("\n\n"));
        }
        Ok(())
    }
}

fn is_execution(text: &str) -> bool {
    text.starts_with("arn:") && text.contains(":states:")
}

fn nothing_known(what: &str) -> anyhow::Error {
    Ended::NotThere(format!("nothing is known of {what}")).into()
}
