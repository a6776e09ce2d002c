//! Another provider, for when the first is over its limit for long or down.

use serde::Deserialize;
use serde_json::json;

use crate::address::Base;
use crate::words::Period;

/// Another provider of models, which is asked in the common form when the first is over its limit for long or
/// down.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondProvider {
    /// What its requests and answers mean: the name of a profile, or of its file.
    pub profile: String,
    /// Where it is.
    pub base_url: Base,
    /// The name of its secret, if it takes one.
    pub secret: Option<String>,
    /// Which of the profile's ways to authenticate; its only one if `None`.
    pub auth: Option<String>,
    /// The model that answers in the place of the one that a call names.
    pub model: String,
    /// For how long the first one refuses calls, asks to wait, or is down, before this one is asked.
    pub after: Period,
}

impl SecondProvider {
    /// Reads what [`to_json`](Self::to_json) writes.
    ///
    /// # Errors
    /// Where it is not that.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As a file. It holds the secret's name and nothing of what is in it.
    pub fn to_json(&self) -> String {
        let Self { profile, base_url, secret, auth, model, after } = self;
        let settings = json!({
            "profile": profile,
            "base_url": base_url.url().as_str(),
            "secret": secret,
            "auth": auth,
            "model": model,
            "after": format!("{}ms", after.0.as_millis()),
        });
        format!("{settings:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let all = SecondProvider {
            profile: "anthropic".to_owned(),
            base_url: Base::parse("https://api.anthropic.com").unwrap(),
            secret: Some("prod/anthropic".to_owned()),
            auth: Some("header".to_owned()),
            model: "claude-haiku-4-5".to_owned(),
            after: Period(Duration::from_millis(90_500)),
        };
        let least = SecondProvider { secret: None, auth: None, ..all.clone() };
        for second in [all, least] {
            assert_eq!(SecondProvider::from_json(&second.to_json()).unwrap(), second);
        }
    }
}
