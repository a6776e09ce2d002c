//! Commands about calls.

mod dead_letters;
mod find;
mod unresolved;

use clap::{Args, Subcommand};

/// Find a call; restart those that could not be run, decide those of which nobody knows
#[derive(Args)]
pub(crate) struct Calls {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Find(find::Find),
    DeadLetters(dead_letters::DeadLetters),
    Unresolved(unresolved::Unresolved),
}

impl Calls {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Find(command) => command.run().await,
            Command::DeadLetters(command) => command.run().await,
            Command::Unresolved(command) => command.run().await,
        }
    }
}
