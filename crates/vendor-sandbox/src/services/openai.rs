//! OpenAI: completions, responses, embeddings.

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};

use super::completion::{answer, last_text, reply, tokens_of};
use crate::{
    asked::Asked,
    records::Records,
    service::{At, Said, Service},
};

const MODELS: [&str; 3] = ["gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"];

/// Where the greatest number of tokens of an answer stands.
const MOST_TOKENS: [&str; 3] = ["/max_completion_tokens", "/max_tokens", "/max_output_tokens"];

#[derive(Debug)]
pub(super) struct OpenAi;

impl Service for OpenAi {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let Some(path) = asked.below(&["v1"]) else { return no_such_url(asked) };
        if asked.body["stream"] == true {
            return invalid("stream", "this sandbox does not stream: leave `stream` out");
        }
        match (&asked.method, &path[..]) {
            (&Method::POST, ["chat", "completions"]) => complete(asked, records, at),
            (&Method::GET, ["chat", "completions"]) => stored(asked, records),
            (&Method::GET, ["chat", "completions", id]) => found(records, "completion", id),
            (&Method::POST, ["responses"]) => respond(asked, records, at),
            (&Method::GET, ["responses", id]) => {
                // By the time that anybody asks, the model has done its work.
                if let Some(response) = records.get_mut("response", id) {
                    response["status"] = "completed".into();
                }
                found(records, "response", id)
            }
            (&Method::POST, ["embeddings"]) => embed(asked),
            (&Method::GET, ["models"]) => {
                let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
                Said::new(200, &json!({ "object": "list", "data": data }))
            }
            (&Method::GET, ["models", id]) if MODELS.contains(id) => Said::new(200, &model(id)),
            _ => no_such_url(asked),
        }
    }

    /// A completion leaves nothing behind unless it is stored, but a repeat costs as much again.
    fn is_write(&self, asked: &Asked) -> bool {
        asked.method == Method::POST && asked.path.last().is_none_or(|last| last != "embeddings")
    }

    /// What is read, and the most that may be written.
    fn units(&self, asked: &Asked) -> u64 {
        input_tokens(asked) + most_tokens(asked).unwrap_or(16)
    }
}

fn input_tokens(asked: &Asked) -> u64 {
    tokens_of(&asked.body["messages"]) + tokens_of(&asked.body["input"])
}

fn most_tokens(asked: &Asked) -> Option<u64> {
    MOST_TOKENS.iter().find_map(|place| asked.body.pointer(place)?.as_u64())
}

fn complete(asked: &Asked, records: &mut Records, at: &At) -> Said {
    let messages = &asked.body["messages"];
    if let Some(lacking) = lacking(asked, &["model", "messages"]) {
        return lacking;
    }
    let (text, output) = answer(messages, most_tokens(asked).unwrap_or(u64::MAX));
    let input = input_tokens(asked);
    let id = format!("chatcmpl-{:024}", records.number());
    let mut completion = json!({
        "id": id,
        "object": "chat.completion",
        "created": at.seconds(),
        "model": asked.body["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage("prompt_tokens", input, "completion_tokens", output),
    });
    if asked.body["store"] != true {
        return Said::new(200, &completion);
    }
    completion["metadata"] = asked.body["metadata"].clone();
    records.put("completion", &id, completion.clone());
    Said::new(200, &completion).created("completion")
}

/// The stored completions with the metadata of the query: `metadata[key]=value`.
fn stored(asked: &Asked, records: &Records) -> Said {
    let wanted: Vec<(&str, &str)> = asked
        .query
        .iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("metadata[")?.strip_suffix(']')?, value.as_str()))
        })
        .collect();
    let fits = |one: &&Value| wanted.iter().all(|(name, value)| one["metadata"][name] == **value);
    let data: Vec<&Value> = records.all("completion").map(|(_, one)| one).filter(fits).collect();
    let id = |one: Option<&&Value>| one.map(|one| one["id"].clone());
    Said::new(
        200,
        &json!({
            "object": "list",
            "data": data,
            "first_id": id(data.first()),
            "last_id": id(data.last()),
            "has_more": false,
        }),
    )
}

fn respond(asked: &Asked, records: &mut Records, at: &At) -> Said {
    if let Some(lacking) = lacking(asked, &["model", "input"]) {
        return lacking;
    }
    let input = &asked.body["input"];
    let said = input.as_str().map_or_else(|| last_text(input), str::to_owned);
    let most = most_tokens(asked);
    let (text, output) = reply(&said, most.unwrap_or(u64::MAX));
    let number = records.number();
    let id = format!("resp_{number:024}");
    let in_background = asked.body["background"] == true;
    let response = json!({
        "id": id,
        "object": "response",
        "created_at": at.seconds(),
        "status": if in_background { "queued" } else { "completed" },
        "background": in_background,
        "error": null,
        "incomplete_details": null,
        "instructions": asked.body["instructions"],
        "max_output_tokens": most,
        "model": asked.body["model"],
        "output": [{
            "type": "message",
            "id": format!("msg_{number:024}"),
            "status": "completed",
            "role": "assistant",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }],
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "metadata": asked.body["metadata"],
        "usage": usage("input_tokens", input_tokens(asked), "output_tokens", output),
    });
    if asked.body["store"] == false {
        return Said::new(200, &response);
    }
    records.put("response", &id, response.clone());
    Said::new(200, &response).created("response")
}

fn embed(asked: &Asked) -> Said {
    if let Some(lacking) = lacking(asked, &["model", "input"]) {
        return lacking;
    }
    let texts = match &asked.body["input"] {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let as_base64 = asked.body["encoding_format"] == "base64";
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text.as_str().unwrap_or_default());
        let embedding = match as_base64 {
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|one| one.to_le_bytes()).collect();
                base64::engine::general_purpose::STANDARD.encode(bytes).into()
            }
            false => json!(vector),
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data: Vec<Value> = data.collect();
    let tokens = input_tokens(asked);
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    let model = &asked.body["model"];
    Said::new(200, &json!({ "object": "list", "data": data, "model": model, "usage": usage }))
}

/// Eight numbers, always the same for one text.
fn vector(text: &str) -> [f32; 8] {
    let mut sums = [0_u32; 8];
    for (index, byte) in text.bytes().enumerate() {
        sums[index % 8] = (sums[index % 8] + u32::from(byte)) % 1_000;
    }
    sums.map(|sum| sum as f32 / 1_000.0)
}

fn found(records: &Records, record_type: &str, id: &str) -> Said {
    match records.get(record_type, id) {
        Some(record) => Said::new(200, record),
        None => {
            let message = format!("No {record_type} found with id '{id}'.");
            Said::new(404, &error("invalid_request_error", None, None, &message))
        }
    }
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "sandbox" })
}

fn usage(input: &str, read: u64, output: &str, written: u64) -> Value {
    json!({ input: read, output: written, "total_tokens": read + written })
}

fn lacking(asked: &Asked, needed: &[&str]) -> Option<Said> {
    let lacks = needed.iter().find(|name| asked.body[**name].is_null())?;
    Some(invalid(lacks, &format!("Missing required parameter: '{lacks}'.")))
}

fn invalid(parameter: &str, message: &str) -> Said {
    let code = Some("missing_required_parameter");
    Said::new(400, &error("invalid_request_error", code, Some(parameter), message))
}

fn no_such_url(asked: &Asked) -> Said {
    let message = format!("Invalid URL ({} /{})", asked.method, asked.path.join("/"));
    Said::new(404, &error("invalid_request_error", None, None, &message))
}

fn error(kind: &str, code: Option<&str>, parameter: Option<&str>, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": parameter, "code": code } })
}
