//! A request, taken apart.

use http::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::Request;

/// A request as a service reads it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The path's segments, decoded, without empty ones.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// JSON, or a form as the document that it means; null without a body.
    pub(crate) body: Value,
    /// The body is neither.
    pub(crate) is_malformed: bool,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.uri().path().split('/').filter(|segment| !segment.is_empty());
        let query = request.uri().query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let body = body(request);
        Self {
            method: request.method().clone(),
            path: path.map(decoded).collect(),
            query,
            headers: request.headers().clone(),
            is_malformed: body.is_none(),
            body: body.unwrap_or_default(),
        }
    }

    /// The path's segments below a prefix.
    pub(crate) fn below(&self, prefix: &[&str]) -> Option<Vec<&str>> {
        let (before, rest) = self.path.split_at_checked(prefix.len())?;
        (before == prefix).then(|| rest.iter().map(String::as_str).collect())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The user and password of basic authentication.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        use base64::Engine as _;
        let (scheme, coded) = self.header("authorization")?.split_once(' ')?;
        let coded = scheme.eq_ignore_ascii_case("basic").then_some(coded)?;
        let text = base64::engine::general_purpose::STANDARD.decode(coded.trim()).ok()?;
        let text = String::from_utf8(text).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// A part of a batch in OData's JSON: a call of its own, below the path that the batch was sent
    /// to.
    pub(crate) fn part(&self, part: &Value) -> Option<Self> {
        let text = |name: &str| part[name].as_str();
        let url = text("url")?.trim_start_matches('/');
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut all = self.path[..self.path.len().saturating_sub(1)].to_vec();
        all.extend(path.split('/').map(decoded));
        let mut headers = self.headers.clone();
        headers.remove(header::IF_MATCH);
        for (name, value) in part["headers"].as_object().into_iter().flatten() {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            let value = value.as_str().unwrap_or_default().parse();
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
        Some(Self {
            method: text("method")?.parse().ok()?,
            path: all,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers,
            body: part["body"].clone(),
            is_malformed: false,
        })
    }

    /// A text of the body.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `None` if there is a body that cannot be read.
fn body(request: &Request) -> Option<Value> {
    let bytes = request.body();
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let content = request.headers().get(header::CONTENT_TYPE);
    let content = content.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content.starts_with("application/x-www-form-urlencoded") {
        // Clients write `a[b]` both with and without escapes.
        let config = serde_qs::Config::new().use_form_encoding(true);
        return config.deserialize_bytes(bytes).ok();
    }
    if content.starts_with("text/") {
        return Some(String::from_utf8_lossy(bytes).into());
    }
    serde_json::from_slice(bytes).ok()
}
