//! Files in S3: what calls send as it is, and answers that no workflow's state holds.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use serde_json::{Value, json};
use slowlane_local::Target;
use slowlane_local::sandbox::VendorSettings;
use tokio::net::TcpListener;

use super::setup::Scenario;

const BUCKET: &str = "acme-files";
const ROWS: usize = 3_000_000;

/// What the API has got: content types and bodies.
type Documents = Arc<Mutex<Vec<(String, Bytes)>>>;

/// An API of documents: it takes any, and gives one that is large.
async fn api() -> anyhow::Result<(String, Documents)> {
    let documents = Documents::default();
    let take = async |State(documents): State<Documents>, headers: HeaderMap, body: Bytes| {
        let of = headers[header::CONTENT_TYPE].to_str().unwrap_or_default().to_owned();
        documents.lock().unwrap_or_else(PoisonError::into_inner).push((of, body));
        (StatusCode::CREATED, [(header::LOCATION, "/documents/7")])
    };
    let give = async || axum::Json(json!({ "rows": "x".repeat(ROWS) }));
    let app = Router::new()
        .route("/documents", post(take))
        .route("/documents/7", get(give))
        .with_state(documents.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((url, documents))
}

fn upload(key: &str, etag: &str) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {
            "method": "POST",
            "resource": "documents",
            "content": "binary",
            "body": {
                "s3": format!("s3://{BUCKET}/crm/in/a b.pdf"),
                "etag": etag,
                "content_type": "application/pdf",
            },
        },
        "at_most_once": true,
    })
}

#[tokio::test]
async fn a_file_is_sent_and_a_large_answer_becomes_one() -> anyhow::Result<()> {
    let (url, documents) = api().await?;
    let mut target = Target::of_profile(VendorSettings::new("http", 2, 50));
    target.elsewhere = Some(url);
    target.parameters.insert("ApiFiles".to_owned(), format!("s3://{BUCKET}/crm"));
    let scenario = Scenario::deploy_target("files", &target).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let s3 = aws_sdk_s3::config::Builder::from(scenario.stack.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket(BUCKET).send().await?;
    let put = async |content: &'static [u8]| {
        let put =
            s3.put_object().bucket(BUCKET).key("crm/in/a b.pdf").body(content.to_vec().into());
        put.send().await?.e_tag.context("S3 gives an ETag")
    };

    let first = put(b"%PDF-1.7 \xff\x00 first").await?;
    let sent = scenario.execute(machine, &upload("first", &first)).await?;
    assert_eq!(sent.status, ExecutionStatus::Succeeded, "{sent:?}");
    assert_eq!(sent.output["id"], "7", "{sent:?}");
    let got = documents.lock().unwrap().clone();
    let expected = Bytes::from_static(b"%PDF-1.7 \xff\x00 first");
    assert_eq!(got, [("application/pdf".to_owned(), expected)]);

    // The object has another content by now, and another ETag: one key is one request.
    let second = put(b"%PDF-1.7 second").await?;
    let other = scenario.execute(machine, &upload("first", &second)).await?;
    assert_eq!(other.error, "Slowlane.PayloadMismatch", "{other:?}");
    let stale = scenario.execute(machine, &upload("second", &first)).await?;
    assert_eq!(stale.error, "Slowlane.Rejected", "{stale:?}");
    let mut missing = upload("missing", &first);
    missing["request"]["body"]["s3"] = format!("s3://{BUCKET}/crm/in/none.pdf").into();
    let missing = scenario.execute(machine, &missing).await?;
    assert_eq!(missing.error, "Slowlane.Rejected", "{missing:?}");
    assert_eq!(documents.lock().unwrap().len(), 1);

    let large = json!({
        "priority": "HIGH",
        "idempotency_key": "large",
        "request": { "method": "GET", "resource": "documents/7" },
    });
    for replayed in [false, true] {
        let large = scenario.execute(machine, &large).await?;
        assert_eq!(large.status, ExecutionStatus::Succeeded, "{large:?}");
        assert_eq!(large.output["replayed"], replayed, "{large:?}");
        let file = &large.output["file"];
        assert_eq!(file["content_type"], "application/json", "{large:?}");
        let key = file["s3"].as_str().and_then(|s3| s3.strip_prefix("s3://acme-files/"));
        let key = key.context("the answer has a file")?;
        let object = s3.get_object().bucket(BUCKET).key(key).send().await?;
        assert_eq!(object.content_type.as_deref(), Some("application/json"));
        assert_eq!(object.e_tag.as_deref(), file["etag"].as_str());
        let content = object.body.collect().await?.into_bytes();
        assert_eq!(file["bytes"], content.len());
        let content: Value = serde_json::from_slice(&content)?;
        assert_eq!(content["rows"].as_str().map(str::len), Some(ROWS));
    }
    Ok(())
}

#[tokio::test]
async fn a_call_whose_answer_s3_does_not_take_is_not_made_again() -> anyhow::Result<()> {
    let (url, documents) = api().await?;
    let mut target = Target::of_profile(VendorSettings::new("http", 2, 50));
    target.elsewhere = Some(url);
    // Nobody has made this bucket.
    target.parameters.insert("ApiFiles".to_owned(), "s3://acme-no-files/crm".to_owned());
    let scenario = Scenario::deploy_target("no-files", &target).await?;
    let large = json!({
        "priority": "HIGH",
        "idempotency_key": "large",
        "request": { "method": "GET", "resource": "documents/7" },
    });
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let ended = scenario.execute(machine, &large).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    let why = ended.output["no_file"].as_str().unwrap_or_default();
    assert!(why.starts_with("S3 did not take it: S3 answered 404, NoSuchBucket"), "{ended:?}");
    assert_eq!(ended.output["body"], Value::Null, "{ended:?}");
    assert_eq!(documents.lock().unwrap().len(), 0);
    Ok(())
}
