//! An answer, and what of it rules can look at.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, HeaderName};
use jiff::Timestamp;
use serde_json::Value;

use crate::words::http_date;

/// How much of a body is parsed. A longer one is taken for one of which only the start was read.
pub const MAX_PARSED_BYTES: usize = 1024 * 1024;

/// What the API answered.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// How much of a body was read.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// Its start: it is longer than anybody wanted to read, or it broke off.
    Start(Vec<u8>),
}

impl Answer {
    /// An answer that was read to its end.
    pub fn new(status: u16, headers: HeaderMap, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, headers, body: Body::Whole(body.into()) }
    }

    /// The body as whoever waits for it gets it: parsed if it is JSON, else its text, in which what
    /// is not UTF-8 is replaced. `None` if there is none, or its end was not read.
    pub fn value(&self) -> Option<Value> {
        match &self.body {
            Body::Whole(bytes) if !bytes.is_empty() => Some(value(bytes, self)),
            Body::Whole(_) | Body::Start(_) => None,
        }
    }
}

impl std::fmt::Debug for Answer {
    /// Leaves out headers and body, which hold customer data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Body::Whole(bytes) | Body::Start(bytes)) = &self.body;
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &bytes.len())
            .finish_non_exhaustive()
    }
}

/// An answer with its body parsed, once for all rules.
pub(crate) struct Seen<'a> {
    answer: &'a Answer,
    body: Option<Value>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(answer: &'a Answer) -> Self {
        let body = match &answer.body {
            Body::Whole(bytes) if bytes.len() <= MAX_PARSED_BYTES => Some(value(bytes, answer)),
            _ => None,
        };
        Seen { answer, body }
    }

    pub(crate) fn status(&self) -> u16 {
        self.answer.status
    }

    /// A header's value, without white space at its ends.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.answer.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The body: parsed if it is JSON, else its text, null if there is none. `None` if its end is
    /// not there.
    pub(crate) fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    pub(crate) fn body_bytes(&self) -> &[u8] {
        let (Body::Whole(bytes) | Body::Start(bytes)) = &self.answer.body;
        bytes
    }

    /// The API's own clock, if it tells it: an end of a wait is compared with that.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        http_date(self.header(&DATE)?)
    }
}

fn value(bytes: &[u8], answer: &Answer) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = media_type.is_some_and(|of| {
        let essence = of.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    });
    // A number or a word may be text that only looks like JSON: `0017`, `null`.
    let looks_so = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
    let parsed = (declared || looks_so).then(|| serde_json::from_slice(bytes).ok()).flatten();
    parsed.unwrap_or_else(|| Value::from(String::from_utf8_lossy(bytes)))
}
