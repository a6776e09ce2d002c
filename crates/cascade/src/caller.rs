//! A caller: makes one call, and says what the API answered.

use std::fmt;
use std::time::Duration;

use lambda_runtime::Diagnostic;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, redirect, retry};
use serde::Serialize;
use serde_json::Value;
use slowlane_lambda::logs::chain;
use slowlane_profile::{Base, Refused};

use crate::call::{self, Call};

/// The longest body that an answer is handed on with, in bytes. A workflow's state takes 256 KiB.
pub const MAX_BODY_BYTES: usize = 200 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a caller reaches its API.
#[derive(Clone)]
pub struct Config {
    /// The URL below which all calls go.
    pub base: Base,
    /// A header with the API's key.
    pub key: Option<(HeaderName, HeaderValue)>,
    /// The header that takes the idempotency key, if the API honours one. Without it an API may
    /// execute a call as often as the cascade tries it.
    pub idempotency_header: Option<HeaderName>,
    /// How long the API may take.
    pub timeout: Duration,
}

/// Makes calls, one a time.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    config: Config,
}

/// What the API answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body: parsed if it is JSON, else as text. Left out if it is empty or has more than
    /// [`MAX_BODY_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body's content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What the API says of when to come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came is no call. Nothing was sent.
    #[error("the call cannot be made: {0}")]
    NoCall(#[from] call::Error),
    /// The call would leave the API. Nothing was sent.
    #[error("the call cannot be made: {0}")]
    Leaves(#[from] Refused),
    /// The API did not answer, or not in time. It may have executed the call.
    #[error("the API gave no answer: {}", chain(.0))]
    NoAnswer(reqwest::Error),
}

impl From<Error> for Diagnostic {
    /// The names that the machine `retry-cascade` catches.
    fn from(error: Error) -> Self {
        let name = match &error {
            Error::NoCall(_) | Error::Leaves(_) => "Cascade.BadCall",
            Error::NoAnswer(_) => "Cascade.NoAnswer",
        };
        Diagnostic { error_type: name.into(), error_message: error.to_string() }
    }
}

impl Caller {
    /// A caller of one API.
    ///
    /// # Errors
    /// If this machine has no HTTP client to give, as without root certificates.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        // A redirect would hand the key to another host. A repeat is the cascade's to decide.
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .user_agent(concat!("slowlane-caller/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .build()?;
        Ok(Self { client, config })
    }

    /// Makes the call in `event`.
    ///
    /// # Errors
    /// See [`Error`]. An answer is none, whatever its status.
    pub async fn handle(&self, event: &Value) -> Result<Answer, Error> {
        let call = Call::now(event)?;
        let url = self.config.base.resolve(&call.request.resource)?;
        let answer = async {
            let mut request = self.client.request(method(&call), url);
            if let Some((name, key)) = &self.config.key {
                request = request.header(name, key);
            }
            if let Some(name) = &self.config.idempotency_header {
                request = request.header(name, call.idempotency_key.as_str());
            }
            if let Some(body) = &call.request.body {
                request = request.json(body);
            }
            read(request.send().await?).await
        };
        let answer = answer.await.map_err(|error| Error::NoAnswer(error.without_url()));
        match &answer {
            Ok(answer) => tracing::info!(status = answer.status, "the API answered"),
            Err(error) => tracing::warn!(%error, "the API gave no answer"),
        }
        answer
    }
}

fn method(call: &Call) -> Method {
    use slowlane_message::Method as Ours;
    match call.request.method {
        Ours::Get => Method::GET,
        Ours::Post => Method::POST,
        Ours::Put => Method::PUT,
        Ours::Patch => Method::PATCH,
        Ours::Delete => Method::DELETE,
    }
}

async fn read(mut response: Response) -> Result<Answer, reqwest::Error> {
    let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (content_type, retry_after) = (header(CONTENT_TYPE), header(RETRY_AFTER));
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BODY_BYTES {
            return Ok(Answer { status, body: None, content_type, retry_after });
        }
    }
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    let body =
        (!bytes.is_empty()).then(|| serde_json::from_slice(&bytes).unwrap_or_else(|_| text()));
    Ok(Answer { status, body, content_type, retry_after })
}

impl fmt::Debug for Config {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("base", &self.base)
            .field("idempotency_header", &self.idempotency_header)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("config", &self.config).finish_non_exhaustive()
    }
}
