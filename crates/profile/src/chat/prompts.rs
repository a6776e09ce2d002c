//! Prompts that are kept under a name and a version, and filled from a call's input.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::error::ChatError;
use super::message::{Message, Role, take_turns};
use crate::mistakes::{self, Finding, Mistakes};
use crate::template::Template;

/// A prompt: texts with gaps, which a call's input fills.
///
/// ```
/// use slowlane_profile::chat::Prompt;
///
/// Prompt::parse(
///     r#"
///     inputs = ["product", "review"]
///     system = "You judge reviews of {product}. Answer {{\"good\": true}} or {{\"good\": false}}."
///
///     [[messages]]
///     role = "user"
///     content = "{review}"
///     "#,
/// )?;
/// # Ok::<_, slowlane_profile::Mistakes>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The names of the inputs that it needs: lower-case letters, digits and `_`.
    #[serde(default)]
    inputs: Vec<Spanned<String>>,
    /// What holds for all of it. `{name}` is the input of that name; a brace is written twice.
    system: Option<Spanned<Template>>,
    /// The messages. The user and the assistant take turns, and the user begins and ends.
    messages: Vec<PromptMessage>,
}

/// A message of a prompt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptMessage {
    /// Who says it.
    role: Role,
    /// Its text, with gaps.
    content: Spanned<Template>,
}

/// A prompt's name and version, as its file has them: `review.v3.toml`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromptName {
    name: String,
    version: u32,
}

/// All prompts that calls may name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompts(BTreeMap<PromptName, Prompt>);

/// A prompt that was filled.
pub(crate) struct Filled {
    pub(crate) system: Option<String>,
    pub(crate) messages: Vec<Message>,
}

impl Prompt {
    /// Reads a prompt's file.
    ///
    /// # Errors
    /// All mistakes, each with its line, its field and its mend.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        mistakes::read(text, findings)
    }

    fn templates(&self) -> impl Iterator<Item = &Spanned<Template>> {
        self.system.iter().chain(self.messages.iter().map(|message| &message.content))
    }

    /// Fills it. What an input holds is never read as a template.
    fn fill(&self, name: &PromptName, inputs: &Map<String, Value>) -> Result<Filled, ChatError> {
        let known: BTreeSet<&str> =
            self.inputs.iter().map(|name| name.get_ref().as_str()).collect();
        if let Some(unknown) = inputs.keys().find(|input| !known.contains(input.as_str())) {
            return Err(ChatError::UnknownInput {
                prompt: name.to_string(),
                input: unknown.clone(),
                inputs: known.into_iter().map(str::to_owned).collect(),
            });
        }
        let filled = |template: &Template| {
            let filled = template.fill(|input| inputs.get(input).and_then(in_text));
            filled.map_err(|unfilled| ChatError::NoInput {
                prompt: name.to_string(),
                input: unfilled.0,
            })
        };
        let system = self.system.as_ref().map(|system| filled(system.get_ref())).transpose()?;
        let messages = self.messages.iter().map(|message| {
            let content = filled(message.content.get_ref())?;
            Ok(Message { role: message.role, content })
        });
        Ok(Filled { system, messages: messages.collect::<Result<_, _>>()? })
    }
}

/// A text as it is, all else as JSON. An input that is `null` is none.
fn in_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

fn findings(prompt: &Prompt) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |span, problem: String, mend: &str| {
        found.push(Finding { span, problem, mend: Some(mend.to_owned()) });
    };
    if !take_turns(prompt.messages.iter().map(|message| message.role)) {
        let problem = "the user and the assistant take turns, and the user begins and ends";
        tell(0..0, problem.to_owned(), "write `[[messages]]` with `role = \"user\"`");
    }
    let gaps: BTreeSet<&str> = prompt.templates().flat_map(|text| text.get_ref().gaps()).collect();
    for (index, input) in prompt.inputs.iter().enumerate() {
        let name = input.get_ref();
        if !is_input(name) {
            let problem = format!("`{name}` cannot be the name of an input");
            tell(input.span(), problem, "write lower-case letters, digits and `_`");
        } else if prompt.inputs[..index].iter().any(|earlier| earlier.get_ref() == name) {
            tell(input.span(), format!("`{name}` is there already"), "take one of them out");
        } else if !gaps.contains(name.as_str()) {
            let problem = format!("no text has the input `{name}`");
            tell(input.span(), problem, "write its name in braces, or take it out");
        }
    }
    for template in prompt.templates() {
        if template.get_ref().to_string().is_empty() {
            tell(template.span(), "this text is empty".to_owned(), "write one, or take it out");
        }
        let inputs = || prompt.inputs.iter().map(|input| input.get_ref().as_str());
        for gap in template.get_ref().gaps().filter(|gap| !inputs().any(|input| input == *gap)) {
            let problem = format!("`inputs` has no `{gap}`");
            tell(template.span(), problem, "add it there, or write a brace that is meant twice");
        }
    }
    found
}

fn is_input(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(fits)
}

impl PromptName {
    /// What a prompt's file is called.
    pub fn file(&self) -> String {
        format!("{self}.toml")
    }
}

impl FromStr for PromptName {
    type Err = String;

    /// Reads the name of a file.
    fn from_str(file: &str) -> Result<Self, String> {
        let read = || {
            let (name, version) = file.strip_suffix(".toml")?.rsplit_once(".v")?;
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let name = (!name.is_empty() && name.chars().all(fits)).then(|| name.to_owned())?;
            Some(PromptName { name, version: version.parse().ok()? })
        };
        // One version has one name: `v03` is none.
        read().filter(|name| name.file() == file).ok_or_else(|| {
            format!("`{file}` is no name of a prompt's file; write NAME.vN.toml, such as `review.v3.toml`")
        })
    }
}

impl fmt::Display for PromptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.v{}", self.name, self.version)
    }
}

impl Prompts {
    /// Keeps a prompt under its name and version.
    pub fn insert(&mut self, name: PromptName, prompt: Prompt) {
        self.0.insert(name, prompt);
    }

    /// The names of all, by version.
    pub fn names(&self) -> impl Iterator<Item = &PromptName> {
        self.0.keys()
    }

    /// Fills the prompt that a call names: `{ "name": "review", "version": 3, "input": { ... } }`.
    pub(crate) fn fill(&self, said: &Value) -> Result<Filled, ChatError> {
        let unfit = |field: &str, expected| ChatError::Unfit { field: field.to_owned(), expected };
        let fields = said.as_object();
        let fields = fields.ok_or_else(|| {
            unfit("prompt", "an object with its `name`, its `version` and its `input`")
        })?;
        let unknown =
            fields.keys().find(|name| !["name", "version", "input"].contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(ChatError::Unknown(format!("prompt.{name}")));
        }
        let name = fields.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| unfit("prompt.name", "the name of a prompt"))?;
        let version = fields.get("version").and_then(Value::as_u64);
        let (found, prompt) = self.find(name, version)?;
        match fields.get("input") {
            None | Some(Value::Null) => prompt.fill(found, &Map::new()),
            Some(Value::Object(inputs)) => prompt.fill(found, inputs),
            Some(_) => Err(unfit("prompt.input", "an object with the inputs by their names")),
        }
    }

    fn find(&self, name: &str, version: Option<u64>) -> Result<(&PromptName, &Prompt), ChatError> {
        let versions = || self.0.iter().filter(|(known, _)| known.name == name);
        if versions().next().is_none() {
            let there: BTreeSet<&str> = self.0.keys().map(|known| known.name.as_str()).collect();
            let there = there.into_iter().map(str::to_owned).collect();
            return Err(ChatError::NoPrompt { name: name.to_owned(), there });
        }
        let found = versions().find(|(known, _)| Some(u64::from(known.version)) == version);
        found.ok_or_else(|| {
            let there = versions().map(|(known, _)| known.version.to_string()).collect();
            ChatError::NoVersion { name: name.to_owned(), there }
        })
    }
}
