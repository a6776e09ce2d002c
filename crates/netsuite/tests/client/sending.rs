//! One request: what goes out and what comes back.

use std::time::Duration;

use serde_json::json;
use slowlane_netsuite::{Class, Method, RecordId, Request, StatusCode, TransportError};

use crate::support::{empty, json as json_answer, raw, refusal, scripted};

fn put() -> Request {
    Request::new(Method::PUT, "salesOrder/eid:o-1").unwrap()
}

#[tokio::test]
async fn a_write_goes_out_whole_and_its_location_comes_back() {
    let (builder, log) = scripted(|_| async {
        let mut answer = empty(204);
        answer
            .headers_mut()
            .insert("location", "https://x/services/rest/record/v1/salesOrder/17".parse().unwrap());
        answer.headers_mut().insert("x-n-operationid", "op-9".parse().unwrap());
        Ok(answer)
    });
    let client = builder.build().unwrap();
    let request = put()
        .json(&json!({"memo": "ä"}))
        .unwrap()
        .query("replace", "item,a b")
        .header("x-mine", "1")
        .unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status, StatusCode::NO_CONTENT);
    assert_eq!(
        (response.id.as_ref().map(RecordId::as_str), response.request_id.as_deref()),
        (Some("17"), Some("op-9"))
    );
    assert_eq!(response.body, None);

    let sent = &log.calls()[0];
    assert_eq!(sent.method(), Method::PUT);
    assert_eq!(
        sent.uri().to_string(),
        "https://123-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/salesOrder/eid:o-1?replace=item%2Ca%20b"
    );
    assert_eq!(sent.headers()["authorization"], "Bearer token-1");
    assert!(sent.headers()["authorization"].is_sensitive());
    assert_eq!(sent.headers()["content-type"], "application/json");
    assert_eq!(sent.headers()["x-mine"], "1");
    assert_eq!(sent.body().as_ref(), r#"{"memo":"ä"}"#.as_bytes());
}

#[tokio::test]
async fn the_fate_of_an_unanswered_request_depends_on_whether_it_left() {
    let never = |_| async { Err(TransportError::NotSent("no route".into())) };
    let lost = |_| async { Err(TransportError::MaybeSent("reset".into())) };
    let (builder, _) = scripted(never);
    let error = builder.build().unwrap().send(put()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::NotSent, true));
    assert_eq!(
        error.to_string(),
        "PUT salesOrder/eid:o-1: not_sent: the request was not sent: no route"
    );
    let (builder, _) = scripted(lost);
    let client = builder.build().unwrap();
    let error = client.send(put()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, false));
    let error = client.send(put().repeatable()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, true));
    let error = client.send(Request::new(Method::GET, "salesOrder/1").unwrap()).await.unwrap_err();
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_in_time_leaves_the_fate_unknown() {
    let (builder, _) = scripted(|_| std::future::pending());
    let client = builder.answer_timeout(Duration::from_secs(7)).build().unwrap();
    let start = tokio::time::Instant::now();
    let error = client.send(put()).await.unwrap_err();
    assert_eq!((error.class(), start.elapsed()), (Class::Unknown, Duration::from_secs(7)));
    let start = tokio::time::Instant::now();
    let error = client.send(put().deadline(start + Duration::from_secs(2))).await.unwrap_err();
    assert_eq!((error.class(), start.elapsed()), (Class::Unknown, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_the_request_left_says_so() {
    let client = raw(|_| std::future::pending()).build().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
    let error = client.send(put().deadline(deadline)).await.unwrap_err();
    assert_eq!(
        (error.class(), error.is_safe_to_repeat()),
        (Class::NotSent, true),
        "only the token request was out"
    );
}

#[tokio::test]
async fn an_error_keeps_all_that_netsuite_said() {
    let (builder, _) = scripted(|_| async {
        let mut answer = refusal(400, &["INVALID_CONTENT", "A_CODE_OF_NEXT_YEAR"]);
        answer.headers_mut().insert("retry-after", "3".parse().unwrap());
        answer.headers_mut().insert("x-n-operationid", "op-9".parse().unwrap());
        Ok(answer)
    });
    let error = builder.build().unwrap().send(put()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "the second code may be a script's");
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert!(error.has_code("INVALID_CONTENT") && error.has_code("A_CODE_OF_NEXT_YEAR"));
    assert_eq!(
        (error.request_id(), error.retry_after()),
        (Some("op-9"), Some(Duration::from_secs(3)))
    );
    assert_eq!(
        error.to_string(),
        "PUT salesOrder/eid:o-1: unknown (400): INVALID_CONTENT it is INVALID_CONTENT; \
         A_CODE_OF_NEXT_YEAR it is A_CODE_OF_NEXT_YEAR [request op-9]"
    );
}

#[test]
fn a_path_cannot_lead_elsewhere() {
    for path in [
        "",
        "/x",
        "a//b",
        "a/../b",
        "..",
        "a?b=c",
        "a#b",
        "a b",
        "a%2fb",
        "https://evil",
        "a\\b",
        "é",
    ] {
        assert!(Request::new(Method::GET, path).is_err(), "{path:?} was taken");
    }
    for header in ["Authorization", "host", "content-length", "bad name"] {
        assert!(put().header(header, "x").is_err(), "{header:?} was taken");
    }
    assert!(put().header("x-a", "line\r\nbreak").is_err());
}

#[tokio::test]
async fn a_body_that_is_not_json_comes_as_text() {
    let (builder, _) = scripted(|_| async {
        Ok(http::Response::builder().status(200).body("plain".into()).unwrap())
    });
    let response =
        builder.build().unwrap().send(Request::new(Method::GET, "x").unwrap()).await.unwrap();
    assert_eq!(response.body, Some(json!("plain")));
    let (builder, _) = scripted(|_| async { Ok(json_answer(200, json!({"id": "1"}))) });
    let response =
        builder.build().unwrap().send(Request::new(Method::GET, "x").unwrap()).await.unwrap();
    assert_eq!(response.body, Some(json!({"id": "1"})));
}
