//! Packages of Node.js under the target directory, pinned and hashed by a lock file.

use crate::workspace::{repository, target_dir};
use anyhow::{Context as _, bail};
use std::fs;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// The folder of what others wrote: `requirements.txt`, `package.json` and `package-lock.json`.
pub(crate) const FOREIGN: &str = "crates/vendor-sandbox/tests/foreign";

/// The clients and servers of others that judge our sandboxes and the worker.
pub(crate) fn foreign(sh: &Shell) -> anyhow::Result<PathBuf> {
    installed(sh, "foreign", FOREIGN)
}

/// BullMQ, which a scenario of the demo runs beside Slowlane.
pub(crate) fn bullmq(sh: &Shell) -> anyhow::Result<PathBuf> {
    installed(sh, "bullmq", "crates/local/peers")
}

/// The validator of state machines that others wrote.
pub(crate) fn asl_validator(sh: &Shell) -> anyhow::Result<PathBuf> {
    Ok(installed(sh, "lint", "infra/lint")?.join("node_modules/.bin/asl-validator"))
}

/// The directory whose `node_modules` has what the folder's lock file pins, each with its hash. It is
/// made anew when that file has changed, or when making it was interrupted. No package's own script
/// runs.
fn installed(sh: &Shell, name: &str, folder: &str) -> anyhow::Result<PathBuf> {
    let folder = repository().join(folder);
    let lock = folder.join("package-lock.json");
    let wanted =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let directory = target_dir(sh)?.join("npm").join(name);
    let installed = directory.join("installed.json");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(directory);
    }
    if cmd!(sh, "npm --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        bail!("npm is not there: install Node.js, for instance by `apt-get install nodejs npm`");
    }
    sh.remove_path(&directory)?;
    sh.create_dir(&directory)?;
    for file in ["package.json", "package-lock.json"] {
        sh.copy_file(folder.join(file), &directory)?;
    }
    eprintln!("installing {} into {}", lock.display(), directory.display());
    let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    cmd!(sh, "npm ci {quiet...} --prefix {directory}").quiet().run()?;
    fs::write(&installed, wanted)?;
    Ok(directory)
}
