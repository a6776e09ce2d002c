use crate::exit::Ended;
use crate::output::{print, print_json};
use crate::place::Place;
use clap::Args;
use slowlane_deployer::unresolved::CallName;
use slowlane_deployer::why::Why;
use slowlane_message::QueuedCall;
use std::time::Duration;

/// Why does a call wait? For a slot, for those before it, or for something to be put right
///
/// How long it may still take is told from how many calls may be made before it, and how many have
/// ended in the last minutes. The limits count too: when a rate's next moment is free, and what is
/// left of a quota. It is an estimate: SQS keeps no strict order of the calls on one queue, and a
/// lower call has a turn now and then.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane why order-123
  slowlane why order-123 --scope acme --json | jq .estimate_secs")]
pub(crate) struct AskWhy {
    #[command(flatten)]
    place: Place,
    /// The call's idempotency key
    key: String,
    /// Its tenant, if it has one
    #[arg(long, default_value = QueuedCall::DEFAULT_SCOPE)]
    scope: String,
    /// Of how many hours the logs are searched for the call
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// From how many minutes the pace is told
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Print JSON: {key, now, waits, because, ahead, not_before, estimate_secs, not_answered}
    #[arg(long)]
    json: bool,
}

impl AskWhy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = CallName::new(&self.scope, &self.key)?;
        let (deployer, deployed) = self.place.deployed().await?;
        let window = Duration::from_secs(self.hours * 3600);
        let pace = Duration::from_secs(self.minutes * 60);
        let (why, call) = Why::of(deployer.config(), &deployed, &name, window, pace).await;
        if self.json {
            print_json(&serde_json::to_value(&why)?);
        } else {
            print(&why);
        }
        if !call.is_known() {
            return Err(
                Ended::NotThere(format!("nothing is known of the call {}", self.key)).into()
            );
        }
        Ok(())
    }
}
