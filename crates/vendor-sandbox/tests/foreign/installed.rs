//! Where the judges are that others wrote. The tests of two crates include this file, so that both skip
//! and fail for the same reasons.

use std::path::PathBuf;

use anyhow::Context as _;

/// Where a judge is; nothing if it could not be had, which is no failure outside CI.
pub(crate) fn installed(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(Some(path.into()));
    }
    let lacking = std::env::var(format!("{variable}_LACKING"));
    let why = lacking
        .with_context(|| format!("{variable} is not set: run this by `cargo xtask test`"))?;
    eprintln!("skipped: {why}");
    Ok(None)
}
