//! Which deployment a command is about, and where it is.

use crate::exit::Ended;
use crate::file::File;
use clap::Args;
use slowlane_config::Deployment;
use slowlane_deployer::{Deployed, Deployer, Endpoint};
use std::path::{Path, PathBuf};

/// The stack of a deployment without a slowlane.toml.
const USUAL_STACK: &str = "slowlane";
/// The AWS SDKs' own name for a server in place of AWS.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const HEADING: &str = "Which deployment, and where";

#[derive(Args)]
pub(crate) struct Place {
    /// The stack's name [default: slowlane]
    #[arg(long, help_heading = HEADING, conflicts_with_all = ["stage", "target"])]
    stack: Option<String>,
    /// A stage of slowlane.toml: its stack and its region are meant
    #[arg(long, help_heading = HEADING, conflicts_with = "region")]
    stage: Option<String>,
    /// A target of slowlane.toml, if the stage has several
    #[arg(long, help_heading = HEADING, requires = "stage")]
    target: Option<String>,
    /// Where slowlane.toml is
    #[arg(long, help_heading = HEADING, value_name = "FILE", default_value = "slowlane.toml")]
    config: PathBuf,
    /// A profile of ~/.aws/config
    #[arg(long, help_heading = HEADING, conflicts_with = "endpoint_url")]
    profile: Option<String>,
    /// An AWS region
    #[arg(long, help_heading = HEADING, conflicts_with = "endpoint_url")]
    region: Option<String>,
    /// A server in place of AWS, such as http://127.0.0.1:4566 [default: AWS_ENDPOINT_URL]
    #[arg(long, help_heading = HEADING, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// What is, or is to be, deployed.
pub(crate) enum Chosen {
    /// A stack by its name.
    Stack(String),
    /// Targets of slowlane.toml in a stage, each with a stack of its own.
    Deployments(Vec<Deployment>),
}

impl Place {
    /// What is meant, for a command that takes several targets.
    pub(crate) fn chosen(&self) -> anyhow::Result<Chosen> {
        let Some(stage) = &self.stage else {
            return Ok(Chosen::Stack(self.stack.clone().unwrap_or(USUAL_STACK.into())));
        };
        let file = File::read(&self.config)?;
        let mut deployments = file.deployments(stage)?;
        if let Some(target) = &self.target {
            deployments.retain(|deployment| deployment.target == *target);
            if deployments.is_empty() {
                return Err(Ended::Usage(file.no_target(target)).into());
            }
        }
        Ok(Chosen::Deployments(deployments))
    }

    /// Where the paths in slowlane.toml begin.
    pub(crate) fn folder(&self) -> &Path {
        self.config.parent().unwrap_or(Path::new(""))
    }

    /// The one stack that is meant, and its region if slowlane.toml says it.
    pub(crate) fn stack(&self) -> anyhow::Result<(String, Option<String>)> {
        let deployments = match self.chosen()? {
            Chosen::Stack(name) => return Ok((name, self.region.clone())),
            Chosen::Deployments(deployments) => deployments,
        };
        match &deployments[..] {
            [one] => Ok((one.stack.clone(), Some(one.region.clone()))),
            several => {
                let names: Vec<&str> = several.iter().map(|one| one.target.as_str()).collect();
                let told = format!("say which by --target: {}", names.join(", "));
                Err(Ended::Usage(told).into())
            }
        }
    }

    /// Where to send requests; nothing is sent yet.
    pub(crate) async fn deployer(&self, region: Option<&str>) -> Deployer {
        let variable = std::env::var(ENDPOINT).ok();
        Deployer::new(self.endpoint(region, variable)).await
    }

    fn endpoint(&self, region: Option<&str>, variable: Option<String>) -> Endpoint {
        if let Some(url) = &self.endpoint_url {
            return Endpoint::Local { url: url.clone() };
        }
        // Of a server elsewhere the SDK finds the address itself, and it may need the rest.
        let variable = variable.map(|url| Endpoint::Local { url });
        if let Some(local) = variable.filter(Endpoint::is_local) {
            return local;
        }
        let region = region.or(self.region.as_deref()).map(str::to_owned);
        Endpoint::Aws { profile: self.profile.clone(), region }
    }

    /// The stack, which must be there.
    pub(crate) async fn deployed(&self) -> anyhow::Result<(Deployer, Deployed)> {
        let (stack, region) = self.stack()?;
        let deployer = self.deployer(region.as_deref()).await;
        let deployed = deployer.deployed(&stack).await?;
        Ok((deployer, deployed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        place: Place,
    }

    fn place(args: &[&str]) -> Place {
        Line::try_parse_from([&["slowlane"], args].concat()).unwrap_or_else(|e| panic!("{e}")).place
    }

    #[test]
    fn the_nearest_word_about_the_endpoint_counts() {
        let here = || Some("http://127.0.0.1:4566".to_owned());
        let aws = |profile: Option<&str>, region: Option<&str>| Endpoint::Aws {
            profile: profile.map(str::to_owned),
            region: region.map(str::to_owned),
        };
        for (args, region, variable, expected) in [
            (&[][..], None, None, aws(None, None)),
            (&["--profile", "p", "--region", "r"], None, None, aws(Some("p"), Some("r"))),
            (&[], Some("eu-central-1"), None, aws(None, Some("eu-central-1"))),
            (&[], Some("eu-central-1"), here(), Endpoint::Local { url: here().unwrap() }),
            (
                &["--endpoint-url", "http://localhost:1"],
                None,
                here(),
                Endpoint::Local { url: "http://localhost:1".into() },
            ),
            // The SDK reads it too, with the profile's credentials.
            (&["--profile", "p"], None, Some("https://vpce.example".into()), aws(Some("p"), None)),
            (&[], None, Some(String::new()), aws(None, None)),
        ] {
            assert_eq!(place(args).endpoint(region, variable), expected, "{args:?}");
        }
    }

    #[test]
    fn a_stack_without_a_name_is_the_usual_one() {
        assert_eq!(place(&[]).stack().unwrap(), ("slowlane".to_owned(), None));
        assert_eq!(place(&["--stack", "trial"]).stack().unwrap().0, "trial");
    }
}
