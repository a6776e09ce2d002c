//! Builds our own programs.

use crate::workspace::target_dir;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The packages of what runs on this machine.
const PROGRAMS: [&str; 7] = [
    "slowlane-enqueuer",
    "slowlane-worker",
    "slowlane-cascade",
    "slowlane-netsuite-sandbox",
    "slowlane-local",
    "slowlane",
    "slowlane-simulator",
];

/// The packages of the Lambdas that every deployment has.
pub(crate) const LAMBDAS: [&str; 2] = ["slowlane-enqueuer", "slowlane-worker"];

/// Minutes that a build from nothing takes on two cores.
const LOCAL_MINUTES: u32 = 6;
const TESTS_MINUTES: u32 = 9;
const RELEASE_MINUTES: u32 = 6;
const SIMULATOR_MINUTES: u32 = 7;

/// The programs for this machine, without whole-program optimization. Answers their directory.
/// All of them, whichever is needed: cargo compiles what they share, the AWS SDK above all, anew
/// for another choice of packages, because it enables other features.
pub(crate) fn local(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("local");
    foretell(&directory.join("slowlane-worker"), "the programs", LOCAL_MINUTES);
    build(sh, &[])?;
    Ok(directory)
}

/// The same, and the sandbox of other vendors' APIs, which only some demos need: the first build for
/// the others must not take longer for it.
pub(crate) fn with_vendors(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("local");
    foretell(&directory.join("slowlane-worker"), "the programs", LOCAL_MINUTES);
    build(sh, &["slowlane-vendor-sandbox"])?;
    Ok(directory)
}

fn build(sh: &Shell, more: &[&str]) -> anyhow::Result<()> {
    let packages = PROGRAMS.iter().chain(more).flat_map(|name| ["--package", name]);
    Ok(cmd!(sh, "cargo build --profile local {packages...}").run()?)
}

/// The same programs and all tests, built in one go: what both need is compiled once.
pub(crate) fn with_tests(sh: &Shell) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("local");
    // Tests have no names of their own; examples are built with them.
    let example = directory.join("examples/http");
    foretell(&example, "the programs and the tests", TESTS_MINUTES);
    cmd!(sh, "cargo build --profile local --workspace --all-targets").run()?;
    Ok(directory)
}

/// The Lambdas of these packages as they are deployed. Answers their directory.
pub(crate) fn release(sh: &Shell, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("release");
    foretell(&directory, "the Lambdas", RELEASE_MINUTES);
    build_release(sh, packages)?;
    Ok(directory)
}

/// Builds in the shell's directory, so that the same sources give the same bytes wherever they lie: no
/// path of this machine reaches a binary. Flags of whoever builds are kept.
pub(crate) fn build_release(sh: &Shell, packages: &[&str]) -> anyhow::Result<()> {
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    let own = |variable| std::env::var(variable).unwrap_or_default();
    let paths = [(cargo_home()?, "/cargo"), (sh.current_dir(), "/slowlane")];
    let named = |flag: &str| {
        let remapped = paths.iter().map(|(path, name)| format!("{flag}={}={name}", path.display()));
        remapped.collect::<Vec<_>>()
    };
    let mut rust: Vec<String> = match own("CARGO_ENCODED_RUSTFLAGS") {
        none if none.is_empty() => own("RUSTFLAGS").split_whitespace().map(str::to_owned).collect(),
        encoded => encoded.split(ENCODED).map(str::to_owned).collect(),
    };
    rust.extend(named("--remap-path-prefix"));
    // These are told apart by blanks, so a path with one cannot be named.
    let mut c = vec![own("CFLAGS")];
    c.extend(named("-ffile-prefix-map").into_iter().filter(|flag| !flag.contains(' ')));
    cmd!(sh, "cargo build --release {packages...}")
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join(ENCODED))
        .env("CFLAGS", c.join(" ").trim_start())
        .run()?;
    Ok(())
}

/// What stands between flags in `CARGO_ENCODED_RUSTFLAGS`.
const ENCODED: &str = "\x1f";

/// Where cargo keeps the sources of what others wrote, whose paths stand in their panics.
fn cargo_home() -> anyhow::Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::home_dir().context("neither CARGO_HOME nor a home directory is known")?;
    Ok(home.join(".cargo"))
}

/// The simulator's program, optimized for speed.
pub(crate) fn simulator(sh: &Shell) -> anyhow::Result<PathBuf> {
    let program = target_dir(sh)?.join("simulator/slowlane-simulator");
    foretell(&program, "the simulator", SIMULATOR_MINUTES);
    cmd!(sh, "cargo build --profile simulator --package slowlane-simulator").run()?;
    Ok(program)
}

fn foretell(made: &Path, what: &str, minutes: u32) {
    if let Some(text) = foretold(made, what, minutes) {
        eprintln!("{text}");
    }
}

/// What is said at once of a build whose result, `made`, is not there yet. cargo shows how far it
/// is. The directory alone tells nothing: this program was built in it a moment ago.
fn foretold(made: &Path, what: &str, minutes: u32) -> Option<String> {
    let new = !made.exists();
    new.then(|| {
        format!("building {what}: about {minutes} minutes on two cores, and seconds the next time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_first_build_is_foretold_where_only_this_program_was_built() {
        let target = tempfile::tempdir().unwrap();
        fs::create_dir_all(target.path().join("deps")).unwrap();
        fs::write(target.path().join("xtask"), "").unwrap();
        let worker = target.path().join("slowlane-worker");
        let told = foretold(&worker, "the programs", 6).unwrap();
        assert!(told.contains("the programs: about 6 minutes"), "{told}");
        fs::write(&worker, "").unwrap();
        assert_eq!(foretold(&worker, "the programs", 6), None);
    }
}
