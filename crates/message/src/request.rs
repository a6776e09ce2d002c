//! The call to make at the target.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::reader::Fields;
use crate::schema::Resource;
use crate::text::RESOURCE;
use crate::{Error, InvalidValue};

/// One request to the target API. The target decides what a resource means.
///
/// `Debug` leaves out the body, which is customer data.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TargetRequest {
    /// What to do with the resource.
    pub method: Method,
    /// Which resource, in the target's words: `salesOrder/eid:order-123`.
    #[schemars(with = "Resource")]
    pub resource: String,
    /// The body: any JSON, handed on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl TargetRequest {
    pub(crate) const FIELDS: &[&str] = &["method", "resource", "body"];

    pub(crate) fn read(fields: &Fields<'_>) -> Result<TargetRequest, Error> {
        Ok(TargetRequest {
            method: fields.required("method", Method::EXPECTED, str::parse)?,
            resource: fields
                .required("resource", RESOURCE.expected, |text| RESOURCE.check(text))?,
            body: fields.get("body").cloned(),
        })
    }
}

impl fmt::Debug for TargetRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetRequest")
            .field("method", &self.method)
            .field("resource", &self.resource)
            .field("body", &self.body.as_ref().map(|_| format_args!("...")))
            .finish()
    }
}

/// The verb of a request, upper-case on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the HTTP verbs say it themselves")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [Method; 5] =
        [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub(crate) const EXPECTED: &str = "GET, POST, PUT, PATCH or DELETE";

    /// As written on the wire: `GET` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Method {
    type Err = InvalidValue;

    /// Reads upper case only, as HTTP does.
    fn from_str(text: &str) -> Result<Method, InvalidValue> {
        Method::ALL.into_iter().find(|method| method.as_str() == text).ok_or_else(|| InvalidValue {
            expected: Method::EXPECTED,
            found: "other text".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_both_ways() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
        assert!("put".parse::<Method>().is_err());
        assert!("HEAD".parse::<Method>().is_err());
    }

    #[test]
    fn debug_does_not_print_the_body() {
        let request = TargetRequest {
            method: Method::Put,
            resource: "salesOrder/eid:1".to_owned(),
            body: Some(serde_json::json!({"email": "ada@example.com"})),
        };
        let text = format!("{request:?}");
        assert!(text.contains("salesOrder/eid:1"), "{text}");
        assert!(!text.contains("ada"), "{text}");
    }
}
