//! Another provider of models, as a target names it.

use schemars::JsonSchema;
use serde::Deserialize;
use slowlane_profile::chat::SecondProvider;
use slowlane_profile::{Base, Period};
use toml::Spanned;

/// Another provider of models. It answers calls in the common form that the target's own has not executed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fallback {
    /// What its requests and answers mean: the name of a profile that comes with Slowlane, or the path of
    /// a file.
    #[schemars(with = "String")]
    pub(crate) profile: Spanned<String>,
    /// Where it is.
    pub(crate) base_url: Base,
    /// The name of its secret, as of the target's own.
    #[schemars(with = "Option<String>")]
    pub(crate) secret: Option<Spanned<String>>,
    /// Which of the profile's ways to authenticate; needed where there are several.
    #[schemars(with = "Option<String>")]
    pub(crate) auth: Option<Spanned<String>>,
    /// The model that answers in the place of the one that a call names.
    #[schemars(with = "String")]
    pub(crate) model: Spanned<String>,
    /// For how long the target's own refuses calls for its limit, asks to wait, or is down, before this one
    /// is asked.
    pub(crate) after: Period,
}

impl From<Fallback> for SecondProvider {
    fn from(fallback: Fallback) -> Self {
        let Fallback { profile, base_url, secret, auth, model, after } = fallback;
        SecondProvider {
            profile: profile.into_inner(),
            base_url,
            secret: secret.map(Spanned::into_inner),
            auth: auth.map(Spanned::into_inner),
            model: model.into_inner(),
            after,
        }
    }
}
