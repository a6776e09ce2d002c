//! Reads the files of a machine, each within those that include it.

use std::path::{Path, PathBuf};

/// Why a machine could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A source is not JSON.
    #[error("{} is not JSON", file.display())]
    NotJson {
        /// The file.
        file: PathBuf,
        /// Where, and what was expected.
        source: serde_json::Error,
    },
    /// An include does not say what it should.
    #[error("in {}: {what}", file.display())]
    Include {
        /// The file with the include.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file includes itself, directly or through others.
    #[error("{} includes itself", file.display())]
    Circle {
        /// The file.
        file: PathBuf,
    },
}

pub(super) fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| Error::Read { file: file.to_owned(), source })
}

/// The files that are being included, so that a circle ends with an error.
#[derive(Default)]
pub(super) struct Open(Vec<PathBuf>);

impl Open {
    pub(super) fn within<T>(
        &mut self,
        file: &Path,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.0.iter().any(|open| open == file) {
            return Err(Error::Circle { file: file.to_owned() });
        }
        self.0.push(file.to_owned());
        let result = read(self);
        self.0.pop();
        result
    }
}
