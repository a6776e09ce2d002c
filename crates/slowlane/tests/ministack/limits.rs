use super::Local;
use anyhow::Context as _;
use serde_json::json;

const WHY: [&str; 4] = ["--who", "ada", "--why", "the vendor works on it"];

#[tokio::test]
async fn calls_are_paused_and_resumed_by_a_name_and_for_a_reason() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let shown = local.told_json(&["limits", "show"])?;
    assert_eq!((&shown["mode"], &shown["concurrency"]), (&json!("run"), &json!(5)), "{shown:#}");
    assert!(local.told(&["limits", "show"])?.contains("nobody has changed it"));

    let paused = local.told_json(&[&["pause", "--for", "2h"], &WHY[..]].concat())?;
    let said = (&paused["mode"], &paused["who"], &paused["why"]);
    assert_eq!(said, (&json!("paused"), &json!("ada"), &json!(WHY[3])), "{paused:#}");
    assert!(paused["until"].is_string(), "{paused:#}");
    let status = local.told(&["status"])?;
    assert!(status.contains("paused until ") && status.contains("by ada: the vendor"), "{status}");

    let drained = local.told_json(&[&["drain"], &WHY[..]].concat())?;
    assert_eq!((&drained["mode"], &drained["until"]), (&json!("draining"), &json!(null)));
    let doorbell = outputs.doorbell_queue_url.context("a doorbell")?;
    let rings = async || slowlane_deployer::queues::depth(&local.sqs(), &doorbell).await;
    assert_eq!(rings().await?.total(), 0);
    let resumed = local.told_json(&[&["resume"], &WHY[..]].concat())?;
    assert_eq!(resumed["mode"], "run");
    assert_eq!(rings().await?.total(), 5, "every slot is woken");
    let changes = resumed["changes"].as_array().context("a list")?;
    let changes: Vec<_> = changes.iter().map(|change| change["change"].clone()).collect();
    assert_eq!(changes, ["pause", "drain", "resume"]);
    assert!(!local.told(&["status"])?.contains("by ada"));

    // Without a reason nothing is changed.
    for args in [&["pause"][..], &["drain"], &["resume"], &["pause", "--for", "-2h", "--why", "x"]]
    {
        let output = local.run_on("trial", args)?;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    assert_eq!(local.told_json(&["limits", "show"])?, resumed);
    Ok(())
}
