//! What a check finds.

use std::fmt;
use std::path::Path;

/// One mistake: where it stands, what is wrong, and how it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The check's name, as in `token-not-passed`.
    pub check: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// The state, with those around it: `Load > Write`. None for the machine as a whole.
    pub state: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub mend: String,
}

impl Problem {
    /// One line as a compiler would write it, `FILE:LINE: STATE: …`.
    #[must_use]
    pub fn in_file(&self, file: &Path) -> String {
        format!("{}:{}: {self}", file.display(), self.line)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.as_deref().unwrap_or("the machine");
        write!(formatter, "{state}: {}; {} [{}]", self.what, self.mend, self.check)
    }
}
