//! What the exit code says. This is the one place; `slowlane --help` shows [`TABLE`].

use slowlane_deployer::dead_letters;
use slowlane_deployer::{outputs, unresolved};
use std::error::Error;
use std::process::ExitCode;

pub(crate) const TABLE: &str = "\
Exit codes:
  0  it is done
  1  it failed, or `check` has found mistakes
  2  the command line is wrong
  3  what was asked for is not there: the stack, the call, the dead letter
  4  nothing was done, for want of an answer to the question: give --yes

Results go to stdout, all else to stderr. With --json the result is one JSON document.";

/// Why a command ended before its end, where no library says it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotThere(String),
    #[error("{0}")]
    NotAnswered(String),
}

pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let said = error.chain().find_map(|cause| match cause.downcast_ref::<Ended>() {
        Some(Ended::Wrong(_)) => Some(1),
        Some(Ended::Usage(_)) => Some(2),
        Some(Ended::NotThere(_)) => Some(3),
        Some(Ended::NotAnswered(_)) => Some(4),
        None => is_not_there(cause).then_some(3),
    });
    ExitCode::from(said.unwrap_or(1))
}

fn is_not_there(cause: &(dyn Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(outputs::Error::NoStack { .. }))
        || matches!(cause.downcast_ref(), Some(dead_letters::Error::NoSuchLetter { .. }))
        || matches!(cause.downcast_ref(), Some(unresolved::Error::NoSuchCall { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_code_is_found_below_what_was_said_around_it() {
        let no_stack = || outputs::Error::NoStack { stack: "s".into(), ours: Vec::new() };
        let no_call = || unresolved::Error::NoSuchCall { scope: "s".into(), key: "k".into() };
        for (error, expected) in [
            (anyhow::anyhow!("it failed"), 1),
            (Ended::Usage("two".into()).into(), 2),
            (no_stack().into(), 3),
            (Err::<(), _>(no_call()).context("around it").unwrap_err(), 3),
            (Ended::NotThere("nothing".into()).into(), 3),
            (Ended::NotAnswered("nobody".into()).into(), 4),
        ] {
            assert_eq!(code(&error), ExitCode::from(expected), "{error:#}");
            let told = TABLE.lines().any(|line| line.starts_with(&format!("  {expected}  ")));
            assert!(told, "{expected} is not explained");
        }
    }
}
