//! What can be done when nobody knows whether a call was executed.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::matching::Match;
use crate::pointer::Pointer;
use crate::rule::{Asked, CallIs, all_hold};
use crate::source::Source;
use crate::template::Template;
use crate::words::{Method, PathPattern, Period, Statuses, read_as_fields};

/// How a call came to be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// No answer came, or it broke off.
    NoAnswer,
    /// An answer came that does not say whether the call was executed, such as a 500. An API with
    /// idempotency keys may have stored it and give it again for ever.
    Answered,
}

/// What to do about lost answers of some calls. It has one of `repeat`, `look_up` and `nothing`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "Fields")]
pub(crate) struct LossRule {
    call: CallIs,
    loss: Option<Loss>,
    body: Vec<(Pointer, Match)>,
    pub(crate) then: Then,
    pub(crate) source: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Then {
    Repeat(Repeat),
    LookUp(Box<LookUpRule>),
    Nothing(String),
}

/// A rule about lost answers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// It holds for calls with these methods.
    #[serde(default)]
    methods: Vec<Method>,
    /// It holds for calls to these paths.
    #[serde(default)]
    paths: Vec<PathPattern>,
    /// It holds for calls that only read, or for those that write.
    reads: Option<bool>,
    /// It holds for calls that bring an idempotency key, or for those that do not.
    with_key: Option<bool>,
    /// It holds if the call's own body says so at these places.
    #[serde(default)]
    body: BTreeMap<Pointer, Match>,
    /// It holds for answers that were lost, or for those that came and do not tell; for both if
    /// left out.
    loss: Option<Loss>,
    /// Make the call again.
    repeat: Option<Repeat>,
    /// Ask the API.
    look_up: Option<LookUpRule>,
    /// Nothing can be done, for this reason.
    nothing: Option<String>,
    /// Where the vendor says so.
    source: Option<String>,
}

read_as_fields!(LossRule: Fields);

impl TryFrom<Fields> for LossRule {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let then = match (fields.repeat, fields.look_up, fields.nothing) {
            (Some(repeat), None, None) => Then::Repeat(repeat),
            (None, Some(look_up), None) => Then::LookUp(Box::new(look_up)),
            (None, None, Some(why)) => Then::Nothing(why),
            _ => {
                return Err("one thing is done after a lost answer; write one of `repeat = {}`, \
                            `look_up = { path = \"...\" }` or `nothing = \"why\"`"
                    .to_owned());
            }
        };
        Ok(LossRule {
            call: CallIs {
                methods: fields.methods,
                paths: fields.paths,
                reads: fields.reads,
                with_key: fields.with_key,
            },
            loss: fields.loss,
            body: fields.body.into_iter().collect(),
            then,
            source: fields.source,
        })
    }
}

impl LossRule {
    /// Whether no later rule can hold. A look-up is passed over where its gaps cannot be filled.
    pub(crate) fn ends_the_list(&self) -> bool {
        self.call.asks_nothing()
            && self.loss.is_none()
            && self.body.is_empty()
            && !matches!(self.then, Then::LookUp(_))
    }

    pub(crate) fn holds(&self, asked: &Asked<'_>, loss: Loss) -> bool {
        let body = asked.call.body.as_ref().unwrap_or(&Value::Null);
        self.call.holds(asked)
            && self.loss.is_none_or(|wanted| wanted == loss)
            && all_hold(&self.body, body)
    }
}

/// The call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    /// Only so long after the first attempt: how long the API keeps an idempotency key.
    within: Option<Period>,
    /// A repeat has no second effect, but is charged a second time.
    #[serde(default)]
    pub(crate) charged: bool,
}

impl Repeat {
    pub(crate) fn within(&self) -> Option<Duration> {
        self.within.map(|Period(within)| within)
    }
}

/// How the API is asked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookUpRule {
    /// The resource to GET. Its gaps: `{resource}`, `{idempotency_key}`, and `{body:/pointer}` for
    /// a value of the call's own body. A call that cannot fill them all is not looked up.
    pub(crate) path: Template,
    /// Where the answer holds the record: a value that is not null, or a list. A list of none says
    /// that it is not there, one of several leaves it to a person. Left out, any success will do.
    pub(crate) found: Option<Pointer>,
    /// Where the record's id stands, if not where the profile says.
    #[serde(default)]
    pub(crate) id: Vec<Source>,
    /// The statuses that say that the record is not there: 404 if left out.
    pub(crate) missing: Option<Statuses>,
    /// How long the API may take to show what was written.
    pub(crate) lags: Option<Period>,
}

/// What can be done about one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// Make it again: twice has the same effect as once.
    Repeat {
        /// Only so long after the first attempt; always if `None`.
        within: Option<Duration>,
        /// The repeat is charged a second time.
        charged: bool,
    },
    /// Ask the API.
    LookUp(LookUp),
    /// Nothing, for the reason given.
    Nothing(String),
}

/// A question to the API.
#[derive(Debug, Clone, PartialEq)]
pub struct LookUp {
    /// The resource to GET.
    pub resource: String,
    /// How long the API may take to show what was written. "It is not there" counts only after
    /// that, and after the profile's settle window.
    pub lags: Duration,
    pub(crate) rule: usize,
}

/// What the API says of a call whose answer was lost.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The record is there. The answer's body is the record, or holds it.
    Done {
        /// The record's id.
        id: Option<String>,
    },
    /// It is not there so far.
    NotDone,
    /// The API could not be asked just now.
    TryAgain {
        /// How long it asks to wait.
        wait: Option<Duration>,
        /// Why.
        why: String,
    },
    /// The API cannot tell: a person must decide.
    Undecidable(String),
}
