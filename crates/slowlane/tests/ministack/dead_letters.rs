use super::{Local, dispatched, queued_call};
use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde_json::{Value, json};
use slowlane_deployer::Outputs;
use std::time::{Duration, Instant};

/// The token of a task that nobody waits for.
const SPENT: &str = "AQCEAAAAKgAAAAMAAAAA";
const REASON: &str = "Slowlane.AttemptsExhausted: the API did not answer";

impl Local {
    /// As the worker sends a letter; answers its message id.
    async fn letter(&self, outputs: &Outputs, body: &str) -> anyhow::Result<String> {
        let text = MessageAttributeValue::builder().data_type("String").string_value(REASON);
        let sent = self
            .sqs()
            .send_message()
            .queue_url(&outputs.dead_letter_queue_url)
            .message_body(body)
            .message_attributes("reason", text.build()?)
            .send()
            .await?;
        sent.message_id.context("SQS names every message")
    }

    /// A letter that SQS has moved, because it was handed out too often.
    async fn moved_letter(&self, outputs: &Outputs, body: &str) -> anyhow::Result<()> {
        let sqs = self.sqs();
        let dead = outputs.dead_letter_queue_url.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{dead}");
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
        let queue = sqs
            .create_queue()
            .queue_name("handed-out-too-often")
            .attributes(QueueAttributeName::RedrivePolicy, policy)
            .attributes(QueueAttributeName::VisibilityTimeout, "0")
            .send()
            .await?;
        let queue = queue.queue_url.context("a queue has a URL")?;
        sqs.send_message().queue_url(&queue).message_body(body).send().await?;
        for _ in 0..2 {
            sqs.receive_message().queue_url(&queue).send().await?;
        }
        Ok(())
    }

    fn letters(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.told_json(&["calls", "dead-letters", "list"])?;
        Ok(listed.as_array().context("a list")?.clone())
    }

    /// The token of a workflow that waits.
    pub(crate) async fn token(&self) -> anyhow::Result<(String, String)> {
        let sqs = self.sqs();
        let queue = sqs.create_queue().queue_name("tokens").send().await?;
        let queue = queue.queue_url.context("a queue has a URL")?;
        let definition = json!({
            "StartAt": "Wait",
            "States": { "Wait": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": { "QueueUrl": queue, "MessageBody.$": "$$.Task.Token" },
                "End": true,
            }},
        });
        let sfn = aws_sdk_sfn::Client::new(self.deployer.config());
        let machine = sfn
            .create_state_machine()
            .name("waits")
            .definition(definition.to_string())
            .role_arn("arn:aws:iam::000000000000:role/waits")
            .send()
            .await?;
        let started =
            sfn.start_execution().state_machine_arn(&machine.state_machine_arn).send().await?;
        let received = sqs.receive_message().queue_url(&queue).wait_time_seconds(20).send().await?;
        let message = received.messages.unwrap_or_default().pop().context("no token came")?;
        Ok((message.body.unwrap_or_default(), started.execution_arn))
    }

    async fn total(&self, queue: &str) -> anyhow::Result<u64> {
        Ok(slowlane_deployer::queues::depth(&self.sqs(), queue).await?.total())
    }
}

#[tokio::test]
async fn letters_are_listed_and_shown_and_dropped() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    assert_eq!(local.letters()?, [Value::Null; 0]);
    for number in 1..=12 {
        let body = queued_call(&format!("order-{number}"), SPENT).to_string();
        local.letter(&outputs, &body).await?;
    }
    let malformed = local.letter(&outputs, "no call at all").await?;

    let letters = local.letters()?;
    assert_eq!(letters.len(), 13, "more than one receive brings");
    let first = letters.iter().find(|letter| letter["key"] == "order-1").context("listed")?;
    assert_eq!(first["priority"], "HIGH");
    assert_eq!(
        (&first["method"], &first["resource"]),
        (&json!("PUT"), &json!("salesOrder/eid:order-1"))
    );
    assert_eq!(first["reason"], REASON);
    assert_eq!(first["workflow_waits"], false);
    let other = letters.iter().find(|letter| letter["key"].is_null()).context("listed")?;
    assert!(other["malformed"].as_str().is_some_and(|why| why.contains("not JSON")), "{other}");
    // The first listing hides nothing from the second, nor from anybody else.
    let table = local.told(&["calls", "dead-letters", "list"])?;
    for text in ["order-12", "PUT salesOrder/eid:order-7", REASON, &malformed, "(no call)"] {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }

    let shown = local.told(&["calls", "dead-letters", "show", "order-1"])?;
    assert!(shown.contains("\"deadline\"") && !shown.contains(SPENT), "{shown}");
    let told = local.refused(&["calls", "dead-letters", "restart", &malformed])?;
    assert!(told.contains("it is no call"), "{told}");
    let told = local.refused(&["calls", "dead-letters", "drop", "order-1", "order-99", "--yes"])?;
    assert!(told.contains("no dead letter has") && told.contains("\"order-99\""), "{told}");
    assert!(!told.contains("another command"), "all could be looked at: {told}");
    assert_eq!(local.letters()?.len(), 13, "what was not found keeps the others");
    let drop = ["calls", "dead-letters", "drop", "order-1", &malformed];
    let told = local.refused(&drop)?;
    assert!(told.contains("nothing was deleted"), "{told}");
    assert_eq!(local.letters()?.len(), 13, "and none is held back");
    let dropped = local.told_json(&[&drop[..], &["--yes"]].concat())?;
    assert_eq!(dropped.as_array().map(Vec::len), Some(2), "{dropped}");
    assert_eq!(local.letters()?.len(), 11);

    // Somebody else looks at one.
    let queue = &outputs.dead_letter_queue_url;
    local.sqs().receive_message().queue_url(queue).send().await?;
    let told = local.refused(&["calls", "dead-letters", "show", "order-99"])?;
    assert!(told.contains("1 letter held by another command"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_was_given_up_is_made_again_by_a_new_execution() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let message_id = local.letter(&outputs, &queued_call("order-1", SPENT).to_string()).await?;
    let told = local.refused(&["calls", "dead-letters", "restart", "order-1", "--put-back"])?;
    assert!(told.contains("its workflow no longer waits"), "{told}");

    // Not before somebody has decided whether it was executed.
    let guard = local.guard(&outputs);
    dispatched(&guard, "calls", "order-1").await?.needs_person("nobody knows").await?;
    let told = local.refused(&["calls", "dead-letters", "restart", "order-1"])?;
    assert!(told.contains("a person must first decide"), "{told}");
    assert_eq!(local.letters()?.len(), 1, "and the letter is there at once");
    local.told(&["calls", "unresolved", "resolve", "order-1", "--done", "--id", "7"])?;

    // An earlier restart was killed before it deleted the letter.
    let input = json!({
        "priority": "HIGH", "idempotency_key": "order-1",
        "request": {"method": "PUT", "resource": "salesOrder/eid:order-1"},
    });
    let name = format!("dead-letter-{message_id}");
    let sfn = aws_sdk_sfn::Client::new(local.deployer.config());
    let killed = sfn.start_execution().state_machine_arn(&outputs.throttled_call_arn);
    let killed = killed.name(&name).input(input.to_string()).send().await?;
    let restarted = local.told_json(&["calls", "dead-letters", "restart", "order-1"])?;
    assert_eq!(restarted[0]["execution_arn"], killed.execution_arn, "it is started once");
    assert!(local.letters()?.is_empty());

    // And one that was not.
    local.letter(&outputs, &queued_call("order-2", SPENT).to_string()).await?;
    let restarted = local.told_json(&["calls", "dead-letters", "restart", "--all"])?;
    let arn = restarted[0]["execution_arn"].as_str().context("an execution")?;
    let execution = sfn.describe_execution().execution_arn(arn).send().await?;
    let input: Value = serde_json::from_str(execution.input().unwrap_or_default())?;
    assert_eq!(input["idempotency_key"], "order-2");
    assert_eq!(input["request"]["resource"], "salesOrder/eid:order-2");
    assert!(local.letters()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_call_whose_workflow_waits_goes_back_on_its_queue() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let (token, execution) = local.token().await?;
    local.moved_letter(&outputs, &queued_call("order-1", &token).to_string()).await?;
    let letters = local.letters()?;
    ensure!(letters.len() == 1, "SQS has moved it: {letters:?}");
    assert_eq!(letters[0]["workflow_waits"], true);
    assert_eq!(letters[0]["reason"], Value::Null);

    local.told(&["calls", "dead-letters", "restart", "order-1"])?;
    assert_eq!(local.total(&outputs.dead_letter_queue_url).await?, 0);
    assert_eq!(local.total(outputs.doorbell_queue_url.as_ref().context("doorbell")?).await?, 1);
    let received = local.sqs().receive_message().queue_url(&outputs.high_queue_url).send().await?;
    let message = received.messages.unwrap_or_default().pop().context("it is on its queue")?;
    let body: Value = serde_json::from_str(message.body().unwrap_or_default())?;
    assert_eq!(body, queued_call("order-1", &token));

    // Its workflow is stopped meanwhile, and it is moved once more.
    let sfn = aws_sdk_sfn::Client::new(local.deployer.config());
    sfn.stop_execution().execution_arn(&execution).send().await?;
    local.moved_letter(&outputs, &queued_call("order-2", SPENT).to_string()).await?;
    let start = Instant::now();
    let told = local.refused(&["calls", "dead-letters", "restart", "order-2", "--put-back"])?;
    assert!(told.contains("no longer waits"), "{told}");
    let restarted = local.told_json(&["calls", "dead-letters", "restart", "order-2"])?;
    assert!(restarted[0]["execution_arn"].is_string(), "{restarted}");
    assert!(start.elapsed() < Duration::from_secs(30), "no letter was hidden in between");
    Ok(())
}
