use super::{Local, dispatched, queued_call};
use anyhow::Context as _;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

const EXECUTION: &str =
    "arn:aws:states:us-east-1:000000000000:execution:trial-throttled-call:order-1";

impl Local {
    /// As if a Lambda had logged these lines just now.
    pub(crate) async fn log(&self, logical_id: &str, lines: &[Value]) -> anyhow::Result<()> {
        self.log_in("trial", logical_id, lines).await
    }

    /// The same for another stack.
    pub(crate) async fn log_in(
        &self,
        stack: &str,
        logical_id: &str,
        lines: &[Value],
    ) -> anyhow::Result<()> {
        let deployed = self.deployer.deployed(stack).await?;
        let group = deployed.resources.get(logical_id).context("the template has the group")?;
        let logs = aws_sdk_cloudwatchlogs::Client::new(self.deployer.config());
        let stream = "2026/11/25/[$LATEST]0123";
        logs.create_log_stream().log_group_name(group).log_stream_name(stream).send().await?;
        let now = jiff::Timestamp::now().as_millisecond();
        let events = lines.iter().map(|line| {
            let event = InputLogEvent::builder().message(line.to_string());
            event.timestamp(now).build().context("a line")
        });
        logs.put_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .set_log_events(Some(events.collect::<anyhow::Result<_>>()?))
            .send()
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_status_says_what_waits_and_why() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let quiet = local.told_json(&["status"])?;
    assert_eq!(quiet["held_up_by"], json!([]));
    assert_eq!(quiet["not_answered"], json!([]));
    assert_eq!((&quiet["limit"], &quiet["reserved_concurrency"]), (&json!(5), &json!(5)));

    for (queue, key) in [
        (&outputs.batch_queue_url, "order-1"),
        (&outputs.batch_queue_url, "order-2"),
        (&outputs.dead_letter_queue_url, "order-3"),
    ] {
        let body = queued_call(key, "AQCEAAAAKgAAAAMAAAAA").to_string();
        local.sqs().send_message().queue_url(queue).message_body(body).send().await?;
    }
    dispatched(&local.guard(&outputs), "calls", "order-4").await?.unknown("no answer").await?;
    local
        .log(
            "WorkerLogs",
            &[
                json!({"Calls": 1.0, "Priority": "BATCH", "Outcome": "succeeded", "QueueWaitMs": 1500.0}),
                json!({"Calls": 1.0, "Priority": "BATCH", "Outcome": "tried-again-later", "why": "no secret"}),
            ],
        )
        .await?;
    aws_sdk_lambda::Client::new(local.deployer.config())
        .put_function_concurrency()
        .function_name(&outputs.worker_function_name)
        .reserved_concurrent_executions(0)
        .send()
        .await?;
    let status = local.told_json(&["status"])?;
    assert_eq!(status["queues"][2]["depth"]["waiting"], 2, "{status:#}");
    assert_eq!((&status["dead_letters"], &status["unresolved"]), (&json!(1), &json!(1)));
    assert_eq!(status["recent"]["waits"]["BATCH"]["longest_ms"], 1500.0);
    let told = local.told(&["status"])?;
    for text in [
        "reserved concurrency is 0: nothing runs",
        "2 calls waiting, and no ring on the doorbell",
        "tried-again-later in the last 5 min: 1 call; the last: no secret",
        "1 dead letter:",
        "1 unresolved call:",
        "1 succeeded",
    ] {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }

    // What is not answered is said, and the rest is told all the same.
    let logs = aws_sdk_cloudwatchlogs::Client::new(local.deployer.config());
    let deployed = local.deployer.deployed("trial").await?;
    logs.delete_log_group().log_group_name(&deployed.resources["WorkerLogs"]).send().await?;
    let told = local.told(&["status"])?;
    assert!(told.contains("not answered\n  logs:FilterLogEvents for /aws/lambda/"), "{told}");
    assert!(told.contains("1 dead letter:"), "{told}");
    Ok(())
}

#[tokio::test]
async fn one_call_is_found_wherever_it_is() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let output = local.run_on("trial", &["calls", "find", "order-1"])?;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8(output.stdout)?;
    assert!(told.contains("no record, no dead letter and no log line"), "{told}");

    local
        .log(
            "EnqueuerLogs",
            &[
                json!({"message": "queued", "idempotency_key": "order-1", "priority": "HIGH"}),
                json!({"message": "queued", "idempotency_key": "order-7", "priority": "HIGH",
                    "execution_arn": EXECUTION}),
                json!({"message": "queued", "idempotency_key": "order-12", "priority": "HIGH"}),
            ],
        )
        .await?;
    let told = local.told(&["calls", "find", "order-1"])?;
    assert!(told.contains("no slot has taken it up yet"), "{told}");
    assert!(!told.contains("order-12"), "{told}");

    let body = queued_call("order-1", "AQCEAAAAKgAAAAMAAAAA").to_string();
    let queue = &outputs.dead_letter_queue_url;
    local.sqs().send_message().queue_url(queue).message_body(body).send().await?;
    let call = local.told_json(&["calls", "find", "order-1"])?;
    assert!(call["now"].as_str().is_some_and(|now| now.contains("dead-letter")), "{call:#}");
    assert_eq!(call["dead_letters"][0]["resource"], "salesOrder/eid:order-1");
    assert_eq!(call["log"][0]["message"], "queued");

    dispatched(&local.guard(&outputs), "calls", "order-1").await?.needs_person("no answer").await?;
    let call = local.told_json(&["calls", "find", "order-1"])?;
    assert_eq!(call["record"]["state"], "NEEDS_PERSON");
    assert!(call["now"].as_str().is_some_and(|now| now.contains("a person must")), "{call:#}");
    assert_eq!(call["not_answered"], json!([]));
    // Of the call of another tenant there is neither record nor letter; a log line names no tenant.
    let call = local.told_json(&["calls", "find", "order-1", "--scope", "acme"])?;
    assert_eq!((&call["record"], &call["dead_letters"]), (&Value::Null, &json!([])));
    let told = local.refused(&["calls", "find", "order-2"])?;
    assert!(told.contains("nothing is known of the call order-2"), "{told}");

    // By the execution that waits for it.
    let calls = local.told_json(&["calls", "find", EXECUTION])?;
    assert_eq!((&calls[0]["key"], &calls[1]), (&json!("order-7"), &Value::Null), "{calls:#}");
    let told = local.refused(&["calls", "find", &format!("{EXECUTION}-2")])?;
    assert!(told.contains("may be a child of the one you look at"), "{told}");
    Ok(())
}

#[tokio::test]
async fn it_is_said_why_a_call_waits() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let told = local.refused(&["why", "order-1"])?;
    assert!(told.contains("nothing is known of the call order-1"), "{told}");

    for key in ["order-0", "order-1"] {
        let body = queued_call(key, "AQCEAAAAKgAAAAMAAAAA").to_string();
        local
            .sqs()
            .send_message()
            .queue_url(&outputs.high_queue_url)
            .message_body(body)
            .send()
            .await?;
    }
    let queued = json!({"message": "queued", "idempotency_key": "order-1", "priority": "HIGH"});
    local.log("EnqueuerLogs", &[queued]).await?;
    let ended: Vec<_> = (0..10)
        .map(|_| json!({"Calls": 1.0, "Outcome": "succeeded", "idempotency_key": "another"}))
        .collect();
    local.log("WorkerLogs", &ended).await?;
    let why = local.told_json(&["why", "order-1"])?;
    assert_eq!(why["waits"], true, "{why:#}");
    assert_eq!((&why["ahead"], &why["estimate_secs"]), (&json!(1), &json!(30)), "{why:#}");
    let told = local.told(&["why", "order-1"])?;
    assert!(told.contains("no ring on the doorbell"), "{told}");

    let claimed = dispatched(&local.guard(&outputs), "calls", "order-1").await?;
    let why = local.told_json(&["why", "order-1"])?;
    assert_eq!((&why["waits"], &why["because"]), (&json!(false), &json!([])), "{why:#}");
    drop(claimed);
    Ok(())
}

#[tokio::test]
async fn the_logs_are_printed_whole_or_of_one_call() -> anyhow::Result<()> {
    let (local, _) = Local::deployed().await?;
    let output = local.run_on("trial", &["logs"])?;
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let queued = json!({"message": "queued", "idempotency_key": "order-1", "priority": "HIGH"});
    local.log("EnqueuerLogs", &[queued]).await?;
    let done = |key: &str| json!({"Calls": 1.0, "Outcome": "succeeded", "idempotency_key": key, "_aws": {"x": 1}});
    local.log("WorkerLogs", &[done("order-1"), done("order-2")]).await?;

    let told = local.told(&["logs"])?;
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains(" enqueuer queued idempotency_key=order-1 priority=HIGH\n"), "{told}");
    assert!(!told.contains("_aws"), "{told}");
    assert_eq!(local.told(&["logs", "--function", "worker"])?.lines().count(), 2);
    let told = local.told(&["logs", "--call", "order-1", "--json"])?;
    let lines: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let told: Vec<_> = lines.iter().map(|line| (&line["function"], &line["Outcome"])).collect();
    let (enqueuer, worker) = (json!("enqueuer"), json!("worker"));
    assert_eq!(told, [(&enqueuer, &Value::Null), (&worker, &json!("succeeded"))], "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_changed_by_hand_is_shown() -> anyhow::Result<()> {
    let (local, outputs) = Local::deployed().await?;
    let by_hand = local.sqs().set_queue_attributes().queue_url(&outputs.high_queue_url);
    by_hand.attributes(QueueAttributeName::VisibilityTimeout, "7").send().await?;
    let told = local.told(&["status", "--drift"])?;
    let expected = "  HighQueue (AWS::SQS::Queue)\n      VisibilityTimeout: 7, deployed as 90\n";
    assert!(told.contains("\ndrift\n") && told.contains(expected), "{told}");
    let json = local.told_json(&["status", "--drift"])?;
    let drifted = json["drift"]["resources"].as_array().into_iter().flatten();
    assert!(drifted.clone().any(|one| one["logical_id"] == "HighQueue"), "{json}");
    assert_eq!(local.told_json(&["status"])?["drift"], serde_json::Value::Null);
    Ok(())
}
