//! The textual fields and their limits. Reader and JSON Schema share one [`TextRule`] each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::InvalidValue;

/// The longest resource, in characters. Our own limit: servers take no longer URLs.
pub const RESOURCE_MAX_CHARS: usize = 2_048;
/// The longest tenant, in characters. A tenant is also an SQS message group id, which takes exactly
/// these characters and this length (API model, `SendMessage`).
pub const TENANT_MAX_CHARS: usize = 128;
/// The longest trace header, in characters. Our own limit: X-Ray states none.
pub const TRACE_HEADER_MAX_CHARS: usize = 1_024;

/// The longest ARN of an execution, in characters. Our own limit: the ARN of a standard workflow
/// has about 250.
pub const EXECUTION_MAX_CHARS: usize = 1_024;

/// The longest name of a header, in characters. Ours.
pub(crate) const HEADER_NAME_MAX_CHARS: usize = 64;
/// The longest value of a header, in characters. Ours: servers take about 8,000 in all.
pub(crate) const HEADER_VALUE_MAX_CHARS: usize = 2_048;
/// The most headers that a call may bring. Ours.
pub(crate) const MAX_HEADERS: usize = 20;

/// Names the state of a workflow that waits for this call. Whoever holds it can end that state, so
/// `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct TaskToken(String);

impl TaskToken {
    /// The longest token, in characters: the limit of the Step Functions API.
    pub const MAX_CHARS: usize = 2_048;

    pub(crate) const EXPECTED: &str = TASK_TOKEN.expected;

    /// The token itself, for the Step Functions API and for nothing else.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskToken {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<TaskToken, InvalidValue> {
        TASK_TOKEN.check(text).map(TaskToken)
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskToken(...)")
    }
}

/// Says which calls are the same call: together, all calls with one key take effect once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key, in characters. Our own limit: at four bytes a character, it is half of
    /// what a DynamoDB partition key may have.
    pub const MAX_CHARS: usize = 255;

    pub(crate) const EXPECTED: &str = IDEMPOTENCY_KEY.expected;

    /// The key as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<IdempotencyKey, InvalidValue> {
        IDEMPOTENCY_KEY.check(text).map(IdempotencyKey)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a textual field may hold: 1 to `max_chars` characters of an alphabet.
pub(crate) struct TextRule {
    pub(crate) max_chars: usize,
    pub(crate) alphabet: Alphabet,
    /// The rule in words, for errors.
    pub(crate) expected: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Alphabet {
    /// Any Unicode character that is not a control character.
    NoControls,
    /// ASCII without control characters.
    Ascii,
    /// ASCII without control characters and without the space.
    VisibleAscii,
    /// Lower-case letters, digits, `-` and `_`: a header's name has one spelling.
    HeaderName,
}

pub(crate) const TASK_TOKEN: TextRule = TextRule {
    max_chars: TaskToken::MAX_CHARS,
    alphabet: Alphabet::NoControls,
    expected: "a task token of 1 to 2048 characters",
};
pub(crate) const IDEMPOTENCY_KEY: TextRule = TextRule {
    max_chars: IdempotencyKey::MAX_CHARS,
    alphabet: Alphabet::NoControls,
    expected: "1 to 255 characters without control characters",
};
pub(crate) const RESOURCE: TextRule = TextRule {
    max_chars: RESOURCE_MAX_CHARS,
    alphabet: Alphabet::NoControls,
    expected: "1 to 2048 characters without control characters",
};
pub(crate) const TENANT: TextRule = TextRule {
    max_chars: TENANT_MAX_CHARS,
    alphabet: Alphabet::VisibleAscii,
    expected: "1 to 128 visible ASCII characters",
};
pub(crate) const TRACE_HEADER: TextRule = TextRule {
    max_chars: TRACE_HEADER_MAX_CHARS,
    alphabet: Alphabet::Ascii,
    expected: "1 to 1024 ASCII characters without control characters",
};
pub(crate) const EXECUTION: TextRule = TextRule {
    max_chars: EXECUTION_MAX_CHARS,
    alphabet: Alphabet::NoControls,
    expected: "1 to 1024 characters without control characters",
};

pub(crate) const HEADER_NAME: TextRule = TextRule {
    max_chars: HEADER_NAME_MAX_CHARS,
    alphabet: Alphabet::HeaderName,
    expected: "at most 20 headers, each name 1 to 64 lower-case letters, digits, - or _",
};
pub(crate) const HEADER_VALUE: TextRule = TextRule {
    max_chars: HEADER_VALUE_MAX_CHARS,
    alphabet: Alphabet::Ascii,
    expected: "1 to 2048 ASCII characters without control characters",
};

/// Whether a message may hold this trace header.
pub fn is_trace_header(text: &str) -> bool {
    TRACE_HEADER.check(text).is_ok()
}

/// The id of the trace that an X-Ray header continues, as W3C's Trace Context and OpenTelemetry write it:
/// 32 hexadecimal digits. X-Ray writes the same id as `1-`, the first eight, `-` and the rest (AWS X-Ray
/// Developer Guide, "Tracing header"). `None` if the header names no such trace.
pub fn trace_id(header: &str) -> Option<String> {
    let root = header.split(';').find_map(|field| field.trim().strip_prefix("Root="))?;
    let (time, rest) = root.strip_prefix("1-")?.split_once('-')?;
    (is_hex(time, 8) && is_hex(rest, 24)).then(|| format!("{time}{rest}").to_ascii_lowercase())
}

/// The span that an X-Ray header names as the parent of what is done next: 16 hexadecimal digits.
pub fn trace_parent(header: &str) -> Option<String> {
    let parent = header.split(';').find_map(|field| field.trim().strip_prefix("Parent="))?;
    is_hex(parent, 16).then(|| parent.to_ascii_lowercase())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a message may hold this ARN of an execution.
pub fn is_execution(text: &str) -> bool {
    EXECUTION.check(text).is_ok()
}

impl TextRule {
    pub(crate) fn check(&self, text: &str) -> Result<String, InvalidValue> {
        let chars = text.chars().count();
        let found = if chars == 0 {
            "an empty string".to_owned()
        } else if chars > self.max_chars {
            format!("{chars} characters")
        } else if let Some(position) = text.chars().position(|c| !self.alphabet.has(c)) {
            format!("another character at position {}", position + 1)
        } else {
            return Ok(text.to_owned());
        };
        Err(InvalidValue { expected: self.expected, found })
    }
}

impl Alphabet {
    fn has(self, c: char) -> bool {
        match self {
            Alphabet::NoControls => !c.is_control(),
            Alphabet::Ascii => matches!(c, ' '..='~'),
            Alphabet::VisibleAscii => matches!(c, '!'..='~'),
            Alphabet::HeaderName => matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'),
        }
    }

    /// The same as a JSON Schema pattern.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Alphabet::NoControls => r"^[^\u0000-\u001f\u007f-\u009f]*$",
            Alphabet::Ascii => "^[ -~]*$",
            Alphabet::VisibleAscii => "^[!-~]*$",
            Alphabet::HeaderName => "^[a-z0-9_-]*$",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_to_the_character_and_the_words_name_them() {
        for rule in [
            TASK_TOKEN,
            IDEMPOTENCY_KEY,
            RESOURCE,
            TENANT,
            TRACE_HEADER,
            EXECUTION,
            HEADER_NAME,
            HEADER_VALUE,
        ] {
            assert!(
                rule.expected.contains(&format!("1 to {} ", rule.max_chars)),
                "{}",
                rule.expected
            );
            assert!(rule.check("").is_err());
            assert!(rule.check("x").is_ok());
            assert!(rule.check(&"x".repeat(rule.max_chars)).is_ok());
            let longer = rule.check(&"x".repeat(rule.max_chars + 1)).unwrap_err();
            assert_eq!(longer.found, format!("{} characters", rule.max_chars + 1));
        }
    }

    #[test]
    fn a_character_counts_once_however_many_bytes_it_has() {
        assert!("\u{1f69a}".repeat(255).parse::<IdempotencyKey>().is_ok());
    }

    #[test]
    fn alphabets_and_their_patterns_agree() {
        // The patterns are character classes, so their ends are what there is to compare.
        for (alphabet, inside, outside) in [
            (Alphabet::NoControls, " ~\u{a0}\u{1f69a}", "\0\u{1f}\u{7f}\u{9f}"),
            (Alphabet::Ascii, " ~", "\u{1f}\u{7f}\u{e9}"),
            (Alphabet::VisibleAscii, "!~", " \u{7f}\u{e9}"),
            (Alphabet::HeaderName, "az09-_", "AZ :\u{e9}"),
        ] {
            let pattern = alphabet.pattern();
            assert!(inside.chars().all(|c| alphabet.has(c)), "{pattern}");
            assert!(!outside.chars().any(|c| alphabet.has(c)), "{pattern}");
        }
    }

    #[test]
    fn a_trace_has_one_id_in_two_ways_to_write_it() {
        let id = Some("5759e988bd862e3fe1be46a994272793".to_owned());
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        for header in [root, &format!("{root};Parent=53995c3f42cd8ad8;Sampled=1")] {
            assert_eq!(trace_id(header), id);
        }
        assert_eq!(trace_id(&format!("Self=1-67891234-12456789abcdef012345678a; {root}")), id);
        for header in [
            "",
            "Root=",
            "Root=1-5759e988",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-x-y",
        ] {
            assert_eq!(trace_id(header), None, "{header}");
        }
    }

    #[test]
    fn the_parent_of_a_trace_is_sixteen_digits() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995C3f42cd8ad8;Sampled=1";
        assert_eq!(trace_parent(header).as_deref(), Some("53995c3f42cd8ad8"));
        for header in ["", "Parent=", "Parent=5399", "Root=1-5759e988-bd862e3fe1be46a994272793"] {
            assert_eq!(trace_parent(header), None, "{header}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token: TaskToken = "AQCEsecret".parse().unwrap();
        assert_eq!(format!("{token:?}"), "TaskToken(...)");
        let error = "AQCE\nsecret".parse::<TaskToken>().unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}
