use super::{Target, print};
use clap::Args;
use slowlane_deployer::unresolved::CallName;
use slowlane_deployer::whereabouts::Whereabouts;
use slowlane_message::QueuedCall;
use std::time::Duration;

/// Find one call by its idempotency key: where it is now, and what happened to it
///
/// Its record in the guard, its dead letters, its lines in the Lambdas' logs and its workflow, as
/// far as a line names it. SQS cannot be asked for one message: that a call still waits is known
/// only from its log. A log line names no tenant, so the lines of other tenants' calls with the same
/// key are shown too. Fails if nothing is known of the call.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask call order-123
  cargo xtask call order-123 --scope acme --hours 72 --json")]
pub(crate) struct Call {
    #[command(flatten)]
    target: Target,
    /// The call's idempotency key
    key: String,
    /// Its tenant, if it has one
    #[arg(long, default_value = QueuedCall::DEFAULT_SCOPE)]
    scope: String,
    /// Of how many hours the logs are read
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// Print JSON: {key, now, record, dead_letters, log, execution, not_answered}
    #[arg(long)]
    json: bool,
}

impl Call {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = CallName::new(&self.scope, &self.key)?;
        let (deployer, deployed) = self.target.deployed().await?;
        let window = Duration::from_secs(self.hours * 3600);
        let call = Whereabouts::of(deployer.config(), &deployed, &name, window).await;
        if self.json {
            print(format_args!("{:#}", call.as_json()));
        } else {
            print(call.table());
        }
        anyhow::ensure!(call.is_known(), "nothing is known of the call {}", self.key);
        Ok(())
    }
}
