//! Chat completions, as OpenAI has them and many others too.

use serde_json::{Value, json};

use super::answer::{Said, Stop};
use super::message::Message;
use super::request::Chat;
use crate::call::Call;
use crate::words::Method;

/// `max_tokens` is the field that limits the answer: newer models of OpenAI's refuse the older name.
pub(super) fn request(chat: &Chat, max_tokens: &str) -> Call {
    let system = chat.system.iter().map(|text| json!({ "role": "system", "content": text }));
    let messages = chat.messages.iter().map(Message::to_json);
    let mut body = json!({
        "model": chat.model,
        "messages": system.chain(messages).collect::<Vec<_>>(),
        max_tokens: chat.max_tokens,
    });
    if let Some(temperature) = chat.temperature {
        body["temperature"] = temperature.into();
    }
    if !chat.stop.is_empty() {
        body["stop"] = chat.stop.as_slice().into();
    }
    Call::new(Method::Post, "v1/chat/completions").body(body)
}

pub(super) fn answer(body: &Value) -> Option<Said> {
    let choice = body.pointer("/choices/0")?;
    let message = choice.get("message").filter(|message| message.is_object())?;
    let refusal = message["refusal"].as_str();
    let text = match &message["content"] {
        Value::String(text) => text.as_str(),
        // A model that refuses says why in a field of its own.
        Value::Null => refusal.unwrap_or_default(),
        _ => return None,
    };
    let stop = match choice["finish_reason"].as_str() {
        _ if refusal.is_some() => Stop::Refused,
        Some("stop") => Stop::End,
        Some("length") => Stop::Length,
        Some("content_filter") => Stop::Refused,
        _ => Stop::Other,
    };
    Some(Said { text: text.to_owned(), stop, model: body["model"].as_str().map(str::to_owned) })
}
