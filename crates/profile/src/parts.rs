//! Answers to several calls in one: a composite, a batch.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::call::scalar;
use crate::pointer::Pointer;
use crate::verdict::Verdict;

/// Where an answer holds answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartsRule {
    /// Where the list of parts stands: `/compositeResponse`.
    at: Pointer,
    /// Where a part's status stands in it: `/httpStatusCode`.
    status: Pointer,
    /// Where a part's body stands in it: `/body`.
    body: Pointer,
    /// Where a part's name stands in it: `/referenceId`. Parts without one go by their order.
    reference: Option<Pointer>,
    /// Where the vendor says so.
    pub(crate) source: Option<String>,
}

/// What became of one part of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name, if it has one.
    pub reference: Option<String>,
    /// What became of it, by the same rules as for a call of its own.
    pub verdict: Verdict,
}

impl PartsRule {
    /// The answers that a body holds, in their order, each with its name if it has one. A part
    /// without a status gets one that no rule names.
    pub(crate) fn answers(&self, body: &Value) -> impl Iterator<Item = (Option<String>, Answer)> {
        let lists = self.at.find(body).into_iter().filter_map(Value::as_array);
        lists.flatten().map(|item| (self.name(item), self.answer(item)))
    }

    fn name(&self, part: &Value) -> Option<String> {
        let named = self.reference.as_ref()?.find(part).into_iter().find_map(scalar)?;
        Some(named.into_owned())
    }

    fn answer(&self, part: &Value) -> Answer {
        let status = self.status.find(part).into_iter().find_map(|status| {
            // Some vendors write it as a text.
            status.as_u64().or_else(|| status.as_str()?.parse().ok())
        });
        let body = self.body.find(part).into_iter().find(|body| !body.is_null());
        let body = body.map(Value::to_string).unwrap_or_default();
        let json = HeaderValue::from_static("application/json");
        let status = status.and_then(|status| status.try_into().ok()).unwrap_or_default();
        Answer::new(status, HeaderMap::from_iter([(CONTENT_TYPE, json)]), body)
    }
}
