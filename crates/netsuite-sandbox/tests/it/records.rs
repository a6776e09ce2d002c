//! The record service.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Served, open, order};

/// Status, location and body of one request.
struct Got {
    status: u16,
    location: Option<String>,
    body: Value,
}

impl Got {
    fn error(&self) -> (u16, &str, Option<&str>) {
        let detail = &self.body["o:errorDetails"][0];
        let place = ["o:errorPath", "o:errorUrl", "o:errorHeader", "o:errorQueryParam"];
        let place = place.iter().find_map(|name| detail[*name].as_str());
        (self.status, detail["o:errorCode"].as_str().unwrap_or_default(), place)
    }
}

async fn send(served: &Served, method: Method, path: &str, body: Option<Value>) -> Got {
    let mut request = served.request(method, &format!("/services/rest/record/v1/{path}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    Got { status, location, body }
}

#[tokio::test]
async fn a_record_lives_from_its_creation_to_its_deletion() {
    let served = Served::start(open()).await;
    let mut body = order();
    body["externalId"] = json!("o-1");
    body["memo"] = json!("first");
    let created = send(&served, Method::POST, "salesOrder", Some(body)).await;
    assert_eq!(created.status, 204);
    let url = created.location.unwrap();
    let id = url.rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        served.report().await.calls[0].external_id.as_deref(),
        Some("o-1"),
        "read from the body"
    );

    let got = send(&served, Method::GET, &format!("salesOrder/{id}"), None).await;
    assert_eq!(
        (got.status, &got.body["id"], &got.body["memo"]),
        (200, &json!(id), &json!("first"))
    );
    assert_eq!(got.body["links"], json!([{"rel": "self", "href": url}]));
    assert_eq!(
        got.body["item"],
        json!({"links": [{"rel": "self", "href": format!("{url}/item")}]})
    );
    let expanded =
        send(&served, Method::GET, "salesOrder/eid:o-1?expandSubResources=true", None).await;
    assert_eq!(expanded.body["item"]["items"][0]["quantity"], 2);
    let some = send(&served, Method::GET, "salesOrder/eid:o-1?fields=memo,entity", None).await;
    assert_eq!(
        some.body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["entity", "links", "memo"]
    );
    let line = send(&served, Method::GET, "salesOrder/eid:o-1/item/1", None).await;
    assert_eq!((line.status, &line.body["quantity"]), (200, &json!(2)));
    let lines = send(&served, Method::GET, "salesOrder/eid:o-1/item", None).await;
    assert_eq!(lines.body["totalResults"], 1);
    assert_eq!(send(&served, Method::GET, "salesOrder/eid:o-1/item/2", None).await.status, 404);

    let patch = json!({"memo": null, "email": "a@b.example"});
    assert_eq!(send(&served, Method::PATCH, "salesOrder/eid:o-1", Some(patch)).await.status, 204);
    let got = send(&served, Method::GET, "salesOrder/eid:o-1", None).await;
    assert_eq!((got.body.get("memo"), &got.body["email"]), (None, &json!("a@b.example")));

    assert_eq!(send(&served, Method::DELETE, "salesOrder/eid:o-1", None).await.status, 204);
    let gone = send(&served, Method::GET, &format!("salesOrder/{id}"), None).await;
    assert_eq!(
        gone.error(),
        (404, "NONEXISTENT_ID", Some(format!("/services/rest/record/v1/salesOrder/{id}").as_str()))
    );
    let report = served.report().await;
    assert_eq!((report.records_created, report.duplicate_effects), (1, 0));
}

#[tokio::test]
async fn an_external_id_belongs_to_one_record() {
    let served = Served::start(open()).await;
    let customer = |id: &str| Some(json!({"companyName": "Acme", "externalId": id}));
    assert_eq!(send(&served, Method::POST, "customer", customer("c-1")).await.status, 204);
    let again = send(&served, Method::POST, "customer", customer("c-1")).await;
    assert_eq!(again.error(), (400, "USER_ERROR", None));
    let words = |got: &Got| got.body["o:errorDetails"][0]["detail"].as_str().unwrap().to_owned();
    assert!(words(&again).ends_with("This entity already exists."), "{}", again.body);
    let order =
        || Some(json!({"externalId": "o-1", "entity": {"id": "7"}, "item": order()["item"]}));
    assert_eq!(send(&served, Method::POST, "salesOrder", order()).await.status, 204);
    let again = send(&served, Method::POST, "salesOrder", order()).await;
    assert!(words(&again).ends_with("This record already exists."), "{}", again.body);
    assert_eq!(send(&served, Method::POST, "customer", customer("c-2")).await.status, 204);
    let stolen =
        send(&served, Method::PATCH, "customer/eid:c-2", Some(json!({"externalId": "c-1"}))).await;
    assert_eq!(stolen.error(), (400, "USER_ERROR", None));
    // Another type has names of its own, and a freed name can be taken.
    assert_eq!(send(&served, Method::POST, "vendor", customer("c-1")).await.status, 204);
    assert_eq!(send(&served, Method::DELETE, "customer/eid:c-1", None).await.status, 204);
    assert_eq!(
        send(&served, Method::PATCH, "customer/eid:c-2", Some(json!({"externalId": "c-1"})))
            .await
            .status,
        204
    );
    assert_eq!(send(&served, Method::GET, "customer/eid:c-2", None).await.status, 404);
}

#[tokio::test]
async fn a_repeated_upsert_adds_its_lines_again_unless_it_replaces_them() {
    let served = Served::start(open()).await;
    let upsert = async |path: &str, key: &str| {
        let request = served.request(Method::PUT, &format!("/services/rest/record/v1/{path}"));
        let answer =
            request.header("x-slowlane-idempotency-key", key).json(&order()).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    };
    let lines = async |id: &str| {
        let got = send(
            &served,
            Method::GET,
            &format!("salesOrder/eid:{id}?expandSubResources=true"),
            None,
        )
        .await;
        got.body["item"]["totalResults"].as_u64().unwrap()
    };
    upsert("salesOrder/eid:a", "a").await;
    upsert("salesOrder/eid:a?replace=item", "a").await;
    assert_eq!(lines("a").await, 1);
    assert_eq!(served.report().await.duplicate_effects, 0);
    upsert("salesOrder/eid:a", "a").await;
    assert_eq!(lines("a").await, 2);
    let report = served.report().await;
    assert_eq!((report.records_created, report.duplicate_effects), (1, 1));
}

#[tokio::test]
async fn bodies_and_parameters_are_refused_at_the_place_of_their_fault() {
    let served = Served::start(open()).await;
    send(&served, Method::PUT, "salesOrder/eid:o-1", Some(order())).await;
    let no_entity = json!({"item": order()["item"]});
    let table = [
        (Method::POST, "salesOrder", Some(no_entity), (400, "INVALID_CONTENT", Some("entity"))),
        (Method::POST, "salesOrder", Some(json!([1])), (400, "INVALID_CONTENT", None)),
        (
            Method::PATCH,
            "salesOrder/eid:o-1?replace=item",
            Some(json!({"item": {"items": []}})),
            (400, "INVALID_CONTENT", Some("item.items")),
        ),
        (
            Method::PATCH,
            "salesOrder/eid:o-1",
            Some(json!({"item": {"items": [{"line": 9, "quantity": 1}]}})),
            (400, "INVALID_CONTENT", Some("item.items[0].line")),
        ),
        (
            Method::PATCH,
            "salesOrder/eid:o-1?replaceSelectedFields=yes",
            Some(json!({})),
            (400, "INVALID_PARAMETER", Some("replaceSelectedFields")),
        ),
        (
            Method::GET,
            "salesOrder?limit=10&offset=5",
            None,
            (400, "INVALID_PARAMETER", Some("offset")),
        ),
        (
            Method::GET,
            "salesOrder?q=colour%20IS%20red",
            None,
            (400, "INVALID_PARAMETER", Some("q")),
        ),
        (
            Method::POST,
            "custmer",
            Some(json!({})),
            (404, "NOT_FOUND", Some("/services/rest/record/v1/custmer")),
        ),
        (
            Method::GET,
            "salesOrder/000x",
            None,
            (400, "INVALID_ID", Some("/services/rest/record/v1/salesOrder/000x")),
        ),
        (
            Method::POST,
            "salesOrder/eid:o-1/!transform/vendor",
            None,
            (400, "INVALID_REQUEST", None),
        ),
    ];
    for (method, path, body, expected) in table {
        let got = send(&served, method.clone(), path, body).await;
        assert_eq!(got.error(), expected, "{method} {path}: {}", got.body);
    }
    let strict = served
        .request(Method::POST, "/services/rest/record/v1/customer")
        .header("X-NetSuite-PropertyNameValidation", "Error")
        .json(&json!({"colour": "red"}));
    assert_eq!(strict.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let text = served
        .request(Method::POST, "/services/rest/record/v1/customer")
        .body("hello")
        .header("content-type", "text/plain");
    assert_eq!(text.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_transform_carries_the_order_into_an_invoice() {
    let served = Served::start(open()).await;
    let mut body = order();
    body["memo"] = json!("from the order");
    body["tranId"] = json!("SO-9");
    send(&served, Method::PUT, "salesOrder/eid:o-1", Some(body)).await;
    let made = send(
        &served,
        Method::POST,
        "salesOrder/eid:o-1/!transform/invoice",
        Some(json!({"otherRefNum": "PO-7"})),
    )
    .await;
    assert_eq!(made.status, 204);
    let id = made.location.unwrap().rsplit('/').next().unwrap().to_owned();
    let invoice =
        send(&served, Method::GET, &format!("invoice/{id}?expandSubResources=true"), None)
            .await
            .body;
    assert_eq!(
        (&invoice["memo"], &invoice["otherRefNum"]),
        (&json!("from the order"), &json!("PO-7"))
    );
    assert_eq!(invoice["createdFrom"], json!({"id": "1001"}));
    assert_eq!(invoice["item"]["items"][0]["quantity"], 2);
    assert_eq!((invoice.get("tranId"), invoice.get("externalId")), (None, None));
}

#[tokio::test]
async fn contacts_are_attached_and_detached() {
    let served = Served::start(open()).await;
    let contact = json!({"firstName": "Ann", "lastName": "Lee"});
    send(&served, Method::PUT, "customer/eid:c-1", Some(json!({"companyName": "Acme"}))).await;
    send(&served, Method::PUT, "contact/eid:ann", Some(contact)).await;
    let relate = async |path: &str, body: Option<Value>| {
        send(&served, Method::POST, &format!("customer/eid:c-1/{path}"), body).await
    };
    let attached = async || served.report().await.attachments;
    assert_eq!(relate("!attach/contact/eid:ann", None).await.status, 204);
    assert_eq!(attached().await, ["customer/1001 contact/1002"]);
    let role = json!({"role": {"id": "-10"}});
    assert_eq!(relate("!attach/contact/1002", Some(role)).await.status, 204);
    assert_eq!(attached().await, ["customer/1001 contact/1002 as -10"]);
    for _ in 0..2 {
        assert_eq!(relate("!detach/contact/eid:ann", None).await.status, 204);
        assert_eq!(attached().await, [""; 0]);
    }

    let nobody = relate("!attach/contact/999", None).await;
    assert_eq!((nobody.error().0, nobody.error().1), (404, "NONEXISTENT_ID"));
    let order = relate("!attach/salesOrder/1002", None).await;
    assert_eq!((order.error().0, order.error().1), (400, "INVALID_REQUEST"));
    let colour = relate("!attach/contact/1002", Some(json!({"colour": "red"}))).await;
    assert_eq!(colour.error(), (400, "INVALID_CONTENT", Some("colour")));

    relate("!attach/contact/1002", None).await;
    send(&served, Method::DELETE, "contact/eid:ann", None).await;
    assert_eq!(attached().await, [""; 0], "what is gone is attached to nothing");
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let served = Served::start(open()).await;
    let seed = json!({"type": "customer", "count": 25, "fields": {"comments": "no. {n}"}});
    assert_eq!(
        served.request(Method::POST, "/_sandbox/seed").json(&seed).send().await.unwrap().status(),
        204
    );
    let page = send(&served, Method::GET, "customer?limit=10&offset=20", None).await.body;
    assert_eq!(
        (&page["count"], &page["totalResults"], &page["hasMore"]),
        (&json!(5), &json!(25), &json!(false))
    );
    assert_eq!(page["items"][0]["id"], "1021");
    let found =
        send(&served, Method::GET, "customer?q=comments%20IS%20%22no.%207%22", None).await.body;
    assert_eq!((&found["totalResults"], &found["items"][0]["id"]), (&json!(1), &json!("1007")));
    let seeded = send(&served, Method::GET, "customer/eid:seed-customer-25", None).await;
    assert_eq!((seeded.status, &seeded.body["comments"]), (200, &json!("no. 25")));
    assert_eq!(served.report().await.records_created, 0, "seeded records are not created by calls");
    let bad = served
        .request(Method::POST, "/_sandbox/seed")
        .json(&json!({"type": "custmer", "count": 1}));
    let bad = bad.send().await.unwrap();
    assert_eq!(bad.status(), 400);
    assert!(bad.text().await.unwrap().contains("custmer"));
}

#[tokio::test]
async fn the_system_service_and_the_catalog_answer() {
    let served = Served::start(open()).await;
    let get = async |path: &str, accept: &str| -> Value {
        let answer =
            served.request(Method::GET, path).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    };
    let time = get("/services/rest/system/v1/serverTime", "application/json").await;
    assert!(time["serverTime"].as_str().unwrap().ends_with('Z'));
    let limits = get("/services/rest/system/v1/governanceLimits", "application/json").await;
    assert_eq!(limits["accountConcurrencyLimit"], 5);
    let catalog = "/services/rest/record/v1/metadata-catalog";
    let list = get(catalog, "application/json").await;
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["name"] == "salesOrder"));
    let shape = get(&format!("{catalog}/salesOrder"), "application/schema+json").await;
    assert_eq!(shape["required"], json!(["entity"]));
    let openapi =
        get(&format!("{catalog}?select=customer,salesOrder"), "application/swagger+json").await;
    assert_eq!(openapi["components"]["schemas"].as_object().unwrap().len(), 2);
    let bad = served.request(Method::GET, &format!("{catalog}/custmer")).send().await.unwrap();
    assert_eq!(bad.status(), 400);
}
