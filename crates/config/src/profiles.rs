//! Profiles by their names, and what they need of whoever calls.

use std::ops::Range;

use slowlane_profile::auth::Auth;
use slowlane_profile::mistakes::{Finding, proposal};
use slowlane_profile::{Profile, shipped};
use toml::Spanned;

use crate::file::{NETSUITE, is_path};

/// Reads a profile of the team's own by its path.
pub(crate) type Load<'a> = &'a dyn Fn(&str) -> Result<Profile, String>;

/// The profile of a name, or of a path.
pub(crate) fn profile_of(name: &Spanned<String>, load: Load<'_>) -> Result<Profile, Finding> {
    let text = name.get_ref();
    match (is_path(text), shipped::get(text)) {
        (true, _) => load(text).map_err(|why| {
            let problem = format!("the profile `{text}` cannot be used: {why}");
            finding(name.span(), &problem, "a path begins at this file's own folder")
        }),
        (false, Some(profile)) => Ok(profile),
        (false, None) => {
            let problem = format!("there is no profile `{text}`");
            let mend = proposal(text, shipped::names().chain([NETSUITE]));
            Err(Finding { span: name.span(), problem, mend })
        }
    }
}

/// Whether one of a profile's ways to authenticate is chosen, and the secret that it takes is there.
pub(crate) fn check_auth(
    profile: &Profile,
    auth: Option<&Spanned<String>>,
    secret: Option<&Spanned<String>>,
    place: &Range<usize>,
    found: &mut Vec<Finding>,
) {
    let ways = profile.auth.all();
    let names = ways.iter().map(|(name, _)| *name);
    let chosen = match auth {
        Some(auth) => {
            let chosen = profile.auth.get(auth.get_ref());
            if chosen.is_none() {
                let (name, title) = (auth.get_ref(), profile.name());
                let problem = format!("the profile `{title}` has no way to authenticate `{name}`");
                found.push(Finding { span: auth.span(), problem, mend: proposal(name, names) });
            }
            chosen
        }
        None if ways.len() > 1 => {
            let names: Vec<String> = names.map(|name| format!("`auth = \"{name}\"`")).collect();
            let problem =
                format!("the profile `{}` has several ways to authenticate", profile.name());
            let mend = format!("write {}", names.join(" or "));
            found.push(finding(place.clone(), &problem, &mend));
            None
        }
        None => ways.first().map(|(_, auth)| *auth),
    };
    // The role's own keys sign a request; every other way takes a secret.
    let takes_secret = chosen.is_some_and(|auth| !matches!(auth, Auth::SigV4(_)));
    if takes_secret && secret.is_none() {
        let problem = "the API wants credentials";
        found.push(finding(place.clone(), problem, "write `secret = \"...\"`"));
    }
}

/// A secret is named, and never written down.
pub(crate) fn check_secret(secret: &Spanned<String>, found: &mut Vec<Finding>) {
    if !names_a_secret(secret.get_ref()) {
        let problem = "this is no name of a secret in Secrets Manager, nor of a parameter";
        let mend = "write its name, such as `prod/crm` or `ssm:/prod/crm`, never what it holds";
        found.push(finding(secret.span(), problem, mend));
    }
}

/// As the template's `ApiSecret` takes it: a secret's name, `ssm:/NAME` of a parameter, or a parameter's ARN.
fn names_a_secret(text: &str) -> bool {
    let of_parameter = text.strip_prefix("ssm:").or_else(|| {
        let mut parts = text.splitn(6, ':');
        let named = |part: &str| !part.is_empty();
        let is_arn = parts.next() == Some("arn")
            && parts.next().is_some_and(|part| part.starts_with("aws"))
            && parts.next() == Some("ssm")
            && parts.by_ref().take(2).all(named);
        parts.next()?.strip_prefix("parameter").filter(|_| is_arn)
    });
    let name = of_parameter.unwrap_or(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    let begins = of_parameter.is_none_or(|name| name.starts_with('/'));
    begins && !name.is_empty() && text.len() <= 512 && name.chars().all(fits)
}

pub(crate) fn finding(span: Range<usize>, problem: &str, mend: &str) -> Finding {
    Finding { span, problem: problem.to_owned(), mend: Some(mend.to_owned()) }
}
