//! Files in S3: what calls send as it is, and answers that no workflow's state holds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use serde_json::{Value, json};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::aws_config::retry::RetryConfig;
use slowlane_worker::aws_config::{BehaviorVersion, Region, SdkConfig, defaults};
use slowlane_worker::targets::profile::{MAX_KEPT_BYTES, MAX_SENT_BYTES, ProfiledApi};
use tokio::io::AsyncWriteExt as _;

use super::{builder, get, name, plain, queued, succeeded, why};
use crate::server::{Server, answer, endless_head};

const ETAG: &str = "\"9b2cf535\"";

/// S3, as far as one answer to everything needs it.
struct S3 {
    server: Server,
    says: Arc<Mutex<String>>,
}

impl S3 {
    async fn saying(says: String) -> Self {
        let says = Arc::new(Mutex::new(says));
        let player = says.clone();
        let server = Server::serving(move |_, mut stream| {
            let answer = player.lock().unwrap().clone();
            async move {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        S3 { server, says }
    }

    async fn holding(content: &str) -> Self {
        S3::saying(answer(200, &[&format!("etag: {ETAG}")], content)).await
    }

    async fn target(&self, api: &Server) -> ProfiledApi {
        let place = "s3://acme-files/crm".parse().unwrap();
        builder(&api.url()).files(&self.sdk().await, place).build().unwrap()
    }

    async fn sdk(&self) -> SdkConfig {
        defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", self.server.url().authority()))
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKID", "key", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .load()
            .await
    }
}

fn sending(s3: &str) -> QueuedCall {
    queued(json!({
        "method": "POST",
        "resource": "documents",
        "content": "binary",
        "body": { "s3": s3, "etag": ETAG, "content_type": "application/pdf" },
    }))
}

fn refused(status: u16, code: &str) -> String {
    answer(status, &[], &format!("<Error><Code>{code}</Code><Message>x</Message></Error>"))
}

#[tokio::test]
async fn a_file_is_sent_as_it_is() {
    let s3 = S3::holding("%PDF-1.7 {}").await;
    let api = Server::answering(answer(201, &["location: /documents/7"], "")).await;
    let call = sending("s3://acme-files/crm/in/a b.pdf");
    let response = succeeded(s3.target(&api).await.call(&call).await);
    assert_eq!(response.id.as_deref(), Some("7"));
    let asked = &s3.server.requests()[0];
    assert!(asked.starts_with("GET /acme-files/crm/in/a%20b.pdf HTTP/1.1\r\n"), "{asked}");
    for header in [
        format!("if-match: {ETAG}\r\n"),
        "/eu-central-1/s3/aws4_request".to_owned(),
        "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb924".to_owned(),
    ] {
        assert!(asked.contains(&header), "{header}: {asked}");
    }
    let sent = &api.requests()[0];
    assert!(sent.contains("content-type: application/pdf\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n%PDF-1.7 {}"), "{sent}");
}

#[tokio::test]
async fn a_file_that_is_not_to_be_had_is_not_sent() {
    let other = answer(200, &["etag: \"other\""], "content");
    let large = format!(
        "HTTP/1.1 200 \r\ncontent-length: {}\r\netag: {ETAG}\r\nconnection: close\r\n\r\nx",
        MAX_SENT_BYTES + 1
    );
    let broken = format!("HTTP/1.1 200 \r\ncontent-length: 9\r\netag: {ETAG}\r\n\r\nx");
    for (says, outcome, told) in [
        (refused(404, "NoSuchKey"), "rejected", "its file is not there"),
        (refused(403, "AccessDenied"), "rejected", "keeps it from the worker"),
        (refused(403, "InvalidObjectState"), "rejected", "restore it first"),
        (refused(412, "PreconditionFailed"), "rejected", "another content by now"),
        (other, "rejected", "another content by now"),
        (large, "rejected", "more than 52428800 bytes"),
        (broken, "transient", "S3 gave no answer"),
        (refused(403, "ExpiredToken"), "transient", "S3 answered 403, ExpiredToken"),
        (refused(503, "SlowDown"), "transient", "S3 answered 503, SlowDown"),
    ] {
        let s3 = S3::saying(says).await;
        let api = Server::answering(answer(201, &[], "")).await;
        let got = s3.target(&api).await.call(&sending("s3://acme-files/crm/secret-name")).await;
        assert_eq!(name(&got), outcome, "{got:?}");
        let message = why(got).message;
        assert!(message.contains(told), "{told}: {message}");
        assert!(!message.contains("secret-name"), "{message}");
        assert_eq!(api.requests(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_file_elsewhere_is_not_even_asked_for() {
    let s3 = S3::holding("content").await;
    let api = Server::answering(answer(201, &[], "")).await;
    let target = s3.target(&api).await;
    for elsewhere in ["s3://other/crm/a", "s3://acme-files/crm/../hr/a", "s3://acme-files/crm2/a"] {
        let outcome = target.call(&sending(elsewhere)).await;
        assert_eq!(name(&outcome), "rejected", "{outcome:?}");
        let message = why(outcome).message;
        assert!(message.contains("not below s3://acme-files/crm"), "{message}");
    }
    let mut no_pointer = sending("s3://acme-files/crm/a");
    no_pointer.request.body = Some(json!({ "s3": "s3://acme-files/crm/a" }));
    let outcome = target.call(&no_pointer).await;
    assert!(why(outcome).message.contains("`s3` and `etag`"));
    let outcome = plain(api.url()).call(&sending("s3://acme-files/crm/a")).await;
    assert!(why(outcome).message.contains("this deployment has no `files`"));
    assert_eq!((s3.server.requests(), api.requests()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn s3_has_half_of_the_calls_time() {
    let silent = Server::start(|stream| async {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let s3 = S3 { server: silent.await, says: Arc::default() };
    let api = Server::answering(answer(201, &[], "")).await;
    let longest = Duration::from_millis(400);
    let call = sending("s3://acme-files/crm/a");
    let outcome = s3.target(&api).await.call_within(&call, longest).await;
    let Outcome::Transient(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.message.contains("in 1") || why.message.contains("in 2"), "{}", why.message);
    assert_eq!(api.requests(), Vec::<String>::new());
}

/// What S3 got: the head of its request, and the body.
fn put(s3: &S3) -> (String, String) {
    let requests = s3.server.requests();
    let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn an_answer_that_no_state_holds_goes_to_a_file() {
    let json = "content-type: application/json";
    let rows = json!({ "id": 7, "rows": "x".repeat(300_000) }).to_string();
    let huge = json!({ "id": 7, "rows": "x".repeat(1_500_000) }).to_string();
    for (header, body) in [(json, rows), (json, huge)] {
        let s3 = S3::saying(answer(200, &[&format!("etag: {ETAG}")], "")).await;
        let api = Server::answering(answer(200, &[header], &body)).await;
        let response = succeeded(s3.target(&api).await.call(&get()).await);
        let file = response.file.unwrap();
        assert_eq!((file.bytes, file.etag.as_str()), (body.len() as u64, ETAG));
        assert_eq!(file.content_type.as_deref(), Some("application/json"));
        let key = file.s3.strip_prefix("s3://").unwrap();
        assert!(key.starts_with("acme-files/crm/answers/"), "{key}");
        assert_eq!((response.id.as_deref(), response.body), (Some("7"), None));
        assert_eq!((response.too_large_bytes, response.no_file), (None, None));
        let (head, put) = put(&s3);
        assert!(head.starts_with(&format!("PUT /{key} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("x-amz-checksum-sha256: "), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert!(put == body, "{} bytes", put.len());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_text_goes_to_a_file_and_a_text_does_not() {
    let pdf = b"HTTP/1.1 200 \r\ncontent-length: 6\r\ncontent-type: application/pdf\r\n\
                connection: close\r\n\r\n%PDF-\xff";
    let s3 = S3::saying(answer(200, &[&format!("etag: {ETAG}")], "")).await;
    let api = Server::answering(&pdf[..]).await;
    let file = succeeded(s3.target(&api).await.call(&get()).await).file.unwrap();
    assert_eq!((file.bytes, file.content_type.as_deref()), (6, Some("application/pdf")));
    assert!(put(&s3).1.starts_with("%PDF-"));
    // Without files all is as it was.
    let response = succeeded(plain(api.url()).call(&get()).await);
    assert_eq!((response.body, response.file), (Some(json!("%PDF-\u{fffd}")), None));

    let s3 = S3::saying(String::new()).await;
    let api = Server::answering(answer(200, &["content-type: text/plain"], "ä")).await;
    let response = succeeded(s3.target(&api).await.call(&get()).await);
    assert_eq!((response.body, response.file), (Some(Value::from("ä")), None));
    assert_eq!(s3.server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_was_executed_though_its_answer_is_in_no_file() {
    let large = answer(201, &["location: /orders/7"], &"x".repeat(1_200_000));
    let lies = large.replacen("1200000", "1300000", 1);
    let taken = answer(200, &[&format!("etag: {ETAG}")], "");
    for (says, api, told) in [
        (
            refused(403, "AccessDenied"),
            &large,
            "S3 did not take it: S3 answered 403, AccessDenied, x",
        ),
        (refused(404, "NoSuchBucket"), &large, "S3 answered 404, NoSuchBucket"),
        (taken, &lies, "its body broke off"),
    ] {
        let s3 = S3::saying(says).await;
        let api = Server::answering(api.clone()).await;
        let response = succeeded(s3.target(&api).await.call(&super::post()).await);
        assert_eq!((response.id.as_deref(), response.body, response.file), (Some("7"), None, None));
        assert_eq!(response.too_large_bytes, None);
        let why = response.no_file.unwrap();
        assert!(why.contains(told), "{told}: {why}");
        assert_eq!(api.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_beyond_the_cap_is_told_by_its_size() {
    let s3 = S3::saying(String::new()).await;
    let head =
        format!("HTTP/1.1 201 \r\nlocation: /orders/7\r\ncontent-length: {}\r\n", 1_u64 << 40);
    let announced = Server::answering(head + "\r\n" + &"x".repeat(1_200_000)).await;
    let response = succeeded(s3.target(&announced).await.call(&super::post()).await);
    assert_eq!((response.id.as_deref(), response.too_large_bytes), (Some("7"), Some(1 << 40)));

    let endless = Server::start(|mut stream| async move {
        let head = endless_head(201, &["location: /orders/7"]);
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    });
    let response = succeeded(s3.target(&endless.await).await.call(&super::post()).await);
    let size = response.too_large_bytes.unwrap();
    assert!((MAX_KEPT_BYTES..MAX_KEPT_BYTES + 1_000_000).contains(&size), "{size}");
    assert_eq!((response.file, response.no_file), (None, None));
    assert_eq!(s3.server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_is_told_in_time_though_its_file_is_not_ready() {
    let hangs = Server::start(|stream| async {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let s3 = S3 { server: hangs.await, says: Arc::default() };
    assert_eq!(*s3.says.lock().unwrap(), "");
    let api = Server::answering(answer(201, &[], &"x".repeat(400_000))).await;
    let longest = Duration::from_millis(1_500);
    let call = super::post();
    let target = s3.target(&api).await;
    let outcome = tokio::time::timeout(longest, target.call_within(&call, longest)).await;
    let response = succeeded(outcome.unwrap());
    assert_eq!(response.no_file.as_deref(), Some("there was no time to write it to S3"));
}
