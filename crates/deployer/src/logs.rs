//! What the Lambdas have logged: each line a JSON object.

use crate::aws;
use aws_sdk_cloudwatchlogs::Client;
use jiff::Timestamp;
use serde_json::Value;

/// At most so many pages are read: a page can be empty although more come.
const PAGES: usize = 100;

/// A log line that is a JSON object.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) fields: Value,
}

/// Lines, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    /// Whether reading was given up before the last line.
    pub(crate) cut: bool,
}

/// The lines of a log group since a moment in which this field is there, or has this value. The
/// local server passes over such a pattern, so it is looked at here again.
pub(crate) async fn lines(
    client: &Client,
    group: &str,
    field: &str,
    value: Option<&str>,
    since: Timestamp,
) -> Result<Lines, aws::Error> {
    let mut pages = client
        .filter_log_events()
        .log_group_name(group)
        .filter_pattern(pattern(field, value))
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
            let is_it = match value {
                Some(value) => fields[field] == value,
                None => !fields[field].is_null(),
            };
            is_it.then_some(Line { at, fields })
        });
        found.lines.extend(lines);
    }
    found.cut = true;
    Ok(found)
}

/// CloudWatch's pattern for JSON lines. A text with a quotation mark, a backslash or a star would
/// mean something else in it.
fn pattern(field: &str, value: Option<&str>) -> String {
    match value {
        Some(value) if !value.contains(['"', '\\', '*']) => {
            format!("{{ $.{field} = \"{value}\" }}")
        }
        _ => format!("{{ $.{field} = * }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    #[test]
    fn a_pattern_means_the_text_itself() {
        assert_eq!(pattern("key", Some("order 1")), r#"{ $.key = "order 1" }"#);
        assert_eq!(pattern("key", Some("order*")), "{ $.key = * }");
        assert_eq!(pattern("key", Some("a\"b")), "{ $.key = * }");
        assert_eq!(pattern("key", None), "{ $.key = * }");
    }

    #[tokio::test]
    async fn only_the_lines_of_the_value_are_found_on_every_page() {
        let first = r#"{"events": [
            {"timestamp": 1, "message": "{\"key\":\"a\",\"n\":1}"},
            {"timestamp": 2, "message": "{\"key\":\"b\"}"},
            {"timestamp": 3, "message": "START a"}], "nextToken": "more"}"#;
        let second = r#"{"events": [{"timestamp": 4, "message": "{\"key\":\"a\",\"n\":2}"}]}"#;
        let wire = Wire::answering([(200, first), (200, second)]);
        let client = Client::new(&wire.config());
        let since = Timestamp::UNIX_EPOCH;
        let found = lines(&client, "/aws/lambda/w", "key", Some("a"), since).await.unwrap();
        let numbers: Vec<_> = found.lines.iter().map(|line| line.fields["n"].clone()).collect();
        assert_eq!(numbers, [1, 2]);
        assert!(!found.cut);
    }
}
