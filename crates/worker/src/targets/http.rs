//! Any API over HTTP as a target.
//!
//! The call's resource is a path (and query) below a base URL, and can name nothing else: one that
//! would leave it is refused before anything is sent. What the answer means is read from its
//! status as HTTP defines it (RFC 9110, RFC 6585, RFC 8470, and the IETF's draft of
//! `Idempotency-Key`):
//!
//! | Answer | Outcome |
//! |---|---|
//! | 2xx | succeeded |
//! | 429, or 503 with a `Retry-After` | throttled: not executed |
//! | 401, 403 | unauthorized |
//! | 425 | transient: not executed |
//! | 409 to a call with an idempotency key | in flight: the first call with this key is still at work, and may be our own; tried later |
//! | 408 | unknown: the server may have read enough of the call |
//! | other 4xx (with a key, 422 too: the key was used with another payload) | rejected |
//! | a redirect | never followed: rejected where nothing was executed (307, 308, an answer to a GET), else unknown |
//! | 5xx, no answer, one that broke off | unknown |
//! | no connection | transient: not sent |
//!
//! A resource that leaves the base path is rejected without a request.
//!
//! GET, PUT and DELETE are made again after a lost answer, as HTTP allows (RFC 9110, 9.2.2). So is
//! every call to an API that takes an idempotency key. Any other is refused unless it asks for
//! `at_most_once`.
//!
//! **The answer.** The workflow gets the body: parsed if it is JSON, else as text (what is not
//! UTF-8 in it is replaced). It gets an id: the body's `id`, if that is a text or a number, else
//! the last segment of `Location`. Of a body above [`MAX_BODY_BYTES`], unpacked, it gets only the
//! size and the id.
//!
//! **What a refusal shows.** Error bodies hold customer data, so neither logs nor causes get them.
//! They get the status, the content type, the length, a code (`code` or `error.code`, if it looks
//! like one: up to 64 letters, digits, `_`, `-`, `.`), and of an `application/problem+json` its
//! `type` (without a query) and `title`, which name the kind of problem and not the case (RFC 9457,
//! 3.1).

mod answer;

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Request, redirect, retry};
use slowlane_lambda::clock::Clock;
use slowlane_message::{Method, QueuedCall};
use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::{Base, BaseError};
use url::Url;

use crate::target::{AfterLoss, Target, TargetResponse};
use answer::Asked;

pub use answer::MAX_BODY_BYTES;

/// How long a connection may take to come about. A call that waits for one is not sent yet, which
/// is known for certain only if this ends before the call's own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. A write on one that the API has closed meanwhile ends as
/// unknown, which is costly; a new connection is cheap.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// As [`Target::settles_after`] has it for an API of which nothing is known.
const SETTLES_AFTER: Duration = Duration::from_secs(900);

/// Calls an API below one base URL.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: Base,
    idempotency_header: Option<HeaderName>,
    conflict_is_rejection: bool,
    settles_after: Duration,
    clock: Clock,
}

/// Makes an [`Http`]. It makes the HTTP client itself, because one that follows redirects would
/// hand the credentials to another host and repeat a write there.
///
/// ```
/// use slowlane_worker::reqwest::header::{HeaderName, HeaderValue};
/// use slowlane_worker::targets::http::Http;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crm = Http::builder("https://crm.example.com/api/v2".parse()?)
///     .header(HeaderName::from_static("x-api-key"), HeaderValue::from_str("its key")?)
///     .idempotency_header(HeaderName::from_static("idempotency-key"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Builder {
    base: Url,
    headers: HeaderMap,
    idempotency_header: Option<HeaderName>,
    conflict_is_rejection: bool,
    settles_after: Duration,
    client: ClientBuilder,
}

/// Why the target could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base URL. It is not shown, since it may hold a password.
    #[error("the API's base URL {0}")]
    Base(#[from] BaseError),
    /// The settings of the HTTP client contradict each other, or cannot be had on this machine.
    #[error("the HTTP client could not be made")]
    Client(#[from] reqwest::Error),
}

impl Http {
    /// Begins a target that calls the API below `base`, an `https` URL, or an `http` one of this
    /// machine.
    pub fn builder(base: Url) -> Builder {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("slowlane-worker/", env!("CARGO_PKG_VERSION")));
        Builder {
            base,
            headers: HeaderMap::new(),
            idempotency_header: None,
            conflict_is_rejection: false,
            settles_after: SETTLES_AFTER,
            client,
        }
    }

    fn request(&self, call: &QueuedCall) -> Result<Request, String> {
        let url = self.base.resolve(&call.request.resource).map_err(|error| error.to_string())?;
        let mut request = self.client.request(method(call.request.method), url);
        if let Some(body) = &call.request.body {
            request = request.json(body);
        }
        if let Some(name) = &self.idempotency_header {
            request = request.header(name, call.idempotency_key.as_str());
        }
        request.build().map_err(|error| chain(error.without_url()))
    }
}

impl Builder {
    /// Adds a header to each call, such as one with credentials. Its value is never shown.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// The API takes an idempotency key in this header (such as `Idempotency-Key`), and gives the
    /// first answer again for a key that it knows. Then every call is repeatable.
    pub fn idempotency_header(mut self, name: HeaderName) -> Self {
        self.idempotency_header = Some(name);
        self
    }

    /// The API answers 409 for a conflict with what it holds (a name that is taken) and never for
    /// a call that is still in flight. Left out, a 409 to a call with a key is tried again until
    /// its deadline, as the IETF's draft has it.
    pub fn conflict_is_rejection(mut self) -> Self {
        self.conflict_is_rejection = true;
        self
    }

    /// How long the API may be at work on a call after nobody waits for its answer any more. Left
    /// out, it is a quarter of an hour.
    pub fn settles_after(mut self, settles_after: Duration) -> Self {
        self.settles_after = settles_after;
        self
    }

    /// Changes the HTTP client's settings: its root certificates, a client certificate, a proxy,
    /// the time to connect (5 s). Redirects and retries stay off whatever it says.
    pub fn client(mut self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        self.client = change(self.client);
        self
    }

    /// Makes the target.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn build(self) -> Result<Http, Error> {
        let base = Base::parse(self.base.as_str())?;
        let client = self
            .client
            .default_headers(self.headers)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .build()?;
        Ok(Http {
            client,
            base,
            idempotency_header: self.idempotency_header,
            conflict_is_rejection: self.conflict_is_rejection,
            settles_after: self.settles_after,
            clock: Clock::of(None),
        })
    }
}

impl Target for Http {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        let request = match self.request(call) {
            Ok(request) => request,
            Err(why) => return Outcome::Rejected(why.into()),
        };
        match self.client.execute(request).await {
            Ok(response) => {
                let asked = Asked {
                    reads: call.request.method == Method::Get,
                    conflict_is_in_flight: self.idempotency_header.is_some()
                        && !self.conflict_is_rejection,
                };
                answer::outcome(response, &asked, &self.clock).await
            }
            Err(error) => unanswered(error),
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        let repeatable = matches!(call.request.method, Method::Get | Method::Put | Method::Delete);
        if repeatable || self.idempotency_header.is_some() {
            return AfterLoss::Repeat;
        }
        // A query may hold what a cause must not tell.
        let path = call.request.resource.split('?').next().unwrap_or_default();
        AfterLoss::Nothing(format!(
            "HTTP has no way to ask whether {} {path} had its effect",
            call.request.method
        ))
    }

    fn settles_after(&self, _: &QueuedCall) -> Duration {
        self.settles_after
    }
}

impl fmt::Debug for Http {
    /// Leaves out the client, whose settings may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("base", &self.base)
            .field("idempotency_header", &self.idempotency_header)
            .field("settles_after", &self.settles_after)
            .finish_non_exhaustive()
    }
}

/// What it means that no answer came.
fn unanswered(error: reqwest::Error) -> Outcome<TargetResponse> {
    let not_sent = error.is_connect();
    let why = Why::from(chain(error.without_url()));
    if not_sent { Outcome::Transient(why) } else { Outcome::Unknown(why) }
}

/// An error with its causes in one line. A `reqwest` error names the kind of failure only, and its
/// causes the failure.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
