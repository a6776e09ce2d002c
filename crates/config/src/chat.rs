//! Holds what is said of calls in the common form to what must be so across its fields.

use slowlane_profile::Profile;
use slowlane_profile::mistakes::Finding;
use toml::Spanned;

use crate::fallback::Fallback;
use crate::file::{NETSUITE, Target};
use crate::profiles::{Load, check_auth, check_secret, finding, profile_of};

pub(crate) fn check(target: &Target, load: Load<'_>, found: &mut Vec<Finding>) {
    if let Some(profile) = &target.profile {
        let fallback = target.fallback.as_ref().map(Spanned::span);
        let prompts = target.prompts.as_ref().map(Spanned::span);
        let wants = fallback.map(|span| (span, "fallback"));
        let wants = wants.into_iter().chain(prompts.map(|span| (span, "prompts")));
        for (span, field) in wants.filter(|_| !has_chat(profile, load)) {
            let problem = format!("`{}` has no calls in the common form", profile.get_ref());
            let mend = format!("take `{field}` out, or write `chat = \"...\"` into its profile");
            found.push(finding(span, &problem, &mend));
        }
    }
    if let Some(fallback) = &target.fallback {
        check_fallback(fallback, load, found);
    }
}

/// Whether a profile says how its API is asked in the common form. One that cannot be read is told by
/// another rule.
fn has_chat(name: &Spanned<String>, load: Load<'_>) -> bool {
    let has_chat = |profile: Profile| profile.chat_form().is_some();
    name.get_ref() != NETSUITE && profile_of(name, load).map_or(true, has_chat)
}

fn check_fallback(fallback: &Spanned<Fallback>, load: Load<'_>, found: &mut Vec<Finding>) {
    let place = fallback.span();
    let Fallback { profile, secret, auth, model, .. } = fallback.get_ref();
    if model.get_ref().is_empty() {
        let mend = "write the name under which the second provider knows it";
        found.push(finding(model.span(), "this is the name of no model", mend));
    }
    if let Some(secret) = secret {
        check_secret(secret, found);
    }
    if profile.get_ref() == NETSUITE {
        let problem = "`netsuite` has no calls in the common form";
        found.push(finding(profile.span(), problem, "name the profile of a provider of models"));
        return;
    }
    match profile_of(profile, load) {
        Ok(known) if known.chat_form().is_none() => {
            let problem = format!("`{}` has no calls in the common form", profile.get_ref());
            let mend =
                "name the profile of a provider of models, or write `chat = \"...\"` into it";
            found.push(finding(profile.span(), &problem, mend));
        }
        Ok(known) => check_auth(&known, auth.as_ref(), secret.as_ref(), &place, found),
        Err(unusable) => found.push(unusable),
    }
}
