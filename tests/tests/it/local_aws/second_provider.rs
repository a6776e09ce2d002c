//! Questions in the common form on the whole path: to OpenAI's dialect, and to Anthropic's while that is over
//! its limit.

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_deployer::metering::{self, Period};
use slowlane_deployer::{Deployer, Endpoint, Fallback};
use slowlane_local::sandbox::{CREDENTIALS, VendorSettings};
use slowlane_local::{SandboxProcess, Target, Tools};
use slowlane_worker::profile::chat::SecondProvider;

use super::setup::{Ended, Scenario, empty_directory, local_aws};

const PROMPT: &str =
    "inputs = [\"review\"]\n\n[[messages]]\nrole = \"user\"\ncontent = \"Is it good? {review}\"\n";
const SECRET: &str = "second/anthropic";

fn question(key: &str, more: &Value) -> Value {
    let mut body = json!({ "model": "gpt-4o-mini", "max_tokens": 40 });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    json!({
        "priority": "NORMAL",
        "idempotency_key": key,
        "request": { "method": "POST", "resource": "chat", "content": "chat", "body": body },
    })
}

fn hello(key: &str) -> Value {
    question(key, &json!({ "messages": [{ "role": "user", "content": "Hello" }] }))
}

async fn answered(scenario: &Scenario, call: &Value) -> anyhow::Result<Ended> {
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let ended = scenario.execute(machine, call).await?;
    ensure!(ended.status == ExecutionStatus::Succeeded, "{ended:?}");
    Ok(ended)
}

/// The other provider's sandbox, with what it lets in where its secret is.
async fn anthropic() -> anyhow::Result<SandboxProcess> {
    let directory = empty_directory("second-provider-anthropic")?;
    let binary = Tools::from_env()?.vendor_sandbox();
    let settings = VendorSettings::new("anthropic", 2, 50);
    let sandbox = SandboxProcess::start_vendor(&binary, &settings, &directory).await?;
    let secret = std::fs::read_to_string(directory.join(CREDENTIALS))?;
    let sdk = local_aws("second-provider-secret").await?;
    let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
    secrets.create_secret().name(SECRET).secret_string(secret).send().await?;
    Ok(sandbox)
}

fn target(second: &SandboxProcess) -> anyhow::Result<Target> {
    let prompts = empty_directory("second-provider-prompts")?;
    std::fs::write(prompts.join("review.v2.toml"), PROMPT)?;
    let provider = json!({
        "profile": "anthropic", "base_url": second.endpoint(), "secret": SECRET,
        "model": "claude-haiku-4-5", "after": "5m",
    });
    let provider = SecondProvider::from_json(&provider.to_string())?;
    let mut target = Target::of_profile(VendorSettings::new("openai", 2, 50));
    target.fallback = Some(Fallback { provider, profile: None });
    target.prompts = Some(prompts);
    target.parameters.insert("Metering".to_owned(), "enabled".to_owned());
    Ok(target)
}

#[tokio::test]
async fn another_provider_answers_while_the_first_is_over_its_limit() -> anyhow::Result<()> {
    let anthropic = anthropic().await?;
    let scenario = Scenario::deploy_target("second-provider", &target(&anthropic)?).await?;
    let openai = scenario.stack.sandbox();
    let began = Period::day_of(Timestamp::now());

    let ended = answered(&scenario, &hello("first")).await?;
    let body = &ended.output["body"];
    assert_eq!((&body["text"], &body["stop"]), (&json!("You said: Hello"), &json!("end")));
    assert_eq!(ended.output["fallback_provider"], Value::Null);

    // It asks to wait for ten minutes: nobody does.
    openai.inject("429-burst:1,by=600000ms").await?;
    let calls: Vec<Value> = (1..=6).map(|number| hello(&format!("during-{number}"))).collect();
    let ends = try_join_all(calls.iter().map(|call| answered(&scenario, call))).await?;
    let of_second =
        ends.iter().filter(|ended| ended.output["fallback_provider"] == "anthropic").count();
    assert!(of_second >= 1, "{ends:?}");
    for ended in &ends {
        assert_eq!(ended.output["body"]["text"], "You said: Hello", "{ended:?}");
    }
    assert_eq!(anthropic.stats().await?.requests, of_second as u64);
    assert_eq!(openai.report().await?.http_429, 1);

    // A prompt by its name and version, filled.
    let review =
        json!({ "prompt": { "name": "review", "version": 2, "input": { "review": "{review}!" } } });
    let ended = answered(&scenario, &question("prompted", &review)).await?;
    assert_eq!(ended.output["body"]["text"], "You said: Is it good? {review}!", "{ended:?}");

    // Without a version it is refused, and says which there are.
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let unsaid = json!({ "prompt": { "name": "review", "input": { "review": "x" } } });
    let refused = scenario.execute(machine, &question("unsaid", &unsaid)).await?;
    assert_eq!(refused.error, "Slowlane.Rejected", "{refused:?}");
    let told = refused.cause["message"].as_str().unwrap_or_default();
    assert!(
        told.contains("which `version` of the prompt `review` it means: there are 2"),
        "{told}"
    );

    // Each is counted under its own model.
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let deployed = deployer.deployed("second-provider").await?;
    let counted = metering::usage(deployer.config(), &deployed, began, Some("")).await?;
    let [usage] = &counted[..] else { anyhow::bail!("{counted:?}") };
    let calls_of = |model: &str| {
        let mut models = usage.used.models();
        models.find(|(name, _)| **name == *model).map_or(0, |(_, used)| used.calls)
    };
    let calls = (calls_of("gpt-4o-mini"), calls_of("claude-haiku-4-5"));
    assert_eq!(calls.0 + calls.1, 8, "{counted:?}");
    assert_eq!(calls.1, anthropic.stats().await?.requests, "{counted:?}");
    scenario.stack.settle(Duration::from_secs(30)).await?;
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}
