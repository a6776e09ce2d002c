//! Permits, and what the report says of them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use slowlane_netsuite_sandbox::{Latency, Settings};

use crate::client::{Served, open};

#[tokio::test]
async fn the_call_beyond_the_limit_is_answered_429_in_netsuites_form() {
    let latency = Latency::Fixed(Duration::from_secs(60));
    let served = Served::start(Settings { limit: 2, latency, ..open() }).await;
    let [a, b] = ["a", "b"].map(|id| tokio::spawn(served.upsert(id).send()));
    served.until_in_flight(2).await;
    let refused = served.upsert("c").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["o:errorCode"], "USER_ERROR");
    assert_eq!(error["o:errorDetails"][0]["o:errorCode"], "CONCURRENCY_LIMIT_EXCEEDED");
    let report = served.report().await;
    assert_eq!(
        (report.limit, report.max_concurrency, report.http_429, report.requests),
        (2, 2, 1, 3)
    );

    // Callers who hang up do not stop their calls, nor get their permits back.
    a.abort();
    b.abort();
    assert!(a.await.is_err() && b.await.is_err());
    assert_eq!(served.upsert("c").send().await.unwrap().status(), 429);
    assert_eq!(served.sandbox.lock().unwrap().stats().in_flight, 2);
}

#[tokio::test]
async fn a_rate_refuses_what_comes_too_soon_though_permits_are_free() {
    let rates = vec!["1/1h".parse().unwrap()];
    let served = Served::start(Settings { rates, ..open() }).await;
    assert_eq!(served.upsert("a").send().await.unwrap().status(), 204);
    assert_eq!(served.upsert("b").send().await.unwrap().status(), 429);
    let report = served.report().await;
    assert_eq!((report.max_concurrency, report.http_429), (1, 1));
}

#[tokio::test]
async fn a_call_takes_its_time_and_no_less() {
    let latency = Latency::Fixed(Duration::from_millis(200));
    let served = Served::start(Settings { latency, ..open() }).await;
    let before = Instant::now();
    assert_eq!(served.upsert("a").send().await.unwrap().status(), 204);
    assert!(before.elapsed() >= Duration::from_millis(200));
    let report = served.report().await;
    let took = report.calls[0].end_ms - report.calls[0].start_ms;
    assert!(took >= 199.999, "a call of 200 ms took {took} ms");
}

#[tokio::test]
async fn the_report_repeats_what_the_caller_said_of_a_call() {
    let served = Served::start(open()).await;
    let answer = served
        .upsert("o-1")
        .header("x-slowlane-enqueued-at", "2026-11-21T11:00:00.123Z")
        .header("x-slowlane-priority", "HIGH")
        .header("x-slowlane-idempotency-key", "order-1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("{}/services/rest/record/v1/salesOrder/1001", served.base_url));

    let report = served.report().await;
    let [call] = report.calls.as_slice() else {
        panic!("one call was made, not {:?}", report.calls)
    };
    assert_eq!((call.method.as_str(), call.resource.as_str()), ("PUT", "salesOrder/eid:o-1"));
    assert_eq!(call.external_id.as_deref(), Some("o-1"));
    assert_eq!(call.enqueued_at_ms, Some(1_795_258_800_123.0));
    assert_eq!(
        (call.priority.as_deref(), call.idempotency_key.as_deref()),
        (Some("HIGH"), Some("order-1"))
    );
    assert_eq!((call.status, call.fault.as_deref()), (204, None));
    assert_eq!(report.records.get("salesOrder"), Some(&1));

    let stats: Value =
        served.request(Method::GET, "/_sandbox/stats").send().await.unwrap().json().await.unwrap();
    assert_eq!((&stats["in_flight"], stats.get("calls")), (&Value::from(0), None));
    served.request(Method::POST, "/_sandbox/reset").send().await.unwrap();
    let report = served.report().await;
    assert_eq!((report.requests, report.calls.len(), report.records.len()), (0, 0, 0));
}
