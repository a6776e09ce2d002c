//! A second model, for when the one that a call asks for is over its limit for long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::call::Call;
use crate::limits::UsageRule;
use crate::words::Period;

/// A second model of the same API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FallbackRule {
    /// The model, as calls name it. It is written where `usage.model` finds a call's own.
    #[schemars(with = "String")]
    pub(crate) model: Spanned<String>,
    /// For how long the first one refuses calls, or asks to wait, before the second is asked.
    after: Period,
}

/// How a call is asked of the second model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fallback {
    /// The call, which names the second model.
    pub call: Call,
    /// The model that the workflow's call names.
    pub first: String,
    /// The second model.
    pub model: String,
    /// For how long the first one refuses calls, or asks to wait, before the second is asked.
    pub after: Duration,
}

impl FallbackRule {
    /// How a call is asked of the second model. `None` if it names that one itself, or none.
    pub(crate) fn of(&self, usage: &UsageRule, call: &Call) -> Option<Fallback> {
        let Self { model, after: Period(after) } = self;
        let model = model.get_ref();
        let (first, call) = usage.asked_of(call, model)?;
        (first != *model).then(|| Fallback { call, first, model: model.clone(), after: *after })
    }
}
