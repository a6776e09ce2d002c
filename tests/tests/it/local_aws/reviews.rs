//! Reviews on the whole path, with an API that is no model's: none is lost, and each failure is kept
//! with its reason.

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use slowlane_deployer::{Addition, Deployer, Endpoint, Progress};

use super::setup::{Scenario, repository, settings};

const REVIEWS: usize = 12;

#[tokio::test]
async fn a_review_without_a_sentiment_is_kept_with_its_reason() -> anyhow::Result<()> {
    let scenario = Scenario::deploy("reviews", settings()).await?;
    let sdk = scenario.stack.sdk();
    let url = sdk.endpoint_url().context("a local AWS has a URL")?.to_owned();
    let addition = Addition::reviews("reviews-beside", &repository())
        .parameter("EnqueuerFunctionName", &scenario.stack.outputs().enqueuer_function_name)
        .parameter("GraceSeconds", 230)
        .parameter("Model", "no-model")
        .parameter("DatasetBucket", "reviews");
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let outputs = deployer.add(&addition, &Progress::hidden()).await?;
    let output = |name: &str| outputs.get(name).cloned().with_context(|| format!("no {name}"));

    let s3 = aws_sdk_s3::config::Builder::from(sdk).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket("reviews").send().await?;
    let line = |n| json!({ "review_id": format!("r-{n}"), "text": "I love it" }).to_string();
    let lines = (0..REVIEWS).map(line).collect::<Vec<_>>().join("\n");
    let put = s3.put_object().bucket("reviews").key("reviews.jsonl");
    put.body(lines.into_bytes().into()).send().await?;
    let load = json!({
        "bucket": "reviews",
        "key": "reviews.jsonl",
        "results": { "bucket": "reviews", "prefix": "results" },
    });
    let ended = scenario.execute(&output("ReviewSentimentArn")?, &load).await?;
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");

    let failures = output("FailuresQueueUrl")?;
    assert_eq!(scenario.stack.depth(&failures).await?.total(), REVIEWS as u64);
    let message = scenario.receive(&failures).await?;
    let failure: Value = serde_json::from_str(&message.body.context("a body")?)?;
    // NetSuite could not be asked whether such a call was executed, so it was not sent.
    assert_eq!(failure["error"], "Slowlane.NotReconcilable", "{failure}");
    assert!(failure["review_id"].to_string().contains("r-"), "{failure}");
    assert!(failure["cause"].to_string().contains("v1/chat/completions"), "{failure}");
    let table = aws_sdk_dynamodb::Client::new(sdk).scan();
    let stored = table.table_name(output("SentimentsTableName")?).send().await?;
    assert_eq!(stored.count, 0, "no sentiment was made up");
    Ok(())
}
