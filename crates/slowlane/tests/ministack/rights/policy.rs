//! IAM's policies of `infra/permissions`, evaluated as far as they go: they only allow.

use anyhow::Context as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// The conditions that the policies state. Each is one that a request of ours meets: the recorded
/// requests do not show it, since it is AWS that knows whose mapping or role it is.
const CONDITIONS: [&str; 2] = ["iam:PassedToService", "lambda:FunctionArn"];

/// What is asked of AWS: an action on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    /// As IAM writes it: `sqs:SendMessage`.
    pub(crate) action: String,
    /// An ARN, or `*` where IAM knows no resource for the action.
    pub(crate) resource: String,
}

/// A policy document.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: &'static str,
    document: Value,
}

impl Policy {
    pub(super) fn read(name: &'static str) -> anyhow::Result<Self> {
        let path = crate::repository().join("infra/permissions").join(format!("{name}.json"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { name, document: serde_json::from_str(&text)? })
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = &Value> {
        self.document["Statement"].as_array().into_iter().flatten()
    }

    /// Every action that it allows.
    pub(super) fn actions(&self) -> BTreeSet<&str> {
        self.statements().flat_map(|statement| texts(&statement["Action"])).collect()
    }

    pub(super) fn allows(&self, asked: &Asked) -> bool {
        self.statements().any(|statement| {
            let names = |field: &str, name: &str| {
                texts(&statement[field]).any(|pattern| matches(pattern, name))
            };
            names("Action", &asked.action) && names("Resource", &asked.resource)
        })
    }

    /// IAM counts a managed policy's characters without its blanks.
    pub(super) fn characters(&self) -> usize {
        self.document.to_string().len()
    }

    /// Names of the conditions that it states.
    pub(super) fn unknown_conditions(&self) -> Vec<String> {
        let operators =
            self.statements().filter_map(|statement| statement["Condition"].as_object());
        let stated =
            operators.flat_map(|operators| operators.values().filter_map(Value::as_object));
        let names = stated.flat_map(|keys| keys.keys().cloned());
        names.filter(|name| !CONDITIONS.contains(&name.as_str())).collect()
    }
}

/// A text, or the texts of a list.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().into_iter().flatten();
    list.chain(Some(value)).filter_map(Value::as_str)
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_pattern_fits_what_iam_says_it_fits() {
    for (pattern, name, expected) in [
        ("*", "anything", true),
        ("sqs:SendMessage", "sqs:SendMessage", true),
        ("sqs:SendMessage", "sqs:SendMessageBatch", false),
        ("arn:aws:sqs:*:*:slowlane*", "arn:aws:sqs:us-east-1:0:slowlane-HighQueue-1", true),
        ("arn:aws:sqs:*:*:slowlane*", "arn:aws:sqs:us-east-1:0:another", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c", false),
        ("a*bc", "abcbc", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} and {name}");
    }
}
