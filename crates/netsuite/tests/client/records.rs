//! Typed records: what each call puts on the wire, and what is refused before it gets there.

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slowlane_netsuite::{
    AccountId, Class, ExternalId, IdempotencyKey, Lines, RecordId, RecordKey, RecordType, View,
    quoted,
};

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
    assert_eq!(orders.create(&memo).await.unwrap().id, RecordId::from(17));
    orders.create(&lines).await.unwrap();
    orders.upsert(&eid, &memo, Lines::none()).await.unwrap();
    orders.upsert(&eid, &lines, Lines::replace(["item"])).await.unwrap();
    orders.update(17, &lines, Lines::add(["item"])).await.unwrap();
    orders.update(&RecordId::new("-5").unwrap(), &memo, Lines::none()).await.unwrap();
    orders.delete(&eid).await.unwrap();
    let invoice = RecordType::new("invoice").unwrap();
    assert_eq!(orders.transform(17, &invoice, &json!({})).await.unwrap().id.as_str(), "17");
    let contact = RecordType::new("contact").unwrap();
    orders.attach(17, &contact, &eid).await.unwrap();
    orders.attach_contact(&eid, 4, &RecordId::new("-10").unwrap()).await.unwrap();
    orders.detach(17, &contact, 4).await.unwrap();
    let cleared = Lines::replace(["item"]).and_clear(["memo", "shipDate"]);
    orders.update(17, &lines, cleared).await.unwrap();
    orders.update(17, &json!({}), Lines::none().and_clear(["memo"])).await.unwrap();

    let strict = client.records("salesOrder").unwrap().strict();
    strict.create(&memo).await.unwrap();
    let calls = log.calls();
    let header = |n: usize| calls[n].headers().get("x-netsuite-propertynamevalidation").cloned();
    assert_eq!((header(3), header(16)), (None, Some("error".parse().unwrap())));

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
            "POST salesOrder/17/!attach/contact/eid:o-1 {}",
            r#"POST salesOrder/eid:o-1/!attach/contact/4 {"role":{"id":"-10"}}"#,
            "POST salesOrder/17/!detach/contact/4 {}",
            r#"PATCH salesOrder/17?replace=item%2Cmemo%2CshipDate&replaceSelectedFields=true {"entity":{"id":"5"},"item":{"items":[{"quantity":1}]}}"#,
            "PATCH salesOrder/17?replace=memo&replaceSelectedFields=true {}",
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
        Lines::replace(["item", "expense"]).and_clear(["memo"]),
    ];
    for intent in disagreeing {
        let error = orders.update(1, &lines, intent.clone()).await.unwrap_err();
        assert_eq!(
            (error.class(), error.is_safe_to_repeat()),
            (Class::Rejected, false),
            "{intent:?}"
        );
        let words = error.to_string();
        assert!(words.contains("sublist") || words.contains("field \"memo\""), "{error}");
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

#[tokio::test]
async fn a_record_that_was_made_has_an_id_or_is_looked_for() {
    for location in [None, Some("https://x/services/rest/record/v1/salesOrder/eid:o-1")] {
        let (builder, _) = scripted(move |_| async move {
            let mut answer = empty(204);
            if let Some(location) = location {
                answer.headers_mut().insert("location", location.parse().unwrap());
            }
            Ok(answer)
        });
        let orders = builder.build().unwrap().records("salesOrder").unwrap();
        let error = orders.create(&json!({})).await.unwrap_err();
        assert_eq!((error.class(), error.is_safe_to_repeat()), (Class::Unknown, false), "{error}");
        assert!(error.to_string().contains("was made"), "{error}");
    }
}

#[test]
fn ids_are_parsed_shown_and_read_by_serde() {
    fn there_and_back<T>(text: &str, json: Value)
    where
        T: std::str::FromStr<Err: std::fmt::Debug>
            + std::fmt::Display
            + Serialize
            + serde::de::DeserializeOwned,
    {
        assert_eq!(text.parse::<T>().unwrap().to_string(), text);
        let read: T = serde_json::from_value(json).unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(serde_json::to_value(&read).unwrap(), json!(text));
        assert!(serde_json::from_value::<T>(json!("a b")).is_err());
        assert!(serde_json::from_value::<T>(json!(null)).is_err());
    }
    there_and_back::<RecordType>("salesOrder", json!("salesOrder"));
    there_and_back::<ExternalId>("o-1", json!("o-1"));
    for given in [json!("17"), json!(17)] {
        there_and_back::<RecordId>("17", given);
    }
    there_and_back::<RecordId>("-5", json!(-5));
    there_and_back::<RecordKey>("17", json!("17"));
    there_and_back::<RecordKey>("eid:o-1", json!("eid:o-1"));
    there_and_back::<AccountId>("123_SB1", json!("123-sb1"));
    let key = "cac827ea-3543-4cda-add2-bae634326c27";
    there_and_back::<IdempotencyKey>(key, json!(key));
    assert!("eid:a b".parse::<RecordKey>().is_err());
}

#[tokio::test]
async fn a_list_is_asked_for_page_by_page_and_each_filter_value_is_quoted() {
    let (builder, log) = scripted(|request| async move {
        let (limit, offset) = crate::checks::paging(&request);
        let ids = offset..(offset + limit).min(25);
        let items: Vec<Value> =
            ids.clone().map(|id| json!({"links": [], "id": id.to_string()})).collect();
        Ok(json_answer(
            200,
            json!({"items": items, "hasMore": ids.end < 25, "totalResults": 25, "offset": offset}),
        ))
    });
    let customers = builder.build().unwrap().records("customer").unwrap();
    let filter = format!("email START_WITH {}", quoted("ann & co").unwrap());
    let ids: Vec<RecordId> =
        customers.list().matching(filter).page_rows(10).ids().try_collect().await.unwrap();
    assert_eq!(ids, (0..25).map(RecordId::from).collect::<Vec<_>>());
    let sent: Vec<String> = log.calls().iter().map(line).collect();
    let q = "q=email%20START_WITH%20%22ann%20%26%20co%22";
    assert_eq!(
        sent,
        [0, 10, 20].map(|offset| format!("GET customer?limit=10&offset={offset}&{q} "))
    );
    for text in ["a\" OR email EMPTY", "a\\", "a\nb"] {
        assert!(quoted(text).is_err(), "{text:?} was taken");
    }
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
