//! Each tenant has a limit of its own, beside the target's.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_sfn::types::ExecutionStatus;
use futures::future::try_join_all;
use serde_json::Value;

use super::setup::{Scenario, settings, upsert};

/// Each tenant may have so many calls in this time.
const CALLS: usize = 2;
const WINDOW_MS: f64 = 2_000.0;

fn call(tenant: &str, number: usize) -> Value {
    let mut call = upsert("BATCH", &format!("{tenant}-{number}"));
    call["tenant"] = tenant.into();
    call
}

#[tokio::test]
async fn each_tenants_limit_is_kept_and_all_calls_end() -> anyhow::Result<()> {
    let mut settings = settings();
    let limits = r#"[{"rate":"2/2s","per":"tenant"},{"rate":"20/1s"}]"#;
    settings.parameters = vec![("Limits", limits.to_owned())];
    let scenario = Scenario::deploy("tenants", settings).await?;
    let machine = &scenario.stack.outputs().throttled_call_arn;
    let noisy = (1..=8).map(|number| call("noisy", number));
    let inputs: Vec<Value> = noisy.chain((1..=2).map(|number| call("quiet", number))).collect();
    let ended = try_join_all(inputs.iter().map(|input| scenario.execute(machine, input))).await?;
    for ended in &ended {
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{ended:?}");
    }

    let report = scenario.stack.sandbox().report().await?;
    assert_eq!((report.calls.len(), report.duplicate_effects), (10, 0), "{report:#?}");
    let mut began: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for made in &report.calls {
        let key = made.external_id.as_deref().context("a call has an id")?;
        let (tenant, _) = key.rsplit_once('-').context("an id names its tenant")?;
        began.entry(tenant.to_owned()).or_default().push(made.start_ms);
    }
    for (tenant, moments) in &mut began {
        moments.sort_by(f64::total_cmp);
        let close = moments.windows(CALLS + 1).find(|calls| calls[CALLS] - calls[0] < WINDOW_MS);
        assert_eq!(close, None, "of {tenant}, whose calls began at {moments:?}");
    }
    // Who is quiet has not waited for who is noisy.
    let last = |tenant: &str| began[tenant].last().copied();
    assert!(last("quiet") < last("noisy"), "{began:?}");
    assert_eq!(scenario.dead_letters().await?, 0);
    Ok(())
}
