//! What NetSuite said, and of which call.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

/// Which call an error is about.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) api: Api,
    /// Without the query, which may hold a customer's data.
    pub(crate) path: &'a str,
    /// Whether it can have an effect.
    pub(crate) writes: bool,
    pub(crate) repeatable: bool,
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// The families of error answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Rest,
    Restlet,
    Token,
}

/// The outside of an error answer.
#[derive(Clone, Copy)]
pub(crate) struct Answered<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) received_at: jiff::Timestamp,
}

/// What an error body says.
#[derive(Clone, Default)]
pub(crate) struct Said {
    pub(crate) title: Option<String>,
    pub(crate) details: Vec<Detail>,
    pub(crate) body: Option<String>,
}

/// One thing NetSuite found wrong. An answer can hold several; all are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Detail {
    /// NetSuite's code as it stands, known to this crate or not: `NONEXISTENT_ID`.
    pub code: Option<String>,
    /// NetSuite's words, in the language of the user the integration runs as.
    pub message: String,
    /// Where in the request the fault lies, if NetSuite says.
    pub place: Option<Place>,
}

/// The part of a request that a [`Detail`] points to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A JSON path into the body (`o:errorPath`).
    Body(String),
    /// A part of the URL's path (`o:errorUrl`; Oracle's page calls it `o:urlPath`).
    Path(String),
    /// A header's name (`o:errorHeader`).
    Header(String),
    /// A query parameter's name (`o:errorQueryParam`).
    QueryParam(String),
}

/// A longer body is a page of HTML, of which no one reads more.
const BODY_CAP_BYTES: usize = 64 * 1024;

impl Said {
    /// Reads an error body of any of NetSuite's shapes. Never fails: what it does not know is kept
    /// as text.
    ///
    /// `redact` blacks out our own secrets, in case the server repeats what we sent.
    pub(crate) fn parse(body: &[u8], redact: impl Fn(&str) -> String) -> Self {
        if body.is_empty() {
            return Self::default();
        }
        let text = redact(&String::from_utf8_lossy(body));
        let (title, details) =
            serde_json::from_str(&text).map(|value| read_shapes(&value)).unwrap_or_default();
        let cut = text.floor_char_boundary(BODY_CAP_BYTES);
        Self { title, details, body: Some(text[..cut].to_owned()) }
    }

    /// Takes the code from `WWW-Authenticate` where the body has none.
    pub(crate) fn with_challenge(mut self, headers: &HeaderMap) -> Self {
        let challenge = header(headers, "www-authenticate").unwrap_or_default();
        let code = challenge.split_once("error=\"").and_then(|(_, rest)| rest.split_once('"'));
        if let (true, Some((code, _))) = (self.details.is_empty(), code) {
            self.details.push(Detail { code: Some(code.to_owned()), ..Detail::default() });
        }
        self
    }

    pub(crate) fn in_words(&self) -> String {
        let details: Vec<String> = self.details.iter().map(ToString::to_string).collect();
        match (details.is_empty(), &self.title) {
            (false, _) => format!(": {}", details.join("; ")),
            (true, Some(title)) => format!(": {title}"),
            (true, None) => String::new(),
        }
    }
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code.as_deref().unwrap_or("no code"))?;
        if !self.message.is_empty() {
            write!(f, " {}", self.message)?;
        }
        match &self.place {
            Some(Place::Body(at)) => write!(f, " (at {at} of the body)"),
            Some(Place::Path(at)) => write!(f, " (at {at} of the path)"),
            Some(Place::Header(name)) => write!(f, " (header {name})"),
            Some(Place::QueryParam(name)) => write!(f, " (query parameter {name})"),
            None => Ok(()),
        }
    }
}

/// The record API's body (`o:errorDetails`, or a code alone), a RESTlet's (`error: {code, message}`)
/// and the token service's (`error`, `error_description`).
fn read_shapes(value: &Value) -> (Option<String>, Vec<Detail>) {
    let title = text(value, "title");
    if let Some(list) = value.get("o:errorDetails").and_then(Value::as_array) {
        let detail = |entry: &Value| Detail {
            code: text(entry, "o:errorCode"),
            message: text(entry, "detail").unwrap_or_default(),
            place: place(entry),
        };
        return (title, list.iter().map(detail).collect());
    }
    let (code, message) = match value.get("error") {
        Some(error @ Value::Object(_)) => {
            (text(error, "code").or_else(|| text(error, "name")), text(error, "message"))
        }
        Some(Value::String(code)) => (Some(code.clone()), text(value, "error_description")),
        _ => match text(value, "o:errorCode") {
            None => return (title, Vec::new()),
            code => (code, text(value, "detail")),
        },
    };
    (title, vec![Detail { code, message: message.unwrap_or_default(), place: None }])
}

/// Where an entry of `o:errorDetails` points. The URL has two names. The page "Error Handling in
/// REST Web Services" says `o:urlPath`; the metadata catalogue (`nsError`) and NetSuite's answers
/// say `o:errorUrl`.
fn place(entry: &Value) -> Option<Place> {
    let at = |member| text(entry, member);
    at("o:errorPath")
        .map(Place::Body)
        .or_else(|| at("o:errorUrl").or_else(|| at("o:urlPath")).map(Place::Path))
        .or_else(|| at("o:errorHeader").map(Place::Header))
        .or_else(|| at("o:errorQueryParam").map(Place::QueryParam))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// NetSuite's own header first, then the one proxies use.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    header(headers, "x-n-operationid").or_else(|| header(headers, "x-request-id"))
}

/// Both forms of RFC 9110: seconds, or a date, which in the past means no wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let given = header(headers, "retry-after")?;
    if let Ok(seconds) = given.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = jiff::fmt::rfc2822::parse(&given).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}
