//! One rule about answers: when it holds, and what it says.

use std::collections::BTreeMap;

use http::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Seen;
use crate::call::Call;
use crate::limits::LimitKind;
use crate::matching::Match;
use crate::pointer::Pointer;
use crate::source::{Source, header_name};
use crate::template::Template;
use crate::verdict::{Outcome, Renew};
use crate::wait::Wait;
use crate::words::{Method, PathPattern, Statuses, read_as_fields};

/// When a rule holds and what it says. All its conditions must hold; one that is left out always
/// does.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "Fields")]
pub(crate) struct Rule {
    pub(crate) call: CallIs,
    pub(crate) status: Statuses,
    pub(crate) header: Vec<(HeaderName, Match)>,
    pub(crate) body: Vec<(Pointer, Match)>,
    pub(crate) outcome: Outcome,
    pub(crate) limit: Option<LimitKind>,
    pub(crate) because: Option<String>,
    pub(crate) wait: Vec<Wait>,
    pub(crate) id: Vec<Source>,
    pub(crate) renew: Option<Renew>,
    pub(crate) follow: Option<Template>,
    pub(crate) source: Option<String>,
}

/// A rule about answers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// It holds for these statuses; for all if left out.
    #[serde(default)]
    status: Statuses,
    /// It holds if these headers say so.
    #[serde(default)]
    header: BTreeMap<String, Match>,
    /// It holds if the body says so at these places.
    #[serde(default)]
    body: BTreeMap<Pointer, Match>,
    /// It holds for calls with these methods.
    #[serde(default)]
    methods: Vec<Method>,
    /// It holds for calls to these paths.
    #[serde(default)]
    paths: Vec<PathPattern>,
    /// It holds for calls that only read, or for those that write.
    reads: Option<bool>,
    /// It holds for calls that brought an idempotency key, or for those that did not.
    with_key: Option<bool>,
    /// What became of the call.
    outcome: Outcome,
    /// Which limit is reached: with `throttled`, and only there.
    limit: Option<LimitKind>,
    /// The outcome's reason, in words.
    because: Option<String>,
    /// How long the API asks to wait. The first that the answer holds counts.
    #[serde(default)]
    wait: Vec<Wait>,
    /// Where the record's id stands, if not where the profile says.
    #[serde(default)]
    id: Vec<Source>,
    /// What is fetched anew before the call is made again: `credentials`, or the name of a call
    /// before the call.
    renew: Option<String>,
    /// With `running`: the resource to GET for the end. `{id}` is the answer's id.
    follow: Option<Template>,
    /// Where the vendor says so.
    source: Option<String>,
}

read_as_fields!(Rule: Fields);

impl TryFrom<Fields> for Rule {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        if (fields.outcome == Outcome::Throttled) != fields.limit.is_some() {
            return Err(
                "`limit` and `throttled` go together; write `outcome = \"throttled\"` with \
                        `limit = \"rate\"`, `concurrency`, `daily_quota`, `cost`, `money` or \
                        `maintenance`"
                    .to_owned(),
            );
        }
        if (fields.outcome == Outcome::Running) != fields.follow.is_some() {
            return Err("`follow` and `running` go together; write `follow = \"jobs/{id}\"` with \
                        `outcome = \"running\"`"
                .to_owned());
        }
        let header = fields.header.into_iter();
        let header = header.map(|(name, wanted)| Ok((header_name(&name)?, wanted)));
        Ok(Rule {
            call: CallIs {
                methods: fields.methods,
                paths: fields.paths,
                reads: fields.reads,
                with_key: fields.with_key,
            },
            status: fields.status,
            header: header.collect::<Result<_, String>>()?,
            body: fields.body.into_iter().collect(),
            outcome: fields.outcome,
            limit: fields.limit,
            because: fields.because,
            wait: fields.wait,
            id: fields.id,
            renew: fields.renew.map(|name| match name.as_str() {
                "credentials" => Renew::Credentials,
                _ => Renew::PreCall(name),
            }),
            follow: fields.follow,
            source: fields.source,
        })
    }
}

/// What a rule asks of the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallIs {
    pub(crate) methods: Vec<Method>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) reads: Option<bool>,
    pub(crate) with_key: Option<bool>,
}

/// A call, with what the profile says of it.
pub(crate) struct Asked<'a> {
    pub(crate) call: &'a Call,
    pub(crate) reads: bool,
    /// The profile sends its idempotency key.
    pub(crate) with_key: bool,
}

impl CallIs {
    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        let is = |wanted: Option<bool>, actual| wanted.is_none_or(|wanted| wanted == actual);
        (self.methods.is_empty() || self.methods.contains(&asked.call.method))
            && (self.paths.is_empty()
                || self.paths.iter().any(|path| path.matches(&asked.call.resource)))
            && is(self.reads, asked.reads)
            && is(self.with_key, asked.with_key)
    }

    pub(crate) fn asks_nothing(&self) -> bool {
        self.methods.is_empty()
            && self.paths.is_empty()
            && self.reads.is_none()
            && self.with_key.is_none()
    }
}

/// Whether a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It asks for a place in a body of which the end was not read.
    CannotBeSaid,
}

impl Rule {
    pub(crate) fn holds(&self, asked: &Asked<'_>, seen: &Seen<'_>) -> Holds {
        let without_body = self.status.contains(seen.status())
            && self.call.holds(asked)
            && self.header.iter().all(|(name, wanted)| wanted.holds_for_header(seen.header(name)));
        if !without_body {
            return Holds::No;
        }
        match seen.body() {
            _ if self.body.is_empty() => Holds::Yes,
            None => Holds::CannotBeSaid,
            Some(body) if all_hold(&self.body, body) => Holds::Yes,
            Some(_) => Holds::No,
        }
    }

    /// Whether this rule takes every answer that `later` could take.
    pub(crate) fn shadows(&self, later: &Rule) -> bool {
        self.header.is_empty()
            && self.body.is_empty()
            && self.call.asks_nothing()
            && self.status.contain_all(&later.status)
    }
}

pub(crate) fn all_hold(conditions: &[(Pointer, Match)], document: &Value) -> bool {
    conditions.iter().all(|(at, wanted)| wanted.holds_for_values(&at.find(document)))
}
