//! One request to NetSuite, checked before it is sent.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Invalid,
    said::{Api, Call},
};

/// A request to the record API or one of its siblings.
///
/// [`Client::send`](crate::Client::send) takes it; the typed calls ([`Records`](crate::Records),
/// [`SuiteQl`](crate::SuiteQl) and so on) are made of it.
///
/// ```
/// # fn main() -> Result<(), slowlane_netsuite::Invalid> {
/// use slowlane_netsuite::{Method, Request};
/// let upsert = Request::new(Method::PUT, "salesOrder/eid:o-1")?
///     .json(&serde_json::json!({"memo": "first"}))?
///     .header("x-correlation-id", "41f2")?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a request does nothing before it is sent"]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) service: Service,
    path: String,
    query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    writes: bool,
    pub(crate) repeatable: bool,
    pub(crate) answer_timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    /// Whether an attempt is at the server now; shared with the clones that retries make.
    pub(crate) in_flight: Arc<AtomicBool>,
}

/// The part of NetSuite's REST surface that a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// `/services/rest/record/v1/`
    Record,
    /// `/services/rest/query/v1/`
    Query,
    /// `/services/rest/async/v1/`
    Async,
    /// `/services/rest/system/v1/`
    System,
    /// `/app/site/hosting/`, on the RESTlet host
    Restlet,
}

impl Service {
    pub(crate) fn root(self) -> &'static str {
        match self {
            Service::Record => "/services/rest/record/v1/",
            Service::Query => "/services/rest/query/v1/",
            Service::Async => "/services/rest/async/v1/",
            Service::System => "/services/rest/system/v1/",
            Service::Restlet => "/app/site/hosting/",
        }
    }
}

/// NetSuite accepts a request of up to 104 MB.
pub const MAX_BODY_BYTES: usize = 104_000_000;

/// Everything but RFC 3986's unreserved characters, as OAuth 1.0a wants it.
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Request {
    /// A request to the record API; `path` is what follows `/services/rest/record/v1/`, for
    /// instance `salesOrder`, `salesOrder/17` or `salesOrder/eid:o-1`.
    ///
    /// # Errors
    /// When the path is empty, has an empty, `.` or `..` segment, or a character outside letters,
    /// digits and `-_.~:!,@`. It comes from messages and databases, and must not lead elsewhere.
    pub fn new(method: Method, path: impl AsRef<str>) -> Result<Self, Invalid> {
        Self::to(Service::Record, method, path)
    }

    /// A request to any of NetSuite's REST services, `path` relative to the service's root.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to(service: Service, method: Method, path: impl AsRef<str>) -> Result<Self, Invalid> {
        let path = path.as_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~:!,@".contains(c);
        let segment_fits = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(fits);
        if !path.split('/').all(segment_fits) {
            return Err(Invalid::new(
                "path",
                path,
                "segments of letters, digits and `-_.~:!,@`, none of them empty, `.` or `..`",
            ));
        }
        let is_read = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
        Ok(Self {
            writes: !is_read && service != Service::Query,
            repeatable: is_read,
            method,
            service,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            answer_timeout: None,
            deadline: None,
            in_flight: Arc::default(),
        })
    }

    /// Adds a query parameter; name and value are percent-encoded here.
    pub fn query(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Gives the request a JSON body.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON or is over [`MAX_BODY_BYTES`].
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Result<Self, Invalid> {
        let body =
            serde_json::to_vec(body).map_err(|e| Invalid::unquoted("body", e.to_string()))?;
        if body.len() > MAX_BODY_BYTES {
            return Err(Invalid::unquoted(
                "body",
                format!("at most {MAX_BODY_BYTES} bytes; this has {}", body.len()),
            ));
        }
        self.body = body.into();
        self.headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// Sets a header.
    ///
    /// # Errors
    /// When name or value is not of HTTP's form, or the header is the client's own to write:
    /// `Authorization`, `Host`, `Content-Length`, `Transfer-Encoding`, `Connection`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Invalid> {
        let parsed = HeaderName::try_from(name)
            .map_err(|e| Invalid::new("header name", name, e.to_string()))?;
        if [
            header::AUTHORIZATION,
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ]
        .contains(&parsed)
        {
            return Err(Invalid::new(
                "header name",
                name,
                "a header that the client does not write itself",
            ));
        }
        let value = HeaderValue::try_from(value)
            .map_err(|e| Invalid::unquoted("header value", format!("{name}: {e}")))?;
        self.headers.insert(parsed, value);
        Ok(self)
    }

    /// Declares that doing this write twice has the effect of doing it once, so that it may be
    /// sent again when its fate is unknown. Reads are so by nature.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Has the answer judged as that of a write, which is what the request asks after.
    pub(crate) fn about_a_write(mut self) -> Self {
        self.writes = true;
        self
    }

    /// How long to wait for the answer of one attempt, instead of the client's setting.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = Some(timeout);
        self
    }

    /// The moment by which all must be over: waiting for a permit, retries and the answer. What
    /// is in flight then is dropped and its class is [`Unknown`](crate::Class::Unknown); what was
    /// still waiting is [`NotSent`](crate::Class::NotSent).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn call(&self) -> Call<'_> {
        let api = if self.service == Service::Restlet { Api::Restlet } else { Api::Rest };
        Call {
            method: &self.method,
            api,
            path: &self.path,
            writes: self.writes,
            repeatable: self.repeatable,
        }
    }

    /// Path and query, from the root of the host.
    pub(crate) fn path_and_query(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{}", self.service.root(), self.path, pairs.join("&"))
    }
}
