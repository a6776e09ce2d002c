//! What nobody may read reaches neither logs nor causes.

use std::sync::{Arc, Mutex};

use serde_json::json;
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::reqwest::Url;

use super::{CREDENTIAL, auth, call, keyed, plain, post, queued, why};
use crate::server::{Server, answer};

/// What an API might say that nobody else may read. Nothing of this appears anywhere.
const SECRETS: [&str; 7] = [
    "secret-detail",
    "secret-instance",
    "secret-field",
    "secret-header",
    "secret-text",
    "token-1",
    CREDENTIAL,
];

#[tokio::test]
async fn what_an_error_says_reaches_neither_logs_nor_causes() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is written");

    let problem = json!({
        "type": "https://api.example/problems/out-of-credit?secret-field",
        "title": "You do not have enough credit.",
        "code": "out_of_credit",
        "detail": "secret-detail: Ada's balance is 30",
        "instance": "/accounts/secret-instance",
        "balance": "secret-field",
    });
    let json_error = json!({ "error": {
        "code": "bad_email",
        "message": "secret-detail",
        "param": { "secret-field": "secret-field" },
    }});
    let not_a_code = json!({ "code": "the code of secret-detail" });
    let rows = [
        ("application/problem+json", problem.to_string(), Some("out_of_credit")),
        ("application/json", json_error.to_string(), Some("bad_email")),
        ("application/json", not_a_code.to_string(), None),
        ("text/html; secret-header", "secret-text".repeat(9), None),
        ("secret header", "secret-text".to_owned(), None),
    ];
    for status in [302, 400, 401, 408, 409, 412, 425, 429, 500, 503] {
        for (content_type, body, code) in &rows {
            let content_type = format!("content-type: {content_type}");
            let headers = [&content_type, "x-trace: secret-header", "location: /secret-header"];
            let server = Server::answering(answer(status, &headers, body)).await;
            let outcome = keyed(server.url()).call(&post()).await;
            let text = format!("{outcome:?}");
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
            if !matches!(outcome, Outcome::Throttled { .. }) {
                let why = why(outcome);
                assert_eq!((why.status, why.code.as_deref()), (Some(status), *code), "{text}");
            }
        }
    }
    let broken =
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-trace: secret-header\r\n\r\nsecret-text";
    let server = Server::answering(broken).await;
    let query = call("POST", "orders?token=secret-field", Some(json!("secret-text")));
    let mut text = format!("{:?}", plain(server.url()).call(&query).await);
    let not_http = Server::answering("secret-text\r\n\r\n").await;
    text += &format!("{:?}", plain(not_http.url()).call(&query).await);
    let nobody: Url = "http://127.0.0.1:1/".parse().unwrap();
    text += &format!("{:?}", plain(nobody.clone()).call(&query).await);
    text += &format!("{:?}", plain(nobody));
    let own = json!({ "method": "POST", "resource": "x", "headers": { "if-match": "secret-header" },
        "body": { "secret-field": "secret-text" } });
    let own = queued(own);
    text += &format!("{own:?} {:?}", plain(not_http.url()).call(&own).await);
    // A token, the secret that it was got with, and what its service says when it refuses that.
    let refused = json!({ "error": "invalid_client", "error_description": "secret-detail" });
    let tokens =
        [auth::tokens().await, Server::answering(answer(400, &[], &refused.to_string())).await];
    for tokens in tokens {
        let api = Server::answering(answer(401, &[], "secret-text")).await;
        text += &format!("{:?}", auth::salesforce(&api, &tokens).await.call(&query).await);
    }
    text += &logged.text();
    assert!(text.contains("the log is written"), "{text}");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// The log of a test.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
