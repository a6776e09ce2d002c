//! A second model, for when the first is over its limit for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use slowlane_policy::settle::Outcome;
use slowlane_worker::profile::{Profile, shipped};
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{QueuedCall, Target as _};
use tokio::io::AsyncWriteExt as _;

use super::{call, keyed_by_its_header, name, succeeded};
use crate::server::{Server, answer};

/// A vendor whose large model refuses calls as long as it is told, and whose small one takes them.
struct Models {
    server: Server,
    is_over: Arc<AtomicBool>,
}

impl Models {
    async fn start(refusal: &'static [&'static str]) -> Self {
        let is_over = Arc::new(AtomicBool::new(true));
        let over = is_over.clone();
        let server = Server::serving(move |request, mut stream| {
            let refuses = request.contains(r#""large""#) && over.load(Ordering::Relaxed);
            let said = match refuses {
                true => answer(429, refusal, r#"{"error":{"code":"rate_limit_exceeded"}}"#),
                false => {
                    let body = r#"{"id":"1","usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
                    answer(200, &["content-type: application/json"], body)
                }
            };
            async move { stream.write_all(said.as_bytes()).await.unwrap() }
        })
        .await;
        Models { server, is_over }
    }

    /// The models that were asked, one after the other.
    fn asked(&self) -> Vec<&'static str> {
        let requests = self.server.requests();
        let model = |request: &String| match request.contains(r#""large""#) {
            true => "large",
            false => "small",
        };
        requests.iter().map(model).collect()
    }

    fn target(&self, after: &str) -> ProfiledApi {
        let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "openai").unwrap();
        let fallback = format!("[fallback]\nmodel = \"small\"\nafter = \"{after}\"\n\n[usage]");
        let profile = Profile::parse(&text.replacen("[usage]", &fallback, 1)).unwrap();
        keyed_by_its_header(profile, &self.server.url()).build().unwrap()
    }
}

fn ask(model: &str) -> QueuedCall {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    call("POST", "v1/chat/completions", Some(body))
}

#[tokio::test]
async fn a_model_that_asks_for_a_long_wait_is_left_alone_and_the_second_answers() {
    let models = Models::start(&["retry-after: 60"]).await;
    let target = models.target("30s");
    for _ in 0..2 {
        let response = succeeded(target.call(&ask("large")).await);
        assert_eq!(response.fallback_model.as_deref(), Some("small"));
        let usage = response.usage.unwrap();
        assert_eq!((usage.model.as_str(), usage.input, usage.output), ("small", 9, 2));
    }
    assert_eq!(models.asked(), ["large", "small", "small"], "it is asked again after its wait");

    // Who asks for the second model, or for none, has no other.
    let response = succeeded(target.call(&ask("small")).await);
    assert_eq!(response.fallback_model, None);
}

#[tokio::test]
async fn a_short_wait_is_waited_for_unless_one_follows_another() {
    let models = Models::start(&["retry-after: 1"]).await;
    let patient = models.target("30s");
    let outcome = patient.call(&ask("large")).await;
    assert_eq!(outcome, Outcome::Throttled { retry_after: Some(Duration::from_secs(1)) });
    models.is_over.store(false, Ordering::Relaxed);
    assert_eq!(succeeded(patient.call(&ask("large")).await).fallback_model, None);
    assert_eq!(models.asked(), ["large", "large"]);

    let models = Models::start(&[]).await;
    let target = models.target("1ms");
    assert_eq!(name(&target.call(&ask("large")).await), "throttled", "it may be over at once");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let response = succeeded(target.call(&ask("large")).await);
    assert_eq!(response.fallback_model.as_deref(), Some("small"));
    assert_eq!(models.asked(), ["large", "large", "small"]);
}

/// Nobody knows whether such a call was executed: a second one would be paid for twice.
#[tokio::test]
async fn a_call_that_may_have_been_executed_is_asked_of_no_second_model() {
    let server = Server::answering(answer(500, &[], "")).await;
    let models = Models { server, is_over: Arc::default() };
    let outcome = models.target("1ms").call(&ask("large")).await;
    assert_eq!(name(&outcome), "unknown", "{outcome:?}");
    assert_eq!(models.asked(), ["large"]);
}
