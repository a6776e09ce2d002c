//! The commands, each with its arguments and what it prints.

mod call;
mod dead_letters;
mod deploy;
mod destroy;
mod status;
mod unresolved;

use clap::{Args, Parser, Subcommand};
use slowlane_deployer::{Deployed, Deployer, Endpoint};
use std::io::Write as _;

/// Deploys Slowlane to AWS, or to a server that speaks its API, and shows how it fares.
#[derive(Parser)]
#[command(name = "slowlane-deployer", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Deploy(deploy::Deploy),
    Destroy(destroy::Destroy),
    Outputs(deploy::ShowOutputs),
    Status(status::Status),
    Call(call::Call),
    DeadLetters(dead_letters::DeadLetters),
    Unresolved(unresolved::Unresolved),
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Deploy(command) => command.run().await,
            Command::Destroy(command) => command.run().await,
            Command::Outputs(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Call(command) => command.run().await,
            Command::DeadLetters(command) => command.run().await,
            Command::Unresolved(command) => command.run().await,
        }
    }
}

/// Which stack, and where.
#[derive(Args)]
struct Target {
    /// The stack's name
    #[arg(long, default_value = "slowlane")]
    stack: String,
    /// A profile of ~/.aws/config
    #[arg(long, conflicts_with = "endpoint_url")]
    profile: Option<String>,
    /// An AWS region
    #[arg(long, conflicts_with = "endpoint_url")]
    region: Option<String>,
    /// A server to use in place of AWS, such as http://127.0.0.1:4566
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl Target {
    async fn deployer(&self) -> Deployer {
        let endpoint = match &self.endpoint_url {
            Some(url) => Endpoint::Local { url: url.clone() },
            None => Endpoint::Aws { profile: self.profile.clone(), region: self.region.clone() },
        };
        Deployer::new(endpoint).await
    }

    /// The stack, which must be there.
    async fn deployed(&self) -> anyhow::Result<(Deployer, Deployed)> {
        let deployer = self.deployer().await;
        let deployed = deployer.deployed(&self.stack).await?;
        Ok((deployer, deployed))
    }
}

/// Prints a command's result. A reader that has seen enough is no error.
fn print(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
