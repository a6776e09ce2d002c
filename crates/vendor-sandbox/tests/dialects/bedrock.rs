//! Bedrock's traps: signatures, quotas that are a 400, models that fail after work that is charged.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_profile::auth::{Auth, AwsKeys};
use slowlane_profile::{Answer, Api, Base, Call, Given, Method, Outcome, shipped};
use slowlane_sandbox::{Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Request, Response, Sandbox, Vendor};

use crate::served::{quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const CONVERSE: &str = "model/eu.amazon.nova-micro-v1:0/converse";

fn sandbox() -> Sandbox {
    Sandbox::new((quick(), Vendor::new(Dialect::of("bedrock").unwrap())))
}

/// The keys that the sandbox takes.
fn keys() -> AwsKeys {
    let credentials = Vendor::new(Dialect::of("bedrock").unwrap()).credentials("");
    AwsKeys {
        access_key_id: credentials["access_key_id"].clone(),
        secret_access_key: credentials["secret_access_key"].as_str().into(),
        session_token: None,
    }
}

fn question() -> Value {
    json!({
        "messages": [{ "role": "user", "content": [{ "text": "Say hello." }] }],
        "inferenceConfig": { "maxTokens": 20 },
    })
}

/// A call as the profile shapes and signs it.
fn signed(resource: &str, body: &Value, keys: &AwsKeys, at: Duration) -> Request {
    let profile = shipped::get("bedrock").unwrap();
    let base = Base::parse("http://localhost").unwrap();
    let api = Api::new(profile.clone(), base);
    let call = Call::new(Method::Post, resource).body(body.clone());
    let mut request = api.request(&call, &Given::default()).unwrap();
    let Some(Auth::SigV4(way)) = profile.auth.get("sigv4") else { panic!() };
    let now = Timestamp::from_second(at.as_secs() as i64).unwrap();
    way.sign(&mut request, keys, "eu-central-1", now).unwrap();
    let mut sent = http::Request::builder().method("POST").uri(request.url.path());
    *sent.headers_mut().unwrap() = request.headers;
    sent.header("host", "localhost").body(request.body).unwrap()
}

fn answer(sandbox: &mut Sandbox, request: Request) -> Response {
    match sandbox.begin(request, NOW) {
        Begun::Answer(answer) => answer,
        Begun::Admitted(call) => {
            let ends = call.finish_at();
            let Finished::Answer(answer) = sandbox.finish(call, ends) else { panic!("no fault") };
            answer
        }
    }
}

fn status(request: Request) -> u16 {
    answer(&mut sandbox(), request).status().as_u16()
}

#[test]
fn a_signature_is_good_for_its_key_its_request_and_its_moment() {
    let question = question();
    let good = |at| signed(CONVERSE, &question, &keys(), at);
    assert_eq!(status(good(NOW)), 200);
    let minute = Duration::from_secs(60);
    assert_eq!(status(good(NOW - 4 * minute)), 200);
    assert_eq!(status(good(NOW + 4 * minute)), 200);
    for at in [NOW - 6 * minute, NOW + 6 * minute] {
        assert_eq!(status(good(at)), 403, "{at:?}");
    }

    let session = AwsKeys { session_token: Some("its token".into()), ..keys() };
    assert_eq!(status(signed(CONVERSE, &question, &session, NOW)), 200);
    for wrong in [
        AwsKeys { secret_access_key: "guessed".into(), ..keys() },
        AwsKeys { access_key_id: "000000000001".to_owned(), ..keys() },
    ] {
        assert_eq!(status(signed(CONVERSE, &question, &wrong, NOW)), 403);
    }

    let mut changed = good(NOW);
    *changed.body_mut() = question.to_string().replace("hello", "HELLO").into();
    assert_eq!(status(changed), 403);
    let mut led_elsewhere = good(NOW);
    *led_elsewhere.uri_mut() = "/model/eu.amazon.nova-pro-v1:0/converse".parse().unwrap();
    assert_eq!(status(led_elsewhere), 403);
    let mut session = signed(CONVERSE, &question, &session, NOW);
    session.headers_mut().remove("x-amz-security-token");
    assert_eq!(status(session), 403);
    let unsigned = request("POST", &format!("/{CONVERSE}"), &[], &question.to_string());
    assert_eq!(status(unsigned), 403);
}

/// What the profile says of a model's answer.
fn outcome(model: &str) -> (Outcome, Option<String>) {
    let resource = format!("model/{model}/converse");
    let call = Call::new(Method::Post, resource.as_str());
    let (head, body) =
        answer(&mut sandbox(), signed(&resource, &question(), &keys(), NOW)).into_parts();
    let now = Timestamp::from_second(NOW.as_secs() as i64).unwrap();
    let answer = Answer::new(head.status.as_u16(), head.headers, body);
    let verdict = shipped::get("bedrock").unwrap().verdict(&call, &answer, now);
    (verdict.outcome, verdict.reason.code.map(|code| code.to_string()))
}

#[test]
fn models_fail_as_bedrocks_do() {
    for (model, expected, code) in [
        ("sandbox.times-out", Outcome::Unknown, "ModelTimeoutException"),
        ("sandbox.fails", Outcome::Unknown, "ModelErrorException"),
        ("sandbox.not-ready", Outcome::Throttled, "ModelNotReadyException"),
        ("sandbox.unavailable", Outcome::Throttled, "ServiceUnavailableException"),
        ("nonsense", Outcome::Rejected, "ValidationException"),
    ] {
        assert_eq!(outcome(model), (expected, Some(code.to_owned())), "{model}");
    }
}

#[test]
fn an_invoked_model_answers_in_its_own_words_and_headers_say_what_it_has_used() {
    let anthropic = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 2,
        "messages": [{ "role": "user", "content": "Say hello." }],
    });
    for (resource, body, stopped) in [
        ("model/anthropic.claude-3-haiku-20240307-v1:0/invoke", anthropic, "/stop_reason"),
        ("model/amazon.nova-micro-v1:0/invoke", question(), "/stopReason"),
    ] {
        let answer = answer(&mut sandbox(), signed(resource, &body, &keys(), NOW));
        assert_eq!(answer.status(), 200, "{answer:?}");
        let count = |name: &str| answer.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
        assert!(count("x-amzn-bedrock-input-token-count") > 0);
        assert!((2..=5).contains(&count("x-amzn-bedrock-output-token-count")), "{answer:?}");
        let said: Value = serde_json::from_slice(answer.body()).unwrap();
        assert!(said.pointer(stopped).is_some(), "{said}");
    }
}
