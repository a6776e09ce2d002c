//! What a caller sends, and what it makes of answers, against a server on a real socket.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use lambda_runtime::Diagnostic;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use slowlane_cascade::{Caller, Config, MAX_BODY_BYTES};
use tokio::net::TcpListener;

/// What it was asked with.
async fn echo(headers: HeaderMap, body: String) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let told = json!({
        "key": header("x-api-key"),
        "idempotency_key": header("idempotency-key"),
        "content_type": header("content-type"),
        "body": body,
    });
    axum::Json(told)
}

async fn caller() -> Caller {
    let api = Router::new()
        .route("/v1/echo", any(echo))
        .route("/v1/text", get(async || (StatusCode::BAD_GATEWAY, "the gateway is down")))
        .route("/v1/busy", get(async || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")])))
        .route("/v1/large", get(async || "x".repeat(MAX_BODY_BYTES + 1)))
        .route("/v1/moved", get(async || Redirect::temporary("/v1/echo")))
        .route("/v1/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, api).await });
    let key = (HeaderName::from_static("x-api-key"), HeaderValue::from_static("the key"));
    Caller::new(Config {
        base: base.parse().unwrap(),
        key: Some(key),
        idempotency_header: Some(HeaderName::from_static("idempotency-key")),
        timeout: Duration::from_millis(500),
    })
    .unwrap()
}

fn call(method: &str, resource: &str) -> Value {
    json!({ "idempotency_key": "k-1", "request": { "method": method, "resource": resource } })
}

#[tokio::test]
async fn a_call_is_sent_with_the_key_and_its_body() {
    let mut call = call("POST", "echo?a=b");
    call["request"]["body"] = json!({ "a": 1 });
    let answer = caller().await.handle(&call).await.unwrap();
    assert_eq!((answer.status, answer.content_type.as_deref()), (200, Some("application/json")));
    let seen = answer.body.unwrap();
    let expected = json!({
        "key": "the key",
        "idempotency_key": "k-1",
        "content_type": "application/json",
        "body": "{\"a\":1}",
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn every_answer_is_handed_on() {
    let caller = caller().await;
    let text = caller.handle(&call("GET", "text")).await.unwrap();
    assert_eq!((text.status, text.body), (502, Some(json!("the gateway is down"))));
    let busy = caller.handle(&call("GET", "busy")).await.unwrap();
    assert_eq!((busy.status, busy.body, busy.retry_after.as_deref()), (429, None, Some("7")));
    let large = caller.handle(&call("GET", "large")).await.unwrap();
    assert_eq!((large.status, large.body), (200, None), "too large for a workflow's state");
    let moved = caller.handle(&call("GET", "moved")).await.unwrap();
    assert_eq!(moved.status, 307, "the key goes to no other place");
}

#[tokio::test]
async fn without_an_answer_there_is_an_error_with_a_name() {
    let caller = caller().await;
    for (call, name, told) in [
        (call("GET", "slow"), "Cascade.NoAnswer", "timed out"),
        (call("GET", "../admin"), "Cascade.BadCall", "dot segment"),
        (json!({}), "Cascade.BadCall", "`idempotency_key` is missing"),
    ] {
        let error = Diagnostic::from(caller.handle(&call).await.unwrap_err());
        assert_eq!(error.error_type, name, "{error:?}");
        assert!(error.error_message.contains(told), "{error:?}");
        assert!(!error.error_message.contains("127.0.0.1"), "{error:?}");
    }
}
