//! How long an answer asks to wait.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Seen;
use crate::pointer::Pointer;
use crate::source::Source;
use crate::words::{Period, duration, http_date, read_as_fields};

/// The longest wait that is believed: longer than any vendor's month.
pub const LONGEST_WAIT: Duration = Duration::from_secs(35 * 86_400);

/// How a span of time, or its end, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TimeForm {
    /// Seconds, with decimals or without: `2`, `2.0`.
    Seconds,
    /// Milliseconds: `1500`.
    Milliseconds,
    /// As `Retry-After` has it (RFC 9110, 10.2.3): seconds, or an HTTP date.
    RetryAfter,
    /// The end, in seconds since 1970.
    EpochSeconds,
    /// The end, in milliseconds since 1970.
    EpochMilliseconds,
    /// The end, as in RFC 3339: `2026-02-18T22:00:00Z`.
    Rfc3339,
    /// Units in words: `6m0s`, `20ms`, `9.756s`.
    Duration,
}

impl TimeForm {
    /// The wait that a text says, from `now` on. `None` if it is not written in this form. An end
    /// that has passed is no wait.
    pub(crate) fn read(self, text: &str, now: Timestamp) -> Option<Duration> {
        let text = text.trim();
        let until =
            |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default();
        let wait = match self {
            TimeForm::Seconds => seconds(text)?,
            TimeForm::Milliseconds => seconds(text)? / 1000,
            TimeForm::RetryAfter => seconds(text).or_else(|| http_date(text).map(until))?,
            TimeForm::EpochSeconds => until(epoch(seconds(text)?)?),
            TimeForm::EpochMilliseconds => until(epoch(seconds(text)? / 1000)?),
            TimeForm::Rfc3339 => until(text.parse().ok()?),
            TimeForm::Duration => duration(text)?,
        };
        Some(wait.min(LONGEST_WAIT))
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn epoch(since: Duration) -> Option<Timestamp> {
    Timestamp::UNIX_EPOCH.checked_add(since).ok()
}

/// One way to learn how long to wait. The first of a list that says something counts.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "Fields")]
pub(crate) struct Wait(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// A time in the answer.
    Told(Source, TimeForm),
    /// As long as a bucket needs until it holds what the call costs.
    Refill { cost: Pointer, available: Pointer, per_second: Pointer },
    /// What the vendor's documentation says.
    Fixed(Duration),
}

/// A wait: `header` or `body` with `as`; or `cost`, `available` and `per_second`; or `fixed`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// A header's name.
    header: Option<String>,
    /// A JSON pointer into the body.
    body: Option<Pointer>,
    /// The value begins behind this text.
    after: Option<String>,
    /// How the time is written.
    r#as: Option<TimeForm>,
    /// Where the body says what the call costs.
    cost: Option<Pointer>,
    /// Where the body says how much the bucket holds.
    available: Option<Pointer>,
    /// Where the body says how much the bucket gains in a second.
    per_second: Option<Pointer>,
    /// A time that the vendor's documentation names.
    fixed: Option<Period>,
}

read_as_fields!(Wait: Fields);

impl TryFrom<Fields> for Wait {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { header, body, after, r#as, cost, available, per_second, fixed } = fields;
        let told = header.is_some() || body.is_some() || after.is_some() || r#as.is_some();
        match (fixed, cost, available, per_second) {
            (Some(Period(fixed)), None, None, None) if !told => Ok(Wait(Kind::Fixed(fixed))),
            (None, Some(cost), Some(available), Some(per_second)) if !told => {
                Ok(Wait(Kind::Refill { cost, available, per_second }))
            }
            (None, None, None, None) => match r#as {
                Some(form) => Ok(Wait(Kind::Told(Source::of(header, body, after)?, form))),
                None => {
                    Err("a wait says how its time is written; add `as = \"seconds\"`".to_owned())
                }
            },
            _ => {
                Err("a wait is written in one way; write `header` or `body` with `as`, or `cost`, \
                      `available` and `per_second`, or `fixed`"
                    .to_owned())
            }
        }
    }
}

impl Wait {
    /// What the first of them says that says something.
    pub(crate) fn first(waits: &[Wait], seen: &Seen<'_>, now: Timestamp) -> Option<Duration> {
        waits.iter().find_map(|wait| wait.read(seen, now)).map(|wait| wait.min(LONGEST_WAIT))
    }

    fn read(&self, seen: &Seen<'_>, now: Timestamp) -> Option<Duration> {
        match &self.0 {
            Kind::Told(source, form) => form.read(&source.text(seen)?, now),
            Kind::Refill { cost, available, per_second } => {
                let number =
                    |at: &Pointer| at.find(seen.body()?).first().copied().and_then(Value::as_f64);
                let wait = (number(cost)? - number(available)?) / number(per_second)?;
                Duration::try_from_secs_f64(wait.max(0.0)).ok()
            }
            Kind::Fixed(fixed) => Some(*fixed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_wait_is_read() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (form, text, millis) in [
            (TimeForm::Seconds, "2.0", Some(2_000)),
            (TimeForm::Seconds, " 30 ", Some(30_000)),
            (TimeForm::Seconds, "-3", None),
            (TimeForm::Seconds, "NaN", None),
            (TimeForm::Seconds, "1e300", None),
            (TimeForm::Milliseconds, "1500", Some(1_500)),
            (TimeForm::RetryAfter, "120", Some(120_000)),
            (TimeForm::RetryAfter, "Sat, 28 Nov 2026 12:00:10 GMT", Some(10_000)),
            (TimeForm::RetryAfter, "Sat, 28 Nov 2026 11:00:00 GMT", Some(0)),
            (TimeForm::RetryAfter, "later", None),
            (TimeForm::EpochSeconds, "1795867205", Some(5_000)),
            (TimeForm::EpochMilliseconds, "1795867205500", Some(5_500)),
            (TimeForm::Rfc3339, "2026-11-28T12:00:05Z", Some(5_000)),
            (TimeForm::Duration, "6m0s", Some(360_000)),
            (TimeForm::Duration, "20ms", Some(20)),
            (TimeForm::Seconds, "999999999999", Some(LONGEST_WAIT.as_millis() as u64)),
        ] {
            let wait = form.read(text, now);
            assert_eq!(wait, millis.map(Duration::from_millis), "{form:?} {text}");
        }
    }
}
