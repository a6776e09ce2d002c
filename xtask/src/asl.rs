//! Builds the state machines in `state-machines/*.asl.json` from `state-machines/src`, and checks
//! what no validator does ([`check`]).
//!
//! It lives here and not in the deployer, because it needs no AWS SDK: a machine is rebuilt and
//! checked in a second, and the deployer takes the checked-in files as they are.
//!
//! A source `NAME.json` of a machine is ASL in JSON, in which an object may be
//!
//! - `{"$include": "FILE.json", …}`: that file's object, with the other keys laid over it;
//! - `{"$jsonata": "FILE.jsonata"}`: the string `{% … %}` of that expression, its comments and
//!   line breaks taken out. In an expression `$include('FILE.jsonata')` stands for another one.
//!
//! The files at which building starts are those with a `StartAt`. The result has a fixed order of
//! keys, states in the order in which they are reached.

#[cfg(test)]
mod behavior;
mod build;
mod check;
#[cfg(test)]
mod evaluate;
mod jsonata;
mod write;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A machine's file name and text.
pub(crate) struct Machine {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
}

/// Writes all machines; with `check`, only compares them with what is there.
pub(crate) fn run(repository: &Path, check: bool) -> anyhow::Result<()> {
    let directory = repository.join("state-machines");
    for Machine { file, text } in machines(&directory)? {
        if check {
            let present = fs::read_to_string(&file).unwrap_or_default();
            ensure!(
                present == text,
                "{} is not what its sources say: run `cargo xtask asl`",
                file.display()
            );
        } else {
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Builds and checks every machine of the directory.
fn machines(directory: &Path) -> anyhow::Result<Vec<Machine>> {
    let sources = directory.join("src");
    let mut files: Vec<_> = fs::read_dir(&sources)
        .with_context(|| format!("cannot read {}", sources.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    files.sort();
    let mut machines = Vec::new();
    for path in
        files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"))
    {
        let machine = build::file(path)?;
        if machine.get("StartAt").is_none() {
            continue;
        }
        refuse_problems(path, &machine)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let file = directory.join(format!("{name}.asl.json"));
        machines.push(Machine { file, text: write::machine(&machine) });
    }
    Ok(machines)
}

fn refuse_problems(path: &Path, machine: &Value) -> anyhow::Result<()> {
    let problems = check::problems(machine);
    if !problems.is_empty() {
        bail!("{}:\n  {}", path.display(), problems.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(name: &str) -> String {
        let directory = crate::repository().join("state-machines");
        let file = directory.join(format!("{name}.asl.json"));
        machines(&directory).unwrap().into_iter().find(|machine| machine.file == file).unwrap().text
    }

    #[test]
    fn throttled_call() {
        insta::assert_snapshot!(built("throttled-call"));
    }

    #[test]
    fn sales_order_sync() {
        insta::assert_snapshot!(built("sales-order-sync"));
    }

    #[test]
    fn what_is_checked_in_is_what_the_sources_say() {
        run(crate::repository(), true).unwrap();
    }
}
