//! An HTTP request, shown without its secrets.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap};
use url::Url;

use crate::words::Method;

/// A request, ready to be sent. Whoever sends it must not follow redirects: that would hand the
/// credentials to another host, and could repeat a write there.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: Url,
    /// All headers but those that HTTP itself needs.
    pub headers: HeaderMap,
    /// The body; empty if there is none.
    pub body: Bytes,
}

impl Request {
    fn shown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.url)?;
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            let secret = value.is_sensitive() || *name == AUTHORIZATION || *name == COOKIE;
            let shown = value.to_str().ok().filter(|_| !secret).unwrap_or("(secret)");
            writeln!(f, "{name}: {shown}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Request {
    /// The whole request for people, without its secrets. The body is shown: keep it out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown(f)?;
        if self.body.is_empty() {
            return Ok(());
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}

impl fmt::Debug for Request {
    /// Leaves out the query, the headers' values and the body, which hold customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
