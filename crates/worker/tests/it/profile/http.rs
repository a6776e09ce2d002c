//! The profile `http`: each row of its table, and what never happens.

use std::time::Duration;

use slowlane_lambda::clock::Clock;
use slowlane_policy::settle::Outcome;
use slowlane_worker::reqwest::{Url, redirect};
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Counted, Left, QueuedCall, Target as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{
    builder, call, changed, get, keyed, keyed_by_its_header, name, plain, post, succeeded, why,
    with_key,
};
use crate::server::{Server, answer, endless_head};

/// With a key, and a conflict that is one with what the API holds.
fn conflicting(url: Url) -> ProfiledApi {
    let conflict = |text: &str| with_key(text).replace("\"in_flight\"", "\"rejected\"");
    keyed_by_its_header(changed(conflict), &url).build().unwrap()
}

type Make = fn(Url) -> ProfiledApi;
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
        (plain, post, 503, &["retry-after: when it pleases"], "throttled"),
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
        (plain, post, 412, &[], "already exists"),
        (plain, get, 412, &[], "rejected"),
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
        (plain, get, 500, &[], "transient"),
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
async fn an_answer_says_what_is_left_of_limits_that_come_back_by_themselves() {
    let headers = [
        "ratelimit-policy: \"minute\";q=100;w=60, \"burst\";q=10",
        "ratelimit: \"minute\";r=3;t=30, \"burst\";r=9",
    ];
    let server = Server::answering(answer(200, &headers, "")).await;
    let response = succeeded(plain(server.url()).call(&get()).await);
    // Nobody knows when the burst is there again.
    let minute = Left {
        counted: Counted::Calls,
        left: 3,
        of: Some(100),
        resets_in: Duration::from_secs(30),
        evenly: false,
    };
    assert_eq!(response.left, [minute]);
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
        let eager = builder(&server.url())
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
        "authorization: Bearer secret-credential\r\n",
        "content-type: application/json\r\n",
        "\r\n\r\n{\"total\":1}",
    ] {
        assert!(request.contains(part), "{part} is missing: {request}");
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
        assert!(why.contains("POST or PATCH") && !why.contains("secret"), "{why}");
        assert_eq!(keyed.after_loss(&call), AfterLoss::Repeat, "{method}");
    }
}

#[test]
fn how_long_the_api_may_work_on_is_a_setting() {
    let base: Url = "https://api.example/".parse().unwrap();
    let call = post();
    assert_eq!(plain(base.clone()).settles_after(&call), Duration::from_secs(900));
    let quick = builder(&base).settles_after(Duration::from_secs(30)).build().unwrap();
    assert_eq!(quick.settles_after(&call), Duration::from_secs(30));
}
