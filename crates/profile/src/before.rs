//! Calls before the call: a CSRF token with its cookies, an ETag.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Answer, Seen};
use crate::call::Call;
use crate::source::{Source, header_name};
use crate::template::Template;
use crate::words::{Method, PathPattern, Period, read_as_fields};

/// A call whose answer gives headers to the call proper.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "Fields")]
pub struct PreCall {
    pub(crate) name: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) unless_header: Option<HeaderName>,
    pub(crate) method: Method,
    pub(crate) path: Template,
    pub(crate) headers: HeaderMap,
    gives: Vec<(HeaderName, Vec<Source>)>,
    optional: bool,
    cookies: bool,
    pub(crate) keep_for: Option<Duration>,
    pub(crate) source: Option<String>,
}

/// A call before the call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// Its name, for `renew`.
    name: String,
    /// It is made for calls with these methods.
    methods: Vec<Method>,
    /// It is made for calls to these paths; to all if left out.
    #[serde(default)]
    paths: Vec<PathPattern>,
    /// It is not made for calls that bring this header themselves.
    unless_header: Option<String>,
    /// Its own method.
    method: Method,
    /// Its path below the base URL. `{resource}` is the call's own.
    path: Template,
    /// Its headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The headers that it gives to the call, and where their values stand in its answer. The first
    /// place that the answer holds counts.
    gives: BTreeMap<String, Vec<Source>>,
    /// A success that does not hold them gives nothing, and the call goes without.
    #[serde(default)]
    optional: bool,
    /// It gives its cookies too.
    #[serde(default)]
    cookies: bool,
    /// How long what it gave may serve other calls. Left out, it is made for each call.
    keep_for: Option<Period>,
    /// Where the vendor says so.
    source: Option<String>,
}

read_as_fields!(PreCall: Fields);

impl TryFrom<Fields> for PreCall {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let gives = fields.gives.into_iter();
        let gives = gives.map(|(name, source)| Ok((header_name(&name)?, source)));
        Ok(PreCall {
            name: fields.name,
            methods: fields.methods,
            paths: fields.paths,
            unless_header: fields.unless_header.as_deref().map(header_name).transpose()?,
            method: fields.method,
            path: fields.path,
            headers: header_map(&fields.headers)?,
            gives: gives.collect::<Result<_, String>>()?,
            optional: fields.optional,
            cookies: fields.cookies,
            keep_for: fields.keep_for.map(|Period(keep_for)| keep_for),
            source: fields.source,
        })
    }
}

/// Reads headers that a profile sends.
///
/// # Errors
/// What is wrong with one of them.
pub(crate) fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let headers = headers.iter().map(|(name, value)| {
        let fits = HeaderValue::from_str(value);
        let value = fits.map_err(|_| format!("`{name}` has a value that no header can have"))?;
        Ok((header_name(name)?, value))
    });
    headers.collect()
}

/// What a call before the call gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    headers: HeaderMap,
}

impl Given {
    /// Adds what another call before the call gave.
    pub fn add(&mut self, other: &Given) {
        for (name, value) in &other.headers {
            if *name == COOKIE
                && let Some(mine) = self.headers.get(COOKIE)
            {
                let both = [mine.as_bytes(), value.as_bytes()].join(&b"; "[..]);
                if let Ok(both) = HeaderValue::from_bytes(&both) {
                    self.headers.insert(COOKIE, sensitive(both));
                }
                continue;
            }
            self.headers.insert(name.clone(), value.clone());
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The answer to a call before the call did not hold what it should give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to `{pre_call}` (status {status}) does not hold what `{header}` needs")]
pub struct NotGiven {
    /// The name of the call before the call.
    pub pre_call: String,
    /// The header that it should give.
    pub header: HeaderName,
    /// The answer's status.
    pub status: u16,
}

impl PreCall {
    pub(crate) fn serves(&self, call: &Call) -> bool {
        let brings = |name: &HeaderName| {
            call.headers.keys().any(|own| own.eq_ignore_ascii_case(name.as_str()))
        };
        self.methods.contains(&call.method)
            && (self.paths.is_empty() || self.paths.iter().any(|path| path.matches(&call.resource)))
            && !self.unless_header.as_ref().is_some_and(brings)
    }

    /// The name under which what it gave is kept.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long what it gave may serve other calls; `None` if it is made for each call.
    pub fn keep_for(&self) -> Option<Duration> {
        self.keep_for
    }

    /// What the answer gives to the call.
    ///
    /// # Errors
    /// [`NotGiven`] if something is missing. The answer's own verdict says what to do then.
    pub fn read(&self, answer: &Answer) -> Result<Given, NotGiven> {
        let seen = Seen::of(answer);
        let mut headers = HeaderMap::new();
        for (name, places) in &self.gives {
            let text = places.iter().find_map(|place| place.text(&seen));
            if text.is_none() && self.optional && (200..=299).contains(&answer.status) {
                continue;
            }
            let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
            let value = value.ok_or_else(|| NotGiven {
                pre_call: self.name.clone(),
                header: name.clone(),
                status: answer.status,
            })?;
            headers.insert(name.clone(), sensitive(value));
        }
        if self.cookies
            && let Some(cookies) = cookies(answer)
        {
            headers.insert(COOKIE, sensitive(cookies));
        }
        Ok(Given { headers })
    }
}

/// The cookies that the answer sets, as a request sends them. They go back to the API that set
/// them, so their attributes do not matter.
fn cookies(answer: &Answer) -> Option<HeaderValue> {
    let set = answer.headers.get_all(SET_COOKIE).iter();
    let pairs = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let pairs: Vec<&str> = pairs.map(str::trim).filter(|pair| pair.contains('=')).collect();
    (!pairs.is_empty()).then(|| HeaderValue::from_str(&pairs.join("; ")).ok()).flatten()
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
