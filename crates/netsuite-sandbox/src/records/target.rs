//! From a method and a path below `/services/rest/record/v1/` to what is asked for.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::{
    Request,
    problem::{Place, Problem},
    route::RECORD_PATH,
    schema::{self, RecordType},
};

/// A record type, and what is to be done with one of its records.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) record_type: &'static RecordType,
    /// The type's name as a table has it; custom records share a type but not a name.
    pub(crate) type_name: String,
    pub(crate) operation: Operation,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Operation {
    /// `GET /{type}`
    List,
    /// `POST /{type}`
    Create,
    /// `GET /{type}/{key}`
    Get(Key),
    /// `GET /{type}/{key}/{sublist or subrecord}[/{line}]…`
    Subresource(Key, Vec<String>),
    /// `PATCH /{type}/{key}`
    Update(Key),
    /// `PUT /{type}/eid:{external id}`
    Upsert(String),
    /// `DELETE /{type}/{key}`
    Delete(Key),
    /// `POST /{type}/{key}/!transform/{other type}`
    Transform(Key, String),
    /// `POST /{type}/{key}/!attach/{other type}/{other key}`
    Attach(Key, String, Key),
    /// `POST /{type}/{key}/!detach/{other type}/{other key}`
    Detach(Key, String, Key),
}

/// How a path names a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    /// NetSuite's own number.
    Internal(u64),
    /// `eid:` and the caller's name.
    External(String),
}

impl Target {
    pub(crate) fn of(request: &Request) -> Result<Self, Problem> {
        let path = request.uri().path();
        let segments = segments(path);
        let Some((name, below)) = segments.split_first() else {
            return Err(Problem::not_found(path));
        };
        let Some((record_type, type_name)) = schema::find(name) else {
            return Err(Problem::new(
                http::StatusCode::NOT_FOUND,
                "NOT_FOUND",
                format!("Record type '{name}' does not exist."),
            )
            .at(Place::Url(path.to_owned())));
        };
        let operation = operation(request.method(), below, path)?;
        Ok(Self { record_type, type_name, operation })
    }
}

fn operation(method: &Method, below: &[String], path: &str) -> Result<Operation, Problem> {
    let Some((key, below)) = below.split_first() else {
        return match *method {
            Method::GET => Ok(Operation::List),
            Method::POST => Ok(Operation::Create),
            _ => Err(Problem::method_not_allowed()),
        };
    };
    let key = Key::parse(key, path)?;
    match (method, below) {
        (&Method::GET, []) => Ok(Operation::Get(key)),
        (&Method::GET, below) => Ok(Operation::Subresource(key, below.to_vec())),
        (&Method::PATCH, []) => Ok(Operation::Update(key)),
        (&Method::DELETE, []) => Ok(Operation::Delete(key)),
        (&Method::PUT, []) => match key {
            Key::External(external_id) => Ok(Operation::Upsert(external_id)),
            Key::Internal(_) => Err(Problem::method_not_allowed()),
        },
        (&Method::POST, [action, target]) if action == "!transform" => {
            Ok(Operation::Transform(key, target.clone()))
        }
        (&Method::POST, [action, other, other_key]) if action == "!attach" => {
            Ok(Operation::Attach(key, other.clone(), Key::parse(other_key, path)?))
        }
        (&Method::POST, [action, other, other_key]) if action == "!detach" => {
            Ok(Operation::Detach(key, other.clone(), Key::parse(other_key, path)?))
        }
        _ => Err(Problem::method_not_allowed()),
    }
}

impl Key {
    /// `path` is for the error only.
    pub(crate) fn parse(text: &str, path: &str) -> Result<Self, Problem> {
        let invalid = |detail: String| {
            Problem::new(http::StatusCode::BAD_REQUEST, "INVALID_ID", detail)
                .at(Place::Url(path.to_owned()))
        };
        match text.strip_prefix("eid:") {
            Some(id) if is_external_id(id) => Ok(Self::External(id.to_owned())),
            Some(id) => Err(invalid(format!(
                "Invalid external ID '{id}'. An external ID can contain letters, digits, underscores and hyphens."
            ))),
            None => text.parse().map(Self::Internal).map_err(|_| {
                invalid(format!(
                    "Invalid record instance identifier '{text}'. Provide a valid record instance ID."
                ))
            }),
        }
    }
}

/// External ids in paths hold letters, digits, `_` and `-`.
fn is_external_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The external id that a path names, if it names one.
pub(crate) fn external_id(path: &str) -> Option<String> {
    segments(path).get(1)?.strip_prefix("eid:").map(str::to_owned)
}

/// The decoded segments below the record service's path.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.strip_prefix(RECORD_PATH)
        .unwrap_or_default()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, path: &str) -> Result<(String, Operation), u16> {
        let uri = format!("/services/rest/record/v1{path}");
        let request =
            http::Request::builder().method(method).uri(uri).body(bytes::Bytes::new()).unwrap();
        match Target::of(&request) {
            Ok(target) => Ok((target.type_name, target.operation)),
            Err(problem) => Err(problem.answer_to(&request).status().as_u16()),
        }
    }

    #[test]
    fn methods_and_paths_name_operations() {
        let order = |operation| Ok(("salesOrder".to_owned(), operation));
        let eid = || Key::External("o-1".to_owned());
        let id = Key::Internal;
        let table = [
            (Method::GET, "/salesOrder", order(Operation::List)),
            (Method::POST, "/salesOrder", order(Operation::Create)),
            (Method::POST, "/salesorder/", order(Operation::Create)),
            (Method::GET, "/salesOrder/12", order(Operation::Get(id(12)))),
            (Method::GET, "/salesOrder/eid%3Ao-1", order(Operation::Get(eid()))),
            (
                Method::GET,
                "/salesOrder/1/item/2",
                order(Operation::Subresource(id(1), vec!["item".into(), "2".into()])),
            ),
            (Method::PATCH, "/salesOrder/eid:o-1", order(Operation::Update(eid()))),
            (Method::DELETE, "/salesOrder/7", order(Operation::Delete(id(7)))),
            (Method::PUT, "/salesOrder/eid:o-1", order(Operation::Upsert("o-1".to_owned()))),
            (
                Method::POST,
                "/salesOrder/3/!transform/invoice",
                order(Operation::Transform(id(3), "invoice".into())),
            ),
            (
                Method::POST,
                "/salesOrder/3/!attach/contact/eid:o-1",
                order(Operation::Attach(id(3), "contact".into(), eid())),
            ),
            (
                Method::POST,
                "/salesOrder/3/!detach/contact/4",
                order(Operation::Detach(id(3), "contact".into(), id(4))),
            ),
            (Method::POST, "/salesOrder/3/!attach/contact", Err(405)),
            (
                Method::GET,
                "/customrecord_Box/1",
                Ok(("customrecord_box".to_owned(), Operation::Get(id(1)))),
            ),
            (Method::PUT, "/salesOrder/12", Err(405)),
            (Method::PUT, "/salesOrder", Err(405)),
            (Method::POST, "/salesOrder/3/!teleport/invoice", Err(405)),
            (Method::PUT, "/salesOrder/eid:a%20b", Err(400)),
            (Method::PUT, "/salesOrder/eid:", Err(400)),
            (Method::GET, "/salesOrder/abc", Err(400)),
            (Method::GET, "/custmer/1", Err(404)),
            (Method::GET, "/", Err(404)),
        ];
        for (method, path, expected) in table {
            assert_eq!(parse(&method, path), expected, "{method} {path}");
        }
    }
}
