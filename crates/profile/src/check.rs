//! Reads a profile, and holds it to what must be so across its fields.

use std::ops::Range;

use crate::limits::UsageRule;
use crate::mistakes::{self, Finding, Mistakes, proposal};
use crate::profile::Profile;
use crate::recovery::Then;
use crate::template::Template;
use crate::verdict::Renew;

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// All mistakes in the file, each with its line, its field and its mend.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        mistakes::read(text, findings)
    }
}

/// What is wrong with a profile whose fields are right one by one.
fn findings(profile: &Profile) -> Vec<Finding> {
    let mut found = Vec::new();
    if profile.answers.is_empty() {
        found.push(finding(0..0, "`answers` has no rule", "write at least one `[[answers]]`"));
    }
    rules(profile, &mut found);
    if let Some(fallback) = &profile.fallback
        && !profile.usage.as_ref().is_some_and(UsageRule::has_model_in_body)
    {
        let problem = "nothing says where a call's body names its model";
        let mend = "write `model = [{ body = \"/model\" }]` in `[usage]`";
        found.push(finding(fallback.model.span(), problem, mend));
    }
    for pre_call in &profile.before {
        gaps(
            &pre_call.get_ref().path,
            &["resource", "idempotency_key"],
            pre_call.span(),
            &mut found,
        );
    }
    for (index, rule) in profile.after_loss.iter().enumerate() {
        if let Then::LookUp(look_up) = &rule.get_ref().then {
            gaps(&look_up.path, &["resource", "idempotency_key"], rule.span(), &mut found);
        }
        let earlier = &profile.after_loss[..index];
        if let Some(first) = earlier.iter().position(|first| first.get_ref().ends_the_list()) {
            found.push(never_holds(rule.span(), first, "calls"));
        }
    }
    found
}

fn rules(profile: &Profile, found: &mut Vec<Finding>) {
    for (index, rule) in profile.answers.iter().enumerate() {
        let earlier = profile.answers[..index].iter();
        if let Some(first) =
            earlier.clone().position(|first| first.get_ref().shadows(rule.get_ref()))
        {
            found.push(never_holds(rule.span(), first, "answers"));
        }
        if let Some(Renew::PreCall(name)) = &rule.get_ref().renew {
            let names = profile.before.iter().map(|pre_call| pre_call.get_ref().name.as_str());
            let names = names.chain(["credentials"]);
            if !names.clone().any(|known| known == name) {
                let problem = format!("`renew` names no call before the call: `{name}`");
                found.push(Finding { span: rule.span(), problem, mend: proposal(name, names) });
            }
        }
        if let Some(follow) = &rule.get_ref().follow {
            gaps(follow, &["id", "resource"], rule.span(), found);
        }
    }
}

fn never_holds(span: Range<usize>, first: usize, of: &str) -> Finding {
    let problem = format!("this rule never holds, since rule {} takes all of its {of}", first + 1);
    finding(span, &problem, "move it up")
}

fn gaps(template: &Template, known: &[&str], span: Range<usize>, found: &mut Vec<Finding>) {
    for gap in template.gaps() {
        if !known.contains(&gap) && !gap.starts_with("body:/") {
            let problem = format!("nothing fills `{{{gap}}}`");
            let mend = proposal(gap, known.iter().copied());
            found.push(Finding { span: span.clone(), problem, mend });
        }
    }
}

fn finding(span: Range<usize>, problem: &str, mend: &str) -> Finding {
    Finding { span, problem: problem.to_owned(), mend: Some(mend.to_owned()) }
}
