use crate::output::print_json;
use crate::place::Place;
use clap::Args;
use jiff::SignedDuration;
use slowlane_deployer::limits::{Author, Limit};
use std::time::Duration;

/// Make no further call, for some time or until somebody resumes
///
/// Every slot heeds it within a second, and calls at the API go on to their end. Workflows wait on,
/// and their calls keep their order. One whose deadline passes meanwhile ends with States.Timeout,
/// or with Slowlane.DeadlineExceeded if calls go on within minutes; neither was executed. A pause
/// costs next to nothing, however many calls wait.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane pause --why \"NetSuite release\" --for 2h
  slowlane pause --why \"wrong prices\" --stage prod --target crm")]
pub(crate) struct Pause {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    by: By,
    /// End by itself after so long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasts: Option<Duration>,
    /// Print how the limit then stands as JSON, as `limits show --json` does
    #[arg(long)]
    json: bool,
}

/// As pause, before a change that needs quiet; until somebody resumes
///
/// `slowlane status` shows when nothing is at work any more.
#[derive(Args)]
#[command(after_help = "\
Example:
  slowlane drain --why \"the API moves to another host\"")]
pub(crate) struct Drain {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    by: By,
    /// Print how the limit then stands as JSON, as `limits show --json` does
    #[arg(long)]
    json: bool,
}

/// Make calls again after a pause or a drain, and wake the slots
#[derive(Args)]
#[command(after_help = "\
Example:
  slowlane resume --why \"the release is through\"")]
pub(crate) struct Resume {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    by: By,
    /// Print how the limit then stands as JSON, as `limits show --json` does
    #[arg(long)]
    json: bool,
}

/// Who changes a limit, and for what.
#[derive(Args)]
pub(crate) struct By {
    /// The reason, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who does it
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    who: String,
}

impl By {
    pub(crate) fn author(&self) -> Author {
        Author::new(self.who.as_str(), self.why.as_str())
    }
}

impl Pause {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (stack, limit) = limit(&self.place).await?;
        limit.pause(self.lasts, &self.by.author()).await?;
        eprintln!("{stack}: paused; no further call is made, from within a second on");
        tell(&limit, self.json).await
    }
}

impl Drain {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (stack, limit) = limit(&self.place).await?;
        limit.drain(&self.by.author()).await?;
        eprintln!("{stack}: draining; what is at the API ends, and nothing follows");
        tell(&limit, self.json).await
    }
}

impl Resume {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (stack, limit) = limit(&self.place).await?;
        limit.resume(&self.by.author()).await?;
        eprintln!("{stack}: calls are made again");
        tell(&limit, self.json).await
    }
}

/// The limit of a stack, and the stack's name.
pub(crate) async fn limit(place: &Place) -> anyhow::Result<(String, Limit)> {
    let (deployer, deployed) = place.deployed().await?;
    let limit = Limit::of(deployer.config(), &deployed)?;
    Ok((deployed.stack_name, limit))
}

async fn tell(limit: &Limit, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(&limit.standing().await?.as_json());
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let lasts: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(lasts).map_err(|_| "it lies in the past".to_owned())
}
