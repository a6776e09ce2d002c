//! What went wrong, sorted by what may be done about it.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    Class, Invalid,
    class::classify,
    said::{Answered, Call, Detail, Said, header, request_id, retry_after},
    transport::TransportError,
};

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

    fn of_call(call: Call<'_>, class: Class, why: impl Into<String>) -> Self {
        Self {
            class,
            call: call.to_string(),
            repeatable: call.repeatable,
            why: why.into(),
            ..Self::of_request()
        }
    }
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
            ..Inner::of_call(call, class, why)
        }))
    }

    /// No whole answer came.
    pub(crate) fn transport(call: Call<'_>, failure: TransportError) -> Self {
        let class = match failure {
            TransportError::NotSent(_) => Class::NotSent,
            TransportError::MaybeSent(_) => Class::Unknown,
        };
        let why = format!("{}: {failure}: {}", class.as_str(), root_cause(&failure));
        Self(Arc::new(Inner {
            source: Some(Arc::new(failure)),
            ..Inner::of_call(call, class, why)
        }))
    }

    /// Something that this crate found out itself.
    pub(crate) fn local(call: Call<'_>, class: Class, why: impl Into<String>) -> Self {
        Self(Arc::new(Inner::of_call(call, class, why)))
    }

    /// An answer of success whose body is not what was asked for. A write has been executed all
    /// the same, so its fate is as good as unknown to the caller; a read is simply of no use.
    pub(crate) fn unreadable(call: Call<'_>, source: serde_json::Error) -> Self {
        let class = if call.repeatable { Class::Rejected } else { Class::Unknown };
        Self(Arc::new(Inner {
            source: Some(Arc::new(source)),
            ..Inner::of_call(call, class, "the answer is not of the shape asked for")
        }))
    }

    /// A RESTlet's own error, told in an answer of success.
    pub(crate) fn of_script(call: Call<'_>, answered: Answered<'_>, body: &[u8]) -> Self {
        Self::answered(call, answered, Said::parse(body, str::to_owned))
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

/// The innermost source, which is what tells one lost connection from another.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
