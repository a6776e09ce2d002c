//! From a method and a path to what is asked for.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::{
    Request,
    problem::{Place, Problem},
};

/// Where access tokens are issued.
pub(crate) const TOKEN_PATH: &str = "/services/rest/auth/oauth2/v1/token";
const RECORD_PATH: &str = "/services/rest/record/v1/";

/// What a request asks of the record service.
#[derive(Debug, PartialEq)]
pub(crate) enum Operation {
    /// `POST /{type}`
    Create { record_type: String },
    /// `GET /{type}/{key}`
    Get { record_type: String, key: Key },
    /// `PATCH /{type}/{key}`
    Update { record_type: String, key: Key },
    /// `PUT /{type}/eid:{external id}`
    Upsert { record_type: String, external_id: String },
    /// `DELETE /{type}/{key}`
    Delete { record_type: String, key: Key },
}

/// How a path names a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    /// NetSuite's own number.
    Internal(u64),
    /// `eid:` and the caller's name.
    External(String),
}

/// Reads which operation a request asks for.
pub(crate) fn operation(request: &Request) -> Result<Operation, Problem> {
    let path = request.uri().path();
    let Some(below) = path.strip_prefix(RECORD_PATH) else {
        return Err(not_found(path));
    };
    let segments: Vec<String> = below
        .trim_end_matches('/')
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    match segments.as_slice() {
        [record_type] if !record_type.is_empty() => match *request.method() {
            Method::POST => Ok(Operation::Create { record_type: record_type.clone() }),
            _ => Err(Problem::method_not_allowed()),
        },
        [record_type, key] => keyed(request.method(), record_type.clone(), key),
        _ => Err(not_found(path)),
    }
}

fn keyed(method: &Method, record_type: String, key: &str) -> Result<Operation, Problem> {
    let key = match key.strip_prefix("eid:") {
        Some(external_id) => Key::External(external_id_in(external_id)?),
        None => Key::Internal(key.parse().map_err(|_| Problem::nonexistent_id(key))?),
    };
    match (method, key) {
        (&Method::GET, key) => Ok(Operation::Get { record_type, key }),
        (&Method::PATCH, key) => Ok(Operation::Update { record_type, key }),
        (&Method::DELETE, key) => Ok(Operation::Delete { record_type, key }),
        (&Method::PUT, Key::External(external_id)) => {
            Ok(Operation::Upsert { record_type, external_id })
        }
        _ => Err(Problem::method_not_allowed()),
    }
}

/// External ids in paths hold letters, digits, `_` and `-`.
fn external_id_in(text: &str) -> Result<String, Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err(Problem::invalid_request(format!(
            "Invalid external ID '{text}'. An external ID can contain letters, digits, underscores and hyphens."
        ))
        .at(Place::Url(format!("eid:{text}"))));
    }
    Ok(text.to_owned())
}

fn not_found(path: &str) -> Problem {
    Problem::new(
        http::StatusCode::NOT_FOUND,
        "NOT_FOUND",
        format!("The requested resource '{path}' was not found."),
    )
    .at(Place::Url(path.to_owned()))
}

/// Whether a repeat of the request could have a second effect.
pub(crate) fn is_write(request: &Request) -> bool {
    request.uri().path().starts_with(RECORD_PATH) && !request.method().is_safe()
}

/// The value of a query parameter, decoded.
pub(crate) fn query_param(request: &Request, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

/// `http://host` as the caller sees this server, for links and audiences.
pub(crate) fn base_url(request: &Request) -> String {
    let host = request
        .headers()
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    format!("http://{}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str) -> Result<Operation, u16> {
        let uri = format!("/services/rest{path}");
        let request =
            http::Request::builder().method(method).uri(uri).body(bytes::Bytes::new()).unwrap();
        operation(&request).map_err(|problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn methods_and_paths_name_operations() {
        let so = || "salesOrder".to_owned();
        let eid = || Key::External("o-1".to_owned());
        let table = [
            (Method::POST, "/record/v1/salesOrder", Ok(Operation::Create { record_type: so() })),
            (
                Method::GET,
                "/record/v1/salesOrder/12",
                Ok(Operation::Get { record_type: so(), key: Key::Internal(12) }),
            ),
            (
                Method::GET,
                "/record/v1/salesOrder/eid%3Ao-1",
                Ok(Operation::Get { record_type: so(), key: eid() }),
            ),
            (
                Method::PATCH,
                "/record/v1/salesOrder/eid:o-1",
                Ok(Operation::Update { record_type: so(), key: eid() }),
            ),
            (
                Method::DELETE,
                "/record/v1/salesOrder/7",
                Ok(Operation::Delete { record_type: so(), key: Key::Internal(7) }),
            ),
            (
                Method::PUT,
                "/record/v1/salesOrder/eid:o-1",
                Ok(Operation::Upsert { record_type: so(), external_id: "o-1".to_owned() }),
            ),
            (Method::PUT, "/record/v1/salesOrder/12", Err(405)),
            (Method::PUT, "/record/v1/salesOrder", Err(405)),
            (Method::PUT, "/record/v1/salesOrder/eid:a%20b", Err(400)),
            (Method::PUT, "/record/v1/salesOrder/eid:", Err(400)),
            (Method::GET, "/record/v1/salesOrder/abc", Err(404)),
            (Method::GET, "/record/v1/", Err(404)),
            (Method::GET, "/record/v2/salesOrder/1", Err(404)),
        ];
        for (method, path, expected) in table {
            assert_eq!(parse(method.clone(), path), expected, "{method} {path}");
        }
    }
}
