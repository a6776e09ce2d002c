//! Typed records: what each call puts on the wire, and what is refused before it gets there.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slowlane_netsuite::{Class, ExternalId, Lines, RecordId, RecordKey, RecordType, View};

use crate::support::{HttpRequest, empty, json as json_answer, refusal, scripted};

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Order {
    memo: String,
}

fn line(request: &HttpRequest) -> String {
    let target = request
        .uri()
        .path_and_query()
        .unwrap()
        .as_str()
        .strip_prefix("/services/rest/record/v1/")
        .unwrap();
    format!("{} {target} {}", request.method(), String::from_utf8_lossy(request.body()))
}

#[tokio::test]
async fn each_call_is_the_request_that_netsuite_documents() {
    let (builder, log) = scripted(|request| async move {
        Ok(if request.method() == http::Method::GET {
            json_answer(200, json!({"memo": "m", "links": []}))
        } else {
            http::Response::builder()
                .status(204)
                .header("location", "https://x/services/rest/record/v1/salesOrder/17")
                .body("".into())
                .unwrap()
        })
    });
    let client = builder.build().unwrap();
    let orders = client.records("salesOrder").unwrap();
    let eid = ExternalId::new("o-1").unwrap();
    let memo = Order { memo: "m".into() };
    let lines = json!({"item": {"items": [{"quantity": 1}]}, "entity": {"id": "5"}});

    assert_eq!(orders.get::<Order>(17).await.unwrap(), memo);
    orders.get::<Value>(&eid).await.unwrap();
    orders.view::<Value>(17, &View::fields(["memo", "item"]).expand_sub_resources()).await.unwrap();
    assert_eq!(orders.create(&memo).await.unwrap().id.as_deref(), Some("17"));
    orders.create(&lines).await.unwrap();
    orders.upsert(&eid, &memo, Lines::none()).await.unwrap();
    orders.upsert(&eid, &lines, Lines::replace(["item"])).await.unwrap();
    orders.update(17, &lines, Lines::add(["item"])).await.unwrap();
    orders.update(&RecordId::new("-5").unwrap(), &memo, Lines::none()).await.unwrap();
    orders.delete(eid).await.unwrap();
    orders.transform(17, &RecordType::new("invoice").unwrap(), &json!({})).await.unwrap();

    let strict = client.records("salesOrder").unwrap().strict();
    strict.create(&memo).await.unwrap();
    let calls = log.calls();
    let header = |n: usize| calls[n].headers().get("x-netsuite-propertynamevalidation").cloned();
    assert_eq!((header(3), header(11)), (None, Some("error".parse().unwrap())));

    let sent: Vec<String> = calls.iter().map(line).collect();
    assert_eq!(
        sent,
        [
            "GET salesOrder/17 ",
            "GET salesOrder/eid:o-1 ",
            "GET salesOrder/17?fields=memo%2Citem&expandSubResources=true ",
            r#"POST salesOrder {"memo":"m"}"#,
            r#"POST salesOrder {"entity":{"id":"5"},"item":{"items":[{"quantity":1}]}}"#,
            r#"PUT salesOrder/eid:o-1 {"memo":"m"}"#,
            r#"PUT salesOrder/eid:o-1?replace=item {"entity":{"id":"5"},"item":{"items":[{"quantity":1}]}}"#,
            r#"PATCH salesOrder/17 {"entity":{"id":"5"},"item":{"items":[{"quantity":1}]}}"#,
            r#"PATCH salesOrder/-5 {"memo":"m"}"#,
            "DELETE salesOrder/eid:o-1 ",
            "POST salesOrder/17/!transform/invoice {}",
            r#"POST salesOrder {"memo":"m"}"#,
        ]
    );
}

#[tokio::test]
async fn lines_must_be_meant() {
    let (builder, log) = scripted(|_| async { Ok(empty(204)) });
    let orders = builder.build().unwrap().records("salesOrder").unwrap();
    let lines = json!({"item": {"items": []}, "expense": {"items": [{}]}, "memo": "m"});
    let disagreeing = [
        Lines::none(),
        Lines::replace(["item"]),
        Lines::add(["expense"]),
        Lines::replace(["item", "expense", "salesTeam"]),
    ];
    for intent in disagreeing {
        let error = orders.update(1, &lines, intent.clone()).await.unwrap_err();
        assert_eq!(
            (error.class(), error.is_safe_to_repeat()),
            (Class::Rejected, false),
            "{intent:?}"
        );
        assert!(error.to_string().contains("sublist"), "{error}");
        let eid = ExternalId::new("o-1").unwrap();
        orders.upsert(&eid, &lines, intent).await.unwrap_err();
    }
    assert_eq!(log.calls().len(), 0, "nothing was sent");
    orders.update(1, &lines, Lines::replace(["item"]).and_add(["expense"])).await.unwrap();
    orders.update(1, &lines, Lines::replace(["item", "expense"])).await.unwrap();
    let queries: Vec<_> =
        log.calls().iter().map(|call| call.uri().query().map(str::to_owned)).collect();
    assert_eq!(queries, [Some("replace=item".into()), Some("replace=item%2Cexpense".into())]);
}

#[tokio::test]
async fn a_record_that_is_not_there_is_rejected_with_netsuites_code() {
    let (builder, _) = scripted(|_| async { Ok(refusal(404, &["NONEXISTENT_ID"])) });
    let error =
        builder.build().unwrap().records("salesOrder").unwrap().get::<Value>(1).await.unwrap_err();
    assert!(error.class() == Class::Rejected && error.has_code("NONEXISTENT_ID"));
}

#[test]
fn names_and_ids_are_of_netsuites_form() {
    for name in ["", "1a", "sales-order", "a/b", "a b", "é", "a?"] {
        assert!(RecordType::new(name).is_err(), "{name:?} was taken");
    }
    for id in ["", "a b", "a/b", "eid:x", "a.b", "é", "a?b"] {
        assert!(ExternalId::new(id).is_err() && RecordId::new(id).is_err(), "{id:?} was taken");
    }
    let keys: [RecordKey; 3] =
        [7.into(), RecordId::new("-5").unwrap().into(), ExternalId::new("a_B-9").unwrap().into()];
    assert_eq!(keys.map(|key| key.to_string()), ["7", "-5", "eid:a_B-9"]);
    assert_eq!(RecordType::new("customrecord_ship2").unwrap().as_str(), "customrecord_ship2");
}
