//! The answer to a question in the common form.

use std::fmt;

use serde::Serialize;

use crate::limits::Usage;

/// The answer of a model, in the common form.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ChatAnswer {
    /// What the model says. Of several texts, all of them.
    pub text: String,
    /// Why it says no more.
    pub stop: Stop,
    /// The model, as the API names it; as the call does, where the API does not.
    pub model: String,
    /// Tokens, where the answer says them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
}

/// Why a model says no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// It has said all. At OpenAI, a text at which to stop is told so too.
    End,
    /// There is no room for more, in `max_tokens` or in the model.
    Length,
    /// It came to a text at which to stop.
    Stop,
    /// The model, or a filter of the vendor's, refused to say it or to go on.
    Refused,
    /// The API names another reason, or none.
    Other,
}

/// Tokens that a question and its answer have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChatUsage {
    /// Tokens that were read, those of the vendor's cache among them.
    pub input: u64,
    /// Of these, tokens that came from the vendor's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Of `input`, tokens that were put into the vendor's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_written: u64,
    /// Tokens that were written.
    pub output: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ChatAnswer {
    /// `asked` is the model that the call names.
    pub(crate) fn new(said: Said, asked: Option<String>, usage: Option<&Usage>) -> Self {
        let Said { text, stop, model } = said;
        let tokens = usage.filter(|usage| usage.input.or(usage.output).is_some());
        ChatAnswer {
            text,
            stop,
            model: model.or(asked).unwrap_or_default(),
            usage: tokens.map(ChatUsage::of),
        }
    }
}

impl ChatUsage {
    fn of(usage: &Usage) -> Self {
        ChatUsage {
            input: usage.input.unwrap_or(0),
            cached: usage.cached.unwrap_or(0),
            cache_written: usage.cache_written.unwrap_or(0),
            output: usage.output.unwrap_or(0),
        }
    }
}

/// What a form reads of an answer.
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) stop: Stop,
    pub(crate) model: Option<String>,
}

impl fmt::Debug for ChatAnswer {
    /// Leaves out the text, which is customer data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatAnswer")
            .field("stop", &self.stop)
            .field("model", &self.model)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}
