//! Other APIs than NetSuite on the whole path: shipped profiles, each against the sandbox that speaks its
//! vendor's dialect.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use serde_json::{Value, json};
use slowlane_local::Target;
use slowlane_local::sandbox::VendorSettings;

use super::setup::{Ended, Scenario, record};

/// Two calls at once of 50 ms, without rates and faults.
fn target(profile: &str) -> Target {
    Target::of_profile(VendorSettings::new(profile, 2, 50))
}

/// A customer whose metadata has the call's own key, as the profile's page advises.
fn customer(key: &str) -> Value {
    json!({
        "priority": "HIGH",
        "idempotency_key": key,
        "request": {
            "method": "POST",
            "resource": "v1/customers",
            "body": { "name": "Ada & Söhne", "metadata": { "slowlane_key": key } },
        },
    })
}

fn completion(key: &str) -> Value {
    json!({
        "priority": "NORMAL",
        "idempotency_key": key,
        "request": {
            "method": "POST",
            "resource": "v1/chat/completions",
            "body": {
                "model": "gpt-4o-mini",
                "messages": [{ "role": "user", "content": key }],
                "max_completion_tokens": 20,
            },
        },
    })
}

async fn made(scenario: &Scenario, call: &Value) -> anyhow::Result<Ended> {
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let ended = scenario.execute(machine, call).await?;
    ensure!(ended.status == ExecutionStatus::Succeeded, "{ended:?}");
    Ok(ended)
}

#[tokio::test]
async fn stripe_has_one_customer_though_answers_are_lost_and_failures_are_stored()
-> anyhow::Result<()> {
    let scenario = Scenario::deploy_target("stripe", &target("stripe")).await?;
    let sandbox = scenario.stack.sandbox();

    // The answer is lost: the call is made again, and its key finds what the first one made.
    sandbox.inject("drop-after-commit:1").await?;
    let ended = made(&scenario, &customer("lost")).await?;
    assert_eq!(ended.output["body"]["name"], "Ada & Söhne", "{ended:?}");
    assert!(ended.output["id"].as_str().is_some_and(|id| id.starts_with("cus_")), "{ended:?}");

    // A 500 that was stored would come again for its key: the customer is looked for.
    sandbox.inject("500-after-commit:1").await?;
    let ended = made(&scenario, &customer("failed")).await?;
    assert!(ended.output["id"].as_str().is_some_and(|id| id.starts_with("cus_")), "{ended:?}");

    // Stripe says of a limit which one it is, and never how long.
    sandbox.inject("429-burst:1").await?;
    made(&scenario, &customer("limited")).await?;

    let report = sandbox.report().await?;
    assert_eq!((report.http_429, report.duplicate_effects), (1, 0), "{report:#?}");
    let list = json!({
        "priority": "HIGH",
        "idempotency_key": "list",
        "request": { "method": "GET", "resource": "v1/customers" },
    });
    let customers = made(&scenario, &list).await?;
    assert_eq!(customers.output["body"]["data"].as_array().map(Vec::len), Some(3), "{customers:?}");

    // What Stripe refuses for good fails by name, with Stripe's own code.
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let mut charge = customer("invalid");
    charge["request"]["resource"] = "v1/charges".into();
    let refused = scenario.execute(machine, &charge).await?;
    assert_eq!(refused.error, "Slowlane.Rejected", "{refused:?}");
    assert_eq!(refused.cause["code"], "parameter_missing", "{refused:?}");
    Ok(())
}

/// The tokens of the one come from a service of its own. The other's requests are signed by the worker's
/// role.
#[tokio::test]
async fn dataverse_and_bedrock_are_called_by_their_samples() -> anyhow::Result<()> {
    for profile in ["dynamics", "bedrock"] {
        let scenario = Scenario::deploy_target(profile, &target(profile)).await?;
        let sandbox = scenario.stack.sandbox();
        let (sample, _) = sandbox.sample().context("the sandbox has no sample")?;
        let sample = serde_json::to_string(sample)?;
        for (key, fault) in [("lost", "drop-after-commit:1"), ("limited", "429-burst:1,by=1s")] {
            sandbox.inject(fault).await?;
            let request: Value = serde_json::from_str(&sample.replace("{key}", key))?;
            let call = json!({ "priority": "HIGH", "idempotency_key": key, "request": request });
            made(&scenario, &call).await?;
        }
        let report = sandbox.report().await?;
        assert_eq!((report.http_429, report.duplicate_effects), (1, 0), "{profile}: {report:#?}");
        let names: Vec<_> = report.calls.iter().map(|call| call.external_id.as_deref()).collect();
        assert_eq!(names, [Some("lost"), Some("lost"), Some("limited")], "{profile}: {report:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn refused_credentials_fail_no_workflow_and_a_secret_that_is_corrected_is_read_anew()
-> anyhow::Result<()> {
    let scenario = Scenario::deploy_target("refused-key", &target("stripe")).await?;
    // Before the worker has started: it begins with the wrong key.
    scenario.stack.set_secret("demo/stripe", &json!({ "api_key": "sk_wrong" })).await?;
    let machine = scenario.stack.outputs().throttled_call_arn.clone();
    let calls: Vec<Value> = (1..=6).map(|number| customer(&format!("c-{number}"))).collect();
    let ends = try_join_all(calls.iter().map(|call| scenario.execute(&machine, call)));
    let corrected = async {
        let start = Instant::now();
        while scenario.stack.sandbox().stats().await?.requests < 2 {
            ensure!(start.elapsed() < Duration::from_secs(60), "no call came with the wrong key");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Long enough for the breaker to open, and short of its first probe.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let refused = scenario.stack.sandbox().stats().await?.requests;
        let right = json!({ "api_key": "sk_test_sandbox" });
        scenario.stack.set_secret("demo/stripe", &right).await?;
        anyhow::Ok(refused)
    };
    let (ends, refused) = futures::try_join!(ends, corrected)?;
    for ended in &ends {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }
    // The breaker keeps the calls from trying one after the other.
    assert!(refused <= 8, "{refused} requests with the wrong key");
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.duplicate_effects), (6, 0), "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn a_secret_in_parameter_store_is_read_and_read_anew_when_it_is_refused() -> anyhow::Result<()>
{
    const SECRET: &str = "ssm:/demo/stripe";
    let mut target = target("stripe");
    target.secret = Some((SECRET.to_owned(), Vec::new()));
    target.parameters.insert("ApiSecret".to_owned(), SECRET.to_owned());
    let scenario = Scenario::deploy_target("parameter", &target).await?;
    scenario.stack.set_secret(SECRET, &json!({ "api_key": "sk_wrong" })).await?;
    let corrected = async {
        let start = Instant::now();
        while scenario.stack.sandbox().stats().await?.requests < 1 {
            ensure!(start.elapsed() < Duration::from_secs(60), "no call came with the wrong key");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let right = json!({ "api_key": "sk_test_sandbox" });
        Ok(scenario.stack.set_secret(SECRET, &right).await?)
    };
    let call = customer("c-1");
    futures::try_join!(made(&scenario, &call), corrected)?;
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.duplicate_effects), (1, 0), "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn openai_is_not_asked_before_the_wait_that_it_asked_for() -> anyhow::Result<()> {
    let scenario = Scenario::deploy_target("openai", &target("openai")).await?;
    let ended = made(&scenario, &completion("first")).await?;
    let said = &ended.output["body"]["choices"][0]["message"]["content"];
    assert_eq!(said, "You said: first", "{ended:?}");

    // `retry-after-ms: 4000`, and it holds for every slot.
    scenario.stack.sandbox().inject("429-burst:1,by=4s").await?;
    let (start, before_ms) = (Instant::now(), jiff::Timestamp::now().as_millisecond() as f64);
    let calls: Vec<Value> = (1..=4).map(|number| completion(&format!("c-{number}"))).collect();
    try_join_all(calls.iter().map(|call| made(&scenario, call))).await?;
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.http_429, report.calls.len()), (1, 5), "{report:#?}");
    // Within a second of the refusal every slot knows of it.
    let starts = report.calls.iter().map(|call| call.start_ms);
    let early: Vec<f64> =
        starts.filter(|ms| (before_ms..before_ms + 4_000.0).contains(ms)).collect();
    let lasted = early.last().zip(early.first()).map_or(0.0, |(last, first)| last - first);
    assert!(lasted <= 1_000.0, "{report:#?}");
    Ok(())
}

/// Nobody has configured OpenAI's rate: what its answers say is left holds the slots before it refuses.
#[tokio::test]
async fn openai_says_what_is_left_and_is_not_asked_for_more() -> anyhow::Result<()> {
    let mut target = target("openai");
    // Two calls at once of 50 ms: forty a second, where it takes two.
    target.sandbox.rates = vec![("--rate", "2/1s,bucket=6".to_owned())];
    let scenario = Scenario::deploy_target("says-left", &target).await?;
    let calls: Vec<Value> = (1..=16).map(|number| completion(&format!("c-{number}"))).collect();
    try_join_all(calls.iter().map(|call| made(&scenario, call))).await?;
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.http_429), (16, 0), "{report:#?}");
    Ok(())
}

/// Nobody has configured the API's rate: what its answers say is left holds the calls back, and else its
/// refusals do.
#[tokio::test]
async fn a_rate_that_nobody_configured_lets_all_calls_end() -> anyhow::Result<()> {
    let mut target = target("http");
    target.sandbox.rates = vec![("--rate", "4/2s".to_owned())];
    let scenario = Scenario::deploy_target("unconfigured-rate", &target).await?;
    let calls: Vec<Value> = (1..=12).map(|n| record("BATCH", &format!("o-{n}"))).collect();
    try_join_all(calls.iter().map(|call| made(&scenario, call))).await?;
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.duplicate_effects), (12, 0), "{report:#?}");
    let starts = report.calls.iter().map(|call| call.start_ms);
    let (first, last) = starts.fold((f64::MAX, 0.0_f64), |(a, b), at| (a.min(at), b.max(at)));
    assert!(last - first >= 4_000.0, "twelve calls at four in two seconds: {report:#?}");
    Ok(())
}

/// The worker is told of the same rate: no call meets it.
#[tokio::test]
async fn a_rate_that_is_configured_is_never_passed() -> anyhow::Result<()> {
    let mut target = target("http");
    target.sandbox.rates = vec![("--rate", "4/2s".to_owned())];
    target.parameters.insert("Limits".to_owned(), r#"[{"rate":"4/2s"}]"#.to_owned());
    let scenario = Scenario::deploy_target("configured-rate", &target).await?;
    let calls: Vec<Value> = (1..=12).map(|n| record("BATCH", &format!("o-{n}"))).collect();
    try_join_all(calls.iter().map(|call| made(&scenario, call))).await?;
    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.duplicate_effects), (12, 0), "{report:#?}");
    assert_eq!(report.http_429, 0, "{report:#?}");
    Ok(())
}
