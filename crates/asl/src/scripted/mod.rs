//! Runs machines with scripted answers of what their Tasks call.
//!
//! The machine is run by the Step Functions of the local AWS, which is taught what AWS does where
//! the two differ. Expressions, choices, retries and catches are its own work. Only the answers are
//! the script's, so every failure can be had by its name, and a run is the same each time.
//!
//! A suite is a file in the form of AWS's own mock configuration for Step Functions Local
//! (Developer Guide, "Testing state machines with Step Functions Local"). It has three keys more:
//! the input of each case, what CloudFormation would put in place of `${…}`, and objects in S3.
//!
//! What it does not show: how long a wait or a retry takes, and limits such as the 256 KiB of a
//! payload.

mod error;
mod suite;
mod transcript;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

pub use error::Error;
pub use suite::{Case, Suite};

/// A case that was run.
#[derive(Debug)]
pub struct History {
    /// The machine.
    pub machine: String,
    /// The case.
    pub case: String,
    /// What happened, a line for each step, without what differs from run to run.
    pub text: String,
}

/// Runs a suite and compares each history with the snapshot `histories/MACHINE.CASE.snap` beside it.
/// Snapshots are [insta](https://insta.rs)'s: `cargo insta review` shows what has changed, and
/// `INSTA_UPDATE=always` takes it.
///
/// # Errors
/// See [`Error`]; [`Error::Changed`] with every history that is not as it was.
pub fn test(suite: &Path, python: &Path) -> Result<(), Error> {
    let histories = run(&Suite::read(suite)?, python)?;
    let directory = suite.parent().unwrap_or(Path::new(".")).join("histories");
    // insta takes a path that is not absolute from the file that this is written in.
    let directory = std::path::absolute(&directory)
        .map_err(|source| Error::Read { file: directory.display().to_string(), source })?;
    let changed: Vec<_> = histories
        .iter()
        .filter(|history| !is_as_it_was(history, &directory))
        .map(|history| format!("{}: {}", history.machine, history.case))
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(Error::Changed { changed }) }
}

/// insta tells a difference by a panic, after it has shown it.
fn is_as_it_was(history: &History, directory: &Path) -> bool {
    let name = format!("{}.{}", history.machine, history.case);
    std::panic::catch_unwind(|| {
        insta::with_settings!({
            snapshot_path => directory,
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(name, history.text);
        });
    })
    .is_ok()
}

/// The local AWS, and what it is taught.
const RUN: &str = include_str!("run.py");
const LESSONS: &str = include_str!("../../../local/src/serve.py");

/// Runs every case of a suite by a Python interpreter that has the local AWS server.
///
/// # Errors
/// See [`Error`].
pub fn run(suite: &Suite, python: &Path) -> Result<Vec<History>, Error> {
    let cases: Vec<Value> = suite
        .cases
        .iter()
        .map(|case| {
            json!({
                "machine": case.machine,
                "definition": case.definition,
                "input": case.input,
                "answers": case.answers,
            })
        })
        .collect();
    let transcripts =
        ask(python, &json!({ "lessons": LESSONS, "objects": suite.objects, "cases": cases }))?;
    let steps = transcripts.as_array().into_iter().flatten();
    suite.cases.iter().zip(steps).map(|(case, steps)| history(case, steps)).collect()
}

fn history(case: &Case, steps: &Value) -> Result<History, Error> {
    let steps: Vec<_> = steps.as_array().into_iter().flatten().collect();
    if let Some(missing) = steps.iter().find(|step| step["do"] == "missing") {
        return Err(Error::NoAnswer {
            case: format!("{}: {}", case.machine, case.name),
            state: missing["state"].as_str().unwrap_or_default().to_owned(),
            attempt: missing["attempt"].as_u64().unwrap_or_default(),
        });
    }
    Ok(History {
        machine: case.machine.clone(),
        case: case.name.clone(),
        text: transcript::text(&case.input, &steps),
    })
}

fn ask(python: &Path, request: &Value) -> Result<Value, Error> {
    let mut process = Command::new(python)
        .args(["-c", RUN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::Python)?;
    if let Some(mut stdin) = process.stdin.take() {
        // It reads all before it writes, so nobody waits for the other. One that ended says why.
        let _ = stdin.write_all(request.to_string().as_bytes());
    }
    let output = process.wait_with_output().map_err(Error::Python)?;
    let refused = || Error::Refused { told: String::from_utf8_lossy(&output.stderr).into_owned() };
    if !output.status.success() {
        return Err(refused());
    }
    serde_json::from_slice(&output.stdout).map_err(|_| refused())
}
