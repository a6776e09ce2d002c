use crate::commands::{
    add, call, calls, check, completions, cost, demo, deploy, destroy, init, limits, logs,
    new_target, outputs, status, steer, why,
};
use crate::exit;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Feeds slow, limited APIs from fast AWS workflows: deploys, watches and steers it
///
/// A deployment is a CloudFormation stack. It is named by --stack, or by --stage and --target where a
/// slowlane.toml says what is deployed. Credentials and region are AWS's usual ones: environment,
/// profile, SSO. AWS_ENDPOINT_URL or --endpoint-url leads to another server, such as a local one.
#[derive(Parser)]
#[command(
    name = "slowlane",
    version,
    after_help = "`slowlane help COMMAND` explains a command, with examples.",
    after_long_help = exit::TABLE
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Call(call::Call),
    Demo(Box<demo::Demo>),
    NewTarget(new_target::NewTarget),
    Deploy(deploy::Deploy),
    Add(add::Add),
    Destroy(destroy::Destroy),
    Outputs(outputs::ShowOutputs),
    Status(status::Status),
    Why(why::AskWhy),
    Cost(cost::AskCost),
    Logs(logs::Logs),
    Calls(calls::Calls),
    Limits(limits::Limits),
    Pause(steer::Pause),
    Drain(steer::Drain),
    Resume(steer::Resume),
    Completions(completions::Completions),
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Call(command) => command.run(),
            Command::Demo(command) => command.run().await,
            Command::NewTarget(command) => command.run(),
            Command::Deploy(command) => command.run().await,
            Command::Add(command) => command.run().await,
            Command::Destroy(command) => command.run().await,
            Command::Outputs(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Why(command) => command.run().await,
            Command::Cost(command) => command.run(),
            Command::Logs(command) => command.run().await,
            Command::Calls(command) => command.run().await,
            Command::Limits(command) => command.run().await,
            Command::Pause(command) => command.run().await,
            Command::Drain(command) => command.run().await,
            Command::Resume(command) => command.run().await,
            Command::Completions(command) => command.run(Self::command()),
        }
    }
}
