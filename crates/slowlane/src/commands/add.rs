use super::deploy::name_and_value;
use crate::output::{print, print_json};
use crate::place::Place;
use clap::{Args, ValueEnum};
use serde_json::Value;
use slowlane_deployer::{Addition, Progress};
use std::path::PathBuf;

/// Create or change a stack beside Slowlane's own, such as a front door over HTTP
///
/// --stack is the new stack's own name. It is deployed without a question: no command of this program
/// takes away what it holds.
#[derive(Args)]
#[command(after_help = "\
Example: a front door for an API with a key, with the queues of a Slowlane stack behind /later
  slowlane add cascade --stack crm-front-door -p ApiUrl=https://api.example.com/v1 \\
    -p ApiSecretId=crm/key -p ThrottledCallArn=ARN")]
pub(crate) struct Add {
    /// What to add
    addition: Kind,
    #[command(flatten)]
    place: Place,
    /// A template parameter, as often as needed; the template describes them
    ///
    /// A parameter that is not given keeps its value; in a new stack it has its default.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    parameters: Vec<(String, String)>,
    /// The repository whose infra/ and state-machines/ are taken
    #[arg(long, value_name = "DIR", default_value = ".")]
    repository: PathBuf,
    /// The directory of the release binaries
    ///
    /// By `cargo xtask add` they are built, unless this is given.
    #[arg(long, value_name = "DIR", env = "SLOWLANE_LAMBDAS", default_value = "target/release")]
    lambdas: PathBuf,
    /// A bucket of this account for the Lambdas and the state machines
    ///
    /// Without it one is made, slowlane-artifacts-ACCOUNT-REGION.
    #[arg(long, value_name = "NAME")]
    artifact_bucket: Option<String>,
    /// Print JSON: {NAME: VALUE} of what the stack hands out
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A front door over HTTP, and a retry cascade behind it: infra/cascade.yaml
    Cascade,
    /// Sentiments of reviews, asked of a rate-limited model: infra/reviews.yaml
    Reviews,
    /// The table of limits that several stacks share by a name: infra/shared-limits.yaml
    SharedLimits,
}

impl Add {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (stack, region) = self.place.stack()?;
        let mut addition = match self.addition {
            Kind::Cascade => Addition::cascade(&stack, &self.repository, &self.lambdas),
            Kind::Reviews => Addition::reviews(&stack, &self.repository),
            Kind::SharedLimits => Addition::shared_limits(&stack, &self.repository),
        };
        addition.parameters.extend(self.parameters);
        addition.artifact_bucket = self.artifact_bucket;
        let deployer = self.place.deployer(region.as_deref()).await;
        let outputs = deployer.add(&addition, &Progress::stderr()).await?;
        if self.json {
            let outputs = outputs.into_iter().map(|(name, value)| (name, Value::from(value)));
            print_json(&outputs.collect());
            return Ok(());
        }
        for (name, value) in outputs {
            print(format_args!("{name:<21} {value}"));
        }
        Ok(())
    }
}
