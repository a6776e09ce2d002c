//! The harness of a Lambda's start, on the binaries that `cargo xtask test` has built. Those are no release
//! builds, so their figures say nothing; `cargo xtask startup` has the real ones.

use std::process::{Command, Output};

use anyhow::Context as _;

fn startup(args: &[&str]) -> anyhow::Result<Output> {
    std::env::var_os("SLOWLANE_LAMBDAS").context("run this by `cargo xtask test`")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane-local"));
    Ok(command.args(["startup", "--starts", "3"]).args(args).output()?)
}

#[test]
fn the_lambdas_poll_for_work_and_are_measured() -> anyhow::Result<()> {
    let output = startup(&["--within-ms", "5000", "--most-mb", "100"])?;
    let told = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for (line, name) in told.lines().zip(["enqueuer", "worker"]) {
        assert!(line.starts_with(name) && line.ends_with("of 3 starts"), "{told}");
    }
    assert_eq!(told.lines().count(), 2, "{told}");
    Ok(())
}

#[test]
fn a_figure_that_is_too_large_is_a_failure() -> anyhow::Result<()> {
    let output = startup(&["--within-ms", "0", "--most-mb", "1"])?;
    let told = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{told}");
    for part in ["worker has more than 1 MB zipped", "worker takes more than 0 ms to start"] {
        assert!(told.contains(part), "{told}");
    }
    Ok(())
}
