//! Errors: every class from what NetSuite answers, every shape of body, and none of our secrets.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use slowlane_netsuite::{Class, Error, Invalid, Method, Place, Request};

use crate::checks::{an_error_body_is_survived_and_kept, error_of};

fn answer(status: u16, body: impl Into<Bytes>) -> http::Response<Bytes> {
    http::Response::builder().status(status).body(body.into()).unwrap()
}

fn coded(code: &str) -> String {
    json!({"title": "T", "o:errorDetails": [{"detail": "d", "o:errorCode": code}]}).to_string()
}

#[test]
fn each_signal_has_its_class() {
    use Class::{ChangedUnderUs, Rejected, Throttled, Unauthorized, Unknown};
    let cases = [
        (429, "CONCURRENCY_LIMIT_EXCEEDED", Throttled),
        (429, "USER_ERROR", Throttled),
        (400, "SSS_REQUEST_LIMIT_EXCEEDED", Throttled),
        (401, "INVALID_LOGIN", Unauthorized),
        (404, "NONEXISTENT_ID", Rejected),
        (400, "INVALID_CONTENT", Rejected),
        (400, "INVALID_REQUEST", Rejected),
        (403, "INSUFFICIENT_PERMISSION", Rejected),
        (405, "METHOD_NOT_ALLOWED", Rejected),
        (400, "A_CODE_OF_NEXT_YEAR", Rejected),
        (400, "RCRD_HAS_BEEN_CHANGED", ChangedUnderUs),
        (409, "RCRD_HAS_BEEN_CHANGED", ChangedUnderUs),
        (408, "", Unknown),
        (500, "UNEXPECTED_ERROR", Unknown),
        (502, "", Unknown),
        (503, "", Unknown),
        (504, "", Unknown),
        (302, "", Unknown),
    ];
    for (status, code, class) in cases {
        let error = error_of(answer(status, coded(code)));
        assert_eq!(error.class(), class, "{status} {code}");
        assert_eq!(error.is_safe_to_repeat(), class == Throttled, "a write: {status} {code}");
        assert!(error.has_code(code) && error.title() == Some("T"));
    }
}

#[test]
fn every_detail_keeps_its_place() {
    let details = json!([
        {"detail": "a", "o:errorCode": "A", "o:errorPath": "item.items[0].rate"},
        {"detail": "b", "o:errorCode": "B", "o:errorUrl": "/services/rest/record/v1/salesOrder/1"},
        {"detail": "b", "o:errorCode": "B", "o:urlPath": "salesOrder"},
        {"detail": "c", "o:errorCode": "C", "o:errorHeader": "Prefer"},
        {"detail": "d", "o:errorQueryParam": "limit"},
        {"o:errorCode": "E"},
    ]);
    let error = error_of(answer(400, json!({"o:errorDetails": details}).to_string()));
    let places: Vec<_> = error.details().iter().map(|detail| detail.place.clone()).collect();
    let place = |make: fn(String) -> Place, at: &str| Some(make(at.into()));
    assert_eq!(
        places,
        [
            place(Place::Body, "item.items[0].rate"),
            place(Place::Path, "/services/rest/record/v1/salesOrder/1"),
            place(Place::Path, "salesOrder"),
            place(Place::Header, "Prefer"),
            place(Place::QueryParam, "limit"),
            None
        ]
    );
    assert_eq!(
        error.to_string(),
        "PATCH salesOrder/1: rejected (400): A a (at item.items[0].rate of the body); \
         B b (at /services/rest/record/v1/salesOrder/1 of the path); B b (at salesOrder of the path); \
         C c (header Prefer); no code d (query parameter limit); E"
    );
}

#[test]
fn a_code_without_a_list_is_kept_too() {
    let body = json!({"title": "Too Many Requests", "o:errorCode": "USER_ERROR", "detail": "d"});
    let error = error_of(answer(400, body.to_string()));
    assert!(error.has_code("USER_ERROR"), "{error:?}");
    assert_eq!(error.details()[0].message, "d");
    assert_eq!(error_of(answer(400, json!({"detail": "d"}).to_string())).details(), []);
}

#[test]
fn a_wait_is_read_in_both_forms() {
    let wait = |value: &str| {
        let mut answer = answer(429, "");
        answer.headers_mut().insert("retry-after", value.parse().unwrap());
        error_of(answer).retry_after()
    };
    assert_eq!(wait("120"), Some(Duration::from_secs(120)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
    assert_eq!((wait("soon"), wait("-1")), (None, None));
}

#[test]
fn an_echoed_token_is_blacked_out() {
    let error =
        error_of(answer(400, r#"{"error": "you sent Bearer token-1", "title": "token-1"}"#));
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        error.body().unwrap().to_owned(),
        error.title().unwrap().to_owned(),
    ] {
        assert!(!shown.contains("token-1"), "{shown}");
    }
    assert!(error.body().unwrap().contains("[redacted]"));
}

#[test]
fn what_the_client_would_not_send_is_rejected_with_its_reason() {
    let invalid: Invalid = Request::new(Method::GET, "a/../b").unwrap_err();
    let error = Error::from(invalid.clone());
    assert_eq!(
        (error.class(), error.is_safe_to_repeat(), error.status()),
        (Class::Rejected, false, None)
    );
    assert!(
        error.to_string().contains(&invalid.to_string())
            && std::error::Error::source(&error).is_some()
    );
}

/// JSON that looks like an error body now and then.
fn json_value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("o:errorDetails".to_owned()),
        Just("o:errorCode".to_owned()),
        Just("detail".to_owned()),
        Just("error".to_owned()),
        Just("code".to_owned()),
        Just("message".to_owned()),
        Just("title".to_owned()),
        "[a-z]{0,4}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_bytes_are_survived_and_kept(status in 300u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        an_error_body_is_survived_and_kept(status, &body);
    }

    #[test]
    fn any_json_is_survived_and_every_detail_kept(status in 300u16..600, body in json_value()) {
        an_error_body_is_survived_and_kept(status, body.to_string().as_bytes());
    }
}
