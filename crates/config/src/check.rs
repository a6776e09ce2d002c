//! Reads `slowlane.toml`, and holds it to what must be so across its fields.

use std::ops::Range;

use slowlane_limiter::{Measure, Scope};
use slowlane_profile::Profile;
use slowlane_profile::mistakes::{self, Finding, Mistakes, proposal};
use toml::Spanned;

use crate::deployment::{CONCURRENCY, TIMEOUTS};
use crate::file::{Config, NETSUITE, Stage, Target, is_path};
use crate::profiles::{Load, check_auth, check_secret, finding, profile_of};
use crate::{chat, usage};

impl Config {
    /// Reads the file. `load` reads a profile of the team's own by its path, as it is written. Its
    /// error is the reason why it could not.
    ///
    /// # Errors
    /// All mistakes, each with its line, its field and its mend.
    pub fn parse(
        text: &str,
        load: impl Fn(&str) -> Result<Profile, String>,
    ) -> Result<Self, Mistakes> {
        mistakes::read(text, |config| findings(config, &load))
    }
}

/// What is wrong with a configuration whose fields are right one by one.
fn findings(config: &Config, load: Load<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.targets.is_empty() {
        found.push(finding(0..0, "there is no target", "write `[targets.my-api]`"));
    }
    for (name, target) in &config.targets {
        name_fits(name, "target", &mut found);
        check_target(target, &name.span(), load, &mut found);
        check_limits(target, &mut found);
    }
    for (name, stage) in &config.stages {
        name_fits(name, "stage", &mut found);
        check_stage(config, stage, load, &mut found);
        check_shared(config, name, stage, &mut found);
    }
    found
}

/// Names become parts of the names of stacks, functions and queues.
fn name_fits(name: &Spanned<String>, what: &str, found: &mut Vec<Finding>) {
    let text = name.get_ref();
    if !is_name(text) {
        let problem = format!("`{text}` cannot be the name of a {what}");
        let mend = "write at most 20 lower-case letters, digits and hyphens, a letter first";
        found.push(finding(name.span(), &problem, mend));
    }
}

/// Whether a target or a stage may have this name: at most 20 lower-case letters, digits and
/// hyphens, a letter first.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    begins && text.len() <= 20 && text.chars().all(fits)
}

/// Whether a text has the form of an AWS region: `eu-central-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    matches!(parts.as_slice(), [first @ .., number] if first.len() >= 2
        && first.iter().all(letters) && number.parse::<u8>().is_ok())
}

fn check_stage(config: &Config, stage: &Stage, load: Load<'_>, found: &mut Vec<Finding>) {
    let region = stage.region.get_ref();
    if !is_region(region) {
        let problem = format!("`{region}` is no AWS region");
        found.push(finding(stage.region.span(), &problem, "write `eu-central-1`"));
    }
    for (name, changes) in &stage.targets {
        let known = config.targets.iter().find(|(known, _)| known.get_ref() == name.get_ref());
        match known {
            Some((_, target)) => check_changes(target, changes, &name.span(), load, found),
            None => {
                let problem = format!("there is no target `{}`", name.get_ref());
                let mend = proposal(name.get_ref(), config.targets());
                found.push(Finding { span: name.span(), problem, mend });
            }
        }
    }
}

/// A limit that has a name is kept in a table that the stage must name.
fn check_shared(config: &Config, name: &Spanned<String>, stage: &Stage, found: &mut Vec<Finding>) {
    if stage.shared_limits_table.is_some() {
        return;
    }
    for (target, settings) in &config.targets {
        let changes = stage.targets.iter().find(|(of, _)| of.get_ref() == target.get_ref());
        let limits = changes.and_then(|(_, changes)| changes.limits.as_ref());
        let limits = limits.or(settings.limits.as_ref()).into_iter().flatten();
        if limits.clone().any(|limit| limit.get_ref().scope.is_shared()) {
            let problem = format!(
                "the stage `{}` has no table for the limits of `{}` that have a name",
                name.get_ref(),
                target.get_ref()
            );
            let mend = "write `shared_limits_table = \"...\"` there; `slowlane add shared-limits` \
                        makes a table and says its name";
            found.push(finding(name.span(), &problem, mend));
        }
    }
}

/// Holds a target to the rules as it is in a stage, and tells only what the stage has done to it.
fn check_changes(
    target: &Target,
    changes: &Target,
    place: &Range<usize>,
    load: Load<'_>,
    found: &mut Vec<Finding>,
) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    check_target(target, place, load, &mut before);
    check_target(&target.with(changes), place, load, &mut after);
    let told = |finding: &Finding| before.iter().any(|one| one.problem == finding.problem);
    found.extend(after.into_iter().filter(|finding| !told(finding)));
    // A stage may well be lower than a limit that it takes over.
    if changes.limits.is_some() {
        check_limits(&target.with(changes), found);
    }
}

fn check_target(target: &Target, place: &Range<usize>, load: Load<'_>, found: &mut Vec<Finding>) {
    let mut tell = |span: Range<usize>, problem: &str, mend: &str| {
        found.push(finding(span, problem, mend));
    };
    if let Some(concurrency) = &target.concurrency
        && !CONCURRENCY.contains(concurrency.get_ref())
    {
        tell(concurrency.span(), "a target has 1 to 1000 calls at once", "write `concurrency = 5`");
    }
    if let Some(timeout) = &target.timeout
        && !TIMEOUTS.contains(&timeout.get_ref().0)
    {
        let problem = "an answer is waited for 10 s, 30 s, 1, 2 or 5 minutes";
        tell(timeout.span(), problem, "write `timeout = \"30s\"`");
    }
    if let Some(secret) = &target.secret {
        check_secret(secret, found);
    }
    if let Some(files) = &target.files
        && !names_a_place(files.get_ref())
    {
        let problem = "this is no place in S3 below which files can lie";
        let mend = "write `s3://BUCKET/PREFIX`, at most 128 characters, without a slash at its end";
        found.push(finding(files.span(), problem, mend));
    }
    usage::check(target, found);
    chat::check(target, load, found);
    match (&target.profile, &target.binary) {
        (Some(profile), None) => check_profile(target, profile, place, load, found),
        (None, Some(_)) => {}
        (None, None) => found.push(finding(
            place.clone(),
            "a target needs what runs its calls",
            "write `profile = \"http\"`, or `binary = \"...\"` for a worker of your own",
        )),
        (Some(profile), Some(_)) => found.push(finding(
            profile.span(),
            "a worker of one's own needs no profile",
            "write `profile` or `binary`, not both",
        )),
    }
}

fn check_limits(target: &Target, found: &mut Vec<Finding>) {
    let ceiling = target.concurrency.as_ref().map_or(5, |concurrency| *concurrency.get_ref());
    let limits = target.limits.iter().flatten();
    for (index, limit) in limits.clone().enumerate() {
        let (measure, scope) = (limit.get_ref().measure, &limit.get_ref().scope);
        if let Measure::Concurrency(at_once) = measure
            && *scope == Scope::Target
            && at_once.get() >= ceiling
        {
            let problem = format!("{at_once} at once never binds below a concurrency of {ceiling}");
            found.push(finding(limit.span(), &problem, "lower it, or take it out"));
        }
        let mut earlier = limits.clone().take(index);
        let clash = earlier.find_map(|earlier| limit.get_ref().clashes_with(earlier.get_ref()));
        if let Some(problem) = clash {
            found.push(finding(limit.span(), &problem, "take one of them out"));
        }
    }
}

/// As the template's `ApiFiles` takes it.
fn names_a_place(text: &str) -> bool {
    let Some((bucket, prefix)) = text.strip_prefix("s3://").and_then(|text| text.split_once('/'))
    else {
        return false;
    };
    let in_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let in_segment = |c: char| c.is_ascii_alphanumeric() || "_=-".contains(c);
    let is_segment = |segment: &str| {
        segment.starts_with(in_segment) && segment.chars().all(|c| c == '.' || in_segment(c))
    };
    text.len() <= 128
        && (3..=63).contains(&bucket.len())
        && bucket.chars().all(in_bucket)
        && prefix.split('/').all(is_segment)
}

fn check_profile(
    target: &Target,
    name: &Spanned<String>,
    place: &Range<usize>,
    load: Load<'_>,
    found: &mut Vec<Finding>,
) {
    let mut needs = |problem: &str, mend: &str| found.push(finding(place.clone(), problem, mend));
    if name.get_ref() == NETSUITE {
        if target.secret.is_none() {
            needs("NetSuite needs a secret", "write `secret = \"...\"`");
        }
        if target.base_url.is_none() {
            needs("a target needs its address", "write `base_url = \"https://...\"`");
        }
        if let Some(files) = &target.files {
            let problem = "NetSuite's bodies are JSON, and its answers are read by the page";
            found.push(finding(files.span(), problem, "take `files` out"));
        }
        return;
    }
    let profile = profile_of(name, load);
    let is_known = profile.is_ok() || is_path(name.get_ref());
    if target.base_url.is_none() && is_known {
        needs("a target needs its address", "write `base_url = \"https://...\"`");
    }
    match profile {
        Ok(profile) => {
            let (auth, secret) = (target.auth.as_ref(), target.secret.as_ref());
            check_auth(&profile, auth, secret, place, found);
        }
        Err(unusable) => found.push(unusable),
    }
}
