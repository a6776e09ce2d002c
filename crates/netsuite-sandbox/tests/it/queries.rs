//! SuiteQL over a socket.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Served, open};

#[tokio::test]
async fn pages_of_a_query_are_all_rows_once() {
    let served = Served::start(open()).await;
    let seed = json!({"type": "customer", "count": 2500});
    served.request(Method::POST, "/_sandbox/seed").json(&seed).send().await.unwrap();
    let mut ids = Vec::new();
    let mut url = format!("{}/services/rest/query/v1/suiteql?limit=1000", served.base_url);
    loop {
        let query = json!({"q": "SELECT id FROM customer WHERE id > ? ORDER BY id", "params": [0]});
        let answer =
            served.http.post(&url).header("prefer", "transient").json(&query).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        ids.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        let links = page["links"].as_array().unwrap();
        match links.iter().find(|link| link["rel"] == "next") {
            Some(next) => url = next["href"].as_str().unwrap().to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = (1001..3501).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_query_needs_its_header_its_method_and_its_body() {
    let served = Served::start(open()).await;
    let path = "/services/rest/query/v1/suiteql";
    let query = json!({"q": "SELECT id FROM customer"});
    let no_prefer = served.request(Method::POST, path).json(&query).send().await.unwrap();
    assert_eq!(no_prefer.status(), 400);
    let error: Value = no_prefer.json().await.unwrap();
    assert_eq!(error["o:errorDetails"][0]["o:errorHeader"], "Prefer");
    let get = served.request(Method::GET, path).header("prefer", "transient").send().await.unwrap();
    assert_eq!(get.status(), 405);
    let no_q = served
        .request(Method::POST, path)
        .header("prefer", "transient")
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(no_q.status(), 400);
    // A query is not a write: faults of writes pass it by.
    served.inject("500:1").await;
    let good = served
        .request(Method::POST, path)
        .header("prefer", "transient")
        .json(&query)
        .send()
        .await
        .unwrap();
    assert_eq!(good.status(), 200);
}
