//! Anthropic: messages, their tokens, and batches of them.

use http::Method;
use serde_json::{Value, json};

use super::completion::{last_text, reply, tokens_of};
use crate::{
    answer::json as as_json,
    asked::Asked,
    records::Records,
    service::{At, Said, Service},
};

const MODELS: [&str; 2] = ["claude-haiku-4-5", "claude-sonnet-4-5"];

#[derive(Debug)]
pub(super) struct Anthropic;

impl Service for Anthropic {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        if asked.header("anthropic-version").is_none() {
            return invalid("anthropic-version: header is required");
        }
        let path = asked.below(&["v1"]).unwrap_or_default();
        match (&asked.method, &path[..]) {
            (&Method::POST, ["messages"]) => create(&asked.body, records),
            (&Method::POST, ["messages", "count_tokens"]) => {
                Said::new(200, &json!({ "input_tokens": input_tokens(&asked.body) }))
            }
            (&Method::POST, ["messages", "batches"]) => create_batch(asked, records, at),
            (&Method::GET, ["messages", "batches", id]) => batch(records, id, at),
            (&Method::GET, ["messages", "batches", id, "results"]) => results(records, id),
            (&Method::GET, ["models"]) => {
                let data: Vec<Value> = MODELS.iter().map(|id| model(id)).collect();
                Said::new(200, &json!({ "data": data, "has_more": false }))
            }
            (&Method::GET, ["models", id]) if MODELS.contains(id) => Said::new(200, &model(id)),
            _ => Said::new(404, &error("not_found_error", "Not found")),
        }
    }

    fn is_write(&self, asked: &Asked) -> bool {
        asked.method == Method::POST && asked.path.last().is_none_or(|last| last != "count_tokens")
    }

    /// What is read, and the most that may be written.
    fn units(&self, asked: &Asked) -> u64 {
        input_tokens(&asked.body) + asked.body["max_tokens"].as_u64().unwrap_or(0)
    }
}

fn input_tokens(body: &Value) -> u64 {
    tokens_of(&body["messages"]) + tokens_of(&body["system"])
}

fn create(body: &Value, records: &mut Records) -> Said {
    match message(body, records) {
        Ok(message) => Said::new(200, &message),
        Err(said) => *said,
    }
}

fn message(body: &Value, records: &mut Records) -> Result<Value, Box<Said>> {
    for needed in ["max_tokens", "messages", "model"] {
        if body[needed].is_null() {
            return Err(Box::new(invalid(&format!("{needed}: Field required"))));
        }
    }
    if body["stream"] == true {
        return Err(Box::new(invalid("stream: this sandbox does not stream; leave it out")));
    }
    let most = body["max_tokens"].as_u64().unwrap_or_default();
    let (text, output) = reply(&last_text(&body["messages"]), most);
    Ok(json!({
        "id": format!("msg_{:022}", records.number()),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{ "type": "text", "text": text }],
        "stop_reason": if output < most { "end_turn" } else { "max_tokens" },
        "stop_sequence": null,
        "usage": { "input_tokens": input_tokens(body), "output_tokens": output },
    }))
}

fn create_batch(asked: &Asked, records: &mut Records, at: &At) -> Said {
    let Some(requests) = asked.body["requests"].as_array().filter(|all| !all.is_empty()) else {
        return invalid("requests: Field required");
    };
    let id = format!("msgbatch_{:020}", records.number());
    let results = requests.iter().map(|request| {
        let result = match message(&request["params"], records) {
            Ok(message) => json!({ "type": "succeeded", "message": message }),
            Err(_) => json!({
                "type": "errored",
                "error": error("invalid_request_error", "a field is missing"),
            }),
        };
        json!({ "custom_id": request["custom_id"], "result": result })
    });
    let results: Vec<Value> = results.collect();
    let batch = json!({
        "id": id,
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {
            "processing": results.len(),
            "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
        },
        "created_at": at.rfc3339(),
        "expires_at": at.rfc3339(),
        "ended_at": null,
        "results_url": null,
    });
    records.put("batch", &id, batch.clone());
    records.put("batch results", &id, results.into());
    Said::new(200, &batch).created("batch")
}

/// By the time that anybody asks, the batch has ended.
fn batch(records: &mut Records, id: &str, at: &At) -> Said {
    let results = records.get("batch results", id).and_then(Value::as_array).cloned();
    let succeeded = results.iter().flatten().filter(|one| one["result"]["type"] == "succeeded");
    let (succeeded, all) = (succeeded.count(), results.map_or(0, |all| all.len()));
    let Some(batch) = records.get_mut("batch", id) else {
        return Said::new(404, &error("not_found_error", "Not found"));
    };
    batch["processing_status"] = "ended".into();
    batch["ended_at"] = at.rfc3339().into();
    batch["results_url"] = format!("{}/v1/messages/batches/{id}/results", at.base_url).into();
    batch["request_counts"]["processing"] = 0.into();
    batch["request_counts"]["succeeded"] = succeeded.into();
    batch["request_counts"]["errored"] = (all - succeeded).into();
    Said::new(200, batch)
}

/// One result on each line.
fn results(records: &Records, id: &str) -> Said {
    let Some(results) = records.get("batch results", id).and_then(Value::as_array) else {
        return Said::new(404, &error("not_found_error", "Not found"));
    };
    let lines: String = results.iter().map(|result| format!("{result}\n")).collect();
    let mut response = as_json(200, None);
    *response.body_mut() = lines.into();
    let said = Said { response, effect: slowlane_sandbox::Effect::default() };
    said.header("content-type", "application/x-jsonl")
}

fn model(id: &str) -> Value {
    json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-10-01T00:00:00Z" })
}

fn invalid(message: &str) -> Said {
    Said::new(400, &error("invalid_request_error", message))
}

fn error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}
