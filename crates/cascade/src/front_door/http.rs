//! What Lambda hands over for a request to a function URL, and what it takes as the answer. It is
//! payload format 2.0, as far as it is used here (Lambda Developer Guide, "Invoking Lambda function
//! URLs").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A request to the function URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    raw_path: String,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Context {
    http: Http,
}

#[derive(Debug, Clone, Deserialize)]
struct Http {
    method: String,
}

/// The answer to it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub(super) status_code: u16,
    pub(super) headers: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
}

impl Request {
    pub(super) fn method(&self) -> &str {
        &self.request_context.http.method
    }

    /// Without a slash at its end.
    pub(super) fn path(&self) -> &str {
        self.raw_path.trim_end_matches('/')
    }

    /// The body as text, or in base64 if Lambda takes its content type for something else.
    pub(super) fn body(&self) -> Body<'_> {
        let body = self.body.as_deref().unwrap_or_default();
        if self.is_base64_encoded { Body::Base64(body) } else { Body::Text(body) }
    }
}

pub(super) enum Body<'a> {
    Text(&'a str),
    Base64(&'a str),
}
