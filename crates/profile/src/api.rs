//! A call as an HTTP request: what a profile makes of it at a base URL.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use crate::address::{Base, Refused};
use crate::before::{Given, PreCall};
use crate::body::BodyError;
use crate::call::{Call, Content};
use crate::profile::Profile;
use crate::recovery::LookUp;
use crate::request::Request;
use crate::words::Method;

/// An API: a profile, at a base URL.
#[derive(Debug, Clone)]
pub struct Api {
    profile: Profile,
    base: Base,
}

impl Api {
    /// The API that a profile describes, at a base URL.
    pub fn new(profile: Profile, base: Base) -> Self {
        Api { profile, base }
    }

    /// What its requests and answers mean.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where it is.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The calls before this call, in order.
    pub fn before<'a>(&'a self, call: &Call) -> Vec<&'a PreCall> {
        let all = self.profile.before.iter().map(|pre_call| pre_call.get_ref());
        all.filter(|pre_call| pre_call.serves(call)).collect()
    }

    /// The request of a call before the call.
    ///
    /// # Errors
    /// The call has nothing that its path could be filled with, or fills it with a path elsewhere.
    pub fn pre_call_request(&self, pre_call: &PreCall, call: &Call) -> Result<Request, Error> {
        let path = self.profile.fill(&pre_call.path, call, None);
        let path = path.ok_or_else(|| Error::PreCall(pre_call.name.clone()))?;
        let mut headers = self.profile.request.headers.clone();
        headers.extend(pre_call.headers.clone());
        let url = self.base.resolve(&path)?;
        Ok(Request { method: pre_call.method, url, headers, body: Bytes::new() })
    }

    /// The request of a call, without credentials. `given` is what the calls before it gave.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn request(&self, call: &Call, given: &Given) -> Result<Request, Error> {
        let profile = &self.profile;
        let url = self.base.resolve(&call.resource)?;
        let mut headers = profile.request.headers.clone();
        let mut body = Bytes::new();
        if let Some(value) = &call.body {
            let media_type;
            (body, media_type) = self.body(call, value)?;
            headers.insert(CONTENT_TYPE, media_type);
            if profile.content(call) == Content::Multipart {
                headers.insert(ACCEPT, HeaderValue::from_static("multipart/mixed"));
            }
        }
        for (name, value) in &call.headers {
            let (name, value) = self.own_header(name, value)?;
            headers.insert(name, value);
        }
        headers.extend(given.headers().clone());
        if let Some((name, key)) = profile.key(call) {
            let max_chars = profile.idempotency.as_ref().map_or(0, |key| key.max_chars());
            let value =
                HeaderValue::from_str(&key).ok().filter(|_| key.chars().count() <= max_chars);
            headers.insert(name.clone(), value.ok_or(Error::Key(max_chars))?);
        }
        Ok(Request { method: call.method, url, headers, body })
    }

    fn body(&self, call: &Call, value: &Value) -> Result<(Bytes, HeaderValue), Error> {
        let content = self.profile.content(call);
        let allowed = &self.profile.request.content;
        if !allowed.contains(&content) {
            return Err(Error::Content(listed(allowed)));
        }
        match &call.file {
            Some(file) if content == Content::Binary => {
                Ok((file.bytes.clone(), file.content_type.clone()))
            }
            _ => {
                let media_type = HeaderValue::from_static(content.media_type());
                Ok((content.write(value)?.into(), media_type))
            }
        }
    }

    /// The request of a question about a call whose answer was lost.
    ///
    /// # Errors
    /// Its path leaves the base URL.
    pub fn look_up_request(&self, look_up: &LookUp) -> Result<Request, Error> {
        self.request(&Call::new(Method::Get, look_up.resource.clone()), &Given::default())
    }

    fn own_header(&self, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
        let allowed = &self.profile.request.allow_headers;
        let known = name.parse().ok().filter(|name| allowed.contains(name));
        let known = known.ok_or_else(|| {
            let allowed: Vec<&str> = allowed.iter().map(HeaderName::as_str).collect();
            let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            Error::Header(name.to_owned(), allowed)
        })?;
        let value = HeaderValue::from_str(value);
        Ok((known, value.map_err(|_| Error::HeaderValue(name.to_owned()))?))
    }
}

/// Why a call cannot be sent. It was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its resource is not below the base URL.
    #[error(transparent)]
    Resource(#[from] Refused),
    /// A header that the profile does not allow, or that cannot be sent.
    #[error("its header `{0}` is not allowed: the profile allows {1}")]
    Header(String, String),
    /// A header's value.
    #[error("its header `{0}` has a value that no header can have")]
    HeaderValue(String),
    /// The API takes no such body.
    #[error("its body cannot be sent in this form: the profile allows {0}")]
    Content(String),
    /// Its body does not fit the form.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The idempotency key.
    #[error(
        "its idempotency key has more than {0} characters, its scope included, or one that no header can have"
    )]
    Key(usize),
    /// A call before the call that cannot be written for this call.
    #[error("the call `{0}` before it has nothing to fill its path with")]
    PreCall(String),
}

fn listed(content: &[Content]) -> String {
    let names = content.iter().map(|content| match content {
        Content::Json => "json",
        Content::Form => "form",
        Content::GraphQl => "graphql",
        Content::Text => "text",
        Content::Multipart => "multipart",
        Content::Binary => "binary",
    });
    names.collect::<Vec<_>>().join(", ")
}
