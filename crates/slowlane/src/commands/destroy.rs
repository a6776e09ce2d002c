use crate::exit::Ended;
use crate::output::{Question, print_json};
use crate::place::Place;
use clap::Args;
use serde_json::json;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::{Deployer, Progress, outputs};

/// Delete the stack, after a question
///
/// It says what will be lost and what is kept, and wants the stack's name typed. The calls that
/// wait are lost in any case. What the template keeps stays: the dead letters, and the records of
/// which calls have been made. So does the artifact bucket, which other stacks use too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  slowlane destroy --stack trial                          asks first, and keeps the data
  slowlane destroy --stack trial --yes --delete-data      asks nothing, and keeps nothing")]
pub(crate) struct Destroy {
    #[command(flatten)]
    place: Place,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Delete the records and the dead letters too
    #[arg(long)]
    delete_data: bool,
    /// Print JSON: {stack, kept: [{logical_id, resource_type, physical_id}]}
    #[arg(long)]
    json: bool,
}

impl Destroy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (name, region) = self.place.stack()?;
        let data = if self.delete_data { Data::Delete } else { Data::Keep };
        let deployer = self.place.deployer(region.as_deref()).await;
        eprintln!("{}", what_is_lost(&deployer, &name, data).await?);
        if !self.yes {
            let text = "type the stack's name to delete it:";
            Question { text, wanted: &name, undone: "nothing was deleted" }.ask()?;
        }
        let Some(kept) = deployer.destroy(&name, data, &Progress::stderr()).await? else {
            return Err(Ended::NotThere(format!("there is no stack {name}")).into());
        };
        if self.json {
            print_json(&json!({ "stack": name, "kept": kept }));
            return Ok(());
        }
        for kept in kept {
            eprintln!("kept: {} {} ({})", kept.resource_type, kept.physical_id, kept.logical_id);
        }
        Ok(())
    }
}

/// What is lost with the stack. Of one that was never whole there is nothing to tell.
async fn what_is_lost(deployer: &Deployer, name: &str, data: Data) -> anyhow::Result<String> {
    let deployed = match deployer.deployed(name).await {
        Ok(deployed) => deployed,
        Err(error @ outputs::Error::Missing(_)) => {
            return Ok(format!("what stack {name} holds is not known: {error}"));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(match deployer.holdings(&deployed).await {
        Ok(holdings) => format!("stack {name} holds\n{}", holdings.told(data)),
        Err(error) => {
            format!("what stack {name} holds is not known: {:#}", anyhow::Error::from(error))
        }
    })
}
