//! What a language model is here: an echo, whose tokens are counted as vendors estimate them.

use serde_json::Value;

/// About four characters are a token.
pub(super) fn tokens_of_text(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// The tokens of all texts in a document, such as the messages of a call.
pub(super) fn tokens_of(document: &Value) -> u64 {
    match document {
        Value::String(text) => tokens_of_text(text),
        Value::Array(items) => items.iter().map(tokens_of).sum(),
        Value::Object(members) => members.values().map(tokens_of).sum(),
        _ => 0,
    }
}

/// An answer to a text, of so many tokens at most, and how many it has.
pub(super) fn reply(text: &str, most_tokens: u64) -> (String, u64) {
    let whole = format!("You said: {text}");
    let most_chars = usize::try_from(most_tokens.saturating_mul(4)).unwrap_or(usize::MAX);
    let reply: String = whole.chars().take(most_chars).collect();
    let tokens = tokens_of_text(&reply);
    (reply, tokens)
}

/// The text of the last message: `content` is a text, or a list of parts with texts.
pub(super) fn last_text(messages: &Value) -> String {
    let last = messages.as_array().and_then(|messages| messages.last());
    let content = last.map(|message| &message["content"]).unwrap_or(messages);
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}
