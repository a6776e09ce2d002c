//! Reviews in S3, each asked of a model that takes ten questions a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use slowlane_deployer::{Addition, Deployer, Endpoint, Progress};
use slowlane_local::Target;
use slowlane_local::report::broken_at_api;
use slowlane_local::sandbox::VendorSettings;

use super::scene::{Scene, Shown, repository};

const BUCKET: &str = "reviews";
const STACK_NAME: &str = "demo-reviews";
const MODEL: &str = "gpt-4o-mini";
/// What the model's API takes: of a second, and of a window that begins whenever it likes.
const RATE: &str = "10/s";
/// Every so many reviews say nothing of what their writer thinks.
const SILENT_EVERY: usize = 50;

const TEXTS: [&str; 4] = [
    "A positive surprise: it still works after a year.",
    "On the whole negative: the box was open and a part was missing.",
    "Neither good nor bad, so neutral.",
    "All positive, and the parcel came a day early.",
];

#[derive(Debug, Serialize)]
struct Report {
    reviews: usize,
    seconds: f64,
    /// How many reviews have each sentiment.
    sentiments: BTreeMap<String, usize>,
    /// Reviews in the queue of failures.
    failures: u64,
    /// Questions that the model has answered.
    answered: usize,
    http_429: u64,
    max_concurrency: u32,
}

/// A model's API that keeps to its rate.
pub(super) fn target(limit: u32, latency_ms: u64) -> Target {
    let mut target = Target::of_profile(VendorSettings {
        rates: vec![("--rate", RATE.to_owned())],
        ..VendorSettings::new("openai", limit, latency_ms)
    });
    let limits = json!([{ "rate": RATE }]).to_string();
    target.parameters.insert("Limits".to_owned(), limits);
    target
}

pub(super) async fn run(scene: &Scene<'_>, reviews: usize) -> anyhow::Result<Shown> {
    let added = add_stack(scene).await?;
    let output = |name: &str| added.get(name).cloned().with_context(|| format!("no {name}"));
    put_reviews(scene, reviews).await?;
    let load = json!({
        "bucket": BUCKET,
        "key": "reviews.jsonl",
        "results": { "bucket": BUCKET, "prefix": "results" },
    });
    eprintln!("asking for the sentiments of {reviews} reviews; the model takes {RATE}");
    let machine = output("ReviewSentimentArn")?;
    let start = Instant::now();
    let ended = scene
        .with_progress("reviews read", reviews, |report| report.calls.len(), async {
            scene.execute(&machine, &load).await
        })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(ended.succeeded, "the run failed with {}", ended.error);
    let seen = scene.stack.sandbox().report().await?;
    let report = Report {
        reviews,
        seconds,
        sentiments: sentiments(scene, &output("SentimentsTableName")?).await?,
        failures: scene.stack.depth(&output("FailuresQueueUrl")?).await?.total(),
        answered: seen.calls.len(),
        http_429: seen.http_429,
        max_concurrency: seen.max_concurrency,
    };
    Ok(report.shown(scene.limit))
}

/// The stack of `infra/reviews.yaml`, beside the demo's own.
async fn add_stack(scene: &Scene<'_>) -> anyhow::Result<slowlane_deployer::Values> {
    let outputs = scene.stack.outputs();
    let grace = outputs.grace_seconds.as_deref().context("a new stack has a grace")?;
    let addition = Addition::reviews(STACK_NAME, &repository())
        .parameter("EnqueuerFunctionName", &outputs.enqueuer_function_name)
        .parameter("GraceSeconds", grace)
        .parameter("Model", MODEL)
        .parameter("DatasetBucket", BUCKET);
    let url = scene.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    Ok(deployer.add(&addition, &Progress::stderr()).await?)
}

async fn put_reviews(scene: &Scene<'_>, reviews: usize) -> anyhow::Result<()> {
    let s3 = scene.s3(BUCKET).await?;
    let text = |n: usize| match n % SILENT_EVERY == SILENT_EVERY - 1 {
        true => "I would rather not say.",
        false => TEXTS[n % TEXTS.len()],
    };
    let line = |n| json!({ "review_id": format!("r-{n:05}"), "text": text(n) }).to_string();
    let lines = (0..reviews).map(line).collect::<Vec<_>>().join("\n");
    let put = s3.put_object().bucket(BUCKET).key("reviews.jsonl");
    put.body(lines.into_bytes().into()).send().await.context("the local AWS keeps no dataset")?;
    Ok(())
}

/// How many reviews have each sentiment.
async fn sentiments(scene: &Scene<'_>, table: &str) -> anyhow::Result<BTreeMap<String, usize>> {
    let dynamodb = aws_sdk_dynamodb::Client::new(scene.stack.sdk());
    let mut pages = dynamodb.scan().table_name(table).into_paginator().items().send();
    let mut counts = BTreeMap::new();
    while let Some(item) = pages.try_next().await.context("the local AWS reads no table")? {
        let sentiment = item.get("sentiment").and_then(|value| value.as_s().ok());
        *counts.entry(sentiment.context("an item has a sentiment")?.clone()).or_default() += 1;
    }
    Ok(counts)
}

impl Report {
    fn shown(&self, limit: u32) -> Shown {
        let mut table = format!("\n{} reviews in {:.1} s\n\n", self.reviews, self.seconds);
        for (sentiment, number) in &self.sentiments {
            let _ = writeln!(table, "{sentiment:<28} {number:>6}");
        }
        let _ = writeln!(table, "{:<28} {:>6}", "kept as failures", self.failures);
        let _ = writeln!(
            table,
            "\nquestions answered {}, most at once {} (limit {limit}), answered 429 {} (the model \
             takes {RATE})",
            self.answered, self.max_concurrency, self.http_429
        );
        let mut broken_promises = broken_at_api(0, self.max_concurrency, limit);
        let stored: usize = self.sentiments.values().sum();
        let silent = self.reviews / SILENT_EVERY;
        if (stored, self.failures) != (self.reviews - silent, silent as u64) {
            let Self { reviews, failures, .. } = self;
            broken_promises
                .push(format!("of {reviews} reviews {stored} were stored, {failures} failed"));
        }
        if self.answered != self.reviews {
            broken_promises.push(format!("{} questions were answered", self.answered));
        }
        if self.http_429 > 0 {
            broken_promises.push(format!("{} questions came too early", self.http_429));
        }
        let report = serde_json::to_value(self).unwrap_or_default();
        Shown { table, report, broken_promises }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_that_is_nowhere_is_a_broken_promise() {
        let mut report = Report {
            reviews: 100,
            seconds: 10.2,
            sentiments: [("negative".to_owned(), 25), ("positive".to_owned(), 73)].into(),
            failures: 2,
            answered: 100,
            http_429: 0,
            max_concurrency: 5,
        };
        assert_eq!(report.shown(5).broken_promises, Vec::<String>::new());
        report.failures = 1;
        let broken = report.shown(5).broken_promises;
        assert_eq!(broken, ["of 100 reviews 98 were stored, 1 failed"]);
    }
}
