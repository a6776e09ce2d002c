//! Amazon Bedrock Runtime: Converse for any model, and InvokeModel for those that read Anthropic's or
//! Nova's messages.

use http::Method;
use serde_json::{Value, json};

use super::completion::{last_text, reply, tokens_of};
use crate::{
    asked::Asked,
    records::Records,
    service::{At, Said, Service},
};

/// How many tokens an answer may have that is told no greatest number: the model's own.
const MOST_OF_MODEL: u64 = 4096;

/// Models that fail, each in its own way.
const FAILING: [(&str, u16, &str, &str); 4] = [
    ("sandbox.times-out", 408, "ModelTimeoutException", "The model took too long to answer."),
    ("sandbox.fails", 424, "ModelErrorException", "The model failed while it worked on the input."),
    ("sandbox.not-ready", 429, "ModelNotReadyException", "The model is not ready for inference."),
    (
        "sandbox.unavailable",
        503,
        "ServiceUnavailableException",
        "The service is not there just now.",
    ),
];

#[derive(Debug)]
pub(super) struct Bedrock;

impl Service for Bedrock {
    fn answer(&mut self, asked: &Asked, records: &mut Records, at: &At) -> Said {
        let path = asked.below(&["model"]).unwrap_or_default();
        let (&Method::POST, [model, operation]) = (&asked.method, &path[..]) else {
            return unknown_operation();
        };
        if let Some((_, status, error, message)) = FAILING.iter().find(|one| one.0 == *model) {
            return refused(*status, error, message);
        }
        if !model.contains('.') {
            return invalid("The provided model identifier is invalid.");
        }
        match *operation {
            "converse" => converse(&asked.body, at),
            "invoke" if model.contains("anthropic.") => {
                invoke_anthropic(model, &asked.body, records.number(), at)
            }
            "invoke" if model.contains("amazon.nova") => invoke_nova(&asked.body, at),
            "invoke" => invalid("this sandbox invokes models of Anthropic's and Nova's: converse"),
            "converse-stream" | "invoke-with-response-stream" => {
                invalid("this sandbox does not stream")
            }
            _ => unknown_operation(),
        }
    }

    /// What is read, and the most that may be written. Of a call that does not say how much, it is all
    /// that the model could write.
    fn units(&self, asked: &Asked) -> u64 {
        let body = &asked.body;
        let places =
            ["/inferenceConfig/maxTokens", "/inferenceConfig/max_new_tokens", "/max_tokens"];
        let told = places.iter().find_map(|place| body.pointer(place)?.as_u64());
        input_tokens(body) + told.unwrap_or(MOST_OF_MODEL)
    }
}

/// What a model says.
struct Spoken {
    text: String,
    input: u64,
    output: u64,
    was_cut: bool,
}

fn spoken(body: &Value, most_tokens: &Value) -> Spoken {
    let most = most_tokens.as_u64().unwrap_or(MOST_OF_MODEL);
    let (text, output) = reply(&last_text(&body["messages"]), most);
    Spoken { text, input: input_tokens(body), output, was_cut: output >= most }
}

fn input_tokens(body: &Value) -> u64 {
    tokens_of(&body["messages"]) + tokens_of(&body["system"])
}

fn converse(body: &Value, at: &At) -> Said {
    if let Some(why) = unfit(body) {
        return invalid(&why);
    }
    let spoken = spoken(body, &body["inferenceConfig"]["maxTokens"]);
    let latency = u64::try_from(at.took.as_millis()).unwrap_or(u64::MAX);
    let mut answer = conversed(&spoken);
    answer["metrics"] = json!({ "latencyMs": latency });
    Said::new(200, &answer)
}

/// The answer of Converse, which Nova's own is too.
fn conversed(spoken: &Spoken) -> Value {
    let Spoken { text, input, output, was_cut } = spoken;
    json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": text }] } },
        "stopReason": if *was_cut { "max_tokens" } else { "end_turn" },
        "usage": { "inputTokens": input, "outputTokens": output, "totalTokens": input + output },
    })
}

fn invoke_nova(body: &Value, at: &At) -> Said {
    if let Some(why) = unfit(body) {
        return invalid(&why);
    }
    let config = &body["inferenceConfig"];
    let most = if config["maxTokens"].is_null() { "max_new_tokens" } else { "maxTokens" };
    let spoken = spoken(body, &config[most]);
    invoked(&conversed(&spoken), &spoken, at)
}

fn invoke_anthropic(model: &str, body: &Value, number: u64, at: &At) -> Said {
    for needed in ["anthropic_version", "max_tokens", "messages"] {
        if body[needed].is_null() {
            return invalid(&format!("{needed}: Field required"));
        }
    }
    let spoken = spoken(body, &body["max_tokens"]);
    let answer = json!({
        "id": format!("msg_bdrk_{number:022}"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{ "type": "text", "text": spoken.text }],
        "stop_reason": if spoken.was_cut { "max_tokens" } else { "end_turn" },
        "stop_sequence": null,
        "usage": { "input_tokens": spoken.input, "output_tokens": spoken.output },
    });
    invoked(&answer, &spoken, at)
}

/// An answer of InvokeModel, whose body is the model's own: what it has used stands in headers.
fn invoked(answer: &Value, spoken: &Spoken, at: &At) -> Said {
    Said::new(200, answer)
        .header("x-amzn-bedrock-input-token-count", &spoken.input.to_string())
        .header("x-amzn-bedrock-output-token-count", &spoken.output.to_string())
        .header("x-amzn-bedrock-invocation-latency", &at.took.as_millis().to_string())
}

/// Why a list of messages is none, if it is not.
fn unfit(body: &Value) -> Option<String> {
    let Some(messages) = body["messages"].as_array().filter(|all| !all.is_empty()) else {
        return Some("A conversation must start with a user message.".to_owned());
    };
    let is_unfit = |message: &Value| message["content"].as_array().is_none_or(Vec::is_empty);
    let place = messages.iter().position(is_unfit)?;
    Some(format!("The content field in the Message object at messages.{place} is empty."))
}

fn invalid(message: &str) -> Said {
    refused(400, "ValidationException", message)
}

fn unknown_operation() -> Said {
    refused(404, "UnknownOperationException", "there is no such operation")
}

fn refused(status: u16, error: &str, message: &str) -> Said {
    Said::new(status, &json!({ "message": message })).header("x-amzn-errortype", error)
}
