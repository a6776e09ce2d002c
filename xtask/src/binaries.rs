//! Builds our own programs.

use crate::workspace::target_dir;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// What the demo runs on this machine.
const DEMO: [&str; 4] =
    ["slowlane-enqueuer", "slowlane-worker", "slowlane-netsuite-sandbox", "slowlane-local"];

/// What the other demos need beside it.
const FURTHER_DEMOS: [&str; 2] = ["slowlane-cascade", "slowlane-vendor-sandbox"];

/// Named in each build on this machine beside the demo's programs. It has the features that only others
/// and the tests need: without it cargo would compile what they share anew for another choice of packages.
const FEATURES: &str = "slowlane-features";

/// The packages of the Lambdas that every deployment has.
pub(crate) const LAMBDAS: [&str; 2] = ["slowlane-enqueuer", "slowlane-worker"];

/// Minutes that a build from nothing takes on two cores.
const LOCAL_MINUTES: u32 = 5;
const TESTS_MINUTES: u32 = 9;
const RELEASE_MINUTES: u32 = 6;
const SIMULATOR_MINUTES: u32 = 7;

/// The programs of the demo, without whole-program optimization. Answers their directory.
pub(crate) fn demo(sh: &Shell) -> anyhow::Result<PathBuf> {
    local(sh, &[])
}

/// The programs of all demos: the first build for the one must not take longer for the others.
pub(crate) fn demos(sh: &Shell) -> anyhow::Result<PathBuf> {
    local(sh, &FURTHER_DEMOS)
}

/// One program more. Answers its path.
pub(crate) fn program(sh: &Shell, package: &str) -> anyhow::Result<PathBuf> {
    Ok(local(sh, &[package])?.join(package))
}

fn local(sh: &Shell, more: &[&str]) -> anyhow::Result<PathBuf> {
    let directory = target_dir(sh)?.join("local");
    foretell(&directory.join("slowlane-worker"), "the programs", LOCAL_MINUTES);
    let packages = chosen(more);
    cmd!(sh, "cargo build --profile local {packages...}").run()?;
    Ok(directory)
}

/// The packages of a build, as cargo takes them.
fn chosen<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let all = [FEATURES].into_iter().chain(DEMO).chain(more.iter().copied());
    all.flat_map(|name| ["--package", name]).collect()
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
    use crate::workspace::repository;
    use std::collections::BTreeSet;
    use std::fs;

    /// Packages with their features, as a build of these packages has them.
    fn features(edges: &str, packages: &[&str]) -> BTreeSet<String> {
        let sh = Shell::new().unwrap();
        sh.change_dir(repository());
        let tree = cmd!(sh, "cargo tree --offline --prefix none --edges {edges}");
        let tree = tree.args(["--format", "{p} {f}"]).args(packages).quiet().ignore_stderr();
        let line = |line: &str| line.trim_end_matches(" (*)").replace(" (proc-macro)", "");
        tree.read().unwrap().lines().map(line).collect()
    }

    #[test]
    fn the_demos_and_the_tests_share_what_they_compile() {
        let tests = features("normal,build,dev", &["--workspace"]);
        // The sandbox of vendors, and with it the simulator, has a parser that the tests build with more.
        for more in [&[][..], &["slowlane"], &["slowlane-cascade"]] {
            let programs = features("normal,build", &chosen(more));
            assert!(programs.len() > 50, "{more:?}: {programs:?}");
            let anew: Vec<_> = programs.difference(&tests).collect();
            assert!(anew.is_empty(), "xtask/features/Cargo.toml lacks something of {anew:#?}");
        }
    }

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
