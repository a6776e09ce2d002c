//! What a language model is here: an echo, whose tokens are counted as vendors estimate them. Told to
//! answer with one of several words, it answers with the one that it was sent.

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

/// An answer to the last of some messages, of so many tokens at most, and how many it has.
pub(super) fn answer(messages: &Value, most_tokens: u64) -> (String, u64) {
    let text = last_text(messages);
    match choices(messages).into_iter().find(|word| words(&text).any(|one| one == *word)) {
        Some(word) => cut(word, most_tokens),
        None => reply(&text, most_tokens),
    }
}

/// An answer to a text, of so many tokens at most, and how many it has.
pub(super) fn reply(text: &str, most_tokens: u64) -> (String, u64) {
    cut(&format!("You said: {text}"), most_tokens)
}

/// The words of a system message such as "Answer with one word: yes or no."
fn choices(messages: &Value) -> Vec<&str> {
    let system = messages.get(0).filter(|first| first["role"] == "system");
    let told = system.and_then(|first| first["content"].as_str()).unwrap_or_default();
    match told.split_once(": ").filter(|(asked, _)| asked.contains("with one word")) {
        Some((_, listed)) => words(listed).filter(|word| *word != "or").collect(),
        None => Vec::new(),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn cut(whole: &str, most_tokens: u64) -> (String, u64) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_of_the_words_that_it_was_told_or_an_echo() {
        let asked = |text: &str| {
            let told = "Answer with one word, the sentiment: positive, negative or neutral.";
            let system = json!({ "role": "system", "content": told });
            answer(&json!([system, { "role": "user", "content": text }]), 5).0
        };
        assert_eq!(asked("all in all negative, I fear"), "negative");
        assert_eq!(asked("now or never"), "You said: now or nev");
        assert_eq!(
            answer(&json!([{ "role": "user", "content": "positive" }]), 50).0,
            "You said: positive"
        );
    }
}
