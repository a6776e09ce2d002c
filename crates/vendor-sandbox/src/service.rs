//! A vendor's API: what it is asked, and what it says.

use std::{fmt::Debug, time::Duration};

use http::{HeaderValue, Method};
use serde_json::Value;
use slowlane_sandbox::{Created, Effect, Remaining};

use crate::{Response, answer::json, asked::Asked, records::Records};

/// A vendor's API behind its limits and its sign-in.
pub(crate) trait Service: Debug + Send {
    /// Answers a call, and says what that changed.
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said;

    /// Refuses a call that lacks what must come before it. None lacks it by default.
    fn admit(&mut self, _asked: &Asked) -> Result<(), Box<Said>> {
        Ok(())
    }

    /// Whether a repeat of the call could have a second effect.
    fn is_write(&self, asked: &Asked) -> bool {
        !matches!(asked.method, Method::GET | Method::HEAD)
    }

    /// What a call weighs where more than calls is counted.
    fn units(&self, _asked: &Asked) -> u64 {
        1
    }

    /// Writes into an answer's body what it says there of its limits.
    fn stamp(&self, _response: &mut Response, _limits: &[Remaining]) {}
}

/// When and where a call is answered.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The time since the Unix epoch.
    pub(crate) now: Duration,
    /// How long the call has taken.
    pub(crate) took: Duration,
    pub(crate) base_url: String,
}

impl At {
    pub(crate) fn seconds(&self) -> u64 {
        self.now.as_secs()
    }

    pub(crate) fn rfc3339(&self) -> String {
        let millis = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
    }
}

/// An answer, and what the call changed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) response: Response,
    pub(crate) effect: Effect,
}

impl Said {
    pub(crate) fn new(status: u16, body: &Value) -> Self {
        Self { response: json(status, Some(body)), effect: Effect::default() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { response: json(status, None), effect: Effect::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// The call has made a record of this type.
    pub(crate) fn created(mut self, record_type: &str) -> Self {
        let record_type = record_type.to_owned();
        self.effect.created.push(Created { record_type, external_id: None });
        self
    }
}
