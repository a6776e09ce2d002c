//! The call to make at the target.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::described::{Headers, Resource};
use crate::reader::Fields;
use crate::text::{HEADER_NAME, HEADER_VALUE, RESOURCE};
use crate::{Error, InvalidValue};

/// One request to the target API. The target decides what a resource means, and which headers and
/// which ways to write a body it takes.
///
/// `Debug` leaves out the body and the headers' values, which are customer data.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TargetRequest {
    /// What to do with the resource.
    pub method: Method,
    /// Which resource, in the target's words: `salesOrder/eid:order-123`.
    #[schemars(with = "Resource")]
    pub resource: String,
    /// Headers of this call's own, by their names in lower case. Since 1.2.
    #[schemars(default, with = "Headers")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How the body is written, where the target has several ways. Since 1.2. `chat`, since 1.4, says
    /// that it is a question to a model in the common form; the resource is `chat` then too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The body: any JSON, handed on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl TargetRequest {
    pub(crate) const FIELDS: &[&str] = &["method", "resource", "headers", "content", "body"];

    /// A request of which there is nothing but its method and its resource.
    pub fn new(method: Method, resource: impl Into<String>) -> Self {
        TargetRequest {
            method,
            resource: resource.into(),
            headers: BTreeMap::new(),
            content: None,
            body: None,
        }
    }

    pub(crate) fn read(fields: &Fields<'_>) -> Result<TargetRequest, Error> {
        Ok(TargetRequest {
            method: fields.required("method", Method::EXPECTED, str::parse)?,
            resource: fields
                .required("resource", RESOURCE.expected, |text| RESOURCE.check(text))?,
            headers: fields.optional_texts("headers", &HEADER_NAME, &HEADER_VALUE)?,
            content: fields.optional("content", Content::EXPECTED, str::parse)?,
            body: fields.get("body").cloned(),
        })
    }
}

impl fmt::Debug for TargetRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetRequest")
            .field("method", &self.method)
            .field("resource", &self.resource)
            .field("headers", &self.headers.keys())
            .field("content", &self.content)
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

/// How a body is written, lower-case on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// As JSON.
    Json,
    /// As a form: names and values.
    Form,
    /// As GraphQL: an object with `query`, and perhaps `variables` and `operationName`.
    GraphQl,
    /// As it is: the body is one text.
    Text,
    /// As `multipart/mixed`, several calls in one: the body is a batch as OData writes it in JSON, an
    /// object with `requests`. Since 1.4.
    Multipart,
    /// The bytes of a file: the body is the pointer to it, an object with `s3`, `etag` and perhaps
    /// `content_type`. Since 1.4.
    Binary,
    /// As whatever model is asked wants it: the body is a question in the common form. Since 1.4.
    Chat,
}

impl Content {
    const ALL: [Content; 7] = [
        Content::Json,
        Content::Form,
        Content::GraphQl,
        Content::Text,
        Content::Multipart,
        Content::Binary,
        Content::Chat,
    ];

    pub(crate) const EXPECTED: &str = "json, form, graphql, text, multipart, binary or chat";

    /// As written on the wire: `json` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Content::Json => "json",
            Content::Form => "form",
            Content::GraphQl => "graphql",
            Content::Text => "text",
            Content::Multipart => "multipart",
            Content::Binary => "binary",
            Content::Chat => "chat",
        }
    }
}

impl FromStr for Content {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Content, InvalidValue> {
        Content::ALL.into_iter().find(|content| content.as_str() == text).ok_or_else(|| {
            InvalidValue { expected: Content::EXPECTED, found: "other text".to_owned() }
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
    fn ways_to_write_a_body_have_one_spelling() {
        for content in Content::ALL {
            assert_eq!(content.as_str().parse(), Ok(content));
            assert_eq!(serde_json::to_value(content).unwrap(), content.as_str());
            assert!(Content::EXPECTED.contains(content.as_str()));
        }
        assert!("JSON".parse::<Content>().is_err());
    }

    #[test]
    fn debug_prints_neither_the_body_nor_a_header() {
        let request = TargetRequest {
            headers: BTreeMap::from([("if-match".to_owned(), "ada's".to_owned())]),
            body: Some(serde_json::json!({"email": "ada@example.com"})),
            ..TargetRequest::new(Method::Put, "salesOrder/eid:1")
        };
        let text = format!("{request:?}");
        assert!(text.contains("salesOrder/eid:1") && text.contains("if-match"), "{text}");
        assert!(!text.contains("ada"), "{text}");
    }
}
