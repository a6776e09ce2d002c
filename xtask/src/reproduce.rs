//! Whether the same commit gives the same Lambdas wherever it is built.

use crate::binaries;
use crate::workspace::{repository, target_dir};
use anyhow::ensure;
use std::path::Path;
use xshell::{Shell, cmd};

/// Two directories whose paths differ in their length too.
const DIRECTORIES: [&str; 2] = ["one", "another-directory"];

/// Builds the last commit twice, and compares.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<()> {
    let root = target_dir(sh)?.join("reproduce");
    let mut hashes = Vec::new();
    for directory in DIRECTORIES {
        hashes.push(hashes_of(sh, &root.join(directory))?);
    }
    ensure!(
        hashes[0] == hashes[1],
        "the builds differ:\n{}\n{}\nthey are below {}",
        hashes[0],
        hashes[1],
        root.display()
    );
    eprintln!("both builds are the same:\n{}", hashes[0]);
    Ok(sh.remove_path(&root)?)
}

/// Clones into `directory` and builds there, with a target of its own. Answers name and hash of each
/// Lambda.
fn hashes_of(sh: &Shell, directory: &Path) -> anyhow::Result<String> {
    sh.remove_path(directory)?;
    let repository = repository();
    cmd!(sh, "git clone --quiet {repository} {directory}").run()?;
    let _there = sh.push_dir(directory);
    let target = directory.join("target");
    let _target = sh.push_env("CARGO_TARGET_DIR", &target);
    binaries::build_release(sh, &binaries::LAMBDAS)?;
    let _built = sh.push_dir(target.join("release"));
    let lambdas = binaries::LAMBDAS;
    Ok(cmd!(sh, "sha256sum {lambdas...}").read()?)
}
