//! Answers to several calls in one: a composite, a batch.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Seen};
use crate::call::{Call, scalar};
use crate::pointer::Pointer;
use crate::profile::Profile;
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

impl Profile {
    /// What became of each part of a call that had several, in the answer's order; empty if the
    /// answer holds none. A part without a status is one that no rule names.
    pub fn parts(&self, call: &Call, answer: &Answer, now: Timestamp) -> Vec<Part> {
        let seen = Seen::of(answer);
        let Some(body) = seen.body() else { return Vec::new() };
        let now = seen.date().unwrap_or(now);
        let lists = self.parts.iter().flat_map(|rule| {
            let lists = rule.at.find(body).into_iter();
            lists.filter_map(Value::as_array).map(move |items| (rule, items))
        });
        let parts = lists.flat_map(|(rule, items)| items.iter().map(move |item| (rule, item)));
        parts
            .map(|(rule, item)| Part {
                reference: rule.reference.as_ref().and_then(|at| {
                    at.find(item).into_iter().find_map(scalar).map(|text| text.into_owned())
                }),
                verdict: self.verdict(call, &rule.answer(item), now),
            })
            .collect()
    }
}

impl PartsRule {
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
