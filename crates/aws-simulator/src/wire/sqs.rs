//! SQS in AWS JSON 1.0.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::reply::{Reply, read};
use crate::cloud::requests::Action;
use crate::cloud::sqs::{
    Ask, Error, LONGEST_POLL, LONGEST_VISIBILITY, QueueId, Receipt, Received, Send,
};
use crate::cloud::{Cloud, State};
use crate::time::Moment;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Receive<'a> {
    #[serde(borrow)]
    queue_url: Cow<'a, str>,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    #[serde(borrow, default)]
    message_system_attribute_names: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    message_attribute_names: Vec<Cow<'a, str>>,
}

impl Receive<'_> {
    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_time_seconds.unwrap_or(0))
    }

    fn ask(&self) -> Ask {
        Ask {
            max: self.max_number_of_messages.unwrap_or(1),
            visibility: self.visibility_timeout.map(Duration::from_secs),
            // At least a second of waiting asks all servers (model).
            long: !self.wait().is_zero(),
        }
    }

    fn reply(&self, received: Result<Vec<Received>, Error>) -> Reply {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Messages<'a> {
            messages: Vec<Message<'a>>,
        }
        let received = match received {
            Ok(received) => received,
            Err(error) => return refused(error),
        };
        if received.is_empty() {
            return Reply::empty();
        }
        let messages = received.iter().map(|one| self.message(one)).collect();
        Reply::ok(&Messages { messages })
    }

    fn message<'m>(&self, received: &'m Received) -> Message<'m> {
        let wants = |names: &[Cow<'_, str>], name: &str| {
            names.iter().any(|wanted| wanted == name || wanted == "All")
        };
        let system = &self.message_system_attribute_names;
        let attribute = |name: &str, value: String| wants(system, name).then_some(value);
        let sent_at = received.sent_at.epoch_millis();
        let first = received.first_received_at.epoch_millis();
        let user = &self.message_attribute_names;
        Message {
            message_id: received.message.to_string(),
            receipt_handle: received.receipt.to_string(),
            body: &received.body,
            attributes: Attributes {
                receive_count: attribute(
                    "ApproximateReceiveCount",
                    received.receive_count.to_string(),
                ),
                sent: attribute("SentTimestamp", sent_at.to_string()),
                first_received: attribute("ApproximateFirstReceiveTimestamp", first.to_string()),
                trace: received.trace_header.as_deref().filter(|_| wants(system, "AWSTraceHeader")),
                group: received.group.as_deref().filter(|_| wants(system, "MessageGroupId")),
            },
            message_attributes: received.attributes.as_deref().and_then(|text| {
                let mut all: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
                all.retain(|name, _| wants(user, name));
                (!all.is_empty()).then_some(all)
            }),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message<'a> {
    message_id: String,
    receipt_handle: String,
    body: &'a str,
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<serde_json::Map<String, Value>>,
}

#[derive(Serialize)]
struct Attributes<'a> {
    #[serde(rename = "ApproximateReceiveCount", skip_serializing_if = "Option::is_none")]
    receive_count: Option<String>,
    #[serde(rename = "SentTimestamp", skip_serializing_if = "Option::is_none")]
    sent: Option<String>,
    #[serde(rename = "ApproximateFirstReceiveTimestamp", skip_serializing_if = "Option::is_none")]
    first_received: Option<String>,
    #[serde(rename = "AWSTraceHeader", skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(rename = "MessageGroupId", skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

/// ReceiveMessage, with its wait.
pub(super) async fn receive(cloud: &Cloud, body: &[u8]) -> Reply {
    let request: Receive<'_> = read(body);
    let queue = named(&cloud.state(), &request.queue_url);
    let received = match queue {
        Ok(_) if request.wait() > LONGEST_POLL => {
            Err(Error::InvalidParameterValue("WaitTimeSeconds is 0 to 20."))
        }
        Ok(queue) => cloud.poll(queue, request.ask(), request.wait()).await,
        Err(error) => Err(error),
    };
    request.reply(received)
}

/// ReceiveMessage of a client that is gone before it could wait.
pub(super) fn receive_once(state: &mut State, body: &[u8], now: Moment) -> Reply {
    let request: Receive<'_> = read(body);
    let queue = named(state, &request.queue_url);
    let received = queue.and_then(|queue| state.receive(queue, request.ask(), now));
    request.reply(received)
}

/// Every other action.
pub(super) fn answer(state: &mut State, action: Action, body: &[u8], now: Moment) -> Reply {
    let answered = match action {
        Action::SendMessage => send(state, body, now),
        Action::SendMessageBatch => send_batch(state, body, now),
        Action::DeleteMessage => delete(state, body, now),
        Action::DeleteMessageBatch => delete_batch(state, body, now),
        Action::ChangeMessageVisibility => change(state, body, now),
        Action::ChangeMessageVisibilityBatch => change_batch(state, body, now),
        _ => attributes(state, body, now),
    };
    answered.unwrap_or_else(refused)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    message_body: Cow<'a, str>,
    delay_seconds: Option<u64>,
    #[serde(borrow)]
    message_attributes: Option<&'a RawValue>,
    #[serde(default)]
    message_system_attributes: Option<serde_json::Value>,
    #[serde(borrow)]
    message_group_id: Option<Cow<'a, str>>,
}

impl SendMessage<'_> {
    fn message(&self) -> Send {
        let system = self.message_system_attributes.as_ref();
        let trace = system.and_then(|all| all["AWSTraceHeader"]["StringValue"].as_str());
        Send {
            body: self.message_body.as_ref().into(),
            attributes: self.message_attributes.map(|raw| raw.get().into()),
            trace_header: trace.map(Into::into),
            group: self.message_group_id.as_deref().map(Into::into),
            delay: Duration::from_secs(self.delay_seconds.unwrap_or(0)),
        }
    }
}

fn send(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sent {
        message_id: String,
    }
    let request: SendMessage<'_> = read(body);
    let queue = named(state, &request.queue_url)?;
    let message_id = state.send(queue, request.message(), now)?.to_string();
    Ok(Reply::ok(&Sent { message_id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Batch<'a, T> {
    #[serde(borrow)]
    queue_url: Cow<'a, str>,
    entries: Vec<T>,
}

/// What a batch request did, entry by entry.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    successful: Vec<Successful>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Successful {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

impl Done {
    fn take(&mut self, id: &str, outcome: Result<Option<String>, Error>) {
        let id = id.to_owned();
        match outcome {
            Ok(message_id) => self.successful.push(Successful { id, message_id }),
            Err(error) => self.failed.push(Failed {
                id,
                sender_fault: true,
                code: kind(error),
                message: error.to_string(),
            }),
        }
    }
}

/// A batch has 1 to 10 entries, no two with the same id (model).
fn check_entries<'e>(ids: impl ExactSizeIterator<Item = &'e Cow<'e, str>>) -> Result<(), Error> {
    match ids.len() {
        0 => return Err(Error::EmptyBatchRequest),
        1..=10 => {}
        _ => return Err(Error::TooManyEntriesInBatchRequest),
    }
    let count = ids.len();
    let distinct: HashSet<&str> = ids.map(|id| &**id).collect();
    if distinct.len() == count { Ok(()) } else { Err(Error::BatchEntryIdsNotDistinct) }
}

fn send_batch(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    let request: Batch<'_, SendMessage<'_>> = read(body);
    check_entries(request.entries.iter().map(|entry| &entry.id))?;
    let queue = named(state, &request.queue_url)?;
    let mut done = Done::default();
    for entry in &request.entries {
        let sent = state.send(queue, entry.message(), now);
        done.take(&entry.id, sent.map(|message| Some(message.to_string())));
    }
    Ok(Reply::ok(&done))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ByReceipt<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    receipt_handle: Cow<'a, str>,
    visibility_timeout: Option<u64>,
}

impl ByReceipt<'_> {
    fn delete(&self, state: &mut State, queue: QueueId, now: Moment) -> Result<(), Error> {
        let receipt: Receipt = self.receipt_handle.parse()?;
        state.delete(queue, receipt, now);
        Ok(())
    }

    fn change(&self, state: &mut State, queue: QueueId, now: Moment) -> Result<(), Error> {
        let receipt: Receipt = self.receipt_handle.parse()?;
        let visibility = Duration::from_secs(self.visibility_timeout.unwrap_or(0));
        if visibility > LONGEST_VISIBILITY {
            return Err(Error::InvalidParameterValue("VisibilityTimeout is 0 to 43200."));
        }
        state.change_visibility(queue, receipt, visibility, now)
    }
}

fn delete(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    let request: ByReceipt<'_> = read(body);
    let queue = named(state, &request.queue_url)?;
    request.delete(state, queue, now)?;
    Ok(Reply::empty())
}

fn delete_batch(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    let request: Batch<'_, ByReceipt<'_>> = read(body);
    check_entries(request.entries.iter().map(|entry| &entry.id))?;
    let queue = named(state, &request.queue_url)?;
    let mut done = Done::default();
    for entry in &request.entries {
        done.take(&entry.id, entry.delete(state, queue, now).map(|()| None));
    }
    Ok(Reply::ok(&done))
}

fn change(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    let request: ByReceipt<'_> = read(body);
    let queue = named(state, &request.queue_url)?;
    request.change(state, queue, now)?;
    Ok(Reply::empty())
}

fn change_batch(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    let request: Batch<'_, ByReceipt<'_>> = read(body);
    check_entries(request.entries.iter().map(|entry| &entry.id))?;
    let queue = named(state, &request.queue_url)?;
    let mut done = Done::default();
    for entry in &request.entries {
        done.take(&entry.id, entry.change(state, queue, now).map(|()| None));
    }
    Ok(Reply::ok(&done))
}

fn attributes(state: &mut State, body: &[u8], now: Moment) -> Result<Reply, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Request<'a> {
        #[serde(borrow)]
        queue_url: Cow<'a, str>,
        #[serde(borrow, default)]
        attribute_names: Vec<Cow<'a, str>>,
    }
    let request: Request<'_> = read(body);
    let queue = named(state, &request.queue_url)?;
    let (sqs, mut odds) = state.sqs();
    let counts = sqs.counts(queue, now, &mut odds);
    let mut attributes = serde_json::Map::new();
    for (name, count) in [
        ("ApproximateNumberOfMessages", counts.visible),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed),
    ] {
        if request.attribute_names.iter().any(|wanted| wanted == name || wanted == "All") {
            attributes.insert(name.to_owned(), count.to_string().into());
        }
    }
    Ok(Reply::ok(&serde_json::json!({ "Attributes": attributes })))
}

fn named(state: &State, url: &str) -> Result<QueueId, Error> {
    let name = url.rsplit('/').next().unwrap_or_default();
    state.sqs.named(name)
}

fn refused(error: Error) -> Reply {
    Reply::refused(&format!("com.amazonaws.sqs#{}", kind(error)), &error.to_string())
}

fn kind(error: Error) -> &'static str {
    match error {
        Error::QueueDoesNotExist => "QueueDoesNotExist",
        Error::OverLimit => "OverLimit",
        Error::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
        Error::MessageNotInflight => "MessageNotInflight",
        Error::InvalidParameterValue(_) => "InvalidParameterValue",
        Error::EmptyBatchRequest => "EmptyBatchRequest",
        Error::TooManyEntriesInBatchRequest => "TooManyEntriesInBatchRequest",
        Error::BatchEntryIdsNotDistinct => "BatchEntryIdsNotDistinct",
    }
}
