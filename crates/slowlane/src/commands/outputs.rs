use crate::output::{print, print_json};
use crate::place::Place;
use clap::Args;
use serde_json::Value;
use slowlane_deployer::Outputs;

/// Print what a deployed stack hands out: its queues, table, functions and workflows
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane outputs --stack trial
  slowlane outputs --stage prod --target crm --json | jq -r .ThrottledCallArn")]
pub(crate) struct ShowOutputs {
    #[command(flatten)]
    place: Place,
    /// Print JSON: {NAME: VALUE}
    #[arg(long)]
    json: bool,
}

impl ShowOutputs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let outputs = self.place.deployed().await?.1.outputs;
        if self.json {
            print_json(&as_json(&outputs));
        } else {
            print_table(&outputs);
        }
        Ok(())
    }
}

pub(crate) fn print_table(outputs: &Outputs) {
    for (name, value) in outputs.named() {
        print(format_args!("{name:<21} {value}"));
    }
}

pub(crate) fn as_json(outputs: &Outputs) -> Value {
    outputs.named().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}
