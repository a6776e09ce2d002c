//! Questions to models in the common form.

use serde_json::{Value, json};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;
use slowlane_worker::profile::chat::{Prompt, Prompts};
use slowlane_worker::profile::shipped;
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Target as _};

use super::{call, keyed_by_its_header, name, queued, succeeded, why};
use crate::server::{Server, answer};

pub(super) const OPENAI: &str = r#"{"id":"chatcmpl-1","model":"large-2025","choices":[{"message":
    {"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":19,"completion_tokens":10}}"#;
pub(super) const ANTHROPIC: &str = r#"{"id":"msg_1","type":"message","model":"claude-x","content":
    [{"type":"text","text":"Hi!"}],"stop_reason":"max_tokens",
    "usage":{"input_tokens":25,"output_tokens":15}}"#;

pub(super) fn openai(server: &Server) -> ProfiledApi {
    keyed_by_its_header(shipped::get("openai").unwrap(), &server.url()).build().unwrap()
}

pub(super) fn chat(body: Value) -> QueuedCall {
    queued(json!({ "method": "POST", "resource": "chat", "content": "chat", "body": body }))
}

pub(super) fn hello() -> QueuedCall {
    chat(json!({
        "model": "large",
        "messages": [{ "role": "user", "content": "Hello" }],
        "max_tokens": 200,
    }))
}

/// The body of a request, as it came.
pub(super) fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

pub(super) async fn answering(text: &'static str) -> Server {
    Server::answering(answer(200, &["content-type: application/json"], text)).await
}

#[tokio::test]
async fn a_question_in_the_common_form_is_answered_in_it() {
    let server = answering(OPENAI).await;
    let target = openai(&server);
    let response = succeeded(target.call(&hello()).await);
    let expected = json!({
        "text": "Hello!", "stop": "end", "model": "large-2025", "usage": { "input": 19, "output": 10 },
    });
    assert_eq!(response.body, Some(expected));
    assert_eq!(response.id.as_deref(), Some("chatcmpl-1"));
    assert_eq!((response.fallback_model, response.fallback_provider), (None, None));
    let usage = response.usage.unwrap();
    assert_eq!((usage.model.as_str(), usage.input, usage.output), ("large", 19, 10));
    let requests = server.requests();
    assert!(
        requests[0].starts_with("POST /api/v1/v1/chat/completions HTTP/1.1\r\n"),
        "{requests:?}"
    );
    let expected = json!({
        "model": "large",
        "messages": [{ "role": "user", "content": "Hello" }],
        "max_completion_tokens": 200,
    });
    assert_eq!(body(&requests[0]), expected);

    assert_eq!(target.after_loss(&hello()), AfterLoss::Repeat);
    // Five bytes of text, and what a vendor puts around it.
    assert_eq!(target.units(&hello()), Some(200 + 2 + 4));
    let own = call("POST", "v1/chat/completions", Some(json!({ "model": "large" })));
    assert_eq!(target.units(&own), None, "only the common form says them");
}

#[tokio::test]
async fn a_call_in_the_providers_own_form_is_answered_in_that() {
    let server = answering(OPENAI).await;
    let own = call("POST", "v1/chat/completions", Some(json!({ "model": "large" })));
    let response = succeeded(openai(&server).call(&own).await);
    assert_eq!(response.body.unwrap()["choices"][0]["message"]["content"], "Hello!");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_nothing_is_sent() {
    let server = answering(OPENAI).await;
    let target = openai(&server);
    let mut elsewhere = hello();
    elsewhere.request.resource = "v1/chat/completions".to_owned();
    let streamed = json!({ "model": "m", "messages": [], "max_tokens": 1, "stream": true });
    for (call, told) in [
        (elsewhere, "a call in the common form is `POST chat`"),
        (chat(streamed), "streaming is not for queues"),
        (
            chat(json!({ "model": "m", "prompt": { "name": "x" }, "max_tokens": 1 })),
            "there are none",
        ),
    ] {
        assert_eq!(target.after_loss(&call), AfterLoss::Repeat, "nothing is lost");
        let outcome = target.call(&call).await;
        assert_eq!(name(&outcome), "rejected");
        assert!(why(outcome).message.contains(told), "{told}");
    }
    let plain = super::plain(server.url());
    let told = why(plain.call(&hello()).await).message;
    assert!(told.contains("the profile `http` does not say how its API is asked"), "{told}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_no_model_gives_is_unknown() {
    let server = answering("{\"status\":\"ok\"}").await;
    let outcome = openai(&server).call(&hello()).await;
    assert_eq!(name(&outcome), "unknown");
    let told = why(outcome);
    assert_eq!(told.status, Some(200));
    assert!(told.message.contains("has not the form"), "{told:?}");
}

#[tokio::test]
async fn a_prompt_is_filled_from_the_calls_input() {
    let server = answering(OPENAI).await;
    let text = "inputs = [\"review\"]\nsystem = \"You judge.\"\n[[messages]]\nrole = \"user\"\ncontent = \"Is it good? {review}\"";
    let mut prompts = Prompts::default();
    prompts.insert("review.v3.toml".parse().unwrap(), Prompt::parse(text).unwrap());
    let target = keyed_by_its_header(shipped::get("openai").unwrap(), &server.url());
    let target = target.prompts(prompts).build().unwrap();
    let asked = |prompt: Value| chat(json!({ "model": "m", "max_tokens": 9, "prompt": prompt }));
    let review =
        json!({ "name": "review", "version": 3, "input": { "review": "{system} it \"broke\"" } });
    succeeded(target.call(&asked(review)).await);
    let expected = json!([
        { "role": "system", "content": "You judge." },
        { "role": "user", "content": "Is it good? {system} it \"broke\"" },
    ]);
    assert_eq!(body(&server.requests()[0])["messages"], expected);
    let outcome = target.call(&asked(json!({ "name": "review", "input": {} }))).await;
    let Outcome::Rejected(told) = outcome else { panic!("{outcome:?}") };
    assert!(told.message.contains("there are 3"), "{told:?}");
    assert_eq!(server.requests().len(), 1);
}
