//! What the Lambdas have logged: each line a JSON object.

use crate::aws;
pub use crate::outputs::Function;

use crate::outputs::Deployed;
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// At most so many pages are read: a page can be empty although more come.
const PAGES: usize = 100;
/// The field of a log line that names a call.
pub(crate) const KEY: &str = "idempotency_key";
/// The field of a log line that names the call's execution.
pub(crate) const EXECUTION: &str = "execution_arn";
/// The field of a log line with which a call leaves the worker's hands.
pub(crate) const OUTCOME: &str = "Outcome";
/// The field of the log line of a worker that did not start: why.
pub(crate) const START_FAILED: &str = "start_failed";
/// What every log line has, and what is there for CloudWatch's metrics only.
const NOISE: [&str; 6] = ["_aws", "Calls", "timestamp", "target", "level", "message_id"];
/// Ids of the invocation, as a list of objects: for programs.
const SPANS: [&str; 2] = ["span", "spans"];

/// A log line that is a JSON object.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was logged.
    pub at: Timestamp,
    /// By whom.
    pub function: Function,
    /// CloudWatch's id of it, by which a line is known again.
    pub id: String,
    /// The object.
    pub fields: Value,
}

/// Lines, the oldest first.
#[derive(Debug, Default)]
pub struct Lines {
    /// The lines.
    pub lines: Vec<Line>,
    /// Whether reading was given up before the last line.
    pub cut: bool,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy)]
pub enum Filter<'a> {
    /// Every line.
    All,
    /// Those of the call with this idempotency key. A line names no tenant.
    Call(&'a str),
    /// Those of the calls that this execution waits, or waited, for.
    Execution(&'a str),
    /// The lines with which calls leave the worker's hands, and those of a worker that did not start.
    Outcomes,
}

/// The lines of some of a deployment's Lambdas since a moment.
///
/// # Errors
/// If CloudWatch refuses.
pub async fn of(
    config: &SdkConfig,
    deployed: &Deployed,
    functions: &[Function],
    filter: Filter<'_>,
    since: Timestamp,
) -> Result<Lines, aws::Error> {
    let client = Client::new(config);
    let mut all = Lines::default();
    for function in functions {
        let group = deployed.logs_of(*function);
        let found = lines(&client, *function, &group, filter, since).await?;
        all.cut |= found.cut;
        all.lines.extend(found.lines);
    }
    all.lines.sort_by_key(|line| line.at);
    Ok(all)
}

/// The lines of a log group since a moment. The local server passes over a pattern, so the lines
/// are looked at here again.
async fn lines(
    client: &Client,
    function: Function,
    group: &str,
    filter: Filter<'_>,
    since: Timestamp,
) -> Result<Lines, aws::Error> {
    let mut pages = client
        .filter_log_events()
        .log_group_name(group)
        .set_filter_pattern(filter.pattern())
        .start_time(since.as_millisecond())
        .into_paginator()
        .send();
    let mut found = Lines::default();
    for _ in 0..PAGES {
        let Some(page) = pages.next().await else { return Ok(found) };
        let page = page.map_err(aws::failed("logs:FilterLogEvents", group))?;
        let lines = page.events.unwrap_or_default().into_iter().filter_map(|event| {
            let at = Timestamp::from_millisecond(event.timestamp?).ok()?;
            let fields: Value = serde_json::from_str(&event.message?).ok()?;
            let id = event.event_id.unwrap_or_default();
            filter.takes(&fields).then_some(Line { at, function, id, fields })
        });
        found.lines.extend(lines);
    }
    found.cut = true;
    Ok(found)
}

impl Filter<'_> {
    /// The field that a line must have, with this value.
    fn field(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::All | Self::Outcomes => None,
            Self::Call(key) => Some((KEY, key)),
            Self::Execution(arn) => Some((EXECUTION, arn)),
        }
    }

    fn takes(&self, fields: &Value) -> bool {
        match self.field() {
            Some((field, value)) => fields[field] == value,
            None if matches!(self, Self::Outcomes) => {
                [OUTCOME, START_FAILED].iter().any(|field| !fields[*field].is_null())
            }
            None => fields.is_object(),
        }
    }

    /// CloudWatch's pattern for JSON lines. A text with a quotation mark, a backslash or a star
    /// would mean something else in it.
    fn pattern(&self) -> Option<String> {
        Some(match self.field() {
            Some((field, value)) if !value.contains(['"', '\\', '*']) => {
                format!("{{ $.{field} = \"{value}\" }}")
            }
            Some((field, _)) => format!("{{ $.{field} = * }}"),
            None if matches!(self, Self::Outcomes) => {
                format!("{{ ($.{OUTCOME} = *) || ($.{START_FAILED} = *) }}")
            }
            None => return None,
        })
    }
}

impl Line {
    /// The line's fields, with its time and its function beside them, without what is there for
    /// CloudWatch only.
    pub fn as_json(&self) -> Value {
        let mut fields = self.interesting();
        fields.insert("at".to_owned(), self.at.to_string().into());
        fields.insert("function".to_owned(), self.function.to_string().into());
        Value::Object(fields)
    }

    fn interesting(&self) -> Map<String, Value> {
        let fields = self.fields.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !NOISE.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {:<8}", self.at, self.function.to_string())?;
        let mut fields = self.interesting();
        if let Some(Value::String(message)) = fields.remove("message") {
            write!(f, " {message}")?;
        }
        fields.retain(|name, _| !SPANS.contains(&name.as_str()));
        for (name, value) in fields {
            match value {
                Value::String(text) => write!(f, " {name}={text}")?,
                // Mostly milliseconds. What is less than one, such as dollars, keeps all its digits.
                value => match value.as_f64().filter(|number| value.is_f64() && *number >= 1.0) {
                    Some(number) => write!(f, " {name}={number:.1}")?,
                    None => write!(f, " {name}={value}")?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;
    use serde_json::json;

    #[test]
    fn a_pattern_means_the_text_itself() {
        let pattern = |key| Filter::Call(key).pattern().unwrap();
        assert_eq!(pattern("order 1"), r#"{ $.idempotency_key = "order 1" }"#);
        assert_eq!(pattern("order*"), "{ $.idempotency_key = * }");
        assert_eq!(pattern("a\"b"), "{ $.idempotency_key = * }");
        let pattern = Filter::Outcomes.pattern().unwrap();
        assert_eq!(pattern, "{ ($.Outcome = *) || ($.start_failed = *) }");
        assert_eq!(Filter::All.pattern(), None);
    }

    #[tokio::test]
    async fn only_the_lines_of_the_call_are_found_on_every_page() {
        let first = r#"{"events": [
            {"timestamp": 1, "message": "{\"idempotency_key\":\"a\",\"n\":1}"},
            {"timestamp": 2, "message": "{\"idempotency_key\":\"b\"}"},
            {"timestamp": 3, "message": "START a"}], "nextToken": "more"}"#;
        let second =
            r#"{"events": [{"timestamp": 4, "message": "{\"idempotency_key\":\"a\",\"n\":2}"}]}"#;
        let wire = Wire::answering([(200, first), (200, second)]);
        let client = Client::new(&wire.config());
        let since = Timestamp::UNIX_EPOCH;
        let found =
            lines(&client, Function::Worker, "/aws/lambda/w", Filter::Call("a"), since).await;
        let found = found.unwrap();
        let numbers: Vec<_> = found.lines.iter().map(|line| line.fields["n"].clone()).collect();
        assert_eq!(numbers, [1, 2]);
        assert!(!found.cut);
    }

    #[test]
    fn a_line_is_told_without_what_is_for_cloudwatch_only() {
        let fields = json!({"message": "queued", "idempotency_key": "a", "level": "INFO", "n": 2,
            "QueueWaitMs": 115.622_351_999, "CostUsd": 0.00125, "_aws": {}, "Calls": 1.0, "spans": [{"name": "Lambda runtime invoke"}]});
        let at = Timestamp::from_second(1).unwrap();
        let line = Line { at, function: Function::Enqueuer, id: "1".into(), fields };
        assert_eq!(
            line.to_string(),
            "1970-01-01T00:00:01.000Z enqueuer queued CostUsd=0.00125 QueueWaitMs=115.6 idempotency_key=a n=2"
        );
        assert_eq!(
            line.as_json(),
            json!({"message": "queued", "idempotency_key": "a", "n": 2,
                "QueueWaitMs": 115.622_351_999, "CostUsd": 0.00125, "spans": [{"name": "Lambda runtime invoke"}],
                "at": "1970-01-01T00:00:01Z", "function": "enqueuer"})
        );
    }
}
