//! Builds our own programs.

use crate::target_dir;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// What runs on this machine.
const PROGRAMS: [&str; 6] = [
    "slowlane-enqueuer",
    "slowlane-worker",
    "slowlane-netsuite-sandbox",
    "slowlane-local",
    "slowlane-deployer",
    "slowlane-simulator",
];

/// The programs for this machine, without whole-program optimization. Answers their directory.
/// All of them, whichever is needed: cargo compiles what they share, the AWS SDK above all, anew
/// for another choice of packages, because it enables other features.
pub(crate) fn local(sh: &Shell) -> anyhow::Result<PathBuf> {
    let packages = PROGRAMS.iter().flat_map(|name| ["--package", name]);
    cmd!(sh, "cargo build --profile local {packages...}").run()?;
    Ok(target_dir(sh)?.join("local"))
}

/// The Lambdas as they are deployed. Answers their directory.
pub(crate) fn release(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --release --package slowlane-enqueuer --package slowlane-worker")
        .run()?;
    Ok(target_dir(sh)?.join("release"))
}

/// The simulator's program, optimized for speed.
pub(crate) fn simulator(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --profile simulator --package slowlane-simulator").run()?;
    Ok(target_dir(sh)?.join("simulator/slowlane-simulator"))
}
