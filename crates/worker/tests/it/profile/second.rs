//! Another provider, for when the first is over its limit for long or down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use slowlane_policy::settle::Outcome;
use slowlane_worker::profile::{Profile, shipped};
use slowlane_worker::reqwest::Url;
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Target as _, TargetResponse};
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use super::chat::{ANTHROPIC, OPENAI, answering, body, chat, hello};
use super::{call, keyed_by_its_header, name, succeeded, why};
use crate::server::{Server, answer};

const LIMITED: &str = r#"{"error":{"code":"rate_limit_exceeded"}}"#;

/// What the first provider answers, one after the other; the last again and again.
async fn scripted(answers: Vec<String>) -> Server {
    let next = Arc::new(AtomicUsize::new(0));
    Server::start(move |mut stream| {
        let index = next.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let said = answers[index].clone();
        async move { stream.write_all(said.as_bytes()).await.unwrap() }
    })
    .await
}

fn success() -> String {
    answer(200, &["content-type: application/json"], OPENAI)
}

fn second(url: &Url) -> ProfiledApi {
    keyed_by_its_header(shipped::get("anthropic").unwrap(), url).build().unwrap()
}

/// OpenAI first, and Anthropic in its place.
fn both(first: &Url, then: &Server, after: Duration) -> ProfiledApi {
    let first = keyed_by_its_header(shipped::get("openai").unwrap(), first);
    first.second(second(&then.url()), "claude-x", after).build().unwrap()
}

fn is_of_second(response: &TargetResponse) -> bool {
    let model = response.fallback_model.as_deref();
    let said = (response.fallback_provider.as_deref(), model);
    assert!([(None, None), (Some("anthropic"), Some("claude-x"))].contains(&said), "{said:?}");
    model.is_some()
}

/// A port on which nobody listens.
async fn nobody() -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/api/v1", listener.local_addr().unwrap()).parse().unwrap()
}

#[tokio::test]
async fn a_provider_that_asks_for_a_long_wait_is_left_alone_and_another_answers() {
    let first = scripted(vec![answer(429, &["retry-after: 600"], LIMITED)]).await;
    let then = answering(ANTHROPIC).await;
    let target = both(&first.url(), &then, Duration::from_secs(300));
    for _ in 0..2 {
        let response = succeeded(target.call(&hello()).await);
        assert!(is_of_second(&response));
        let expected = json!({
            "text": "Hi!", "stop": "length", "model": "claude-x", "usage": { "input": 25, "output": 15 },
        });
        assert_eq!(response.body, Some(expected));
        let usage = response.usage.unwrap();
        assert_eq!((usage.model.as_str(), usage.input, usage.output), ("claude-x", 25, 15));
        assert_eq!(response.left, [], "its limits are not the target's");
    }
    assert_eq!(first.requests().len(), 1, "it is asked again after its wait");
    let requests = then.requests();
    assert!(requests[0].starts_with("POST /api/v1/v1/messages "), "{requests:?}");
    assert!(requests[0].contains("\r\nx-api-key: secret-credential\r\n"), "{requests:?}");
    assert_eq!(body(&requests[0])["model"], "claude-x");

    // Another model of the first has a limit of its own.
    let other = json!({ "model": "tiny", "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 1 });
    assert!(is_of_second(&succeeded(target.call(&chat(other)).await)));
    assert_eq!(first.requests().len(), 2);
}

#[tokio::test]
async fn a_short_wait_is_waited_for_unless_one_follows_another() {
    let limited = answer(429, &["retry-after: 1"], LIMITED);
    let first =
        scripted(vec![limited.clone(), success(), limited.clone(), limited, success()]).await;
    let then = answering(ANTHROPIC).await;
    let target = both(&first.url(), &then, Duration::from_millis(1_100));
    let outcome = target.call(&hello()).await;
    assert_eq!(outcome, Outcome::Throttled { retry_after: Some(Duration::from_secs(1)) });
    // A success ends it.
    assert!(!is_of_second(&succeeded(target.call(&hello()).await)));
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(name(&target.call(&hello()).await), "throttled");
    sleep(Duration::from_millis(1_200)).await;
    assert!(is_of_second(&succeeded(target.call(&hello()).await)));
    // It asked for no long wait, so it is asked each time.
    assert!(!is_of_second(&succeeded(target.call(&hello()).await)));
    assert_eq!((first.requests().len(), then.requests().len()), (5, 1));
}

#[tokio::test]
async fn a_provider_that_is_down_for_long_is_tried_now_and_then() {
    let then = answering(ANTHROPIC).await;
    let target = both(&nobody().await, &then, Duration::from_millis(50));
    let outcome = target.call(&hello()).await;
    assert_eq!(name(&outcome), "transient", "it may be back at once");
    sleep(Duration::from_millis(80)).await;
    assert!(is_of_second(&succeeded(target.call(&hello()).await)));
    assert!(is_of_second(&succeeded(target.call(&hello()).await)));
    assert_eq!(then.requests().len(), 2);
}

/// Nobody knows whether such a call was executed: a second one would be paid for twice.
#[tokio::test]
async fn what_the_first_may_have_executed_is_asked_of_no_other() {
    let first = scripted(vec![answer(500, &[], "")]).await;
    let then = answering(ANTHROPIC).await;
    let target = both(&first.url(), &then, Duration::ZERO);
    for _ in 0..2 {
        assert_eq!(name(&target.call(&hello()).await), "unknown");
    }
    // A call in the provider's own form can be asked of nobody else.
    let limited = scripted(vec![answer(429, &["retry-after: 600"], LIMITED)]).await;
    let target = both(&limited.url(), &then, Duration::ZERO);
    let own = call("POST", "v1/chat/completions", Some(json!({ "model": "large" })));
    assert_eq!(name(&target.call(&own).await), "throttled");
    // What is refused for what it says is so everywhere.
    let refusing = scripted(vec![answer(400, &[], LIMITED)]).await;
    let target = both(&refusing.url(), &then, Duration::ZERO);
    assert_eq!(name(&target.call(&hello()).await), "rejected");
    assert_eq!(then.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_second_says_is_the_outcome() {
    let error = r#"{"type":"error","error":{"type":"rate_limit_error"}}"#;
    for (status, headers, expected) in [
        (429, &["retry-after: 7"][..], "throttled"),
        (401, &[], "unauthorized"),
        (400, &[], "rejected"),
        (500, &[], "unknown"),
    ] {
        let first = scripted(vec![answer(429, &["retry-after: 600"], LIMITED)]).await;
        let then = Server::answering(answer(status, headers, error)).await;
        let outcome = both(&first.url(), &then, Duration::ZERO).call(&hello()).await;
        assert_eq!(name(&outcome), expected);
        match outcome {
            Outcome::Throttled { retry_after } => {
                assert_eq!(retry_after, Some(Duration::from_secs(7)));
            }
            outcome => {
                let told = why(outcome).message;
                assert!(told.starts_with("of `anthropic`: "), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_judged_by_both() {
    let (first, then) = (answering(OPENAI).await, answering(ANTHROPIC).await);
    let target = both(&first.url(), &then, Duration::ZERO);
    assert_eq!(target.after_loss(&hello()), AfterLoss::Repeat);
    // One that leaves something behind cannot be cleared up at the other.
    let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "anthropic").unwrap();
    let message = "paths = [\"v1/messages\"]\nrepeat = { charged = true }";
    for (rule, expected) in [
        ("nothing = \"it stays\"", "it stays"),
        ("look_up = { path = \"v1/messages?key={idempotency_key}\" }", "either of two providers"),
    ] {
        let text = text.replacen(message, &format!("paths = [\"v1/messages\"]\n{rule}"), 1);
        let stays = Profile::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let stays = keyed_by_its_header(stays, &then.url()).build().unwrap();
        let openai = keyed_by_its_header(shipped::get("openai").unwrap(), &first.url());
        let target = openai.second(stays, "m", Duration::ZERO).build().unwrap();
        let AfterLoss::Nothing(told) = target.after_loss(&hello()) else { panic!("{rule}") };
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn both_must_be_asked_in_the_common_form() {
    let server = answering(OPENAI).await;
    let openai = || keyed_by_its_header(shipped::get("openai").unwrap(), &server.url());
    let http = || keyed_by_its_header(shipped::get("http").unwrap(), &server.url());
    for (first, second) in [(http(), openai()), (openai(), http())] {
        let error = first.second(second.build().unwrap(), "m", Duration::ZERO).build().unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("the profile `http` does not say how"), "{told}");
    }
}
