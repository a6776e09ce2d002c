use crate::output::print;
use crate::place::Place;
use clap::{Args, ValueEnum};
use slowlane_deployer::logs::{self, Filter, Function, Line};
use slowlane_deployer::{Deployed, Deployer, ago};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often new lines are asked for.
const POLL: Duration = Duration::from_secs(2);
/// CloudWatch may have a line only so long after its time.
const LATE: Duration = Duration::from_secs(60);

/// Print what the Lambdas have logged; with --call, all that concerns one call
///
/// The enqueuer logs a call when it is queued, the worker when it leaves its hands, with its outcome
/// and why. Lines hold no token, no secret and no body. CloudWatch has them some seconds late.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane logs --call order-123 --minutes 1440
  slowlane logs --function worker --follow
  slowlane logs --json | jq -r 'select(.Outcome == \"throttled\") | .why'")]
pub(crate) struct Logs {
    #[command(flatten)]
    place: Place,
    /// Only lines of the call with this idempotency key; a line names no tenant
    #[arg(long, value_name = "KEY")]
    call: Option<String>,
    /// Only lines of one of the two
    #[arg(long)]
    function: Option<Which>,
    /// Of how many minutes
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=525_600))]
    minutes: u64,
    /// Go on printing lines as they come, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Print JSON, an object a line: {at, function, message or Outcome, ...}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Enqueuer,
    Worker,
}

impl Logs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (deployer, deployed) = self.place.deployed().await?;
        let mut printed = BTreeSet::new();
        let cut = self.print_new(&deployer, &deployed, self.minutes * 60, &mut printed).await?;
        if cut {
            eprintln!("there are more lines than could be read: see --minutes");
        }
        if !self.follow {
            if printed.is_empty() {
                eprintln!("no line in the last {} min", self.minutes);
            }
            return Ok(());
        }
        loop {
            tokio::time::sleep(POLL).await;
            self.print_new(&deployer, &deployed, LATE.as_secs(), &mut printed).await?;
        }
    }

    /// Prints the lines that were not printed before. Answers whether there are more.
    async fn print_new(
        &self,
        deployer: &Deployer,
        deployed: &Deployed,
        secs: u64,
        printed: &mut BTreeSet<String>,
    ) -> anyhow::Result<bool> {
        let functions = match self.function {
            None => &[Function::Enqueuer, Function::Worker][..],
            Some(Which::Enqueuer) => &[Function::Enqueuer],
            Some(Which::Worker) => &[Function::Worker],
        };
        let filter = self.call.as_deref().map_or(Filter::All, Filter::Call);
        let since = ago(Duration::from_secs(secs));
        let found = logs::of(deployer.config(), deployed, functions, filter, since).await?;
        // What is older than any line that can come again need not be known.
        let known = std::mem::take(printed);
        for line in &found.lines {
            if !known.contains(&line.id) {
                self.print(line);
            }
            printed.insert(line.id.clone());
        }
        Ok(found.cut)
    }

    fn print(&self, line: &Line) {
        if self.json {
            print(line.as_json());
        } else {
            print(line);
        }
    }
}
