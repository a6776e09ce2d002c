use super::steer;
use crate::output::{print, print_json};
use crate::place::Place;
use clap::{Args, Subcommand};

/// Look at a deployment's limit
///
/// Its control record says whether calls are made, how many at once, and who has changed that.
#[derive(Args)]
pub(crate) struct Limits {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
}

/// Show whether calls are made and how many at once, and who changed that, when and why
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane limits show --stage prod --target crm
  slowlane limits show --json | jq -r .mode")]
struct Show {
    #[command(flatten)]
    place: Place,
    /// Print JSON: {limit, mode, until, who, why, concurrency, changes: [{at, who, why, change}]};
    /// `mode` is run, paused or draining
    #[arg(long)]
    json: bool,
}

impl Limits {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Show(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let (_, limit) = steer::limit(&self.place).await?;
        let standing = limit.standing().await?;
        match self.json {
            true => print_json(&standing.as_json()),
            false => print(standing.as_text()),
        }
        Ok(())
    }
}
