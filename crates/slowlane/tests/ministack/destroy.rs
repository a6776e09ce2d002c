use super::{Local, dispatched, queued_call};
use slowlane_deployer::Progress;
use slowlane_deployer::destroy::Data;
use slowlane_deployer::stack::Kept;

/// Two calls on the BATCH queue, a dead letter, and a record of which nobody knows.
async fn fill(local: &Local, outputs: &slowlane_deployer::Outputs) -> anyhow::Result<()> {
    let batch = (&outputs.batch_queue_url, queued_call("order-1", "AQCEAAAAKgAAAAMAAAAA"));
    let dead = (&outputs.dead_letter_queue_url, queued_call("order-2", "AQCEAAAAKgAAAAMAAAAA"));
    for (queue, body) in [&batch, &batch, &dead] {
        let send = local.sqs().send_message().queue_url(*queue).message_body(body.to_string());
        send.send().await?;
    }
    dispatched(&local.guard(outputs), "calls", "order-3").await?.unknown("no answer").await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_destroyed_unasked() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    fill(&local, &outputs).await?;
    let output = local.run_on("trial", &["destroy"])?;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let told = String::from_utf8(output.stderr)?;
    for text in [
        "stack trial holds",
        "0 HIGH calls",
        "2 BATCH calls",
        "1 dead letter ",
        "1 unresolved call ",
        "1 record ",
        "give --yes",
    ] {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }
    assert_eq!(local.deployer.deployed("trial").await?.outputs, outputs);
    local.told(&["destroy", "--yes", "--delete-data"])?;
    assert!(local.deployer.deployed("trial").await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_the_template_keeps_stays_unless_told_otherwise() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    fill(&local, &outputs).await?;
    let (queue, table) = (&outputs.dead_letter_queue_url, &outputs.idempotency_table_name);
    let told = local.told_json(&["destroy", "--yes"])?;
    let kept = |resource_type: &str, id: &str| {
        let all = told["kept"].as_array().into_iter().flatten();
        all.filter(|one| one["resource_type"] == resource_type && one["physical_id"] == id).count()
    };
    assert_eq!(kept("AWS::DynamoDB::Table", table), 1, "{told}");
    assert_eq!(kept("AWS::SQS::Queue", queue), 1, "{told}");
    let letters = slowlane_deployer::queues::depth(&local.sqs(), queue).await?;
    assert_eq!(letters.total(), 1);
    assert_eq!(local.guard(&outputs).list_unresolved(10).await?.len(), 1);

    let progress = Progress::hidden();
    let outputs = local.deployer.deploy(&local.plan(), &progress).await?;
    let left = local.deployer.destroy("trial", Data::Delete, &progress).await?;
    assert_eq!(left, Some(Vec::<Kept>::new()));
    let queue = &outputs.dead_letter_queue_url;
    slowlane_deployer::queues::depth(&local.sqs(), queue).await.unwrap_err();
    local.guard(&outputs).list_unresolved(10).await.unwrap_err();
    Ok(())
}
