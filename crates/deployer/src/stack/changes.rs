//! What a change set would do, and how it is told.

use super::Values;
use crate::text;
use aws_sdk_cloudformation::types as sdk;
use serde::Serialize;
use std::fmt::{self, Write as _};

/// A value longer than this is cut, in characters.
const LONGEST_VALUE: usize = 72;

/// What a change set would do to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The stack's name.
    pub stack: String,
    /// Whether it is new.
    pub creates: bool,
    /// The parameters whose value changes.
    pub parameters: Vec<ParameterChange>,
    /// The parameters whose new default does not reach the stack.
    pub stale_defaults: Vec<StaleDefault>,
    /// The resources, as CloudFormation lists them.
    pub resources: Vec<ResourceChange>,
}

/// A parameter that gets another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterChange {
    /// Its name in the template.
    pub name: String,
    /// Its value now; `None` if the stack is new, or does not have it yet.
    pub before: Option<String>,
    /// Its value afterwards.
    pub after: String,
}

/// A parameter that was never given. A stack keeps the default that it was created with, also when
/// the template has another one since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StaleDefault {
    /// The parameter.
    pub name: String,
    /// The value that the stack keeps.
    pub kept: String,
    /// The template's default.
    pub default: String,
}

/// What becomes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is made.
    Added,
    /// It is changed where it is.
    Changed,
    /// Another takes its place, or may do so: CloudFormation does not know before.
    Replaced {
        /// Whether it surely is.
        surely: bool,
    },
    /// It is deleted, or left behind.
    Removed,
}

/// A resource that a change set would touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceChange {
    /// Its name in the template.
    pub logical_id: String,
    /// For instance `AWS::SQS::Queue`.
    pub resource_type: String,
    /// What becomes of it.
    pub effect: Effect,
    /// Whether the one that is removed or replaced stays, outside of the stack.
    pub is_kept: bool,
    /// What is different afterwards.
    pub details: Vec<Detail>,
}

/// Whether another resource must take the place of one in which something is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaces {
    /// It is changed where it is.
    No,
    /// CloudFormation does not know before.
    Maybe,
    /// It is replaced.
    Yes,
}

/// A part of a resource that is different afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Which: `Properties.VisibilityTimeout`, `Tags`.
    pub path: String,
    /// Its value now, where CloudFormation tells it.
    pub before: Option<String>,
    /// Its value afterwards, where CloudFormation tells it.
    pub after: Option<String>,
    /// Whether it is for this that the resource is, or may be, replaced.
    pub replaces: Replaces,
}

impl Changes {
    /// The queues and tables that would be replaced, or taken out of the stack: what they hold
    /// would no longer be found. The doorbell is none of them; its rings hold nothing.
    pub fn data_at_risk(&self) -> Vec<&ResourceChange> {
        let holds_data = |change: &&ResourceChange| {
            matches!(change.effect, Effect::Replaced { .. } | Effect::Removed)
                && matches!(
                    change.resource_type.as_str(),
                    "AWS::SQS::Queue" | "AWS::DynamoDB::Table"
                )
                && change.logical_id != "DoorbellQueue"
        };
        self.resources.iter().filter(holds_data).collect()
    }

    fn count(&self, is_it: impl Fn(Effect) -> bool) -> usize {
        self.resources.iter().filter(|change| is_it(change.effect)).count()
    }
}

/// The parameters that are given and have another value than now.
pub(super) fn given_parameters(present: &Values, given: &Values) -> Vec<ParameterChange> {
    given
        .iter()
        .filter(|(name, value)| present.get(*name) != Some(value))
        .map(|(name, value)| ParameterChange {
            name: name.clone(),
            before: present.get(name).cloned(),
            after: value.clone(),
        })
        .collect()
}

impl From<&sdk::ResourceChange> for ResourceChange {
    fn from(change: &sdk::ResourceChange) -> Self {
        use sdk::{ChangeAction, PolicyAction, Replacement};
        let effect = match (change.action(), change.replacement()) {
            (Some(ChangeAction::Add | ChangeAction::Import), _) => Effect::Added,
            (Some(ChangeAction::Remove), _) => Effect::Removed,
            (_, Some(Replacement::True)) => Effect::Replaced { surely: true },
            (Some(ChangeAction::Dynamic), _) | (_, Some(Replacement::Conditional)) => {
                Effect::Replaced { surely: false }
            }
            _ => Effect::Changed,
        };
        let is_kept = matches!(
            change.policy_action(),
            Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain)
        );
        let mut details: Vec<Detail> = Vec::new();
        for detail in change.details().iter().filter_map(|detail| detail.target()) {
            let detail = Detail::from(detail);
            // CloudFormation tells a change once for each of its causes.
            match details.iter_mut().find(|known| known.path == detail.path) {
                Some(known) => known.replaces = known.replaces.max(detail.replaces),
                None => details.push(detail),
            }
        }
        Self {
            logical_id: change.logical_resource_id().unwrap_or_default().into(),
            resource_type: change.resource_type().unwrap_or_default().into(),
            effect,
            is_kept,
            details,
        }
    }
}

impl From<&sdk::ResourceTargetDefinition> for Detail {
    fn from(target: &sdk::ResourceTargetDefinition) -> Self {
        let path = match (target.path(), target.attribute(), target.name()) {
            (Some(path), ..) => path.trim_start_matches('/').replace('/', "."),
            (None, Some(attribute), Some(name)) => format!("{}.{name}", attribute.as_str()),
            (None, attribute, name) => {
                attribute.map(|attribute| attribute.as_str()).or(name).unwrap_or_default().into()
            }
        };
        let replaces = match target.requires_recreation() {
            Some(sdk::RequiresRecreation::Always) => Replaces::Yes,
            Some(sdk::RequiresRecreation::Conditionally) => Replaces::Maybe,
            _ => Replaces::No,
        };
        Self {
            path,
            before: target.before_value().map(str::to_owned),
            after: target.after_value().map(str::to_owned),
            replaces,
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stack, will) = (&self.stack, if self.creates { "created" } else { "changed" });
        writeln!(f, "stack {stack} will be {will}")?;
        if !self.parameters.is_empty() {
            writeln!(f, "\nparameters")?;
        }
        for ParameterChange { name, before, after } in &self.parameters {
            writeln!(f, "  {name}: {}", from_to(before.as_deref(), Some(after)))?;
        }
        if !self.stale_defaults.is_empty() {
            writeln!(f, "\ndefaults that have changed, which this stack does not take by itself")?;
        }
        for StaleDefault { name, kept, default } in &self.stale_defaults {
            writeln!(f, "  {name} stays {kept}; for the new one give -p {name}={default}")?;
        }
        if !self.resources.is_empty() {
            writeln!(f, "\nresources")?;
        }
        for change in &self.resources {
            write!(f, "{change}")?;
        }
        let numbers = [
            (self.count(|effect| effect == Effect::Added), "to add"),
            (self.count(|effect| effect == Effect::Changed), "to change"),
            (
                self.count(|effect| effect == Effect::Replaced { surely: false }),
                "perhaps to replace",
            ),
            (self.count(|effect| effect == Effect::Replaced { surely: true }), "to replace"),
            (self.count(|effect| effect == Effect::Removed), "to remove"),
        ];
        let told: Vec<_> = numbers
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        // A change of tags or outputs alone touches no resource.
        let told = if told.is_empty() { "no resource to change".into() } else { told.join(", ") };
        write!(f, "\n{told}")
    }
}

impl fmt::Display for ResourceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logical_id, resource_type, effect, is_kept, details } = self;
        let old = if *is_kept {
            "the old one stays, outside of the stack"
        } else {
            "the old one is deleted"
        };
        let (mark, what) = match effect {
            Effect::Added => ('+', String::new()),
            Effect::Changed => ('~', String::new()),
            Effect::Replaced { surely: true } => ('!', format!(" REPLACED: {old}")),
            Effect::Replaced { surely: false } => ('~', " may be replaced".to_owned()),
            Effect::Removed if *is_kept => ('-', " leaves the stack, and stays".to_owned()),
            Effect::Removed => ('-', String::new()),
        };
        writeln!(f, "  {mark} {logical_id} ({resource_type}){what}")?;
        for Detail { path, before, after, replaces } in details {
            let mut line = format!("      {path}");
            if before.is_some() || after.is_some() {
                let _ = write!(line, ": {}", from_to(before.as_deref(), after.as_deref()));
            }
            match replaces {
                Replaces::No => {}
                Replaces::Maybe => line += " (may replace it)",
                Replaces::Yes => line += " (replaces it)",
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// `5 -> 3`, or `3` alone where there was none.
fn from_to(before: Option<&str>, after: Option<&str>) -> String {
    let shown = |value: &str| match value {
        "" => "(empty)".to_owned(),
        // What CloudFormation writes for a value that only the change itself makes.
        "{{changeSet:KNOWN_AFTER_APPLY}}" => "(known afterwards)".to_owned(),
        value => text::cut(value, LONGEST_VALUE),
    };
    match (before, after) {
        (Some(before), Some(after)) => format!("{} -> {}", shown(before), shown(after)),
        (Some(before), None) => format!("{} -> (none)", shown(before)),
        (None, Some(after)) => shown(after),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests;
