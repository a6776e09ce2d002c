//! Another provider of models: what a stack is told of it.

use crate::{Values, api, package};
use slowlane_profile::chat::SecondProvider;
use std::path::PathBuf;

/// The name of its settings in the worker's package, which `Fallback` then has.
const SETTINGS_FILE: &str = "fallback.json";
/// The name of a profile of one's own there.
const PROFILE_FILE: &str = "fallback-profile.toml";

/// Another provider of models, for when the target's own does not answer for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The provider.
    pub provider: SecondProvider,
    /// A profile of one's own, in the place of one that comes with Slowlane. It is checked, and travels in
    /// the worker's package.
    pub profile: Option<PathBuf>,
}

/// The stack has a second provider, and this deploy brings none.
#[derive(Debug, thiserror::Error)]
#[error(
    "the stack has a second provider of models, whose settings travel in the worker's package: deploy it by \
     its slowlane.toml, or give -p Fallback= for none"
)]
pub struct LeftOut;

/// Completes the parameters that say where the second provider's settings and its secret are.
///
/// # Errors
/// If the stack's settings would be left out.
pub(crate) fn choose(
    parameters: &mut Values,
    before: &Values,
    fallback: Option<&Fallback>,
) -> Result<(), LeftOut> {
    let (settings, secret) = match fallback {
        Some(fallback) => (SETTINGS_FILE, fallback.provider.secret.as_deref().unwrap_or_default()),
        None => {
            let said = parameters.get("Fallback").or_else(|| before.get("Fallback"));
            if said.is_some_and(|said| !said.is_empty()) {
                return Err(LeftOut);
            }
            if !parameters.contains_key("Fallback") {
                return Ok(());
            }
            ("", "")
        }
    };
    parameters.insert("Fallback".into(), settings.into());
    parameters.insert("FallbackSecret".into(), secret.into());
    Ok(())
}

/// What of it travels in the worker's package.
///
/// # Errors
/// If a profile of one's own cannot be read, or has mistakes.
pub(crate) fn files(fallback: &Fallback) -> Result<Vec<package::File>, api::Error> {
    let mut provider = fallback.provider.clone();
    let mut files = Vec::new();
    if let Some(path) = &fallback.profile {
        provider.profile = PROFILE_FILE.to_owned();
        files.push((PROFILE_FILE.into(), api::read_profile(path)?));
    }
    files.push((SETTINGS_FILE.into(), provider.to_json().into_bytes()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_profile::shipped;

    fn fallback(secret: Option<&str>) -> Fallback {
        let text = r#"{"profile": "anthropic", "base_url": "https://api.anthropic.com", "model": "m", "after": "5m"}"#;
        let provider = SecondProvider::from_json(text).unwrap();
        let secret = secret.map(str::to_owned);
        Fallback { provider: SecondProvider { secret, ..provider }, profile: None }
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_stack_is_told_of_it_or_keeps_none() {
        let has_one = values(&[("Fallback", SETTINGS_FILE), ("FallbackSecret", "old")]);
        let told = |given: &[(&str, &str)], before: &Values, secret: Option<Option<&str>>| {
            let mut parameters = values(given);
            let fallback = secret.map(fallback);
            choose(&mut parameters, before, fallback.as_ref()).map(|()| parameters)
        };
        let none = Values::new();
        let expected = values(&[("Fallback", SETTINGS_FILE), ("FallbackSecret", "prod/a")]);
        assert_eq!(told(&[], &none, Some(Some("prod/a"))).unwrap(), expected);
        let by_role = values(&[("Fallback", SETTINGS_FILE), ("FallbackSecret", "")]);
        assert_eq!(told(&[], &has_one, Some(None)).unwrap(), by_role);
        assert_eq!(told(&[], &none, None).unwrap(), none, "as it was");
        let gone = values(&[("Fallback", ""), ("FallbackSecret", "")]);
        assert_eq!(told(&[("Fallback", "")], &has_one, None).unwrap(), gone);
        assert!(told(&[], &has_one, None).is_err());
    }

    #[test]
    fn a_profile_of_ones_own_is_named_by_its_file_in_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "openai").unwrap();
        std::fs::write(&path, text).unwrap();
        let own = Fallback { profile: Some(path.clone()), ..fallback(None) };
        let [(profile, _), (settings, json)] = &files(&own).unwrap()[..] else { panic!() };
        assert_eq!((&**profile, &**settings), (PROFILE_FILE, SETTINGS_FILE));
        let read = SecondProvider::from_json(std::str::from_utf8(json).unwrap()).unwrap();
        assert_eq!(read.profile, PROFILE_FILE);
        std::fs::write(&path, "name = 3").unwrap();
        assert!(files(&own).unwrap_err().to_string().contains("own.toml:\n1:"));
    }
}
