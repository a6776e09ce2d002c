//! What can be done after a lost answer, by the call alone and then at the sandbox.

use std::sync::{Arc, Mutex};

use serde_json::json;
use slowlane_netsuite_sandbox::{
    Clock, DemoKey, Fault, FaultKind, KeyKind, Latency, Sandbox, Settings, Which,
};
use tokio::net::TcpListener;

use slowlane_netsuite::{AccountId, Auth, OAuth2};

use super::*;

const KEY: &str = "order-1/shipment-2";

fn call(method: &str, resource: &str, body: Value) -> QueuedCall {
    let message = json!({
        "version": "1.1",
        "task_token": "token",
        "priority": "HIGH",
        "idempotency_key": KEY,
        "request": { "method": method, "resource": resource, "body": body },
        "enqueued_at": "2026-11-21T11:00:00Z",
        "deadline": "2026-11-21T12:00:00Z",
    });
    QueuedCall::parse(&message.to_string()).unwrap()
}

fn lines(line: Value) -> Value {
    json!({ "item": { "items": [{ "item": { "id": "5" }, "quantity": 1 }, line] } })
}

fn plain_lines() -> Value {
    lines(json!({ "item": { "id": "6" }, "quantity": 2 }))
}

fn marked_lines() -> Value {
    lines(json!({ "item": { "id": "6" }, "quantity": 2, "custcol_call": KEY }))
}

#[test]
fn what_can_be_done_after_a_lost_answer_is_known_before() {
    let repeat = [
        call("GET", "salesOrder/1", Value::Null),
        call("PUT", "contact/eid:c-1", json!({ "email": "a@b.example" })),
        call("PATCH", "salesOrder/1", json!({ "memo": "m", "item": { "items": [] } })),
        call("PUT", "salesOrder/eid:o-1?replace=item", plain_lines()),
        call("PATCH", "salesOrder/1?x=1&replace=expense,item", plain_lines()),
    ];
    for call in repeat {
        assert_eq!(after_loss(&call), AfterLoss::Repeat, "{call:?}");
    }
    let reconcile = [
        call("POST", "salesOrder", json!({ "externalId": "o-1" })),
        call("POST", "salesOrder/1/!transform/invoice", json!({ "externalId": "i-1" })),
        call("DELETE", "salesOrder/1", Value::Null),
        call("PUT", "salesOrder/eid:o-1", marked_lines()),
        call("PATCH", "salesOrder/1?replace=expense", marked_lines()),
    ];
    for call in reconcile {
        assert_eq!(after_loss(&call), AfterLoss::Reconcile, "{call:?}");
    }
    let other_text = lines(json!({ "custcol_call": "order-1/shipment-1" }));
    let other_column = lines(json!({ "description": KEY }));
    for (call, why) in [
        (call("POST", "salesOrder", json!({})), "externalId"),
        (call("POST", "salesOrder", json!({ "externalId": "o 1" })), "salesOrder/eid:o 1"),
        (call("POST", "salesOrder/1/item", json!({ "externalId": "o-1" })), "externalId"),
        (call("PUT", "salesOrder/eid:o-1", plain_lines()), "custcol"),
        (call("PUT", "salesOrder/eid:o-1?replace=expense", plain_lines()), "custcol"),
        (call("PATCH", "salesOrder/1", other_text), "custcol"),
        (call("PATCH", "salesOrder/1", other_column), "custcol"),
    ] {
        let AfterLoss::Nothing(reason) = after_loss(&call) else { panic!("{call:?}") };
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn a_call_settles_when_netsuite_has_given_it_up() {
    let account = Account::start().await;
    let call = call("POST", "salesOrder", json!({ "externalId": "o-1" }));
    assert_eq!(account.netsuite.settles_after(&call), Duration::from_secs(15 * 60));
}

#[test]
fn a_list_that_is_not_whole_proves_nothing() {
    let call = call("PATCH", "salesOrder/1", marked_lines());
    let sign = Lookup::of(&call).unwrap().sign;
    let shown = |total: u64, column: &str| json!({ "id": "1", "item": { "totalResults": total, "items": [{ "custcol_call": column }] } });
    assert!(matches!(sign.in_record(&shown(2, KEY)), Reconciled::Done(_)));
    assert_eq!(sign.in_record(&shown(1, "other")), Reconciled::NotDone);
    assert!(matches!(sign.in_record(&shown(2, "other")), Reconciled::Undecidable(_)));
    assert_eq!(sign.in_record(&json!({ "id": "1" })), Reconciled::NotDone);
}

/// A sandbox that serves a target, and the means to make it lose answers.
struct Account {
    netsuite: NetSuite,
    sandbox: Arc<Mutex<Sandbox>>,
    clock: Clock,
}

impl Account {
    async fn start() -> Self {
        let key = DemoKey::generate(KeyKind::P256).unwrap();
        let latency = Latency::Fixed(Duration::from_millis(1));
        let mut sandbox = Sandbox::new(Settings { latency, ..Settings::default() });
        sandbox.register("client", "certificate", key.public_key);
        let (sandbox, clock) = (Arc::new(Mutex::new(sandbox)), Clock::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let served = sandbox.clone();
        tokio::spawn(slowlane_netsuite_sandbox::serve(
            listener,
            served,
            clock,
            std::future::pending(),
        ));
        let auth = Auth::oauth2(OAuth2 {
            client_id: "client".into(),
            certificate_id: "certificate".into(),
            private_key_pem: key.private_key_pem.into(),
            algorithm: None,
        });
        let account = AccountId::new("1234567_SB1").unwrap();
        let client = Client::builder(account, auth.unwrap()).base_url(base).unwrap();
        Self { netsuite: NetSuite::new(client.build().unwrap()), sandbox, clock }
    }

    async fn make(&self, method: &str, resource: &str, body: Value) -> TargetResponse {
        match self.netsuite.call(&call(method, resource, body)).await {
            Outcome::Succeeded(response) => response,
            other => panic!("{method} {resource}: {other:?}"),
        }
    }

    /// Makes a call that meets this fault.
    async fn fail(&self, kind: FaultKind, call: &QueuedCall) -> Outcome<TargetResponse> {
        let fault = Fault { kind, which: Which::Next(1), by: Duration::ZERO };
        self.sandbox.lock().unwrap().inject(fault, self.clock.now());
        self.netsuite.call(call).await
    }

    /// Loses the answer to a call, before or after it had its effect, and asks what became of it.
    async fn lose(&self, kind: FaultKind, call: &QueuedCall) -> Reconciled {
        let outcome = self.fail(kind, call).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{call:?}: {outcome:?}");
        self.netsuite.reconcile(call).await
    }
}

#[tokio::test]
async fn the_effect_of_a_call_is_found_if_and_only_if_it_had_one() {
    let account = Account::start().await;
    let order =
        json!({ "entity": { "id": "7" }, "externalId": "o-1", "item": plain_lines()["item"] });
    let create = call("POST", "salesOrder", order.clone());
    assert_eq!(account.lose(FaultKind::ServerError, &create).await, Reconciled::NotDone);
    let found = account.lose(FaultKind::DropAfterCommit, &create).await;
    let Reconciled::Done(TargetResponse { id: Some(id), .. }) = found else { panic!("{found:?}") };

    let resource = format!("salesOrder/{id}");
    for (method, resource) in [("PATCH", resource.as_str()), ("PUT", "salesOrder/eid:o-2")] {
        let mut body = marked_lines();
        body["entity"] = json!({ "id": "7" });
        let add = call(method, resource, body);
        assert_eq!(account.lose(FaultKind::ServerError, &add).await, Reconciled::NotDone);
        let found = account.lose(FaultKind::ServerErrorAfterCommit, &add).await;
        assert!(matches!(found, Reconciled::Done(_)), "{method}: {found:?}");
    }

    let invoice = json!({ "externalId": "i-1" });
    let transform = call("POST", &format!("{resource}/!transform/invoice"), invoice);
    assert_eq!(account.lose(FaultKind::ServerError, &transform).await, Reconciled::NotDone);
    let found = account.lose(FaultKind::DropAfterCommit, &transform).await;
    assert!(matches!(found, Reconciled::Done(_)), "{found:?}");

    let delete = call("DELETE", &resource, Value::Null);
    assert_eq!(account.lose(FaultKind::ServerError, &delete).await, Reconciled::NotDone);
    let found = account.lose(FaultKind::DropAfterCommit, &delete).await;
    assert!(matches!(found, Reconciled::Done(_)), "{found:?}");
}

#[tokio::test]
async fn a_later_update_does_not_hide_the_lines_of_an_earlier_one() {
    let account = Account::start().await;
    let order = json!({ "entity": { "id": "7" }, "item": plain_lines()["item"] });
    let id = account.make("POST", "salesOrder", order).await.id.unwrap();
    let resource = format!("salesOrder/{id}");
    let add = call("PATCH", &resource, marked_lines());
    let outcome = account.fail(FaultKind::DropAfterCommit, &add).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    account.make("PATCH", &resource, plain_lines()).await;
    assert!(matches!(account.netsuite.reconcile(&add).await, Reconciled::Done(_)));
}

/// An error with 400 may be a script's own, raised after the record was saved.
#[tokio::test]
async fn an_error_of_no_documented_code_is_a_rejection_only_if_netsuite_shows_no_effect() {
    let account = Account::start().await;
    let order = json!({ "entity": { "id": "7" }, "item": plain_lines()["item"] });
    let id = account.make("POST", "salesOrder", order.clone()).await.id.unwrap();
    let (resource, with_id) = (format!("salesOrder/{id}"), |external_id: &str| {
        let mut order = order.clone();
        order["externalId"] = json!(external_id);
        order
    });
    let transform = format!("{resource}/!transform/invoice");
    let calls = [
        call("POST", "salesOrder", with_id("o-1")),
        call("POST", &transform, json!({ "externalId": "i-1" })),
        call("PATCH", &resource, marked_lines()),
        call("PUT", "salesOrder/eid:o-2?replace=item", order.clone()),
        call("DELETE", &resource, Value::Null),
    ];
    for call in &calls {
        let outcome = account.fail(FaultKind::UserError, call).await;
        let Outcome::Rejected(why) = outcome else { panic!("{call:?}: {outcome:?}") };
        assert_eq!((why.status, why.code.as_deref()), (Some(400), Some("USER_ERROR")), "{why}");
        let outcome = account.fail(FaultKind::UserErrorAfterCommit, call).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{call:?}: {outcome:?}");
    }
    // Where NetSuite cannot show it, nobody knows.
    for call in [
        call("PATCH", "salesOrder/eid:o-1", json!({ "memo": "m" })),
        call("PUT", "salesOrder/eid:o-1?replace=item", order.clone()),
        call("POST", "salesOrder", order),
    ] {
        let outcome = account.fail(FaultKind::UserError, &call).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{call:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_create_that_is_made_again_says_that_its_record_exists() {
    let account = Account::start().await;
    let order =
        json!({ "entity": { "id": "7" }, "externalId": "o-1", "item": plain_lines()["item"] });
    let create = call("POST", "salesOrder", order);
    let outcome = account.fail(FaultKind::DropAfterCommit, &create).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    let outcome = account.netsuite.call(&create).await;
    let Outcome::AlreadyExists(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!((why.status, why.code.as_deref()), (Some(400), Some("USER_ERROR")));
    assert!(matches!(account.netsuite.reconcile(&create).await, Reconciled::Done(_)));
}
