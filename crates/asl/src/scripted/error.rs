//! Why a suite could not be run.

/// Why a suite could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is not JSON, or a definition is none once its substitutions are made.
    #[error("{file} is not JSON")]
    NotJson {
        /// The file.
        file: String,
        /// Where, and what was expected.
        source: serde_json::Error,
    },
    /// The suite names what is not there.
    #[error("{file}: {what}")]
    Suite {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// The local AWS could not be asked.
    #[error("cannot run Python")]
    Python(#[source] std::io::Error),
    /// The local AWS refused a machine, or ended.
    #[error("the local AWS could not run the machines:\n{told}")]
    Refused {
        /// What it said.
        told: String,
    },
    /// A Task was called more often than the script has answers for it.
    #[error("{case}: no answer {attempt} is scripted for the state {state}")]
    NoAnswer {
        /// The machine and the case.
        case: String,
        /// The state.
        state: String,
        /// Which answer, from 0.
        attempt: u64,
    },
    /// Histories are not what their snapshots say.
    #[error("{} {} changed:\n{}", changed.len(), if changed.len() == 1 { "history has" } else { "histories have" }, changed.join("\n"))]
    Changed {
        /// The machine and the case of each.
        changed: Vec<String>,
    },
}
