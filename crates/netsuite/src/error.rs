//! What went wrong, sorted by what may be done about it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::{Class, Invalid, class::classify, response::Answer, transport::TransportError};

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// A call that did not succeed. Cheap to clone; never holds or shows a secret.
///
/// [`class`](Self::class) says what happened to the request and
/// [`is_safe_to_repeat`](Self::is_safe_to_repeat) whether the very same one may be sent again;
/// everything NetSuite said is kept beside it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    class: Class,
    call: String,
    repeatable: bool,
    why: String,
    status: Option<StatusCode>,
    said: Said,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    location: Option<String>,
    source: Option<Source>,
}

impl Inner {
    /// A failure of a request that had not come to be one.
    fn of_request() -> Self {
        Self {
            class: Class::Rejected,
            call: "request".into(),
            repeatable: false,
            why: String::new(),
            status: None,
            said: Said::default(),
            request_id: None,
            retry_after: None,
            location: None,
            source: None,
        }
    }
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

impl Error {
    /// What became of the request.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// True when sending the very same request again may succeed and cannot do its work twice. It
    /// was throttled or never sent, or its fate is unknown but it was a read (or declared
    /// [`repeatable`](crate::Request::repeatable) by the caller).
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        match self.0.class {
            Class::Throttled | Class::NotSent => true,
            Class::Unknown => self.0.repeatable,
            Class::Rejected
            | Class::Unauthorized
            | Class::ChangedUnderUs
            | Class::AlreadyExists => false,
        }
    }

    /// The answer's HTTP status, if there was an answer. A RESTlet's script error can come with
    /// a 200.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The title of NetSuite's error body, for instance `Bad Request`.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.0.said.title.as_deref()
    }

    /// Everything NetSuite found wrong, in its order. Empty when the body was not of a known shape
    /// ([`body`](Self::body) then still has it).
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.0.said.details
    }

    /// Whether some detail carries this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.details().iter().any(|detail| detail.code.as_deref() == Some(code))
    }

    /// The answer's body as text, cut to 64 KiB, with any of our secrets blacked out.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.0.said.body.as_deref()
    }

    /// The id NetSuite gave the operation, to quote to its support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long NetSuite, or a proxy before it, asks us to wait. NetSuite documents no
    /// `Retry-After`, so expect `None`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The answer's `Location`: with `IDEMPOTENCY_ERROR` it names the job that the first request
    /// with that idempotency key started.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// An error answer of the server's, or a `200` of a RESTlet that holds a script's error.
    pub(crate) fn answered(call: Call<'_>, answer: Answered<'_>, said: Said) -> Self {
        let class = classify(call, answer, &said.details);
        Self::answered_as(class, call, answer, said)
    }

    /// An error answer whose class is known by more than what it says.
    pub(crate) fn answered_as(
        class: Class,
        call: Call<'_>,
        answer: Answered<'_>,
        said: Said,
    ) -> Self {
        let why = format!("{} ({}){}", class.as_str(), answer.status.as_u16(), said.in_words());
        Self(Arc::new(Inner {
            class,
            status: Some(answer.status),
            request_id: request_id(answer.headers),
            retry_after: retry_after(answer.headers, answer.received_at),
            location: header(answer.headers, "location"),
            said,
            ..call.failed(class, why)
        }))
    }

    /// No whole answer came.
    pub(crate) fn transport(call: Call<'_>, failure: TransportError) -> Self {
        let class = match failure {
            TransportError::NotSent(_) => Class::NotSent,
            TransportError::MaybeSent(_) => Class::Unknown,
        };
        let why = format!("{}: {failure}: {}", class.as_str(), root_cause(&failure));
        Self(Arc::new(Inner { source: Some(Arc::new(failure)), ..call.failed(class, why) }))
    }

    /// Something that this crate found out itself.
    pub(crate) fn local(call: Call<'_>, class: Class, why: impl Into<String>) -> Self {
        Self(Arc::new(call.failed(class, why)))
    }

    /// An answer of success whose body is not what was asked for. A write has been executed all
    /// the same, so its fate is as good as unknown to the caller; a read is simply of no use.
    pub(crate) fn unreadable(call: Call<'_>, source: serde_json::Error) -> Self {
        let class = if call.repeatable { Class::Rejected } else { Class::Unknown };
        Self(Arc::new(Inner {
            source: Some(Arc::new(source)),
            ..call.failed(class, "the answer is not of the shape asked for")
        }))
    }

    /// A RESTlet's own error, told in an answer of success.
    pub(crate) fn of_script(call: Call<'_>, answer: &Answer) -> Self {
        let answered = Answered {
            status: answer.status,
            headers: &answer.headers,
            received_at: answer.received_at,
        };
        Self::answered(call, answered, Said::parse(&answer.body, str::to_owned))
    }

    /// The task that keeps the pace is gone, which happens when its runtime is.
    pub(crate) fn pace_stopped(source: tower::BoxError) -> Self {
        let inner = Inner {
            class: Class::NotSent,
            why: "the task that keeps the pace has stopped".into(),
            ..Inner::of_request()
        };
        Self(Arc::new(Inner { source: Some(source.into()), ..inner }))
    }

    /// The same failure as seen by a call that needed a token and did not get one: whatever
    /// became of the token request, this call was never sent.
    pub(crate) fn for_want_of_token(&self, call: Call<'_>) -> Self {
        let class = match self.0.class {
            Class::Unauthorized | Class::Throttled => self.0.class,
            _ => Class::NotSent,
        };
        let why = format!("no access token: {}", self.0.why);
        Self(Arc::new(Inner {
            class,
            call: call.to_string(),
            repeatable: call.repeatable,
            why,
            ..(*self.0).clone()
        }))
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self(Arc::new(Inner {
            why: invalid.to_string(),
            source: Some(Arc::new(invalid)),
            ..Inner::of_request()
        }))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.call, self.0.why)?;
        match &self.0.request_id {
            Some(id) => write!(f, " [request {id}]"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Error")
            .field("class", &self.0.class)
            .field("call", &self.0.call)
            .field("why", &self.0.why)
            .field("status", &self.0.status)
            .field("details", &self.0.said.details)
            .field("request_id", &self.0.request_id)
            .field("retry_after", &self.0.retry_after)
            .field("location", &self.0.location)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// The families of error answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Rest,
    Restlet,
    Token,
}

/// The innermost source, which is what tells one lost connection from another.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

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

impl Call<'_> {
    fn failed(self, class: Class, why: impl Into<String>) -> Inner {
        Inner {
            class,
            call: self.to_string(),
            repeatable: self.repeatable,
            why: why.into(),
            ..Inner::of_request()
        }
    }
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
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
    title: Option<String>,
    details: Vec<Detail>,
    body: Option<String>,
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

    fn in_words(&self) -> String {
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
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let given = header(headers, "retry-after")?;
    if let Ok(seconds) = given.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = jiff::fmt::rfc2822::parse(&given).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}
