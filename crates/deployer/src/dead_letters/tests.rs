//! What the letters say, and in which order a restart does its requests.

use super::*;
use crate::Outputs;
use crate::wire::Wire;
use aws_sdk_sqs::types::MessageAttributeValue;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAA";

fn body() -> Value {
    json!({
        "version": "1.1",
        "task_token": TOKEN,
        "priority": "HIGH",
        "idempotency_key": "order-123",
        "request": {"method": "PUT", "resource": "salesOrder/eid:order-123", "body": {"a": 1}},
        "enqueued_at": "2026-11-21T11:00:00.123Z",
        "deadline": "2026-11-21T12:00:00.000Z",
    })
}

fn message(body: &str) -> aws_sdk_sqs::types::builders::MessageBuilder {
    Message::builder()
        .message_id("m-1")
        .body(body)
        .attributes(MessageSystemAttributeName::SentTimestamp, "1700000000000")
}

#[test]
fn a_letter_of_the_worker_has_its_reason() {
    let text = |text| {
        MessageAttributeValue::builder().data_type("String").string_value(text).build().unwrap()
    };
    let message = message(&body().to_string())
        .message_attributes("reason", text("Slowlane.NeedsPerson: no answer"))
        .message_attributes("source_queue", text("HIGH"));
    let letter = Letter::read(message.build());
    let found = letter.as_json(Workflow::Ended);
    assert_eq!(found["key"], "order-123");
    assert_eq!(found["method"], "PUT");
    assert_eq!(found["reason"], "Slowlane.NeedsPerson: no answer");
    assert_eq!(found["source_queue"], "HIGH");
    assert_eq!(found["sent_at"], "2023-11-14T22:13:20Z");
    assert_eq!(found["workflow_waits"], false);
}

#[test]
fn what_is_no_call_is_named_by_its_message_id() {
    let letter = Letter::read(message("not JSON").build());
    assert!(letter.is_called("m-1") && !letter.is_called("order-123"));
    assert_eq!(letter.origin, Origin::Unknown);
    let found = letter.as_json(Workflow::Unknown);
    assert_eq!(found["key"], Value::Null);
    assert!(found["malformed"].as_str().unwrap().contains("not JSON"), "{found}");
}

#[test]
fn nothing_that_is_shown_has_the_task_token() {
    // Also where the body is no call.
    let broken = body().to_string().replace("HIGH", "URGENT");
    for body in [body().to_string(), broken] {
        let letter = Letter::read(message(&body).build());
        assert!(letter.redacted_body().contains("salesOrder/eid:order-123"));
        let shown = [
            letter.redacted_body(),
            format!("{letter:?}"),
            letter.as_json(Workflow::Waits).to_string(),
            table(&[(letter, Workflow::Waits)]),
        ];
        assert!(!shown.iter().any(|text| text.contains(TOKEN)), "{shown:?}");
    }
}

#[test]
fn a_new_execution_makes_the_same_call() {
    let mut body = body();
    let call = |body: &Value| QueuedCall::parse(&body.to_string()).unwrap();
    let expected = json!({
        "priority": "HIGH", "idempotency_key": "order-123", "request": body["request"],
    });
    assert_eq!(input(&call(&body)), expected);
    body["tenant"] = "acme".into();
    body["at_most_once"] = true.into();
    body["units"] = 1_800.into();
    let input = input(&call(&body));
    assert_eq!((&input["tenant"], &input["at_most_once"]), (&"acme".into(), &true.into()));
    assert_eq!(input["units"], 1_800);
}

fn deployed() -> Deployed {
    let outputs = Outputs {
        sales_order_sync_arn: "arn:aws:states:eu-north-1:1:stateMachine:sync".into(),
        throttled_call_arn: "arn:aws:states:eu-north-1:1:stateMachine:call".into(),
        high_queue_url: "https://sqs/1/high".into(),
        normal_queue_url: "https://sqs/1/normal".into(),
        batch_queue_url: "https://sqs/1/batch".into(),
        doorbell_queue_url: Some("https://sqs/1/doorbell".into()),
        dead_letter_queue_url: "https://sqs/1/dead".into(),
        grace_seconds: Some("230".into()),
        idempotency_table_name: "table".into(),
        usage_table_name: None,
        worker_function_name: "worker".into(),
        enqueuer_function_name: "enqueuer".into(),
    };
    let (parameters, resources) = Default::default();
    Deployed { stack_name: "slowlane".into(), outputs, parameters, resources }
}

/// Restarts a letter and answers what was requested: the operation, and the queue if one was
/// named.
async fn requests_of(
    answers: &[(u16, &str)],
    origin: Origin,
) -> (Vec<(String, String)>, Result<Restarted, Error>) {
    let wire = Wire::answering(answers.iter().copied());
    let mut body = body();
    body["deadline"] = "2126-11-21T12:00:00.000Z".into();
    let letter = Letter { origin, ..Letter::read(message(&body.to_string()).build()) };
    let letters = DeadLetters::new(&wire.config(), deployed());
    let restarted = letters.restart(&letter, Restart::WhatFits).await;
    let one = |request: &HttpRequest| {
        let target = request.headers().get("x-amz-target").unwrap();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let queue = body["QueueUrl"].as_str().unwrap_or_default();
        let last = |text: &str, mark| text.rsplit(mark).next().unwrap().to_owned();
        (last(target, '.'), last(queue, '/'))
    };
    let requests = wire.requests().iter().map(one).collect();
    (requests, restarted)
}

fn named(requests: &[(&str, &str)]) -> Vec<(String, String)> {
    let one = |(operation, queue): &(&str, &str)| ((*operation).into(), (*queue).into());
    requests.iter().map(one).collect()
}

/// Killed between any two of its requests, a restart leaves the letter.
#[tokio::test]
async fn a_letter_is_deleted_last() {
    let started = r#"{"executionArn": "arn:aws:states:e", "startDate": 1}"#;
    let worker = || Origin::Worker { reason: "why".into(), source_queue: None };
    let (requests, restarted) =
        requests_of(&[(200, "{}"), (200, started), (200, "{}")], worker()).await;
    assert_eq!(restarted.unwrap(), Restarted::Execution("arn:aws:states:e".into()));
    let expected = [("GetItem", ""), ("StartExecution", ""), ("DeleteMessage", "dead")];
    assert_eq!(requests, named(&expected));

    let (requests, restarted) = requests_of(&[(200, "{}"); 4], Origin::Redrive).await;
    assert_eq!(restarted.unwrap(), Restarted::Queued);
    let expected = [
        ("SendTaskHeartbeat", ""),
        ("SendMessage", "high"),
        ("SendMessage", "doorbell"),
        ("DeleteMessage", "dead"),
    ];
    assert_eq!(requests, named(&expected), "the ring comes after the call");
}

#[tokio::test]
async fn a_letter_that_is_not_restarted_is_visible_again() {
    let refused = r#"{"__type": "AccessDeniedException", "message": "not you"}"#;
    let back = r#"{"Successful": [], "Failed": []}"#;
    let worker = Origin::Worker { reason: "why".into(), source_queue: None };
    let (requests, restarted) =
        requests_of(&[(200, "{}"), (400, refused), (200, back)], worker).await;
    assert!(restarted.unwrap_err().to_string().contains("not you"));
    assert_eq!(requests[2], ("ChangeMessageVisibilityBatch".into(), "dead".into()));

    // Whether somebody waits is not known: then nothing is done on its own account.
    let (requests, restarted) = requests_of(&[(400, refused), (200, back)], Origin::Redrive).await;
    assert!(matches!(restarted, Err(Error::PerhapsNobodyWaits)), "{restarted:?}");
    assert_eq!(requests.len(), 2);
}
