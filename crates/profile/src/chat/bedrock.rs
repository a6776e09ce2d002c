//! Bedrock's Converse.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::answer::{Said, Stop};
use super::request::Chat;
use crate::call::Call;
use crate::words::Method;

/// All that stands in a URL for itself. A model's id may be an ARN, with colons and slashes.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn request(chat: &Chat) -> Call {
    let messages = chat.messages.iter().map(|message| {
        json!({ "role": message.role.as_str(), "content": [{ "text": message.content }] })
    });
    let mut settings = json!({ "maxTokens": chat.max_tokens });
    if let Some(temperature) = chat.temperature {
        settings["temperature"] = temperature.into();
    }
    if !chat.stop.is_empty() {
        settings["stopSequences"] = chat.stop.as_slice().into();
    }
    let mut body = json!({ "messages": messages.collect::<Vec<_>>(), "inferenceConfig": settings });
    if let Some(system) = &chat.system {
        body["system"] = json!([{ "text": system }]);
    }
    let model = utf8_percent_encode(&chat.model, UNRESERVED);
    Call::new(Method::Post, format!("model/{model}/converse")).body(body)
}

/// The answer does not name the model.
pub(super) fn answer(body: &Value) -> Option<Said> {
    let blocks = body.pointer("/output/message/content")?.as_array()?;
    let text = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let stop = match body["stopReason"].as_str() {
        Some("end_turn") => Stop::End,
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some("stop_sequence") => Stop::Stop,
        Some("guardrail_intervened" | "content_filtered") => Stop::Refused,
        _ => Stop::Other,
    };
    Some(Said { text, stop, model: None })
}
