//! Idempotency keys, kept and replayed as the vendor does.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;

use crate::{Request, Response, answer::AnswerShape, asked::Asked, span::Span};

/// What a vendor does with idempotency keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRules {
    pub(crate) header: String,
    methods: Vec<String>,
    /// The paths whose calls may bring one; all if none is named.
    #[serde(default)]
    paths: Vec<String>,
    /// How long a key is kept; then the call is executed anew.
    kept: Span,
    /// The statuses that are stored under the key once the call was executed. One that is not lets go
    /// of the key.
    stores: Vec<u16>,
    /// The headers of a replayed answer.
    #[serde(default)]
    pub(crate) replayed: std::collections::BTreeMap<String, String>,
    /// The answer while the first call runs.
    pub(crate) in_flight: AnswerShape,
    /// The answer to a call with other parameters.
    pub(crate) other_parameters: AnswerShape,
}

impl KeyRules {
    /// Whether such a call's key is heeded.
    pub(crate) fn heed(&self, asked: &Asked) -> bool {
        let path = asked.path.join("/");
        self.methods.contains(&asked.method.to_string())
            && (self.paths.is_empty() || self.paths.iter().any(|whole| path.ends_with(whole)))
    }
}

/// The keys that are kept.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Kept>);

#[derive(Debug)]
struct Kept {
    since: Duration,
    parameters: u64,
    /// Nothing while the call runs.
    answer: Option<http::Response<Bytes>>,
}

/// What a key is to a call that brings it.
#[derive(Debug)]
pub(crate) enum Found {
    New,
    Running,
    OtherParameters,
    Answered(Response),
}

impl Keys {
    /// Looks a key up, and takes it if it is new.
    pub(crate) fn take(
        &mut self,
        rules: &KeyRules,
        key: &str,
        request: &Request,
        now: Duration,
    ) -> Found {
        let parameters = parameters(request);
        self.0.retain(|_, kept| kept.answer.is_none() || now < kept.since + rules.kept.0);
        match self.0.get(key) {
            None => {
                self.0.insert(key.to_owned(), Kept { since: now, parameters, answer: None });
                Found::New
            }
            Some(kept) if kept.parameters != parameters => Found::OtherParameters,
            Some(Kept { answer: None, .. }) => Found::Running,
            Some(Kept { answer: Some(answer), .. }) => Found::Answered(answer.clone()),
        }
    }

    /// Ends the call that has taken a key.
    pub(crate) fn answered(
        &mut self,
        rules: &KeyRules,
        key: &str,
        answer: &Response,
        was_executed: bool,
    ) {
        let is_stored = was_executed && rules.stores.contains(&answer.status().as_u16());
        match self.0.get_mut(key) {
            Some(kept) if is_stored => kept.answer = Some(answer.clone()),
            _ => {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn parameters(request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    (request.method(), request.uri().path(), request.body()).hash(&mut hasher);
    hasher.finish()
}
