//! What calls use of models, counted on the whole path: by the worker, in the template's table, and
//! shown.

use anyhow::{Context, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use slowlane_deployer::metering::{self, Period};
use slowlane_deployer::{Deployer, Endpoint};
use slowlane_local::Target;
use slowlane_local::sandbox::VendorSettings;

use super::setup::{Scenario, empty_directory};

/// A million tokens that are read, and a million that are written.
const PRICES: [u64; 2] = [3, 15];
const CALLS: u64 = 6;
const TOKENS_A_DAY: u64 = 150;

fn ask(tenant: Option<&str>, number: u64) -> Value {
    let mut call = json!({
        "priority": "NORMAL",
        "idempotency_key": format!("{}-{number}", tenant.unwrap_or("none")),
        "request": {
            "method": "POST",
            "resource": "v1/chat/completions",
            "body": {
                "model": "gpt-4o-mini",
                "messages": [{ "role": "user", "content": format!("What is order {number}?") }],
                "max_completion_tokens": 20,
            },
        },
    });
    if let Some(tenant) = tenant {
        call["tenant"] = tenant.into();
    }
    call
}

/// Tokens that an answer says were read and written.
fn used(answer: &Value) -> [u64; 2] {
    let usage = &answer["body"]["usage"];
    [&usage["prompt_tokens"], &usage["completion_tokens"]].map(|said| said.as_u64().unwrap_or(0))
}

fn target() -> anyhow::Result<Target> {
    let prices = empty_directory("usage-prices")?.join("prices.toml");
    let [input, output] = PRICES;
    let list = format!(
        "as_of = \"2026-11-01\"\ncurrency = \"USD\"\n\n[models.gpt-4o-mini]\ninput = {input}\noutput = {output}\n"
    );
    std::fs::write(&prices, list)?;
    let mut target = Target::of_profile(VendorSettings::new("openai", 2, 50));
    target.prices = Some(prices);
    let budgets = json!([{ "tokens": format!("{TOKENS_A_DAY}/day") }, { "money": "5/month" }]);
    for (name, value) in [("Metering", "enabled".to_owned()), ("Budgets", budgets.to_string())] {
        target.parameters.insert(name.to_owned(), value);
    }
    Ok(target)
}

#[tokio::test]
async fn what_a_model_has_used_is_counted_priced_and_held_to_a_budget() -> anyhow::Result<()> {
    let scenario = Scenario::deploy_target("usage", &target()?).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let url = scenario.stack.sdk().endpoint_url().context("a local AWS has a URL")?.to_owned();
    let deployer = Deployer::new(Endpoint::Local { url }).await;
    let deployed = deployer.deployed("usage").await?;
    let began = Period::day_of(Timestamp::now());

    // What answers say of calls of no tenant is what is counted, and what it costs.
    let calls: Vec<Value> = (1..=CALLS).map(|number| ask(None, number)).collect();
    let ends = try_join_all(calls.iter().map(|call| scenario.execute(machine, call))).await?;
    let mut said = [0, 0];
    for ended in &ends {
        ensure!(ended.status == ExecutionStatus::Succeeded, "{ended:?}");
        let [input, output] = used(&ended.output);
        said = [said[0] + input, said[1] + output];
    }
    ensure!(said[0] > 0 && said[1] > 0, "{said:?}");
    let counted = metering::usage(deployer.config(), &deployed, began, Some("")).await?;
    let [none] = &counted[..] else { anyhow::bail!("{counted:?}") };
    let sum = none.used.total();
    assert_eq!((sum.calls, [sum.input, sum.output], sum.unpriced), (CALLS, said, 0));
    let billionths = 1_000 * (said[0] * PRICES[0] + said[1] * PRICES[1]);
    assert_eq!(sum.cost.billionths(), billionths);

    // A tenant makes calls, one after another, until its budget is used up.
    let (mut of_acme, mut refused) = (0, None);
    for number in 1..=50 {
        let ended = scenario.execute(machine, &ask(Some("acme"), number)).await?;
        if ended.status != ExecutionStatus::Succeeded {
            refused = Some(ended);
            break;
        }
        of_acme += used(&ended.output).iter().sum::<u64>();
    }
    let refused = refused.context("no call was refused")?;
    assert_eq!(refused.error, "Slowlane.BudgetExceeded", "{refused:?}");
    let told = refused.cause["message"].as_str().unwrap_or_default();
    let used_up = format!("its tenant has used {of_acme} of {TOKENS_A_DAY} tokens a day");
    assert!(told.starts_with(&used_up), "{told}");
    assert!(of_acme >= TOKENS_A_DAY, "{of_acme}");

    // Others go on, and all of it is listed.
    let other = scenario.execute(machine, &ask(Some("beta"), 1)).await?;
    assert_eq!(other.status, ExecutionStatus::Succeeded, "{other:?}");
    let all = metering::usage(deployer.config(), &deployed, began, None).await?;
    let tenants: Vec<(&str, u64)> =
        all.iter().map(|one| (one.tenant.as_str(), one.used.total().tokens())).collect();
    let of_beta = used(&other.output).iter().sum();
    assert_eq!(tenants, [("", said[0] + said[1]), ("acme", of_acme), ("beta", of_beta)]);
    let month = Period::month_of(Timestamp::now());
    let of_month = metering::usage(deployer.config(), &deployed, month, Some("acme")).await?;
    assert_eq!(of_month[0].used, all[1].used);
    Ok(())
}
