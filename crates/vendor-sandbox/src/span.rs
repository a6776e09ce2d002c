//! Spans of time in a dialect.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A span of time, such as `24h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = slowlane_sandbox::parse_time(&text);
        span.map(Span).ok_or_else(|| de::Error::custom(format!("`{text}` is no span of time")))
    }
}
