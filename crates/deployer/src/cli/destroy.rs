use super::Target;
use anyhow::{bail, ensure};
use clap::Args;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::{Deployer, Progress, outputs};
use std::io::{BufRead, IsTerminal as _, Write as _};

/// Delete the stack, after a question
///
/// It says what will be lost and what is kept, and wants the stack's name typed. The calls that
/// wait are lost in any case. What the template keeps stays: the dead letters, and the records of
/// which calls have been made. So does the artifact bucket, which other stacks use too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask destroy --stack trial                          asks first, and keeps the data
  cargo xtask destroy --stack trial --yes --delete-data      asks nothing, and keeps nothing")]
pub(crate) struct Destroy {
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Delete the records and the dead letters too
    #[arg(long)]
    delete_data: bool,
}

impl Destroy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = &self.target.stack;
        let data = if self.delete_data { Data::Delete } else { Data::Keep };
        let deployer = self.target.deployer().await;
        eprintln!("{}", what_is_lost(&deployer, name, data).await?);
        if !self.yes {
            let stdin = std::io::stdin();
            let terminal = stdin.is_terminal() && std::io::stderr().is_terminal();
            ask(name, terminal, &mut stdin.lock())?;
        }
        let Some(kept) = deployer.destroy(name, data, &Progress::stderr()).await? else {
            bail!("there is no stack {name}");
        };
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

/// Wants the stack's name typed. Without somebody to type it nothing may be deleted.
fn ask(name: &str, terminal: bool, input: &mut impl BufRead) -> anyhow::Result<()> {
    ensure!(terminal, "nothing was deleted: there is no terminal to ask at; give --yes");
    eprint!("type the stack's name to delete it: ");
    std::io::stderr().flush()?;
    let mut typed = String::new();
    input.read_line(&mut typed)?;
    ensure!(typed.trim() == name, "nothing was deleted: that is not {name}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_deletes() {
        let typed = |text: &str| ask("trial", true, &mut text.as_bytes());
        typed("trial\n").unwrap();
        for other in ["", "\n", "y\n", "yes\n", "Trial\n", "trial 2\n"] {
            let told = typed(other).unwrap_err().to_string();
            assert!(told.starts_with("nothing was deleted"), "{other:?}: {told}");
        }
    }

    #[test]
    fn without_a_terminal_the_name_does_not_delete_either() {
        let told = ask("trial", false, &mut "trial\n".as_bytes()).unwrap_err().to_string();
        assert!(told.contains("--yes"), "{told}");
    }
}
