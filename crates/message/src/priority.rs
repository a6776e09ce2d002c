//! The three priorities.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::InvalidValue;

/// How urgent a call is. Priorities are ordered by urgency, `High < Normal < Batch`: the minimum
/// of several is the one to serve first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Priority {
    /// Somebody waits at a screen.
    High,
    /// The usual case.
    Normal,
    /// Bulk work that may take hours.
    Batch,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Batch];

    pub(crate) const EXPECTED: &str = "HIGH, NORMAL (or MEDIUM) or BATCH";

    /// As written on the wire: `HIGH`, `NORMAL`, `BATCH`.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::High => "HIGH",
            Priority::Normal => "NORMAL",
            Priority::Batch => "BATCH",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = InvalidValue;

    /// Reads any case, and `MEDIUM` as `NORMAL`.
    fn from_str(text: &str) -> Result<Priority, InvalidValue> {
        match text.to_ascii_uppercase().as_str() {
            "HIGH" => Ok(Priority::High),
            "NORMAL" | "MEDIUM" => Ok(Priority::Normal),
            "BATCH" => Ok(Priority::Batch),
            _ => Err(InvalidValue { expected: Priority::EXPECTED, found: "other text".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_medium_are_read_and_upper_case_is_written() {
        for (text, priority) in [
            ("HIGH", Priority::High),
            ("high", Priority::High),
            ("Normal", Priority::Normal),
            ("MEDIUM", Priority::Normal),
            ("medium", Priority::Normal),
            ("bAtCh", Priority::Batch),
        ] {
            assert_eq!(text.parse(), Ok(priority));
        }
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse(), Ok(priority));
            let json = serde_json::to_value(priority).unwrap();
            assert_eq!(json, priority.as_str());
        }
        assert!("URGENT".parse::<Priority>().is_err());
        assert!(" HIGH".parse::<Priority>().is_err());
    }

    #[test]
    fn the_most_urgent_is_the_least() {
        assert!(Priority::ALL.is_sorted());
        assert_eq!(Priority::ALL.into_iter().min(), Some(Priority::High));
    }
}
