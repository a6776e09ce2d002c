//! One bulk load after another, each as fast as the alarms allow: the worker's own metrics, alarms on
//! them, and what the loads make of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::super::setup::{Scenario, settings};
use super::{example, example_with, order};

const PARTS: usize = 10;
const ITEMS: usize = 10;
/// How far an alarm looks back, in seconds: CloudWatch's shortest period.
const PERIOD_SECS: u32 = 10;
/// The outcome of a call that was answered 429.
const THROTTLED: &str = "throttled";

/// The CloudWatch of the local AWS, by its query protocol.
struct CloudWatch {
    endpoint: String,
    http: reqwest::Client,
    stack: String,
}

impl CloudWatch {
    fn of(scenario: &Scenario) -> anyhow::Result<Self> {
        let endpoint = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { endpoint: endpoint.to_owned(), http, stack: scenario.name().to_owned() })
    }

    async fn ask(&self, action: &str, parameters: &[(&str, String)]) -> anyhow::Result<()> {
        let mut body = format!("Action={action}&Version=2010-08-01");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={value}"));
        }
        // The server reads from the signature only whose request it is.
        let scope = "Credential=test/20260101/us-east-1/monitoring/aws4_request";
        let answer = self
            .http
            .post(&self.endpoint)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await?;
        let status = answer.status();
        ensure!(status.is_success(), "{action}: {status}: {}", answer.text().await?);
        Ok(())
    }

    /// The alarms that the machine looks at, each on calls of one outcome. (The template's are on
    /// expressions for the most part, which the local server does not take, and on longer periods.)
    async fn make_alarms(&self) -> anyhow::Result<()> {
        for (alarm, outcome) in [
            ("ApiThrottles", THROTTLED),
            ("HighWaitsTooLong", "deadline-exceeded"),
            ("GuardThrottled", "tried-again-later"),
            ("WorkflowsThrottled", "unheard"),
        ] {
            let parameters = [
                ("AlarmName", format!("{}-{alarm}", self.stack)),
                ("Namespace", format!("Slowlane/{}", self.stack)),
                ("MetricName", format!("Calls.{outcome}")),
                ("Statistic", "Sum".to_owned()),
                ("Period", PERIOD_SECS.to_string()),
                ("EvaluationPeriods", "1".to_owned()),
                ("Threshold", "1".to_owned()),
                ("ComparisonOperator", "GreaterThanOrEqualToThreshold".to_owned()),
                ("TreatMissingData", "notBreaching".to_owned()),
            ];
            self.ask("PutMetricAlarm", &parameters).await?;
        }
        Ok(())
    }

    /// Reads the worker's metrics out of its log, as CloudWatch Logs does on AWS, until it is dropped. The
    /// server's alarms look at a metric's name only, so the outcome is a part of that here.
    async fn read_metrics(&self, log: &Path) -> anyhow::Result<()> {
        let mut told = 0;
        loop {
            let so_far = throttled(&std::fs::read_to_string(log).unwrap_or_default());
            let parameters = [
                ("Namespace", format!("Slowlane/{}", self.stack)),
                ("MetricData.member.1.MetricName", format!("Calls.{THROTTLED}")),
                ("MetricData.member.1.Value", (so_far - told).to_string()),
            ];
            self.ask("PutMetricData", &parameters).await?;
            told = so_far;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The calls that the API throttled, by the metrics in a log: one line each, as soon as it has happened.
fn throttled(log: &str) -> usize {
    let metrics = log.lines().filter(|line| line.contains("\"_aws\""));
    let lines = metrics.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["Outcome"] == THROTTLED && line["Calls"] == 1.0).count()
}

/// The parts of a dataset in S3, each the input of a bulk load.
async fn put_parts(scenario: &Scenario) -> anyhow::Result<Vec<Value>> {
    let s3 = aws_sdk_s3::config::Builder::from(scenario.stack.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket("parts").send().await?;
    let mut parts = Vec::new();
    for part in 0..PARTS {
        let line = |n| order(&format!("part-{part}-{n}"), true).to_string();
        let lines = (0..ITEMS).map(line).collect::<Vec<_>>().join("\n");
        let key = format!("part-{part}.jsonl");
        s3.put_object().bucket("parts").key(&key).body(lines.into_bytes().into()).send().await?;
        let results = json!({ "bucket": "parts", "prefix": "results" });
        // A child makes two calls, so that there are children to have fewer of.
        parts.push(json!({ "bucket": "parts", "key": key, "results": results, "batch_size": 2 }));
    }
    Ok(parts)
}

/// How fast the loads were started so far, in order.
async fn paces(scenario: &Scenario, bulk_load: &str) -> anyhow::Result<Vec<u64>> {
    let sfn = aws_sdk_sfn::Client::new(scenario.stack.sdk());
    let listed = sfn.list_executions().state_machine_arn(bulk_load).send().await?.executions;
    let mut loads = Vec::new();
    for load in listed {
        let described = sfn.describe_execution().execution_arn(&load.execution_arn).send().await?;
        let input: Value = serde_json::from_str(described.input.as_deref().unwrap_or_default())?;
        loads.push((described.start_date, input["max_concurrency"].as_u64().context("a pace")?));
    }
    loads.sort_by_key(|(started, _)| started.as_nanos());
    Ok(loads.into_iter().map(|(_, pace)| pace).collect())
}

fn falls(paces: &[u64]) -> Option<usize> {
    paces.windows(2).position(|pair| pair[1] < pair[0])
}

/// Every third call is throttled, as if somebody else used the API too, until a load is slower for it.
#[tokio::test]
async fn the_next_load_is_slower_while_the_api_throttles_and_faster_after_it() -> anyhow::Result<()>
{
    let mut settings = settings();
    settings.sandbox.latency_ms = 300;
    settings.sandbox.fault = Some("429-burst:every=3".to_owned());
    let scenario = Scenario::deploy("dynamic-map", settings).await?;
    let bulk_load = example(&scenario, "bulk-load").await?;
    let own = [("StackName", scenario.name()), ("BulkLoadArn", &bulk_load)];
    let machine = example_with(&scenario, "dynamic-map", &own).await?;
    let parts = put_parts(&scenario).await?;
    let cloudwatch = CloudWatch::of(&scenario)?;
    cloudwatch.make_alarms().await?;
    let load = json!({ "parts": parts, "slowest": 2, "step": 4 });
    let run = async {
        let execution = scenario.start(&machine, &load).await?;
        while falls(&paces(&scenario, &bulk_load).await?).is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        scenario.stack.sandbox().clear_faults().await?;
        scenario.end_of(&execution).await
    };
    let log = scenario.stack.directory().join("worker.log");
    let ended = tokio::select! {
        ended = run => ended?,
        broken = cloudwatch.read_metrics(&log) => return broken,
    };
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    let loaded = ended.output["loaded"].as_array().context("parts")?;
    let paces: Vec<u64> =
        loaded.iter().filter_map(|part| part["max_concurrency"].as_u64()).collect();
    assert_eq!(paces.len(), PARTS, "{ended:?}");
    // Without an alarm each load has a step more than the one before it; with one it has half.
    assert_eq!(paces[0], 6, "{paces:?}");
    let fall = falls(&paces).context("no load was slower")?;
    assert_eq!(paces[fall + 1], paces[fall] / 2, "{paces:?}");
    let rise = paces[fall + 1..].windows(2).find(|pair| pair[1] > pair[0]);
    let rise = rise.with_context(|| format!("none was faster again: {paces:?}"))?;
    assert_eq!(rise[1], rise[0] + 4, "{paces:?}");
    let report = scenario.stack.sandbox().report().await?;
    let written = report.calls.iter().filter(|call| call.has_effect()).count();
    assert_eq!((written, report.duplicate_effects), (PARTS * ITEMS, 0));
    assert!(report.http_429 > 0, "nothing was throttled");
    Ok(())
}
