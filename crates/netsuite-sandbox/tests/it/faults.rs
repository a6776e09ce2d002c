//! Faults, as their victim sees them.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::client::{Served, open};

#[tokio::test]
async fn drop_after_commit_saves_the_record_and_closes_the_connection_without_a_byte() {
    let served = Served::start(open()).await;
    served.inject("drop-after-commit:1").await;
    let error = served.upsert("o-1").send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    let report = served.report().await;
    assert_eq!((report.records_created, report.calls.len()), (1, 1));
    assert_eq!(report.calls[0].fault.as_deref(), Some("drop-after-commit"));
    assert_eq!(report.calls[0].status, 204);

    // The fault is used up, and the connection pool's next connection is a good one.
    assert_eq!(served.upsert("o-2").send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn commit_late_hides_the_record_at_first_and_holds_its_permit_to_the_end() {
    let served = Served::start(open()).await;
    served.inject("commit-late:1,by=300ms").await;
    served.upsert("o-1").send().await.unwrap_err();
    let (records, in_flight) = {
        let stats = served.sandbox.lock().unwrap().stats();
        (stats.records_created, stats.in_flight)
    };
    assert_eq!((records, in_flight), (0, 1));
    let deadline = Instant::now() + Duration::from_secs(5);
    while served.sandbox.lock().unwrap().stats().records_created == 0 {
        assert!(Instant::now() < deadline, "the late write never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.sandbox.lock().unwrap().stats().in_flight, 0);
}

#[tokio::test]
async fn errors_slowness_and_bursts_befall_the_calls_they_were_asked_for() {
    let served = Served::start(open()).await;
    let status = async |id: &str| served.upsert(id).send().await.unwrap().status().as_u16();
    served.inject("500:1").await;
    assert_eq!(status("a").await, 500);
    assert_eq!(served.report().await.records_created, 0);
    served.inject("500-after-commit:1").await;
    assert_eq!(status("a").await, 500);
    assert_eq!(served.report().await.records_created, 1);
    served.inject("429-burst:2").await;
    assert_eq!([status("b").await, status("b").await, status("b").await], [429, 429, 204]);
    served.inject("slow:1,by=200ms").await;
    let started = Instant::now();
    assert_eq!(status("c").await, 204);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

/// Status and code of an answer, in either form.
async fn told(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    let codes = [&body["o:errorDetails"][0]["o:errorCode"], &body["error"]["code"]];
    let code = codes.iter().find_map(|code| code.as_str()).unwrap_or_default().to_owned();
    (status, code)
}

#[tokio::test]
async fn an_error_comes_with_400_and_with_500_before_and_after_the_record_is_saved() {
    let served = Served::start(open()).await;
    let create = |n: usize| {
        let path = "/app/site/hosting/restlet.nl?script=customscript_create&deploy=1";
        let body =
            json!({"type": "customer", "companyName": "Acme", "externalId": format!("c-{n}")});
        served.request(Method::POST, path).json(&body)
    };
    let table = [
        ("400", 400, "USER_ERROR", 0),
        ("400-after-commit", 400, "USER_ERROR", 1),
        ("500", 500, "UNEXPECTED_ERROR", 0),
        ("500-after-commit", 500, "UNEXPECTED_ERROR", 1),
    ];
    for (n, (fault, status, code, saved)) in table.into_iter().enumerate() {
        for request in [served.upsert(&format!("o-{n}")), create(n)] {
            let before = served.report().await.records_created;
            served.inject(&format!("{fault}:1")).await;
            assert_eq!(told(request).await, (status, code.to_owned()), "{fault}");
            let report = served.report().await;
            assert_eq!(report.records_created - before, saved, "{fault}");
            assert_eq!(report.calls.last().unwrap().fault.as_deref(), Some(fault));
        }
    }
    served.inject("400:1").await;
    let read = served.request(Method::GET, "/services/rest/record/v1/salesOrder/eid:o-1");
    assert_eq!(told(read).await.0, 200, "reads are spared");
}

#[tokio::test]
async fn a_login_is_refused_late_and_nothing_is_done() {
    let served = Served::start(open()).await;
    served.inject("invalid-login:1,by=200ms").await;
    let started = Instant::now();
    assert_eq!(told(served.upsert("o-1")).await, (401, "INVALID_LOGIN".to_owned()));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(served.report().await.records_created, 0);
}

#[tokio::test]
async fn control_requests_need_no_content_type() {
    let served = Served::start(open()).await;
    let post = async |path: &str, body: &'static str| {
        let answer = served.request(Method::POST, path).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(post("/_sandbox/fault", r#"{"fault":"500:1"}"#).await.0, 204);
    assert_eq!(post("/_sandbox/seed", r#"{"type":"customer","count":2}"#).await.0, 204);
    let report = served.report().await;
    assert_eq!(report.records.get("customer"), Some(&2));
    assert_eq!(served.upsert("o-1").send().await.unwrap().status(), 500);
    for (path, body) in [("/_sandbox/fault", "500:1"), ("/_sandbox/seed", r#"{"count":2}"#)] {
        let (status, why) = post(path, body).await;
        assert!(status == 400 && why.contains("JSON"), "{path}: {status} {why}");
    }
}

#[tokio::test]
async fn the_readmes_control_requests_work_as_they_are_written() {
    let readme = include_str!("../../README.md");
    let served = Served::start(open()).await;
    let mut posted = 0;
    for line in readme.lines().filter(|line| line.starts_with("$ curl -d '")) {
        let (_, rest) = line.split_once("-d '").unwrap();
        let (body, address) = rest.split_once("' localhost:8080").unwrap();
        let request = served.request(Method::POST, address).body(body.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.send().await.unwrap().status(), 204, "{line}");
        posted += 1;
    }
    assert_eq!(posted, 2);
}
