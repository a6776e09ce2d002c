//! The forms in which APIs of chat models are asked.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::answer::Said;
use super::request::Chat;
use super::{anthropic, bedrock, openai};
use crate::call::Call;

/// How an API of chat models is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatForm {
    /// `v1/chat/completions` with `max_completion_tokens`.
    OpenAi,
    /// `v1/chat/completions` with `max_tokens`, as vendors have it that took the form over.
    #[serde(rename = "openai_compatible")]
    OpenAiCompatible,
    /// `v1/messages`.
    Anthropic,
    /// `model/{id}/converse`.
    Bedrock,
}

impl ChatForm {
    /// The call by which the API is asked.
    pub(crate) fn request(self, chat: &Chat) -> Call {
        match self {
            ChatForm::OpenAi => openai::request(chat, "max_completion_tokens"),
            ChatForm::OpenAiCompatible => openai::request(chat, "max_tokens"),
            ChatForm::Anthropic => anthropic::request(chat),
            ChatForm::Bedrock => bedrock::request(chat),
        }
    }

    /// What the API's answer says. `None`: it has not the form.
    pub(crate) fn answer(self, body: &Value) -> Option<Said> {
        match self {
            ChatForm::OpenAi | ChatForm::OpenAiCompatible => openai::answer(body),
            ChatForm::Anthropic => anthropic::answer(body),
            ChatForm::Bedrock => bedrock::answer(body),
        }
    }
}
