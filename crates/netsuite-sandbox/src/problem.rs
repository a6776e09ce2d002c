//! NetSuite's error answers.

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::Response;

/// An error in the form that REST web services give it: a status, and at least one detail with
/// a code and the place in the request that is at fault.
///
/// Form and example: Oracle help, "Error Handling in REST Web Services" (section_156570709583).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    place: Option<Place>,
    www_authenticate: bool,
}

/// The part of the request that an error is about.
#[derive(Debug)]
pub(crate) enum Place {
    /// A path into the body, such as `item.items[0].quantity`.
    Body(String),
    /// A part of the URL's path.
    Url(String),
    /// A header's name.
    Header(&'static str),
    /// A query parameter's name.
    QueryParam(&'static str),
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), place: None, www_authenticate: false }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The body is refused; `path` is where.
    pub(crate) fn invalid_content(path: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "INVALID_CONTENT",
            format!("Error while accessing resource: {why}"),
        )
        .at(Place::Body(path.into()))
    }

    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
    }

    pub(crate) fn nonexistent_id(resource: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NONEXISTENT_ID",
            "The record instance does not exist. Provide a valid record instance ID.",
        )
        .at(Place::Url(resource.to_owned()))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "The resource does not take this HTTP method.",
        )
    }

    /// Neither a token nor a signature that is good. `why` is for the person who debugs; NetSuite
    /// itself says only "invalid".
    pub(crate) fn invalid_login(why: impl std::fmt::Display) -> Self {
        let mut problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "INVALID_LOGIN",
            format!(
                "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI. ({why})"
            ),
        );
        problem.www_authenticate = true;
        problem
    }

    pub(crate) fn concurrency_limit_exceeded() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "CONCURRENCY_LIMIT_EXCEEDED",
            "Concurrent request limit exceeded. Request blocked.",
        )
    }

    pub(crate) fn unexpected() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNEXPECTED_ERROR",
            "An unexpected error occurred. Error ID: sandbox",
        )
    }

    pub(crate) fn into_response(self) -> Response {
        let mut detail = Map::new();
        detail.insert("detail".to_owned(), Value::from(self.detail));
        detail.insert("o:errorCode".to_owned(), Value::from(self.code));
        if let Some(place) = self.place {
            let (key, value) = match place {
                Place::Body(path) => ("o:errorPath", path),
                Place::Url(part) => ("o:urlPath", part),
                Place::Header(name) => ("o:errorHeader", name.to_owned()),
                Place::QueryParam(name) => ("o:errorQueryParam", name.to_owned()),
            };
            detail.insert(key.to_owned(), Value::from(value));
        }
        let mut body = json!({
            "type": format!("https://www.rfc-editor.org/rfc/rfc9110.html#name-{}", section(self.status)),
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "o:errorDetails": [detail],
        });
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            body["o:errorCode"] = Value::from("USER_ERROR");
        }
        let mut response = json_response(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.oracle.resource+json; type=error"),
        );
        if self.www_authenticate {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(
                    r#"Bearer realm="sandbox", error="invalid_token", error_description="Invalid login attempt""#,
                ),
            );
        }
        response
    }
}

/// The fragment of RFC 9110 for a status, such as `400-bad-request`.
fn section(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    format!("{} {reason}", status.as_u16()).to_lowercase().replace(' ', "-")
}

/// An answer with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
