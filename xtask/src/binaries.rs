//! Builds our own programs.

use crate::target_dir;
use std::path::{Path, PathBuf};
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
    let directory = target_dir(sh)?.join("local");
    foretell(&directory, "the programs", LOCAL_MINUTES);
    let packages = PROGRAMS.iter().flat_map(|name| ["--package", name]);
    cmd!(sh, "cargo build --profile local {packages...}").run()?;
    Ok(directory)
}

/// The same programs and all tests, built in one go: what both need is compiled once.
pub(crate) fn with_tests(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("local");
    foretell(&directory, "the programs and the tests", TESTS_MINUTES);
    cmd!(sh, "cargo build --profile local --workspace --all-targets").run()?;
    Ok(directory)
}

/// The Lambdas as they are deployed. Answers their directory.
pub(crate) fn release(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("release");
    foretell(&directory, "the Lambdas", RELEASE_MINUTES);
    cmd!(sh, "cargo build --release --package slowlane-enqueuer --package slowlane-worker")
        .run()?;
    Ok(directory)
}

/// The simulator's program, optimized for speed.
pub(crate) fn simulator(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("simulator");
    foretell(&directory, "the simulator", SIMULATOR_MINUTES);
    cmd!(sh, "cargo build --profile simulator --package slowlane-simulator").run()?;
    Ok(directory.join("slowlane-simulator"))
}

/// Minutes that a build from nothing takes on two cores.
const LOCAL_MINUTES: u32 = 6;
const TESTS_MINUTES: u32 = 9;
const RELEASE_MINUTES: u32 = 6;
const SIMULATOR_MINUTES: u32 = 7;

/// Says at once how long the first build takes. cargo shows how far it is.
fn foretell(directory: &Path, what: &str, minutes: u32) {
    if !directory.join("deps").is_dir() {
        eprintln!(
            "building {what}: about {minutes} minutes on two cores, and seconds the next time"
        );
    }
}
