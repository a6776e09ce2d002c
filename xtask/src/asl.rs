//! The commands over the state machines.

use std::path::{Path, PathBuf};

use anyhow::bail;
use slowlane_asl::{directory, scripted};
use xshell::Shell;

use crate::python;

/// What to do with the machines; without a command they are built from `state-machines/src`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Asl {
    /// Change nothing; fail if a checked-in file is not what its sources say
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check definitions of your own
    Check {
        /// State machines in Amazon States Language, as JSON
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Draw definitions of your own, as SVG and as Mermaid
    Draw {
        /// State machines in Amazon States Language, as JSON
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Where the pictures go
        #[arg(long, default_value = ".")]
        into: PathBuf,
    },
    /// Run machines on the local AWS with scripted answers, and compare their histories
    ///
    /// INSTA_UPDATE=always writes the histories anew.
    Test {
        /// The suite; its machines lie beside it, their histories in `histories`
        #[arg(default_value = "state-machines/tests.json")]
        suite: PathBuf,
    },
}

pub(crate) fn run(sh: &Shell, repository: &Path, asl: &Asl) -> anyhow::Result<()> {
    match &asl.command {
        Some(Command::Check { files }) => check_files(files),
        Some(Command::Draw { files, into }) => draw_files(files, into),
        Some(Command::Test { suite }) => Ok(scripted::test(suite, &python::local_aws(sh)?)?),
        None if asl.check => compare(repository),
        None => each(repository, directory::write),
    }
}

/// That the machines are right, and that what is checked in is what their sources say.
pub(crate) fn compare(repository: &Path) -> anyhow::Result<()> {
    each(repository, directory::compare)
}

/// The directories of machines: those that every deployment has, and examples to copy.
pub(crate) const DIRECTORIES: [&str; 2] = ["state-machines", "state-machines/examples"];

fn each(
    repository: &Path,
    command: fn(&Path) -> Result<(), directory::Error>,
) -> anyhow::Result<()> {
    for machines in DIRECTORIES {
        command(&repository.join(machines))?;
    }
    Ok(())
}

fn check_files(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut found = 0;
    for file in files {
        for problem in directory::check_file(file)? {
            eprintln!("{}", problem.in_file(file));
            found += 1;
        }
    }
    match found {
        0 => Ok(()),
        1 => bail!("1 problem found"),
        _ => bail!("{found} problems found"),
    }
}

fn draw_files(files: &[PathBuf], into: &Path) -> anyhow::Result<()> {
    for file in files {
        for picture in directory::draw_file(file, into)? {
            eprintln!("{}", picture.display());
        }
    }
    Ok(())
}
