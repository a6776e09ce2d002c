//! Permits, and what the report says of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use slowlane_netsuite_sandbox::{Latency, Settings};

use crate::client::{Served, open};

#[tokio::test]
async fn the_call_beyond_the_limit_is_answered_429_in_netsuites_form() {
    let latency = Latency::Fixed(Duration::from_millis(300));
    let served = Served::start(Settings { limit: 2, latency, ..open() }).await;
    let call = |id: &'static str| served.upsert(id).send();
    let (a, b, c) = tokio::join!(call("a"), call("b"), call("c"));
    let answers = [a.unwrap(), b.unwrap(), c.unwrap()];
    let mut statuses = answers.each_ref().map(|answer| answer.status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 204, 429]);
    let refused = answers.into_iter().find(|answer| answer.status() == 429).unwrap();
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["o:errorCode"], "USER_ERROR");
    assert_eq!(error["o:errorDetails"][0]["o:errorCode"], "CONCURRENCY_LIMIT_EXCEEDED");

    let report = served.report().await;
    assert_eq!((report.limit, report.max_concurrency, report.http_429), (2, 2, 1));
    assert_eq!((report.requests, report.records_created, report.duplicate_effects), (3, 2, 0));
    for call in &report.calls {
        let took = call.end_ms - call.start_ms;
        assert!((300.0..450.0).contains(&took), "a call of 300 ms took {took} ms");
    }
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
