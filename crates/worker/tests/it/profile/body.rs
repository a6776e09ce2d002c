//! What goes to the API, and what of its answer a workflow gets.

use serde_json::{Value, json};
use slowlane_policy::settle::Outcome;
use slowlane_worker::profile::shipped;
use slowlane_worker::{Part, PartOutcome, Target as _};

use super::{auth, call, get, keyed_by_its_header, name, of, plain, post, queued, succeeded, why};
use crate::server::{Server, answer};

const JSON: &str = "content-type: application/json";

#[tokio::test]
async fn an_answer_is_kept_whatever_its_type() {
    let rows: &[(&[&str], &str, Option<Value>)] = &[
        (&["content-type: application/json"], r#"{"a":[1]}"#, Some(json!({ "a": [1] }))),
        (&["content-type: Application/JSON; charset=utf-8"], "17", Some(json!(17))),
        (&["content-type: application/vnd.api+json"], "[]", Some(json!([]))),
        (&["content-type: application/json"], "no JSON", Some(json!("no JSON"))),
        (&["content-type: text/plain"], "hello", Some(json!("hello"))),
        (&["content-type: text/plain"], "0017", Some(json!("0017"))),
        (&["content-type: text/plain"], "17", Some(json!("17"))),
        (&["content-type: text/html"], r#" {"a":1}"#, Some(json!({ "a": 1 }))),
        (&["content-type: application/xml"], "<a/>", Some(json!("<a/>"))),
        (&[], r#"{"a":1}"#, Some(json!({ "a": 1 }))),
        (&[], "hello", Some(json!("hello"))),
        (&["content-type: application/json"], "", None),
    ];
    for (headers, body, expected) in rows {
        let server = Server::answering(answer(200, headers, body)).await;
        let response = succeeded(plain(server.url()).call(&get()).await);
        assert_eq!(response.body, *expected, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn an_id_is_found_in_the_body_or_the_location() {
    let rows = [
        ("", r#"{"id":"a-1"}"#, Some("a-1")),
        ("", r#"{"id":42}"#, Some("42")),
        ("", r#"{"id":-42}"#, Some("-42")),
        ("", r#"{"id":123456789012345678901234567890}"#, Some("123456789012345678901234567890")),
        ("location: /api/v1/orders/7", "", Some("7")),
        ("location: https://api.example/orders/7", "", Some("7")),
        ("location: orders/7/", "", Some("7")),
        ("location: /orders/7?expand=1#top", "", Some("7")),
        ("location: /orders/eid:order%201", "", Some("eid:order 1")),
        ("location: /orders/7", r#"{"id":"8"}"#, Some("8")),
        ("location: /orders/7", r#"{"id":null}"#, Some("7")),
        ("location: /orders/7", r#"{"id":{"of":"8"}}"#, Some("7")),
        ("location: /orders/7", r#"{"id":""}"#, Some("7")),
        ("location: /orders/7", r#"[{"id":"8"}]"#, Some("7")),
        ("location: /orders/7", "created", Some("7")),
        ("location: https://api.example", "", None),
        ("location: /", "", None),
        ("", r#"{"order":{"id":"8"}}"#, None),
        ("", "", None),
    ];
    for (header, body, expected) in rows {
        let headers: Vec<&str> = [header].into_iter().filter(|text| !text.is_empty()).collect();
        let server = Server::answering(answer(201, &headers, body)).await;
        let response = succeeded(plain(server.url()).call(&post()).await);
        assert_eq!(response.id.as_deref(), expected, "{header} {body}");
    }
}

#[tokio::test]
async fn a_body_is_written_as_the_call_says() {
    let rows = [
        (
            json!("form"),
            json!({ "a": { "b": [1, "ä"] } }),
            "application/x-www-form-urlencoded",
            "a[b][0]=1&a[b][1]=%C3%A4",
        ),
        (json!("text"), json!("a=1"), "text/plain; charset=utf-8", "a=1"),
        (json!("graphql"), json!({ "query": "{ x }" }), "application/json", r#"{"query":"{ x }"}"#),
        (json!("json"), json!([1]), "application/json", "[1]"),
        (json!(null), json!("x"), "application/json", r#""x""#),
    ];
    for (content, body, media_type, sent) in rows {
        let server = Server::answering(answer(200, &[], "")).await;
        let call = json!({ "method": "POST", "resource": "x", "content": content, "body": body });
        succeeded(plain(server.url()).call(&queued(call)).await);
        let request = &server.requests()[0];
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-type: {media_type}")), "{content}: {head}");
        let plain = |text: &str| text.replace("%5B", "[").replace("%5D", "]");
        assert_eq!(plain(body), sent, "{content}");
    }
}

#[tokio::test]
async fn what_the_api_does_not_take_is_refused_and_not_sent() {
    let server = Server::answering(answer(200, &[], "")).await;
    let stripe = shipped::get("stripe").unwrap();
    let stripe = of(stripe, &server.url()).auth("header").secret(r#"{"api_key":"k"}"#).build();
    let stripe = stripe.unwrap();
    for (request, expected) in [
        (json!({ "content": "text", "body": "x" }), "the profile allows form, json"),
        (json!({ "content": "form", "body": [1] }), "it must be an object"),
        (json!({ "headers": { "x-other": "1" } }), "its header `x-other` is not allowed"),
        (
            json!({ "headers": { "authorization": "mine" } }),
            "its header `authorization` is not allowed",
        ),
    ] {
        let mut request = request;
        request["method"] = json!("POST");
        request["resource"] = json!("v1/charges");
        let outcome = stripe.call(&queued(request)).await;
        assert_eq!(name(&outcome), "rejected", "{outcome:?}");
        let why = why(outcome).message;
        assert!(why.contains(expected), "{expected}: {why}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_header_that_the_profile_allows_goes_along() {
    let server = Server::answering(answer(200, &[], "")).await;
    let call = json!({ "method": "PUT", "resource": "x", "headers": { "if-match": "\"7\"" } });
    succeeded(plain(server.url()).call(&queued(call)).await);
    assert!(server.requests()[0].contains("\r\nif-match: \"7\"\r\n"));
}

#[tokio::test]
async fn each_part_of_a_composite_has_its_own_outcome() {
    let parts = json!({ "compositeResponse": [
        { "referenceId": "account", "httpStatusCode": 201, "body": { "id": "001" } },
        { "referenceId": "contact", "httpStatusCode": 400,
          "body": [{ "errorCode": "REQUIRED_FIELD_MISSING", "message": "secret-text" }] },
        { "referenceId": "task", "httpStatusCode": 403,
          "body": [{ "errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded." }] },
        { "referenceId": "odd" },
    ]});
    let api = Server::answering(answer(200, &[JSON], &parts.to_string())).await;
    let tokens = auth::tokens().await;
    let salesforce = auth::salesforce(&api, &tokens).await;
    let body = Some(json!({ "compositeRequest": [] }));
    let response =
        succeeded(salesforce.call(&call("POST", "services/data/v62.0/composite", body)).await);
    assert!(response.partly_succeeded);
    let part = |reference: &str, outcome, status, code: Option<&str>, id: Option<&str>| Part {
        reference: Some(reference.to_owned()),
        outcome,
        status,
        code: code.map(str::to_owned),
        id: id.map(str::to_owned),
    };
    let expected = [
        part("account", PartOutcome::Succeeded, 201, None, Some("001")),
        part("contact", PartOutcome::Rejected, 400, Some("REQUIRED_FIELD_MISSING"), None),
        part("task", PartOutcome::Throttled, 403, Some("REQUEST_LIMIT_EXCEEDED"), None),
        part("odd", PartOutcome::Unknown, 0, None, None),
    ];
    assert_eq!(response.parts, expected);
    assert_eq!(response.body, Some(parts));
}

#[tokio::test]
async fn a_result_that_is_got_later_is_told_where() {
    let body = json!({ "id": "resp_1", "object": "response", "status": "queued" }).to_string();
    let server = Server::answering(answer(200, &[JSON], &body)).await;
    let openai = keyed_by_its_header(shipped::get("openai").unwrap(), &server.url()).build();
    let request = call("POST", "v1/responses", Some(json!({ "background": true })));
    let response = succeeded(openai.unwrap().call(&request).await);
    assert_eq!(response.follow.as_deref(), Some("v1/responses/resp_1"));
    assert_eq!(response.id.as_deref(), Some("resp_1"));
}

#[tokio::test]
async fn a_limit_in_a_success_is_no_success() {
    let body = json!({ "errors": [{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }],
        "extensions": { "cost": { "requestedQueryCost": 200, "throttleStatus": {
            "maximumAvailable": 2000.0, "currentlyAvailable": 100, "restoreRate": 50.0 } } } });
    let server = Server::answering(answer(200, &[JSON], &body.to_string())).await;
    let shopify = of(shipped::get("shopify").unwrap(), &server.url());
    let shopify = shopify.auth("header").secret(r#"{"access_token":"t"}"#).build().unwrap();
    let mutation = json!({ "query": "mutation { productSet { product { id } } }" });
    let outcome = shopify.call(&call("POST", "graphql.json", Some(mutation))).await;
    let two_secs = std::time::Duration::from_secs(2);
    assert_eq!(outcome, Outcome::Throttled { retry_after: Some(two_secs) });
}
