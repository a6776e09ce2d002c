//! Messages as Lambda hands them to a function.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage, SqsMessageAttribute};
use serde::Deserialize;
use serde_json::json;

use super::Cloud;
use super::sqs::{QueueId, Received, queue_arn};

/// A message attribute as SQS's API has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<String>,
}

impl Cloud {
    /// The event of a batch that an event source mapping delivers. It has no MD5 sums.
    pub fn sqs_event(&self, queue: QueueId, batch: &[Received]) -> SqsEvent {
        let arn = queue_arn(&self.state().sqs.settings(queue).name);
        let mut event = SqsEvent::default();
        event.records = batch.iter().map(|received| record(received, &arn)).collect();
        event
    }
}

fn record(received: &Received, arn: &str) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(received.message.to_string());
    message.receipt_handle = Some(received.receipt.to_string());
    message.body = Some(received.body.to_string());
    message.event_source_arn = Some(arn.to_owned());
    message.event_source = Some("aws:sqs".to_owned());
    message.aws_region = Some("us-east-1".to_owned());
    message.message_attributes = received.attributes.as_deref().map(in_event).unwrap_or_default();
    let own = [
        ("ApproximateReceiveCount", received.receive_count.to_string()),
        ("SentTimestamp", received.sent_at.epoch_millis().to_string()),
        ("ApproximateFirstReceiveTimestamp", received.first_received_at.epoch_millis().to_string()),
    ];
    let sent = [
        ("AWSTraceHeader", received.trace_header.as_deref()),
        ("MessageGroupId", received.group.as_deref()),
    ];
    let sent = sent.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned())));
    let all = own.into_iter().chain(sent);
    message.attributes = all.map(|(name, value)| (name.to_owned(), value)).collect();
    message
}

/// Message attributes as they stand in the event: the same in camel case.
///
/// # Panics
/// If they are not as SQS's API defines them: an answer that ignored that would be a guess.
fn in_event(attributes: &str) -> HashMap<String, SqsMessageAttribute> {
    let sent: HashMap<String, Attribute> = serde_json::from_str(attributes)
        .unwrap_or_else(|error| panic!("{attributes} are no message attributes: {error}"));
    let attribute = |sent: Attribute| {
        let value = json!({
            "dataType": sent.data_type,
            "stringValue": sent.string_value,
            "binaryValue": sent.binary_value,
        });
        serde_json::from_value(value)
            .unwrap_or_else(|error| panic!("{attributes} are no message attributes: {error}"))
    };
    sent.into_iter().map(|(name, sent)| (name, attribute(sent))).collect()
}
