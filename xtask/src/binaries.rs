//! Builds our own programs.

use crate::target_dir;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// Programs for this machine, by package name: without whole-program optimization, in one call
/// of cargo, so that what they share is compiled once. Answers their directory.
pub(crate) fn local(sh: &Shell, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    cmd!(sh, "cargo build --profile local {packages...}").run()?;
    Ok(target_dir(sh)?.join("local"))
}

/// The Lambdas as they are deployed. Answers their directory.
pub(crate) fn release(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --release --package slowlane-enqueuer --package slowlane-worker")
        .run()?;
    Ok(target_dir(sh)?.join("release"))
}

/// The deployer's program.
pub(crate) fn deployer(sh: &Shell) -> anyhow::Result<PathBuf> {
    Ok(local(sh, &["slowlane-deployer"])?.join("slowlane-deployer"))
}

/// The simulator's program. Only here does the whole of the SDK run hot, so it alone is worth a
/// profile of its own.
pub(crate) fn simulator(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --profile simulation --package slowlane-simulator").run()?;
    Ok(target_dir(sh)?.join("simulation/slowlane-simulator"))
}
