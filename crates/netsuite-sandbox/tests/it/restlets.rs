//! RESTlets and their own form of errors.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use slowlane_netsuite_sandbox::{Latency, Settings};

use crate::client::{Served, open};

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn path(script: &str) -> String {
    format!("/app/site/hosting/restlet.nl?script={script}&deploy=1")
}

#[tokio::test]
async fn scripts_answer_throw_and_catch() {
    let served = Served::start(open()).await;
    let echo = served.request(Method::GET, &format!("{}&a=b", path("1")));
    assert_eq!(
        answer(echo).await,
        (200, json!({"method": "GET", "params": {"a": "b"}, "body": null}))
    );
    let echo = served.request(Method::POST, &path("customscript_echo")).json(&json!({"x": 1}));
    assert_eq!(answer(echo).await.1["body"], json!({"x": 1}));
    let (status, body) = answer(served.request(Method::GET, &path("2"))).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("SSS_MISSING_REQD_ARGUMENT")));
    let (status, body) = answer(served.request(Method::GET, &path("3"))).await;
    assert_eq!((status, &body["error"]["code"]), (200, &json!("RCRD_DSNT_EXIST")));
    let create = served
        .request(Method::POST, &path("4"))
        .json(&json!({"type": "customer", "companyName": "Acme"}));
    assert_eq!(answer(create).await, (200, json!({"id": "1001"})));
    assert_eq!(served.report().await.records_created, 1);

    let (status, body) = answer(served.request(Method::GET, &path("99"))).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("SSS_INVALID_SCRIPTLET_ID")));
    assert_eq!(answer(served.request(Method::GET, &path("1")).body("x")).await.0, 400);
    let xml =
        served.request(Method::POST, &path("1")).header("content-type", "text/xml").body("<a/>");
    assert_eq!(answer(xml).await.0, 415);
}

#[tokio::test]
async fn refusals_have_the_form_of_restlets() {
    let latency = Latency::Fixed(Duration::from_secs(60));
    let served = Served::start(Settings { limit: 1, latency, ..open() }).await;
    let running = tokio::spawn(served.request(Method::GET, &path("1")).send());
    served.until_in_flight(1).await;
    let (status, body) = answer(served.request(Method::GET, &path("1"))).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("SSS_REQUEST_LIMIT_EXCEEDED")));
    running.abort();
    assert_eq!(served.report().await.http_429, 1);

    let closed = Served::start(Settings { open: false, ..open() }).await;
    let (status, body) = answer(closed.request(Method::GET, &path("1"))).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("INVALID_LOGIN_ATTEMPT")));
}
