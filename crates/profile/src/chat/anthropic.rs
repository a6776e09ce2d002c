//! Anthropic's messages.

use serde_json::{Value, json};

use super::answer::{Said, Stop};
use super::message::Message;
use super::request::Chat;
use crate::call::Call;
use crate::words::Method;

pub(super) fn request(chat: &Chat) -> Call {
    let messages = chat.messages.iter().map(Message::to_json);
    let mut body = json!({
        "model": chat.model,
        "max_tokens": chat.max_tokens,
        "messages": messages.collect::<Vec<_>>(),
    });
    if let Some(system) = &chat.system {
        body["system"] = system.as_str().into();
    }
    if let Some(temperature) = chat.temperature {
        body["temperature"] = temperature.into();
    }
    if !chat.stop.is_empty() {
        body["stop_sequences"] = chat.stop.as_slice().into();
    }
    Call::new(Method::Post, "v1/messages").body(body)
}

pub(super) fn answer(body: &Value) -> Option<Said> {
    let blocks = body["content"].as_array()?;
    let texts = blocks.iter().filter(|block| block["type"] == "text");
    let texts = texts.map(|block| block["text"].as_str()).collect::<Option<String>>()?;
    let stop = match body["stop_reason"].as_str() {
        Some("end_turn") => Stop::End,
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some("stop_sequence") => Stop::Stop,
        Some("refusal") => Stop::Refused,
        _ => Stop::Other,
    };
    Some(Said { text: texts, stop, model: body["model"].as_str().map(str::to_owned) })
}
