//! How requests are shaped.

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::before::header_map;
use crate::call::{Call, Content};
use crate::source::header_name;
use crate::words::{Method, PathPattern, described, read_as_fields, read_as_text};

/// How requests are shaped.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "ShapeFields")]
pub(crate) struct RequestShape {
    pub(crate) content: Vec<Content>,
    pub(crate) headers: HeaderMap,
    pub(crate) allow_headers: Vec<HeaderName>,
}

/// How requests are shaped.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShapeFields {
    /// How bodies are written; the first is meant where a call does not say. JSON if left out.
    #[serde(default)]
    content: Vec<Content>,
    /// Headers of every call.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers that a call may bring.
    #[serde(default)]
    allow_headers: Vec<CallHeader>,
}

/// Headers that say who calls, where to, what is done and how much is coming: not a call's matter.
const NEVER_ALLOWED: [&str; 13] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    // A server may take these for the method.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

read_as_fields!(RequestShape: ShapeFields);

impl TryFrom<ShapeFields> for RequestShape {
    type Error = String;

    fn try_from(fields: ShapeFields) -> Result<Self, String> {
        let mut content = fields.content;
        if content.is_empty() {
            content.push(Content::Json);
        }
        Ok(RequestShape {
            content,
            headers: header_map(&fields.headers)?,
            allow_headers: fields.allow_headers.into_iter().map(|CallHeader(name)| name).collect(),
        })
    }
}

impl Default for RequestShape {
    fn default() -> Self {
        let (headers, allow_headers) = (HeaderMap::new(), Vec::new());
        RequestShape { content: vec![Content::Json], headers, allow_headers }
    }
}

/// How an idempotency key is sent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idempotency {
    /// The header's name.
    pub(crate) header: HeaderText,
    /// It is sent with these methods; with POST and PATCH if left out.
    #[serde(default)]
    methods: Vec<Method>,
    /// It is sent to these paths; to all if left out.
    #[serde(default)]
    paths: Vec<PathPattern>,
    /// The longest key that the API takes, in characters: 255 if left out.
    max_chars: Option<usize>,
    /// Where the vendor says so.
    pub(crate) source: Option<String>,
}

impl Idempotency {
    pub(crate) fn serves(&self, call: &Call) -> bool {
        let method = match self.methods.as_slice() {
            [] => matches!(call.method, Method::Post | Method::Patch),
            some => some.contains(&call.method),
        };
        method
            && (self.paths.is_empty() || self.paths.iter().any(|path| path.matches(&call.resource)))
    }

    pub(crate) fn max_chars(&self) -> usize {
        self.max_chars.unwrap_or(255)
    }
}

/// A header's name in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderText(pub(crate) HeaderName);

impl std::str::FromStr for HeaderText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        header_name(text).map(HeaderText)
    }
}

/// The name of a header that a call may bring.
pub(crate) struct CallHeader(HeaderName);

impl std::str::FromStr for CallHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = header_name(text)?;
        match NEVER_ALLOWED.contains(&name.as_str()) {
            true => Err(format!("`{name}` is not a call's matter; take it out")),
            false => Ok(CallHeader(name)),
        }
    }
}

/// A profile's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match !text.is_empty() && text.chars().all(fits) {
            true => Ok(Name(text.to_owned())),
            false => {
                Err("a name is of lower-case letters, digits and hyphens; write `my-api`"
                    .to_owned())
            }
        }
    }
}

read_as_text!(HeaderText, CallHeader, Name);

described! {
    HeaderText: {"description": "The name of a header.", "type": "string"};
    CallHeader: {"description": "The name of a header that a call may bring.", "type": "string"};
    Name: {"description": "A name.", "type": "string", "pattern": "^[a-z0-9-]+$"};
}

/// A call that only reads although its method does not say so.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadCall {
    /// Its methods.
    pub(crate) methods: Vec<Method>,
    /// Its paths.
    pub(crate) paths: Vec<PathPattern>,
}
