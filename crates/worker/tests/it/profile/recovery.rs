//! What is done when nobody knows whether a call was executed.

use std::time::Duration;

use serde_json::{Value, json};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;
use slowlane_worker::profile::{Profile, shipped};
use slowlane_worker::targets::profile::ProfiledApi;
use slowlane_worker::{AfterLoss, Reconciled, Target as _, TargetResponse};

use super::auth::{in_turn, sent};
use super::{call, name, of, plain, post};
use crate::server::{Server, answer};

const JSON: &str = "content-type: application/json";

fn found(status: u16, body: &Value) -> String {
    answer(status, &[JSON], &body.to_string())
}

fn stripe(server: &Server) -> ProfiledApi {
    let stripe = of(shipped::get("stripe").unwrap(), &server.url());
    stripe.auth("header").secret(r#"{"api_key":"k"}"#).build().unwrap()
}

/// A charge that can be looked for.
fn charge() -> QueuedCall {
    let body = json!({ "amount": 100, "metadata": { "slowlane_key": "order-1" } });
    call("POST", "v1/charges", Some(body))
}

/// An API whose orders can be asked for by their reference.
fn orders(server: &Server) -> ProfiledApi {
    let profile = Profile::parse(
        r#"
        name = "orders"
        title = "Orders"
        settles_after = "2m"

        [auth.header]
        name = "x-api-key"
        value = "{api_key}"

        [[answers]]
        status = "200-299"
        outcome = "succeeded"

        [[answers]]
        status = 401
        outcome = "unauthorized"
        renew = "credentials"

        [[answers]]
        status = 429
        outcome = "throttled"
        limit = "rate"

        [[answers]]
        status = "400-499"
        outcome = "rejected"

        [[after_loss]]
        methods = ["POST"]
        look_up = { path = "orders?ref={idempotency_key}", found = "/orders", id = [{ body = "/orders/0/id" }], lags = "30s" }
        "#,
    );
    let api = of(profile.unwrap(), &server.url());
    api.secret(r#"{"api_key":"k"}"#).build().unwrap()
}

#[tokio::test]
async fn a_lost_call_is_asked_for_by_its_key() {
    let orders_with = |ids: &[u32]| {
        let all: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        found(200, &json!({ "orders": all }))
    };
    let done = TargetResponse { id: Some("17".to_owned()), ..TargetResponse::new(200) };
    for (answered, expected) in [
        (orders_with(&[17]), "done"),
        (orders_with(&[]), "not done"),
        (orders_with(&[17, 18]), "undecidable"),
        (answer(404, &[], ""), "not done"),
        (answer(400, &[], ""), "undecidable"),
        (answer(401, &[], ""), "try again"),
        (answer(429, &[], ""), "try again"),
        (answer(500, &[], ""), "try again"),
        (String::new(), "try again"),
    ] {
        let server = Server::answering(answered.clone()).await;
        let api = orders(&server);
        assert_eq!(api.after_loss(&post()), AfterLoss::Reconcile);
        let said = match api.reconcile(&post()).await {
            Reconciled::Done(response) => {
                assert_eq!(response, done);
                "done"
            }
            Reconciled::NotDone => "not done",
            Reconciled::TryAgain(_) => "try again",
            Reconciled::Undecidable(_) => "undecidable",
        };
        assert_eq!(said, expected, "{answered}");
        let asked = &server.requests()[0];
        assert!(asked.starts_with("GET /api/v1/orders?ref=order-1 HTTP/1.1"), "{asked}");
        assert_eq!(sent(&server, "x-api-key")[0], "k");
    }
}

#[tokio::test]
async fn that_it_is_not_there_counts_when_the_api_has_settled_and_shows_it() {
    let server = Server::answering("").await;
    assert_eq!(orders(&server).settles_after(&post()), Duration::from_secs(150));
    let plain = plain(server.url());
    assert_eq!(plain.settles_after(&post()), Duration::from_secs(900));
}

#[tokio::test]
async fn an_answer_that_is_stored_and_does_not_tell_is_looked_into_at_once() {
    let no = json!({ "error": { "type": "api_error", "message": "secret-text" } });
    let there = json!({ "object": "search_result", "data": [{ "id": "ch_1" }] });
    let server = in_turn([found(500, &no), found(200, &there)]).await;
    let outcome = stripe(&server).call(&charge()).await;
    let Outcome::Succeeded(response) = outcome else { panic!("{outcome:?}") };
    assert_eq!(response.id.as_deref(), Some("ch_1"));
    let asked = &server.requests()[1];
    assert!(asked.starts_with("GET /api/v1/v1/charges/search?query=metadata"), "{asked}");

    // What is not shown yet may be there all the same: the same key asks again.
    let none = json!({ "object": "search_result", "data": [] });
    let server = in_turn([found(500, &no), found(200, &none)]).await;
    let outcome = stripe(&server).call(&charge()).await;
    assert_eq!((name(&outcome), server.requests().len()), ("unknown", 2));
    // A call that nobody answered is repeated, and nothing is asked.
    let server = Server::answering("").await;
    let outcome = stripe(&server).call(&charge()).await;
    assert_eq!((name(&outcome), server.requests().len()), ("unknown", 1));
}

#[tokio::test]
async fn a_key_that_the_api_keeps_for_a_time_repeats_only_what_ends_within_it() {
    let server = Server::answering("").await;
    let zendesk = of(shipped::get("zendesk").unwrap(), &server.url());
    let secret = json!({ "email": "ada", "api_token": "t", "access_token": "t" }).to_string();
    let way = shipped::get("zendesk").unwrap().auth.all()[0].0;
    let zendesk = zendesk.auth(way).secret(secret).build().unwrap();
    // Keys are kept for two hours there, and for a day at Stripe.
    for (hours, expected) in [(1, true), (2, true), (3, false)] {
        let mut ticket = call("POST", "api/v2/tickets", Some(json!({ "ticket": {} })));
        ticket.deadline = ticket.enqueued_at + Duration::from_secs(hours * 3600);
        match zendesk.after_loss(&ticket) {
            AfterLoss::Repeat => assert!(expected, "{hours} h"),
            AfterLoss::Nothing(why) => {
                assert!(!expected, "{hours} h: {why}");
                assert!(why.contains("for 2h only") && why.contains("deadline"), "{why}");
            }
            AfterLoss::Reconcile => panic!("{hours} h"),
        }
    }
    let mut charge = charge();
    assert_eq!(stripe(&server).after_loss(&charge), AfterLoss::Repeat);
    charge.deadline = charge.enqueued_at + Duration::from_secs(25 * 3600);
    assert_eq!(stripe(&server).after_loss(&charge), AfterLoss::Reconcile);
}
