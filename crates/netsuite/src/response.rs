//! An answer of success.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Error, RecordId,
    said::{Answered, Call, header, request_id},
};

/// NetSuite's answer to a request that succeeded (2xx).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Response {
    /// 200 for reads, 204 for most writes, 202 for accepted asynchronous ones. NetSuite's pages
    /// do not agree on 201 or 204 for a create, so look at the class, not at the number.
    pub status: StatusCode,
    /// The `Location` header as it came: the record's or the job's URL.
    pub location: Option<String>,
    /// The last segment of `location`: the record's internal id.
    pub id: Option<RecordId>,
    /// The body, if there is one. One that is not JSON comes as a JSON string.
    pub body: Option<Value>,
    /// The id NetSuite gave the operation.
    pub request_id: Option<String>,
}

/// A record that was made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Created {
    /// The internal id that NetSuite gave it.
    pub id: RecordId,
    /// The whole answer.
    pub response: Response,
}

/// An answer of success with its body still unread, so that a typed reader need not build a
/// [`Value`] first.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) received_at: jiff::Timestamp,
}

impl Answer {
    pub(crate) fn location(&self) -> Option<String> {
        header(&self.headers, "location")
    }

    pub(crate) fn outside(&self) -> Answered<'_> {
        Answered { status: self.status, headers: &self.headers, received_at: self.received_at }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::unreadable(call, source))
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let location = answer.location();
        let as_text = |_| Value::String(String::from_utf8_lossy(&answer.body).into_owned());
        Self {
            status: answer.status,
            id: location.as_deref().and_then(last_segment).and_then(|id| id.parse().ok()),
            location,
            body: (!answer.body.is_empty())
                .then(|| serde_json::from_slice(&answer.body).unwrap_or_else(as_text)),
            request_id: request_id(&answer.headers),
        }
    }
}

/// `https://…/salesOrder/17` and `/…/job/17/` both end in `17`.
pub(crate) fn last_segment(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/')
        .rsplit_once('/')
        .map(|(_, id)| id.to_owned())
        .filter(|id| !id.is_empty())
}
