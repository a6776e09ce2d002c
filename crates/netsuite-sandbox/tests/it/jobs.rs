//! Asynchronous requests and batches.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use slowlane_netsuite_sandbox::{Begun, Finished, Latency, Sandbox, Settings};

use crate::client::{Served, open};

const CUSTOMERS: &str = "/services/rest/record/v1/customer";

async fn submit(
    served: &Served,
    method: Method,
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> Response {
    let mut request = served.request(method, path).header("prefer", "respond-async");
    if let Some(key) = key {
        request = request.header("X-NetSuite-idempotency-key", key);
    }
    if body.get("items").is_some() {
        request =
            request.header("content-type", "application/vnd.oracle.resource+json; type=collection");
    }
    request.json(body).send().await.unwrap()
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn get(served: &Served, url: &str) -> (u16, Value) {
    let answer = served.http.get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Asks after a job until it has ended.
async fn ended(served: &Served, job: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (status, body) = get(served, job).await;
        assert_eq!(status, 200);
        if body["completed"] == true {
            return body;
        }
        assert!(Instant::now() < deadline, "the job never ended: {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_job_is_handed_in_and_keeps_its_answer() {
    let served = Served::start(open()).await;
    let accepted =
        submit(&served, Method::POST, CUSTOMERS, &json!({"companyName": "Acme"}), None).await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.headers()["preference-applied"], "respond-async");
    let job = location(&accepted);
    let body = ended(&served, &job).await;
    assert_eq!((&body["progress"], &body["id"]), (&json!("succeeded"), &json!("1")));
    let (_, tasks) = get(&served, &format!("{job}/task")).await;
    assert_eq!(
        (&tasks["totalResults"], &tasks["items"][0]["progress"]),
        (&json!(1), &json!("succeeded"))
    );
    let result = served.http.get(format!("{job}/task/1/result")).send().await.unwrap();
    assert_eq!(result.status(), 204);
    assert!(location(&result).ends_with("/customer/1001"));
    let report = served.report().await;
    assert_eq!((report.records_created, report.duplicate_effects), (1, 0));
}

/// In the core, whose time the test rules.
#[test]
fn jobs_run_one_after_another_and_write_when_they_end() {
    let mut sandbox =
        Sandbox::new(Settings { latency: Latency::Fixed(Duration::from_secs(2)), ..open() });
    let start = Duration::from_secs(1_795_255_200);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut send = |request: http::request::Builder, body: &'static str, now: Duration| {
        let request = request.body(bytes::Bytes::from_static(body.as_bytes())).unwrap();
        let Begun::Admitted(call) = sandbox.begin(request, now) else { panic!("a permit is free") };
        let end = call.finish_at();
        let Finished::Answer(answer) = sandbox.finish(call, end) else {
            panic!("no fault was asked for")
        };
        (end, answer, sandbox.report().records_created)
    };
    let submit = || http::Request::post(CUSTOMERS).header("prefer", "respond-async");
    for _ in 0..2 {
        let (end, answer, _) = send(submit(), "{}", start);
        assert_eq!((end, answer.status().as_u16()), (start, 202), "handing in takes no time");
    }
    let mut progress = |job: u64, now: Duration| {
        // The question itself takes its two seconds.
        let path = format!("/services/rest/async/v1/job/{job}");
        let (_, answer, created) = send(http::Request::get(path), "", now - Duration::from_secs(2));
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (body["progress"].as_str().unwrap().to_owned(), body["completed"] == true, created)
    };
    assert_eq!(progress(2, at(1)), ("pending".to_owned(), false, 0));
    assert_eq!(progress(1, at(1)), ("processing".to_owned(), false, 0));
    assert_eq!(progress(1, at(2)), ("succeeded".to_owned(), true, 1));
    assert_eq!(progress(2, at(3)), ("processing".to_owned(), false, 1));
    assert_eq!(progress(2, at(4)), ("succeeded".to_owned(), true, 2));
}

#[tokio::test]
async fn an_idempotency_key_starts_one_job() {
    let served = Served::start(open()).await;
    let body = json!({"companyName": "Acme"});
    let first = submit(&served, Method::POST, CUSTOMERS, &body, Some("cac827ea")).await;
    let again = submit(&served, Method::POST, CUSTOMERS, &body, Some("cac827ea")).await;
    assert_eq!((first.status().as_u16(), again.status().as_u16()), (202, 400));
    assert_eq!(location(&first), location(&again));
    let error: Value = again.json().await.unwrap();
    assert_eq!(error["o:errorDetails"][0]["o:errorCode"], "IDEMPOTENCY_ERROR");
    ended(&served, &location(&first)).await;
    assert_eq!(served.report().await.records_created, 1);
}

#[tokio::test]
async fn a_batch_has_a_task_for_each_record_and_bad_ones_do_not_stop_good_ones() {
    let served = Served::start(open()).await;
    let items = json!({"items": [
        {"externalId": "c-1", "companyName": "One"},
        {"externalId": "c-2", "creditLimit": "much"},
        {"externalId": "c-3", "companyName": "Three"},
    ]});
    let job = location(&submit(&served, Method::PUT, CUSTOMERS, &items, Some("k1")).await);
    assert_eq!(ended(&served, &job).await["progress"], "failed");
    let (_, tasks) = get(&served, &format!("{job}/task")).await;
    let progress: Vec<_> =
        tasks["items"].as_array().unwrap().iter().map(|task| &task["progress"]).collect();
    assert_eq!(progress, ["succeeded", "failed", "succeeded"]);
    let (status, error) = get(&served, &format!("{job}/task/2/result")).await;
    assert_eq!((status, &error["o:errorDetails"][0]["o:errorPath"]), (400, &json!("creditLimit")));

    let patch =
        json!({"items": [{"id": "1001", "comments": "x"}, {"externalId": "c-3", "comments": "y"}]});
    let job = location(&submit(&served, Method::PATCH, CUSTOMERS, &patch, None).await);
    assert_eq!(ended(&served, &job).await["progress"], "succeeded");
    let job = location(
        &submit(
            &served,
            Method::DELETE,
            &format!("{CUSTOMERS}?ids=1001,eid:c-3"),
            &json!({}),
            None,
        )
        .await,
    );
    assert_eq!(ended(&served, &job).await["progress"], "succeeded");
    let report = served.report().await;
    assert_eq!(
        (report.records_created, report.duplicate_effects, report.records["customer"]),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn batches_are_refused_when_they_are_not_async_too_big_or_unnamed() {
    let served = Served::start(open()).await;
    let status = async |method: Method, body: Value| {
        let answer = submit(&served, method, CUSTOMERS, &body, None).await;
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["o:errorDetails"][0]["o:errorPath"].clone())
    };
    let many: Vec<Value> = (0..101).map(|_| json!({})).collect();
    assert_eq!(status(Method::POST, json!({"items": many})).await, (400, Value::Null));
    assert_eq!(status(Method::POST, json!({"items": []})).await, (400, Value::Null));
    assert_eq!(
        status(Method::PUT, json!({"items": [{"id": "1"}]})).await,
        (400, json!("items[0].externalId"))
    );
    assert_eq!(status(Method::PATCH, json!({"items": [{}]})).await, (400, json!("items[0].id")));
    let sync = served
        .request(Method::POST, CUSTOMERS)
        .header("content-type", "application/vnd.oracle.resource+json; type=collection")
        .body(json!({"items": [{}]}).to_string());
    assert_eq!(sync.send().await.unwrap().status(), 400);
    assert_eq!(
        get(&served, &format!("{}/services/rest/async/v1/job/7", served.base_url)).await.0,
        404
    );
}
