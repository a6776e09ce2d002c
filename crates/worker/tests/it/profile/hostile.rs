//! Answers that cost as much as they can: memory stays bounded, and time is the call's own.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slowlane_policy::settle::Outcome;
use slowlane_worker::Target as _;
use slowlane_worker::profile::shipped;
use slowlane_worker::targets::profile::MAX_BODY_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::{auth, call, get, name, of, plain, post, succeeded};
use crate::server::{Server, answer, endless_head};

const JSON: &str = "content-type: application/json";

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

/// What this process has taken of memory at most, in bytes.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// A server whose every answer has 200 MB.
async fn flooding(status: u16) -> Server {
    Server::start(move |mut stream| async move {
        let (head, piece) = (endless_head(status, &[JSON]), [b'1'; 65_536]);
        let mut sent = stream.write_all(head.as_bytes()).await;
        for _ in 0..3_200 {
            if sent.is_err() {
                break;
            }
            sent = stream.write_all(&piece).await;
        }
    })
    .await
}

#[tokio::test]
async fn two_hundred_megabytes_cost_one() {
    let before = peak_memory_bytes();
    for (status, expected) in
        [(200, "succeeded"), (400, "rejected"), (401, "unauthorized"), (500, "unknown")]
    {
        let server = flooding(status).await;
        let outcome = plain(server.url()).call(&post()).await;
        assert_eq!(name(&outcome), expected);
    }
    // A token service and a call before the call are read no further either.
    let api = Server::answering(answer(200, &[], "")).await;
    let outcome = auth::salesforce(&api, &flooding(200).await).await.call(&post()).await;
    assert_eq!(name(&outcome), "unauthorized", "{outcome:?}");
    let service = flooding(200).await;
    let sap = of(shipped::get("sap-odata").unwrap(), &service.url()).auth("basic");
    let sap = sap.secret(r#"{"user":"u","password":"p"}"#).build().unwrap();
    let outcome = sap.call(&call("PATCH", "Orders('1')", None)).await;
    assert_eq!(name(&outcome), "transient", "{outcome:?}");
    assert_eq!(service.requests().len(), 1);
    let grown = peak_memory_bytes() - before;
    assert!(grown < 64 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn what_is_nested_ten_thousand_deep_is_text() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for (status, expected) in [(200, "succeeded"), (400, "rejected"), (500, "unknown")] {
        let server = Server::answering(answer(status, &[JSON], &deep)).await;
        let outcome = plain(server.url()).call(&post()).await;
        assert_eq!(name(&outcome), expected, "{outcome:?}");
        if let Outcome::Succeeded(response) = outcome {
            assert_eq!(response.body, Some(Value::from(deep.clone())));
        }
    }
}

#[tokio::test]
async fn a_byte_at_a_time_takes_the_calls_time_and_a_refusals_two_seconds() {
    let slowly = |status: u16| async move {
        Server::start(move |mut stream| async move {
            let text = endless_head(status, &[]) + &"x".repeat(1000);
            for (at, byte) in text.bytes().enumerate() {
                // The head comes soon, and what follows it a byte a second.
                let head = at < text.len() - 1000;
                tokio::time::sleep(Duration::from_millis(if head { 1 } else { 1000 })).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        })
        .await
    };
    let server = slowly(200).await;
    let cut_off = timeout(Duration::from_millis(500), plain(server.url()).call(&post())).await;
    assert!(cut_off.is_err());
    for (status, expected) in [(400, "rejected"), (429, "throttled"), (500, "unknown")] {
        let server = slowly(status).await;
        let outcome = timeout(Duration::from_secs(10), plain(server.url()).call(&post())).await;
        assert_eq!(name(&outcome.unwrap()), expected, "{status}");
    }
}
