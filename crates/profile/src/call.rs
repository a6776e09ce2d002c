//! The call to make, and its body as the API wants it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::body::BodyError;
use crate::multipart;
use crate::words::Method;

/// One call, in the words of the program that wants it made.
#[derive(Clone, PartialEq)]
pub struct Call {
    /// What to do with the resource.
    pub method: Method,
    /// The path below the API's base URL, and its query.
    pub resource: String,
    /// Headers of this call's own. Only those that the profile allows.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Option<Value>,
    /// How the body is written; the profile's first way if left out.
    pub content: Option<Content>,
    /// The body of a call whose content is [`Content::Binary`], in the place of `body`.
    pub file: Option<File>,
    /// The same for each attempt at this call, and for no other call.
    pub idempotency_key: Option<String>,
    /// Among whose calls the key is unique, if that is not all of them. The API gets both in the header
    /// that takes the key: it knows one caller only, and would take an equal key for the same call.
    pub key_scope: Option<String>,
    /// Whether it was made of a question in the common form.
    in_common_form: bool,
}

impl Call {
    /// A call without a body.
    pub fn new(method: Method, resource: impl Into<String>) -> Self {
        Call {
            method,
            resource: resource.into(),
            headers: BTreeMap::new(),
            body: None,
            content: None,
            file: None,
            idempotency_key: None,
            key_scope: None,
            in_common_form: false,
        }
    }

    /// Whether it was made of a question in the common form of [chats](crate::chat), and is to be answered
    /// in it.
    pub fn is_chat(&self) -> bool {
        self.in_common_form
    }

    /// The call as one that is answered in the common form.
    #[must_use]
    pub(crate) fn in_common_form(self) -> Self {
        Call { in_common_form: true, ..self }
    }

    /// The call with a body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The call with an idempotency key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// The call with a key that is unique among the calls of `scope` only.
    #[must_use]
    pub fn key_scope(mut self, scope: impl Into<String>) -> Self {
        self.key_scope = Some(scope.into());
        self
    }

    /// The key as the API gets it: no two calls with another key, or of another scope, have the same.
    pub(crate) fn whole_key(&self) -> Option<Cow<'_, str>> {
        let key = self.idempotency_key.as_deref()?;
        Some(match &self.key_scope {
            Some(scope) => {
                let scope = scope.replace('%', "%25").replace('/', "%2F");
                format!("{scope}/{key}").into()
            }
            None => key.into(),
        })
    }
}

impl std::fmt::Debug for Call {
    /// Leaves out headers, query and body, which hold customer data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.resource.split('?').next())
            .field("idempotency_key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// A body that is no text.
#[derive(Clone, PartialEq)]
pub struct File {
    /// What it is.
    pub content_type: HeaderValue,
    /// All of it. A clone shares them.
    pub bytes: Bytes,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`. What is nested is written with square brackets:
    /// `metadata[order]=17`, `items[0][price]=p1`. A null is left out.
    Form,
    /// `application/json` with `query` and perhaps `variables` and `operationName`.
    #[serde(rename = "graphql")]
    GraphQl,
    /// `text/plain`. The body is one text.
    Text,
    /// `multipart/mixed`: several calls in one, as OData V2 has its `$batch`. The body is a batch as
    /// OData writes it in JSON, `{"requests": [...]}`, and [`Profile::readable`](crate::Profile::readable)
    /// makes `{"responses": [...]}` of the answer.
    Multipart,
    /// The bytes of [`Call::file`].
    Binary,
}

impl Content {
    /// The value of `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Content::Json | Content::GraphQl => "application/json",
            Content::Form => "application/x-www-form-urlencoded",
            Content::Text => "text/plain; charset=utf-8",
            Content::Multipart => multipart::MEDIA_TYPE,
            Content::Binary => "application/octet-stream",
        }
    }

    /// The body as it is sent, if it can be written as JSON.
    ///
    /// # Errors
    /// The body has another shape, or is a file.
    pub fn write(self, body: &Value) -> Result<Vec<u8>, BodyError> {
        match self {
            Content::Json => serde_json::to_vec(body).map_err(|_| BodyError::Unwritable),
            Content::Form if body.is_object() => {
                let text = serde_qs::to_string(&without_nulls(body));
                text.map(String::into_bytes).map_err(|_| BodyError::Unwritable)
            }
            Content::Form => Err(BodyError::NoForm),
            Content::GraphQl if body["query"].is_string() => {
                serde_json::to_vec(body).map_err(|_| BodyError::Unwritable)
            }
            Content::GraphQl => Err(BodyError::NoGraphQl),
            Content::Text => {
                body.as_str().map(|text| text.as_bytes().to_vec()).ok_or(BodyError::NoText)
            }
            Content::Multipart => multipart::write(body),
            Content::Binary => Err(BodyError::NoFile),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_null()).map(without_nulls).collect()
        }
        other => other.clone(),
    }
}

/// Whether a GraphQL document only asks. One that so much as holds the word `mutation` is taken for
/// a write, since being wrong in that direction does no harm.
pub(crate) fn graphql_reads(body: Option<&Value>) -> bool {
    let document = body.and_then(|body| body["query"].as_str());
    document.is_some_and(|document| !document.contains("mutation"))
}

/// The text of one value of a call's body.
pub(crate) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(content: Content, body: Value) -> Result<String, BodyError> {
        content.write(&body).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_form_writes_what_is_nested_with_brackets() {
        let body = json!({
            "amount": 2000, "capture": true, "note": null, "description": "a&b=c ä",
            "metadata": {"order": "17"}, "items": [{"price": "p1"}, {"price": "p2"}], "expand": ["customer"],
        });
        let form = written(Content::Form, body).unwrap();
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let pairs: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            pairs,
            [
                "amount=2000",
                "capture=true",
                "description=a&b=c ä",
                "expand[0]=customer",
                "items[0][price]=p1",
                "items[1][price]=p2",
                "metadata[order]=17",
            ]
        );
        assert!(form.is_ascii(), "{form}");
    }

    #[test]
    fn a_body_of_another_shape_is_refused() {
        assert_eq!(written(Content::Form, json!([1])), Err(BodyError::NoForm));
        assert_eq!(written(Content::GraphQl, json!({"q": 1})), Err(BodyError::NoGraphQl));
        assert_eq!(written(Content::Text, json!({})), Err(BodyError::NoText));
        assert_eq!(written(Content::Multipart, json!([])), Err(BodyError::NoBatch));
        assert_eq!(written(Content::Binary, json!("x")), Err(BodyError::NoFile));
        assert_eq!(written(Content::Text, json!("ä")).as_deref(), Ok("ä"));
        assert_eq!(written(Content::Json, json!({"a": 1})).as_deref(), Ok(r#"{"a":1}"#));
    }
}
