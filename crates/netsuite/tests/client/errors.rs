//! Errors: every class from what NetSuite answers, every shape of body, and none of our secrets.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use slowlane_netsuite::{Class, Error, Invalid, Method, Place, Request, Service};

use crate::checks::{an_error_body_is_survived_and_kept, error_of, error_of_request};

fn answer(status: u16, body: impl Into<Bytes>) -> http::Response<Bytes> {
    http::Response::builder().status(status).body(body.into()).unwrap()
}

fn coded(code: &str) -> String {
    json!({"title": "T", "o:errorDetails": [{"detail": "d", "o:errorCode": code}]}).to_string()
}

#[test]
fn each_signal_has_its_class() {
    use Class::{AlreadyExists, ChangedUnderUs, Rejected, Throttled, Unauthorized, Unknown};
    let cases = [
        (429, "CONCURRENCY_LIMIT_EXCEEDED", Throttled),
        (429, "USER_ERROR", Throttled),
        (400, "SSS_REQUEST_LIMIT_EXCEEDED", Throttled),
        (401, "INVALID_LOGIN", Unauthorized),
        (404, "NONEXISTENT_ID", Rejected),
        (400, "INVALID_CONTENT", Rejected),
        (400, "INVALID_REQUEST", Rejected),
        (400, "INVALID_PARAMETER", Rejected),
        (400, "INVALID_HEADER", Rejected),
        (400, "INVALID_ID", Rejected),
        (400, "IDEMPOTENCY_ERROR", Rejected),
        (403, "INSUFFICIENT_PERMISSION", Rejected),
        (404, "", Rejected),
        (405, "METHOD_NOT_ALLOWED", Rejected),
        (415, "", Rejected),
        (400, "USER_ERROR", Unknown),
        (400, "A_CODE_OF_NEXT_YEAR", Unknown),
        (400, "", Unknown),
        (409, "A_CODE_OF_NEXT_YEAR", Unknown),
        (400, "DUP_RCRD", AlreadyExists),
        (400, "DUP_ENTITY", AlreadyExists),
        (400, "UNIQUE_CUST_ID_REQD", AlreadyExists),
        (400, "INVALID_KEY_OR_REF", Unknown),
        (400, "RCRD_HAS_BEEN_CHANGED", ChangedUnderUs),
        (409, "RCRD_HAS_BEEN_CHANGED", ChangedUnderUs),
        (408, "", Unknown),
        (500, "UNEXPECTED_ERROR", Unknown),
        (500, "INVALID_CONTENT", Unknown),
        (500, "DUP_RCRD", Unknown),
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

/// A read has no effect to be unsure of: what is refused is refused.
#[test]
fn a_refused_read_is_rejected_whatever_its_code() {
    let query = Request::to(Service::Query, Method::POST, "suiteql").unwrap().repeatable();
    let get = Request::new(Method::GET, "salesOrder/1").unwrap();
    for request in [get, query] {
        for (status, code, class) in [
            (400, "USER_ERROR", Class::Rejected),
            (400, "A_CODE_OF_NEXT_YEAR", Class::Rejected),
            (400, "DUP_RCRD", Class::Rejected),
            (409, "", Class::Rejected),
            (429, "", Class::Throttled),
            (401, "INVALID_LOGIN", Class::Unauthorized),
            (408, "", Class::Unknown),
            (500, "", Class::Unknown),
        ] {
            let error = error_of_request(request.clone(), answer(status, coded(code)));
            assert_eq!(error.class(), class, "{error}");
        }
    }
    // Declaring a write repeatable does not make it a read.
    let put = Request::new(Method::PUT, "salesOrder/eid:o-1").unwrap().repeatable();
    let error = error_of_request(put, answer(400, coded("USER_ERROR")));
    assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, true));
}

#[test]
fn a_refusal_that_points_into_the_request_was_not_executed() {
    let of = |details: Value| error_of(answer(400, json!({"o:errorDetails": details}).to_string()));
    let placed =
        json!({"detail": "d", "o:errorCode": "USER_ERROR", "o:errorPath": "expense.items[2]"});
    let plain = json!({"detail": "d", "o:errorCode": "USER_ERROR"});
    let known = json!({"detail": "d", "o:errorCode": "INVALID_CONTENT"});
    assert_eq!(of(json!([placed])).class(), Class::Rejected);
    assert_eq!(of(json!([placed, known])).class(), Class::Rejected);
    // One that may be a script's own makes the whole answer one.
    assert_eq!(of(json!([placed, plain])).class(), Class::Unknown);
    assert_eq!(of(json!([])).class(), Class::Unknown);
    assert_eq!(error_of(answer(400, "<html>")).class(), Class::Unknown);
}

#[test]
fn a_record_that_exists_is_known_by_its_code_or_by_netsuites_words() {
    let of = |code: &str, detail: &str| {
        let body = json!({"o:errorDetails": [{"detail": detail, "o:errorCode": code}]});
        error_of(answer(400, body.to_string())).class()
    };
    for code in ["DUP_RCRD", "DUP_ITEM", "DUP_VENDOR_NAME", "UNIQUE_RCRD_ID_REQD"] {
        assert_eq!(of(code, ""), Class::AlreadyExists, "{code}");
    }
    let entity = "Error while accessing a resource. This entity already exists.";
    let record = "Error while accessing a resource. This record already exists.";
    assert_eq!(of("USER_ERROR", entity), Class::AlreadyExists);
    assert_eq!(of("USER_ERROR", record), Class::AlreadyExists);
    assert_eq!(of("USER_ERROR", "You must enter a value for Company Name."), Class::Unknown);
    // In another language it is not recognised, and so it is not taken for a refusal either.
    assert_eq!(of("USER_ERROR", "Diese Entität ist bereits vorhanden."), Class::Unknown);
    assert_eq!(of("MY_OWN_CODE", entity), Class::Unknown, "a script's own words prove nothing");
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
        "PATCH salesOrder/1: unknown (400): A a (at item.items[0].rate of the body); \
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
