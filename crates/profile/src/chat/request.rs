//! A question to a model in the common form.

use std::fmt;
use std::num::NonZeroU32;

use serde_json::{Map, Value};

use super::error::ChatError;
use super::message::{Message, Role, take_turns};
use super::prompts::{Filled, Prompts};

/// About how many bytes of a text make a token. English has four. Other languages have up to twice as many
/// tokens, which is within what an estimate may be wrong by.
const BYTES_OF_TOKEN: usize = 4;
/// Tokens that a vendor puts around each message.
const TOKENS_AROUND_MESSAGE: u64 = 4;

const FIELDS: [&str; 7] =
    ["model", "system", "messages", "prompt", "max_tokens", "temperature", "stop"];

/// A question to a model in the common form.
#[derive(Clone, PartialEq)]
pub struct Chat {
    /// The model, as its vendor names it.
    pub model: String,
    /// What holds for all of it.
    pub system: Option<String>,
    /// The messages. The user and the model take turns, and the user begins and ends.
    pub messages: Vec<Message>,
    /// The most tokens of the answer.
    pub max_tokens: NonZeroU32,
    /// How much is left to chance, 0 or more. What a model takes is its vendor's matter.
    pub temperature: Option<f64>,
    /// Texts at which the answer stops.
    pub stop: Vec<String>,
}

impl Chat {
    /// Reads a question:
    ///
    /// ```json
    /// { "model": "small", "system": "You judge reviews.", "max_tokens": 200, "temperature": 0,
    ///   "messages": [{ "role": "user", "content": "It broke on day two." }] }
    /// ```
    ///
    /// In the place of `system` and `messages` may be a prompt that is kept under a name, and the inputs
    /// that it is filled with: `"prompt": { "name": "review", "version": 3, "input": { "text": "..." } }`.
    ///
    /// # Errors
    /// See [`ChatError`]. None repeats a text of the body.
    pub fn read(body: Option<&Value>, prompts: &Prompts) -> Result<Self, ChatError> {
        let body = body.and_then(Value::as_object).ok_or(ChatError::NoObject)?;
        only_known(body)?;
        let (system, messages) = match given(body, "prompt") {
            Some(prompt) => {
                let both =
                    ["system", "messages"].into_iter().find(|name| given(body, name).is_some());
                if let Some(both) = both {
                    return Err(ChatError::Both(both));
                }
                let Filled { system, messages } = prompts.fill(prompt)?;
                (system, messages)
            }
            None => (optional_text(body, "system")?, messages(body)?),
        };
        Ok(Chat {
            model: optional_text(body, "model")?
                .ok_or_else(|| unfit("model", "the name of a model"))?,
            system,
            messages,
            max_tokens: max_tokens(body)?,
            temperature: temperature(body)?,
            stop: stop(body)?,
        })
    }

    /// The same question to another model.
    #[must_use]
    pub fn of_model(&self, model: impl Into<String>) -> Self {
        Chat { model: model.into(), ..self.clone() }
    }

    /// The tokens that it has at most in limits that count them: an estimate of what is read, and the most
    /// that may be written.
    pub fn units(&self) -> u64 {
        let messages = self.messages.iter().map(|message| &message.content);
        let read = self.system.iter().chain(messages).map(|text| {
            let tokens = u64::try_from(text.len().div_ceil(BYTES_OF_TOKEN)).unwrap_or(u64::MAX);
            tokens.saturating_add(TOKENS_AROUND_MESSAGE)
        });
        read.fold(self.max_tokens.get().into(), u64::saturating_add)
    }
}

impl fmt::Debug for Chat {
    /// Leaves out the texts, which are customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("model", &self.model)
            .field("messages", &self.messages)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}

/// A field's value; `null` counts as absent.
fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn unfit(field: impl Into<String>, expected: &'static str) -> ChatError {
    ChatError::Unfit { field: field.into(), expected }
}

fn only_known(body: &Map<String, Value>) -> Result<(), ChatError> {
    match body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) if name == "stream" => Err(ChatError::Stream),
        Some(name) => Err(ChatError::Unknown(name.clone())),
    }
}

fn optional_text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ChatError> {
    match given(body, name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Value::Array(_) | Value::Object(_)) => Err(ChatError::NoText(name.to_owned())),
        Some(_) => Err(unfit(name, "a text that is not empty")),
    }
}

fn messages(body: &Map<String, Value>) -> Result<Vec<Message>, ChatError> {
    const EXPECTED: &str = "a list of messages, each with its `role` and its `content`";
    let items = given(body, "messages").and_then(Value::as_array);
    let items = items.ok_or_else(|| unfit("messages", EXPECTED))?;
    let messages = items.iter().enumerate().map(|(index, item)| message(index, item));
    let messages: Vec<Message> = messages.collect::<Result<_, _>>()?;
    match take_turns(messages.iter().map(|message| message.role)) {
        true => Ok(messages),
        false => Err(ChatError::Turns),
    }
}

fn message(index: usize, item: &Value) -> Result<Message, ChatError> {
    let path = |name: &str| format!("messages[{index}].{name}");
    let fields = item.as_object();
    let fields = fields.ok_or_else(|| {
        unfit(format!("messages[{index}]"), "an object with its `role` and its `content`")
    })?;
    let unknown = fields.keys().find(|name| !["role", "content"].contains(&name.as_str()));
    if let Some(name) = unknown {
        return Err(ChatError::Unknown(path(name)));
    }
    let role = given(fields, "role").and_then(Value::as_str).and_then(Role::read);
    let role = role.ok_or_else(|| {
        unfit(path("role"), "`user` or `assistant`: what holds for all of it stands in `system`")
    })?;
    match given(fields, "content") {
        Some(Value::String(content)) if !content.is_empty() => {
            Ok(Message { role, content: content.clone() })
        }
        Some(Value::Array(_) | Value::Object(_)) => Err(ChatError::NoText(path("content"))),
        _ => Err(unfit(path("content"), "a text that is not empty")),
    }
}

/// As in JSON Schema, `200.0` is a whole number.
fn max_tokens(body: &Map<String, Value>) -> Result<NonZeroU32, ChatError> {
    let number = given(body, "max_tokens").and_then(|value| {
        let whole = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
        value.as_u64().or_else(|| whole.map(|number| number as u64))
    });
    let number = number.and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?));
    number.ok_or_else(|| unfit("max_tokens", "a whole number of 1 or more: an answer has an end"))
}

fn temperature(body: &Map<String, Value>) -> Result<Option<f64>, ChatError> {
    match given(body, "temperature") {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|number| *number >= 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(unfit("temperature", "a number of 0 or more")),
        },
    }
}

fn stop(body: &Map<String, Value>) -> Result<Vec<String>, ChatError> {
    let Some(value) = given(body, "stop") else { return Ok(Vec::new()) };
    let texts = value.as_array().map(|items| {
        let texts = items.iter().map(|item| item.as_str().filter(|text| !text.is_empty()));
        texts.map(|text| text.map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    texts.flatten().ok_or_else(|| unfit("stop", "a list of texts that are not empty"))
}
