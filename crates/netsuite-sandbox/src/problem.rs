//! NetSuite's error answers.

use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    Request, Response,
    route::{Service, base_url},
};

/// An error that is answered: a status, and a detail with a code and the place in the request
/// that is at fault.
///
/// Form and examples: Oracle help, "Error Handling in REST Web Services" (section_156570709583)
/// and "SuiteScript 2.x RESTlet Error Handling" (section_4634920277).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    place: Option<Place>,
    /// Where the caller finds what it asked for, as a path.
    location: Option<String>,
}

/// The part of the request that an error is about.
#[derive(Debug)]
pub(crate) enum Place {
    /// A path into the body, such as `item.items[0].quantity`.
    Body(String),
    /// The URL's path.
    Url(String),
    /// A header's name.
    Header(&'static str),
    /// A query parameter's name.
    QueryParam(&'static str),
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), place: None, location: None }
    }

    pub(crate) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
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

    pub(crate) fn invalid_parameter(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER", detail).at(Place::QueryParam(name))
    }

    pub(crate) fn invalid_header(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_HEADER", detail).at(Place::Header(name))
    }

    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
    }

    pub(crate) fn nonexistent_id(url: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NONEXISTENT_ID",
            "The record instance does not exist. Provide a valid record instance ID.",
        )
        .at(Place::Url(url.to_owned()))
    }

    /// Nothing is at this path.
    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("The requested resource '{path}' was not found."),
        )
        .at(Place::Url(path.to_owned()))
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
        Self::new(
            StatusCode::UNAUTHORIZED,
            "INVALID_LOGIN",
            format!(
                "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI. ({why})"
            ),
        )
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

    /// The error of a script, or of NetSuite's own rules: `USER_ERROR` is what both have been seen
    /// to come with, and nothing tells whether the record was saved.
    pub(crate) fn user_error() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "USER_ERROR",
            "Error while accessing a resource. A script of the account has failed.",
        )
    }

    /// Another record has the external id. Code and words are what clients have seen; `what` is
    /// `entity` or `record`.
    pub(crate) fn already_exists(what: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "USER_ERROR",
            format!("Error while accessing a resource. This {what} already exists."),
        )
    }

    /// Somebody else saved the record between this call's start and its end.
    pub(crate) fn record_changed() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "RCRD_HAS_BEEN_CHANGED",
            "Record has been changed. Reload the record and try again.",
        )
    }

    /// The key of an asynchronous request was used before, by the job at `location`.
    pub(crate) fn idempotency_error(location: String) -> Self {
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "IDEMPOTENCY_ERROR",
            "A request with the same idempotency key is already submitted. See the \"Location\" header for a link to the previously submitted job",
        );
        Self { location: Some(location), ..problem }
    }

    /// The answer, in the form of the service that was asked.
    pub(crate) fn answer_to(self, request: &Request) -> Response {
        match Service::of(request) {
            Service::Restlets => self.restlet_form(),
            _ => self.rest_form(request),
        }
    }

    fn rest_form(self, request: &Request) -> Response {
        let mut detail = Map::new();
        detail.insert("detail".to_owned(), Value::from(self.detail));
        detail.insert("o:errorCode".to_owned(), Value::from(self.code));
        if let Some(place) = self.place {
            let (key, value) = match place {
                Place::Body(path) => ("o:errorPath", path),
                Place::Url(path) => ("o:errorUrl", path),
                Place::Header(name) => ("o:errorHeader", name.to_owned()),
                Place::QueryParam(name) => ("o:errorQueryParam", name.to_owned()),
            };
            detail.insert(key.to_owned(), Value::from(value));
        }
        let mut body = json!({
            "type": "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html",
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
        if let Some(path) = self.location
            && let Ok(location) = HeaderValue::try_from(format!("{}{path}", base_url(request)))
        {
            headers.insert(header::LOCATION, location);
        }
        challenge(&mut response);
        response
    }

    /// RESTlets have another body, and say 400 where REST web services say 429.
    fn restlet_form(self) -> Response {
        let (status, code) = match (self.status, self.code) {
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                (StatusCode::BAD_REQUEST, "SSS_REQUEST_LIMIT_EXCEEDED")
            }
            (status, "INVALID_LOGIN") => (status, "INVALID_LOGIN_ATTEMPT"),
            other => other,
        };
        let body = json!({"error": {"code": code, "message": self.detail}});
        let mut response = json_response(status, &body);
        challenge(&mut response);
        response
    }
}

fn challenge(response: &mut Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(
                r#"Bearer realm="sandbox", error="invalid_token", error_description="Invalid login attempt""#,
            ),
        );
    }
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
