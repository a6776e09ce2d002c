//! The HTTP target against a real socket: each row of its table, and what never happens.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slowlane_lambda::clock::Clock;
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{Outcome, Why};
use slowlane_worker::reqwest::header::{HeaderName, HeaderValue};
use slowlane_worker::reqwest::{Url, redirect};
use slowlane_worker::targets::http::{Builder, Http, MAX_BODY_BYTES};
use slowlane_worker::{AfterLoss, Target as _, TargetResponse};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::server::{Server, answer, endless_head};

const CREDENTIAL: &str = "secret-credential";

fn builder(base: Url) -> Builder {
    Http::builder(base)
        .header(HeaderName::from_static("x-api-key"), HeaderValue::from_static(CREDENTIAL))
        .client(|client| client.no_proxy())
}

fn plain(base: Url) -> Http {
    builder(base).build().unwrap()
}

fn keyed(base: Url) -> Http {
    builder(base).idempotency_header(HeaderName::from_static("idempotency-key")).build().unwrap()
}

fn conflicting(base: Url) -> Http {
    let builder = builder(base).idempotency_header(HeaderName::from_static("idempotency-key"));
    builder.conflict_is_rejection().build().unwrap()
}

fn call(method: &str, resource: &str, body: Option<Value>) -> QueuedCall {
    let mut request = json!({ "method": method, "resource": resource });
    if let Some(body) = body {
        request["body"] = body;
    }
    let call = json!({
        "version": "1.1",
        "task_token": "token",
        "priority": "HIGH",
        "idempotency_key": "order-1",
        "request": request,
        "enqueued_at": "2026-11-01T00:00:00Z",
        "deadline": "2026-11-02T00:00:00Z",
    });
    QueuedCall::parse(&call.to_string()).unwrap()
}

fn post() -> QueuedCall {
    call("POST", "orders", Some(json!({ "total": 1 })))
}

fn get() -> QueuedCall {
    call("GET", "orders/1", None)
}

fn succeeded(outcome: Outcome<TargetResponse>) -> TargetResponse {
    let Outcome::Succeeded(response) = outcome else { panic!("{outcome:?}") };
    response
}

fn name(outcome: &Outcome<TargetResponse>) -> &'static str {
    match outcome {
        Outcome::Succeeded(_) => "succeeded",
        Outcome::Rejected(_) => "rejected",
        Outcome::AlreadyExists(_) => "already exists",
        Outcome::Unauthorized(_) => "unauthorized",
        Outcome::Throttled { .. } => "throttled",
        Outcome::InFlight { .. } => "in flight",
        Outcome::Transient(_) => "transient",
        Outcome::Unknown(_) => "unknown",
    }
}

fn why(outcome: Outcome<TargetResponse>) -> Why {
    match outcome {
        Outcome::Rejected(why)
        | Outcome::AlreadyExists(why)
        | Outcome::Unauthorized(why)
        | Outcome::InFlight { why, .. }
        | Outcome::Transient(why)
        | Outcome::Unknown(why) => why,
        Outcome::Succeeded(_) | Outcome::Throttled { .. } => panic!("{outcome:?}"),
    }
}

type Make = fn(Url) -> Http;
/// To whom what is sent, the status and headers of the answer, and the outcome's name.
type Row<'a> = (Make, fn() -> QueuedCall, u16, &'a [&'a str], &'a str);

#[tokio::test]
async fn each_status_means_what_the_table_says() {
    let (plain, keyed, conflicting): (Make, Make, Make) = (plain, keyed, conflicting);
    let rows: &[Row<'_>] = &[
        (plain, get, 200, &[], "succeeded"),
        (plain, post, 201, &[], "succeeded"),
        (plain, post, 202, &[], "succeeded"),
        (plain, post, 204, &[], "succeeded"),
        (plain, post, 429, &[], "throttled"),
        (plain, post, 429, &["retry-after: 7"], "throttled"),
        (plain, post, 503, &["retry-after: 7"], "throttled"),
        (plain, post, 503, &["retry-after: Fri, 01 Jan 2027 00:00:00 GMT"], "throttled"),
        (plain, post, 503, &["retry-after: when it pleases"], "unknown"),
        (plain, post, 503, &[], "unknown"),
        (plain, post, 401, &[], "unauthorized"),
        (plain, post, 403, &[], "unauthorized"),
        (plain, post, 425, &[], "transient"),
        (plain, post, 408, &[], "unknown"),
        (plain, get, 408, &[], "unknown"),
        (plain, post, 400, &[], "rejected"),
        (plain, post, 404, &[], "rejected"),
        (plain, post, 409, &[], "rejected"),
        (keyed, post, 409, &[], "in flight"),
        (conflicting, post, 409, &[], "rejected"),
        (plain, post, 422, &[], "rejected"),
        (keyed, post, 422, &[], "rejected"),
        (plain, get, 301, &["location: /elsewhere"], "rejected"),
        (plain, get, 304, &[], "rejected"),
        (plain, post, 301, &["location: /elsewhere"], "unknown"),
        (plain, post, 302, &["location: /elsewhere"], "unknown"),
        (plain, post, 303, &["location: /elsewhere"], "unknown"),
        (plain, post, 307, &["location: /elsewhere"], "rejected"),
        (plain, post, 308, &["location: /elsewhere"], "rejected"),
        (plain, post, 500, &[], "unknown"),
        (plain, get, 500, &[], "unknown"),
        (plain, post, 502, &[], "unknown"),
        (plain, post, 504, &[], "unknown"),
        (plain, post, 599, &[], "unknown"),
    ];
    let mut wrong = Vec::new();
    for (make, call, status, headers, expected) in rows {
        let server = Server::answering(answer(*status, headers, "")).await;
        let call = call();
        let outcome = make(server.url()).call(&call).await;
        let sent = server.requests().len();
        if name(&outcome) != *expected || sent != 1 {
            let method = call.request.method;
            wrong.push(format!("{method} {status} {headers:?}: {outcome:?}, sent {sent} times"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_connection_that_is_lost_leaves_an_unknown() {
    let silent = Server::answering("").await;
    let outcome = plain(silent.url()).call(&post()).await;
    assert_eq!(name(&outcome), "unknown", "{outcome:?}");

    let half_a_head = Server::answering("HTTP/1.1 200 OK\r\ncontent-le").await;
    let outcome = plain(half_a_head.url()).call(&post()).await;
    assert_eq!(name(&outcome), "unknown", "{outcome:?}");

    let half_a_body =
        Server::answering("HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"id\"").await;
    let outcome = plain(half_a_body.url()).call(&post()).await;
    assert_eq!(name(&outcome), "unknown", "{outcome:?}");
    assert_eq!(why(outcome).status, Some(201));
}

#[tokio::test]
async fn a_refusal_whose_body_is_lost_is_still_a_refusal() {
    let broken =
        Server::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\nno").await;
    let outcome = plain(broken.url()).call(&post()).await;
    assert_eq!(name(&outcome), "rejected", "{outcome:?}");

    let slow = Server::start(|mut stream| async move {
        let head = endless_head(400, &[]);
        stream.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let http = plain(slow.url());
    let post = post();
    let outcome = timeout(Duration::from_secs(10), http.call(&post)).await;
    assert_eq!(name(&outcome.expect("a refusal's body is not waited for")), "rejected");
}

#[tokio::test]
async fn a_call_without_a_connection_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let outcome = plain(url).call(&post()).await;
    assert_eq!(name(&outcome), "transient", "{outcome:?}");
    let why = why(outcome).message;
    assert!(why.contains("refused"), "the chain of causes is told: {why}");
}

#[tokio::test]
async fn a_redirect_is_never_followed_whatever_the_client_is_told() {
    let elsewhere = Server::answering(answer(200, &[], "")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}?token=secret-of-the-redirect", elsewhere.url());
        let server = Server::answering(answer(status, &[&location], "")).await;
        let eager = builder(server.url())
            .client(|client| client.redirect(redirect::Policy::limited(10)))
            .build()
            .unwrap();
        for call in [get(), post()] {
            let outcome = eager.call(&call).await;
            let text = format!("{outcome:?}");
            assert!(text.contains("redirect"), "{status}: {text}");
            assert!(!text.contains("secret"), "{status}: {text}");
        }
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_resource_never_leaves_the_base_path_or_host() {
    let elsewhere = Server::answering(answer(200, &[], "")).await;
    let other = elsewhere.url().authority().to_owned();
    let server = Server::answering(answer(200, &[], "")).await;
    let http = keyed(server.url());
    let rows = [
        ("..".to_owned(), "dot segment"),
        ("../admin".to_owned(), "dot segment"),
        ("orders/../../admin".to_owned(), "dot segment"),
        ("./orders".to_owned(), "dot segment"),
        ("orders/.".to_owned(), "dot segment"),
        ("%2e%2e/admin".to_owned(), "dot segment"),
        ("%2E./admin".to_owned(), "dot segment"),
        ("orders/..%2f..%2fadmin".to_owned(), "dot segment"),
        ("orders/..%5c..%5cadmin".to_owned(), "dot segment"),
        ("%252e%252e/admin".to_owned(), "dot segment"),
        ("..;/admin".to_owned(), "dot segment"),
        ("..\\admin".to_owned(), "backslash"),
        ("\\\\other.example\\orders".to_owned(), "backslash"),
        (format!("//{other}/orders"), "host"),
        (format!("//user:password@{other}/orders"), "host"),
        (format!("http://{other}/orders"), "absolute URL"),
        (format!("http://user:password@{other}/orders"), "absolute URL"),
        (format!("HTTP:/{other}/orders"), "absolute URL"),
        ("orders#paid".to_owned(), "fragment"),
        ("orders?status=paid#top".to_owned(), "fragment"),
    ];
    let mut wrong = Vec::new();
    for (resource, expected) in rows {
        let outcome = http.call(&call("GET", &resource, None)).await;
        let named = matches!(&outcome, Outcome::Rejected(why) if why.message.contains(expected));
        if !named {
            wrong.push(format!("{resource}: {outcome:?}"));
        }
    }
    wrong.extend(server.requests());
    wrong.extend(elsewhere.requests());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_resource_below_the_base_path_arrives_as_it_is_written() {
    let rows = [
        ("orders/1", "/api/v1/orders/1"),
        ("/orders/1", "/api/v1/orders/1"),
        ("orders/1/", "/api/v1/orders/1/"),
        ("orders?status=paid&from=../x", "/api/v1/orders?status=paid&from=../x"),
        ("orders?back=https://shop.example/", "/api/v1/orders?back=https://shop.example/"),
        ("orders/a%2Fb", "/api/v1/orders/a%2Fb"),
        ("orders/a b", "/api/v1/orders/a%20b"),
        ("orders/...", "/api/v1/orders/..."),
        ("contacts/ada@example.com", "/api/v1/contacts/ada@example.com"),
        ("user:password@other.example/x", "/api/v1/user:password@other.example/x"),
        ("documents:search", "/api/v1/documents:search"),
        ("?status=paid", "/api/v1/?status=paid"),
    ];
    for (resource, expected) in rows {
        let server = Server::answering(answer(200, &[], "")).await;
        let outcome = plain(server.url()).call(&call("GET", resource, None)).await;
        assert_eq!(name(&outcome), "succeeded", "{resource}: {outcome:?}");
        let requests = server.requests();
        let target = requests[0].split(' ').nth(1).unwrap();
        assert_eq!(target, expected, "{resource}");
    }
}

#[tokio::test]
async fn a_body_and_an_idempotency_key_go_along() {
    let server = Server::answering(answer(200, &[], "")).await;
    succeeded(keyed(server.url()).call(&post()).await);
    let request = &server.requests()[0];
    for part in [
        "idempotency-key: order-1\r\n",
        "x-api-key: secret-credential\r\n",
        "content-type: application/json\r\n",
        "\r\n\r\n{\"total\":1}",
    ] {
        assert!(request.contains(part), "{part} is missing: {request}");
    }
}

#[tokio::test]
async fn an_answer_is_read_no_further_than_its_cap() {
    let row = format!(r#"{{"id":"77","rows":["{}"#, "x".repeat(64));
    let written = Arc::new(Mutex::new(0_usize));
    let count = written.clone();
    let endless = Server::start(move |mut stream| {
        let (count, start) = (count.clone(), row.clone());
        async move {
            let head = endless_head(201, &["content-type: application/json"]);
            stream.write_all((head + &start).as_bytes()).await.unwrap();
            let piece = [b'x'; 65_536];
            // The client's closing ends it; a client that reads on would read 256 MiB.
            for _ in 0..4_096 {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
                *count.lock().unwrap() += piece.len();
            }
        }
    })
    .await;
    let response = succeeded(plain(endless.url()).call(&post()).await);
    assert_eq!((response.status, response.id.as_deref()), (201, Some("77")));
    assert_eq!(response.body, None);
    let size = response.too_large_bytes.unwrap();
    assert!(size > MAX_BODY_BYTES as u64, "{size}");
    // What the sockets' buffers hold comes on top.
    let written = *written.lock().unwrap();
    assert!(written < 16 * MAX_BODY_BYTES, "{written} bytes were taken");
}

#[tokio::test]
async fn an_answer_that_says_how_large_it_is_is_taken_at_its_word() {
    let body = json!({ "rows": "x".repeat(3 * MAX_BODY_BYTES) }).to_string();
    let location = "location: /api/v1/orders/42";
    let server = Server::answering(answer(201, &[location], &body)).await;
    let response = succeeded(plain(server.url()).call(&post()).await);
    assert_eq!(response.id.as_deref(), Some("42"));
    assert_eq!(response.too_large_bytes, Some(body.len() as u64));
}

#[tokio::test]
async fn a_body_at_the_cap_is_whole() {
    let body = "x".repeat(MAX_BODY_BYTES);
    let server = Server::answering(answer(200, &["content-type: text/plain"], &body)).await;
    let response = succeeded(plain(server.url()).call(&get()).await);
    assert_eq!(response.too_large_bytes, None);
    assert_eq!(response.body, Some(Value::from(body)));
}

#[tokio::test]
async fn what_is_packed_is_counted_unpacked() {
    // 32 MiB of zeros.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..32 {
        packed.write_all(&[0; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < MAX_BODY_BYTES);
    let head = endless_head(200, &["content-encoding: gzip", "content-type: application/json"]);
    let server = Server::answering([head.as_bytes(), &packed].concat()).await;
    let response = succeeded(plain(server.url()).call(&get()).await);
    let size = response.too_large_bytes.unwrap();
    let cap = MAX_BODY_BYTES as u64;
    assert!((cap..=2 * cap).contains(&size), "{size} bytes were unpacked");

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(br#"{"id":"9"}"#).unwrap();
    let packed = packed.finish().unwrap();
    let server = Server::answering([head.as_bytes(), &packed].concat()).await;
    let response = succeeded(plain(server.url()).call(&get()).await);
    assert_eq!(response.body, Some(json!({ "id": "9" })));
}

#[tokio::test]
async fn a_slow_body_ends_with_the_time_of_the_call() {
    let (closed, client_left) = tokio::sync::oneshot::channel();
    let closed = Arc::new(Mutex::new(Some(closed)));
    let slow = Server::start(move |mut stream| {
        let closed = closed.clone();
        async move {
            stream.write_all(endless_head(200, &[]).as_bytes()).await.unwrap();
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            closed.lock().unwrap().take().unwrap().send(()).unwrap();
        }
    })
    .await;
    let http = plain(slow.url());
    let get = get();
    assert!(timeout(Duration::from_millis(200), http.call(&get)).await.is_err());
    // And nothing goes on behind the caller's back.
    timeout(Duration::from_secs(10), client_left).await.expect("the body is still read").unwrap();
}

/// What an API might say that nobody else may read. Nothing of this appears anywhere.
const SECRETS: [&str; 6] = [
    "secret-detail",
    "secret-instance",
    "secret-field",
    "secret-header",
    "secret-text",
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
        (
            "application/problem+json",
            problem.to_string(),
            "You do not have enough credit.",
            Some("out_of_credit"),
        ),
        ("application/json", json_error.to_string(), "application/json", Some("bad_email")),
        ("application/json", not_a_code.to_string(), "application/json", None),
        ("text/html; secret-header", "secret-text".repeat(9), "text/html, 99 bytes", None),
        ("secret header", "secret-text".to_owned(), "11 bytes", None),
    ];
    for status in [302, 400, 401, 408, 409, 425, 429, 500, 503] {
        for (content_type, body, shown, code) in &rows {
            let content_type = format!("content-type: {content_type}");
            let headers = [&content_type, "x-trace: secret-header", "location: /secret-header"];
            let server = Server::answering(answer(status, &headers, body)).await;
            let outcome = keyed(server.url()).call(&post()).await;
            let text = format!("{outcome:?}");
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
            if status != 429 {
                let why = why(outcome);
                assert_eq!((why.status, why.code.as_deref()), (Some(status), *code), "{text}");
                assert!(why.message.contains(&status.to_string()), "{text}");
                assert!(why.message.contains(shown), "{shown}: {text}");
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

#[tokio::test]
async fn an_answer_is_kept_whatever_its_type() {
    let rows: &[(&[&str], &str, Option<Value>)] = &[
        (&["content-type: application/json"], r#"{"a":[1]}"#, Some(json!({ "a": [1] }))),
        (&["content-type: Application/JSON; charset=utf-8"], "17", Some(json!(17))),
        (&["content-type: application/vnd.api+json"], "[]", Some(json!([]))),
        (&["content-type: application/json"], "no JSON", Some(json!("no JSON"))),
        (&["content-type: text/plain"], "hello", Some(json!("hello"))),
        (&["content-type: text/plain"], "0017", Some(json!("0017"))),
        (&["content-type: text/plain"], "17", Some(json!("17"))),
        (&["content-type: text/html"], r#" {"a":1}"#, Some(json!({ "a": 1 }))),
        (&["content-type: application/xml"], "<a/>", Some(json!("<a/>"))),
        (&[], r#"{"a":1}"#, Some(json!({ "a": 1 }))),
        (&[], "hello", Some(json!("hello"))),
        (&["content-type: application/json"], "", None),
    ];
    for (headers, body, expected) in rows {
        let server = Server::answering(answer(200, headers, body)).await;
        let response = succeeded(plain(server.url()).call(&get()).await);
        assert_eq!(response.body, *expected, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn an_id_is_found_in_the_body_or_the_location() {
    let rows = [
        ("", r#"{"id":"a-1"}"#, Some("a-1")),
        ("", r#"{"id":42}"#, Some("42")),
        ("", r#"{"id":-42}"#, Some("-42")),
        ("", r#"{"id":123456789012345678901234567890}"#, Some("123456789012345678901234567890")),
        ("location: /api/v1/orders/7", "", Some("7")),
        ("location: https://api.example/orders/7", "", Some("7")),
        ("location: orders/7/", "", Some("7")),
        ("location: /orders/7?expand=1#top", "", Some("7")),
        ("location: /orders/eid:order%201", "", Some("eid:order 1")),
        ("location: /orders/7", r#"{"id":"8"}"#, Some("8")),
        ("location: /orders/7", r#"{"id":null}"#, Some("7")),
        ("location: /orders/7", r#"{"id":{"of":"8"}}"#, Some("7")),
        ("location: /orders/7", r#"{"id":""}"#, Some("7")),
        ("location: /orders/7", r#"[{"id":"8"}]"#, Some("7")),
        ("location: /orders/7", "created", Some("7")),
        ("location: https://api.example", "", None),
        ("location: /", "", None),
        ("", r#"{"order":{"id":"8"}}"#, None),
        ("", "", None),
    ];
    for (header, body, expected) in rows {
        let headers: Vec<&str> = [header].into_iter().filter(|text| !text.is_empty()).collect();
        let server = Server::answering(answer(201, &headers, body)).await;
        let response = succeeded(plain(server.url()).call(&post()).await);
        assert_eq!(response.id.as_deref(), expected, "{header} {body}");
    }
}

#[tokio::test]
async fn the_wait_that_an_api_asks_for_is_read_in_both_forms() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT";
    let secs = |secs| Some(Duration::from_secs(secs));
    let rows: &[(&[&str], Option<Duration>)] = &[
        (&["retry-after: 120"], secs(120)),
        (&["retry-after: 0"], secs(0)),
        (&[date, "retry-after: Sun, 06 Nov 1994 08:51:37 GMT"], secs(120)),
        (&[date, "retry-after: Sunday, 06-Nov-94 08:51:37 GMT"], secs(120)),
        (&[date, "retry-after: Sun Nov  6 08:51:37 1994"], secs(120)),
        (&[date, "retry-after: Sun, 06 Nov 1994 08:00:00 GMT"], secs(0)),
    ];
    for status in [429, 503] {
        for (headers, expected) in rows {
            let server = Server::answering(answer(status, headers, "")).await;
            let outcome = plain(server.url()).call(&post()).await;
            assert_eq!(outcome, Outcome::Throttled { retry_after: *expected }, "{headers:?}");
        }
    }
    let server = Server::answering(answer(409, &["retry-after: 3"], "")).await;
    let outcome = keyed(server.url()).call(&post()).await;
    let Outcome::InFlight { retry_after, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(retry_after, secs(3));
    for headers in [&[] as &[&str], &["retry-after: -1"], &["retry-after: soon"]] {
        let server = Server::answering(answer(429, headers, "")).await;
        let outcome = plain(server.url()).call(&post()).await;
        assert_eq!(outcome, Outcome::Throttled { retry_after: None }, "{headers:?}");
    }
    // Without the server's own date the date is compared with our clock.
    let until = Clock::of(None).system_time() + Duration::from_secs(120);
    let header = format!("retry-after: {}", httpdate::fmt_http_date(until));
    let server = Server::answering(answer(429, &[&header], "")).await;
    let outcome = plain(server.url()).call(&post()).await;
    let Outcome::Throttled { retry_after: Some(wait) } = outcome else { panic!("{outcome:?}") };
    assert!((Duration::from_secs(100)..=Duration::from_secs(120)).contains(&wait), "{wait:?}");
}

#[test]
fn what_may_be_repeated_is_what_http_says_or_a_key() {
    let base: Url = "https://api.example/".parse().unwrap();
    let (plain, keyed) = (plain(base.clone()), keyed(base));
    for method in ["GET", "PUT", "DELETE"] {
        let call = call(method, "orders/1", None);
        assert_eq!(plain.after_loss(&call), AfterLoss::Repeat, "{method}");
    }
    for method in ["POST", "PATCH"] {
        let call = call(method, "orders/1?token=secret", None);
        let after = plain.after_loss(&call);
        let AfterLoss::Nothing(why) = &after else { panic!("{method}: {after:?}") };
        assert!(why.contains("orders/1") && !why.contains("secret"), "{why}");
        assert_eq!(keyed.after_loss(&call), AfterLoss::Repeat, "{method}");
    }
}

#[test]
fn how_long_the_api_may_work_on_is_a_setting() {
    let base: Url = "https://api.example/".parse().unwrap();
    let call = post();
    assert_eq!(plain(base.clone()).settles_after(&call), Duration::from_secs(900));
    let quick = builder(base).settles_after(Duration::from_secs(30)).build().unwrap();
    assert_eq!(quick.settles_after(&call), Duration::from_secs(30));
}

#[test]
fn a_base_that_is_none_is_refused_without_showing_it() {
    let rows = [
        ("ftp://api.example/", "`https://`"),
        ("data:text/plain,x", "`https://`"),
        ("http://api.example/hidden", "`https://`"),
        ("https://user:hidden@api.example/", "user name"),
        ("https://api.example/?key=hidden", "query"),
        ("https://api.example/#hidden", "fragment"),
    ];
    for (base, expected) in rows {
        let error = Http::builder(base.parse().unwrap()).build().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{base}: {text}");
        assert!(!text.contains("hidden"), "{base}: {text}");
    }
}
