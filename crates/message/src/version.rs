//! Versions of the wire contract. The rules are told in the crate's documentation.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::InvalidValue;

/// `MAJOR.MINOR`, written as a JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchemaVersion {
    /// A reader refuses any other than its own.
    pub major: u32,
    /// A newer one only adds fields that an older reader may ignore.
    pub minor: u32,
}

impl SchemaVersion {
    /// The version that this crate writes.
    pub const CURRENT: SchemaVersion = SchemaVersion { major: 1, minor: 4 };

    pub(crate) const EXPECTED: &str = "a version such as \"1.0\"";
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for SchemaVersion {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<SchemaVersion, InvalidValue> {
        let number = |digits: &str| {
            let canonical = digits == "0" || !digits.starts_with(['0', '+']);
            digits.parse().ok().filter(|_| canonical)
        };
        text.split_once('.')
            .and_then(|(major, minor)| {
                Some(SchemaVersion { major: number(major)?, minor: number(minor)? })
            })
            .ok_or_else(|| InvalidValue {
                expected: SchemaVersion::EXPECTED,
                found: "other text".to_owned(),
            })
    }
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_one_spelling() {
        for text in ["0.0", "1.0", "1.12", "20.3"] {
            assert_eq!(text.parse::<SchemaVersion>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1.", ".1", "1.0.0", "01.0", "1.00", "+1.0", "1.-0", "v1.0", "1.x"] {
            assert!(text.parse::<SchemaVersion>().is_err(), "{text}");
        }
    }
}
