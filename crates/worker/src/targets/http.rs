//! Any JSON API over HTTP as a target.
//!
//! The call's resource is a path (and query) below a base URL. What the answer means is read
//! from its status as HTTP defines it (RFC 9110, RFC 6585):
//!
//! | Answer | Outcome |
//! |---|---|
//! | 2xx | succeeded; the body, if it is JSON, is the workflow's |
//! | 429, or 503 with `Retry-After` | throttled: not executed |
//! | 401, 403 | unauthorized |
//! | 408, 425 | transient: not executed |
//! | other 4xx | rejected |
//! | 5xx, no answer, a connection lost half-way | unknown |
//! | no connection at all | transient |
//!
//! GET, PUT and DELETE are made again after a lost answer, as HTTP says they may be (RFC 9110,
//! 9.2.2); so is every call to an API that takes an idempotency key. Any other is refused unless
//! it asks for `at_most_once`.

use std::time::Duration;

use reqwest::header::{HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use slowlane_message::{Method, QueuedCall};
use slowlane_policy::settle::{Outcome, Why};
use url::Url;

use crate::target::{AfterLoss, Target, TargetResponse};

/// Calls a JSON API below one base URL.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    base: Url,
    idempotency_header: Option<HeaderName>,
}

impl Http {
    /// Calls the API below `base` through `client`, which brings credentials as default headers.
    pub fn new(client: Client, base: Url) -> Self {
        Http { client, base, idempotency_header: None }
    }

    /// The API takes an idempotency key in this header (such as `Idempotency-Key`) and gives
    /// the first answer again for a key that it knows: every call is then repeatable.
    #[must_use]
    pub fn idempotency_header(mut self, name: HeaderName) -> Self {
        self.idempotency_header = Some(name);
        self
    }
}

impl Target for Http {
    async fn call(&self, call: &QueuedCall) -> Outcome<TargetResponse> {
        // `Url::join` would let a resource such as `//other.example` name another host.
        let url = format!(
            "{}/{}",
            self.base.as_str().trim_end_matches('/'),
            call.request.resource.trim_start_matches('/')
        );
        let mut request = self.client.request(method(call.request.method), url);
        if let Some(body) = &call.request.body {
            request = request.json(body);
        }
        if let Some(name) = &self.idempotency_header {
            request = request.header(name, call.idempotency_key.as_str());
        }
        match request.send().await {
            Ok(response) => outcome(response).await,
            Err(error) if error.is_builder() => Outcome::Rejected(error.to_string().into()),
            Err(error) if error.is_connect() => Outcome::Transient(error.to_string().into()),
            Err(error) => Outcome::Unknown(error.to_string().into()),
        }
    }

    fn after_loss(&self, call: &QueuedCall) -> AfterLoss {
        let repeatable = matches!(call.request.method, Method::Get | Method::Put | Method::Delete);
        if repeatable || self.idempotency_header.is_some() {
            return AfterLoss::Repeat;
        }
        AfterLoss::Nothing(format!(
            "HTTP has no way to ask whether {} {} had its effect",
            call.request.method, call.request.resource
        ))
    }
}

async fn outcome(response: Response) -> Outcome<TargetResponse> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let text = match response.text().await {
        Ok(text) => text,
        Err(error) => return Outcome::Unknown(error.to_string().into()),
    };
    let why = || Why {
        message: format!("the API answered {status}: {text}"),
        status: Some(status.as_u16()),
        code: None,
    };
    match status {
        _ if status.is_success() => Outcome::Succeeded(TargetResponse {
            status: status.as_u16(),
            id: None,
            body: serde_json::from_str(&text).ok(),
        }),
        StatusCode::TOO_MANY_REQUESTS => Outcome::Throttled { retry_after },
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {
            Outcome::Throttled { retry_after }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Outcome::Unauthorized(why()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Outcome::Transient(why()),
        _ if status.is_client_error() => Outcome::Rejected(why()),
        _ => Outcome::Unknown(why()),
    }
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
