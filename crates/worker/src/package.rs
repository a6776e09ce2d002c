//! The files that travel in the worker's package.

use std::path::PathBuf;

use slowlane_lambda::env;

/// Where Lambda unpacks the function's package, and elsewhere the program's own folder.
pub(crate) fn beside_the_worker() -> PathBuf {
    let unpacked = env::process("LAMBDA_TASK_ROOT").map(PathBuf::from);
    let program = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    unpacked.or_else(program).unwrap_or_default()
}
