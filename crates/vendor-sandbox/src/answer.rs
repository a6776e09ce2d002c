//! Answers as a dialect's file has them, with gaps that are filled in.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::Response;

/// An answer: its status, headers and body, whose texts have gaps such as `{wait:seconds}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerShape {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Nothing at all if it is left out. A text is sent as it is, and not as JSON.
    pub(crate) body: Option<Value>,
}

/// What fills a gap.
#[derive(Clone, Debug)]
pub(crate) enum Gap {
    Text(String),
    Number(u64),
    /// A span of time from now on.
    Wait(Duration),
}

/// What fills the gaps of an answer, by their names, and when it is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    all: BTreeMap<&'static str, Gap>,
    now: Duration,
}

impl Gaps {
    /// `now` is the time since the Unix epoch.
    pub(crate) fn at(now: Duration) -> Self {
        Self { all: BTreeMap::new(), now }
    }

    pub(crate) fn with(mut self, name: &'static str, gap: Gap) -> Self {
        self.all.insert(name, gap);
        self
    }

    /// A text with its gaps filled. One that nothing fills stays as it is.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after.split_once('}').and_then(|(gap, left)| Some((self.gap(gap)?, left))) {
                Some((filled, left)) => {
                    out.push_str(&filled);
                    rest = left;
                }
                None => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// A document with the gaps of its texts filled. A text that is one number's gap and no more
    /// becomes that number.
    pub(crate) fn fill_in(&self, document: &Value) -> Value {
        match document {
            Value::String(text) => {
                let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
                match name.and_then(|name| self.all.get(name)) {
                    Some(Gap::Number(number)) => (*number).into(),
                    _ => self.fill(text).into(),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.fill_in(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.fill_in(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// Writes headers onto an answer.
    pub(crate) fn head(&self, response: &mut Response, headers: &BTreeMap<String, String>) {
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&self.fill(value))) {
                response.headers_mut().insert(name, value);
            }
        }
    }

    /// The answer of a shape.
    pub(crate) fn answer(&self, shape: &AnswerShape) -> Response {
        let body = shape.body.as_ref().map(|body| self.fill_in(body));
        let mut response = match &body {
            Some(Value::String(said)) => text(shape.status, said),
            body => json(shape.status, body.as_ref()),
        };
        self.head(&mut response, &shape.headers);
        response
    }

    fn gap(&self, gap: &str) -> Option<String> {
        let (name, form) = gap.split_once(':').unwrap_or((gap, ""));
        match (self.all.get(name)?, form) {
            (Gap::Text(text), "") => Some(text.clone()),
            (Gap::Number(number), "") => Some(number.to_string()),
            (Gap::Wait(wait), form) => self.time(*wait, form),
            _ => None,
        }
    }

    /// A wait as vendors write it.
    fn time(&self, wait: Duration, form: &str) -> Option<String> {
        let end = self.now + wait;
        let whole_seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        Some(match form {
            "seconds" => whole_seconds.to_string(),
            "decimal" => format!("{:.1}", wait.as_secs_f64()),
            "milliseconds" => wait.as_micros().div_ceil(1000).to_string(),
            "duration" => duration(wait),
            "epoch" => end.as_millis().div_ceil(1000).to_string(),
            "date" => httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + whole(end)),
            "rfc3339" => {
                let seconds = i64::try_from(whole(end).as_secs()).ok()?;
                Timestamp::from_second(seconds).ok()?.to_string()
            }
            _ => return None,
        })
    }
}

/// The next whole second: a wait that is written in seconds must not be over before it is.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX))
}

/// `6m0s`, `1.5s`, `20ms`.
fn duration(wait: Duration) -> String {
    let millis = wait.as_micros().div_ceil(1000);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}s", millis as f64 / 1e3),
        _ => {
            let (minutes, rest) = (millis / 60_000, millis % 60_000);
            let (hours, minutes) = (minutes / 60, minutes % 60);
            let hours = if hours > 0 { format!("{hours}h") } else { String::new() };
            format!("{hours}{minutes}m{}s", rest as f64 / 1e3)
        }
    }
}

/// An answer with a JSON body, or with none.
pub(crate) fn json(status: u16, body: Option<&Value>) -> Response {
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let mut response = Response::new(bytes);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    if body.is_some() {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    }
    response
}

/// An answer in plain text.
fn text(status: u16, said: &str) -> Response {
    let mut response = json(status, None);
    *response.body_mut() = Bytes::from(said.to_owned());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_written_in_every_form_that_vendors_use() {
        let gaps = Gaps::at(Duration::from_secs(1_800_000_000))
            .with("wait", Gap::Wait(Duration::from_millis(1_500)))
            .with("reset", Gap::Wait(Duration::from_secs(360)));
        for (text, filled) in [
            ("{wait:seconds}", "2"),
            ("{wait:decimal}", "1.5"),
            ("{wait:milliseconds}", "1500"),
            ("{wait:duration}", "1.5s"),
            ("try again in {reset:duration}.", "try again in 6m0s."),
            ("{wait:epoch}", "1800000002"),
            ("{wait:date}", "Fri, 15 Jan 2027 08:00:02 GMT"),
            ("{wait:rfc3339}", "2027-01-15T08:00:02Z"),
            ("{other} {", "{other} {"),
        ] {
            assert_eq!(gaps.fill(text), filled, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_a_numbers_gap_becomes_the_number() {
        let gaps = Gaps::at(Duration::ZERO).with("left", Gap::Number(7));
        let filled = gaps.fill_in(&json!({"left": "{left}", "text": "{left} of 9", "n": [1]}));
        assert_eq!(filled, json!({"left": 7, "text": "7 of 9", "n": [1]}));
    }
}
