use crate::output::{print, print_json};
use crate::place::Place;
use clap::Args;
use slowlane_deployer::status;
use std::time::Duration;

/// Show how many calls wait, what the slots do, and what holds them up
///
/// WAITING calls can be received now or after a delay; those AT WORK OR HIDDEN were received, and
/// run or are to be tried again. How long calls wait is told of those that were started in the last
/// minutes, from the worker's log. For the age of the oldest that still waits, look at CloudWatch's
/// metric ApproximateAgeOfOldestMessage of its queue. Unresolved calls are counted by reading the
/// table.
///
/// What was not answered, for want of a permission or because a local server lacks it, is named.
/// `--drift` needs what infra/permissions/deploy.json allows.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane status --stack slowlane --region eu-north-1
  slowlane status --stage prod --target crm --drift
  slowlane status --stack slowlane-demo --endpoint-url http://127.0.0.1:4566 --json")]
pub(crate) struct Status {
    #[command(flatten)]
    place: Place,
    /// Of how many minutes the log is read
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Look too at what was changed by hand since the last deploy, which takes a minute
    #[arg(long)]
    drift: bool,
    /// Print JSON: {stack, dispatch, limit, reserved_concurrency, shut, queues, rings,
    /// dead_letters, unresolved, mappings, recent, held_up_by, not_answered, drift}
    ///
    /// `drift` is {resources: [{logical_id, resource_type, physical_id, is_gone, differences:
    /// [{path, deployed, now}]}], incomplete}, or null.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (deployer, deployed) = self.place.deployed().await?;
        let window = Duration::from_secs(self.minutes * 60);
        let mut status = status::Status::of(deployer.config(), &deployed, window).await;
        if self.drift {
            status.drift(&deployer).await;
        }
        if self.json {
            print_json(&serde_json::to_value(&status)?);
        } else {
            print(status::table(&status));
        }
        Ok(())
    }
}
