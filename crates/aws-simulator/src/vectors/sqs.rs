//! SQS standard queues.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName as System,
    QueueAttributeName as Counted, SendMessageBatchRequestEntry,
};

use super::place::Source::{Doc, Model};
use super::place::{NewQueue, Place, Seen, word};

/// A little more than the visibility timeout of a second.
const SECOND: Duration = Duration::from_millis(1_200);

/// One queue, seen by one client.
struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    async fn new(place: &impl Place, name: &str, visibility_secs: u32) -> Queue {
        let url = place.create_queue(NewQueue { name, visibility_secs, redrive: None }).await;
        Queue { sqs: Client::new(place.sdk()), url }
    }

    async fn send(&self, body: &str, delay_secs: i32) -> String {
        let send = self.sqs.send_message().queue_url(&self.url).message_body(body);
        word(&send.delay_seconds(delay_secs).send().await)
    }

    /// Waits a second at most.
    async fn receive(&self) -> Vec<Message> {
        let receive = self.sqs.receive_message().queue_url(&self.url).wait_time_seconds(1);
        let receive = receive.max_number_of_messages(10);
        let received = receive.message_system_attribute_names(System::All).send().await;
        received.ok().and_then(|received| received.messages).unwrap_or_default()
    }

    /// The one message that is there, and its receipt handle.
    async fn receipt(&self) -> String {
        let mut received = self.receive().await;
        received.pop().and_then(|message| message.receipt_handle).unwrap_or_default()
    }

    async fn delete(&self, receipt: &str) -> String {
        let delete = self.sqs.delete_message().queue_url(&self.url).receipt_handle(receipt);
        word(&delete.send().await)
    }

    async fn hide(&self, receipt: &str, secs: i32) -> String {
        let hide = self.sqs.change_message_visibility().queue_url(&self.url);
        word(&hide.receipt_handle(receipt).visibility_timeout(secs).send().await)
    }

    /// How many messages are visible, in flight and delayed.
    async fn counts(&self) -> String {
        let counted = [
            Counted::ApproximateNumberOfMessages,
            Counted::ApproximateNumberOfMessagesNotVisible,
            Counted::ApproximateNumberOfMessagesDelayed,
        ];
        let get = self.sqs.get_queue_attributes().queue_url(&self.url);
        let got = get.set_attribute_names(Some(counted.to_vec())).send().await;
        let got = got.ok().and_then(|got| got.attributes).unwrap_or_default();
        counted.map(|name| got.get(&name).cloned().unwrap_or_default()).join(" ")
    }
}

fn count(messages: &[Message]) -> String {
    let receives = |message: &Message| {
        let all = message.attributes.as_ref()?;
        all.get(&System::ApproximateReceiveCount).cloned()
    };
    match messages {
        [] => "nothing".to_owned(),
        [one] => format!("receive {}", receives(one).unwrap_or_default()),
        more => format!("{} messages", more.len()),
    }
}

pub(super) async fn observe(place: &impl Place, seen: &mut Seen) {
    visibility(place, seen).await;
    receipts(place, seen).await;
    redrive(place, seen).await;
    batches(place, seen).await;
    limits(place, seen).await;
}

async fn visibility(place: &impl Place, seen: &mut Seen) {
    let queue = Queue::new(place, "visibility", 1).await;
    queue.send("m", 0).await;
    let first = count(&queue.receive().await);
    let again = count(&queue.receive().await);
    // The long poll ends when the message is visible again, or a moment before.
    let again = if again == "nothing" { count(&queue.receive().await) } else { again };
    let saw = format!("{first}, {again}");
    seen.note("a message, received and not deleted", "receive 1, receive 2", Model, saw);

    let queue = Queue::new(place, "hidden", 30).await;
    queue.send("m", 0).await;
    let receipt = queue.receipt().await;
    let hidden = count(&queue.receive().await);
    let given_back = queue.hide(&receipt, 0).await;
    let saw = format!("{hidden}, {given_back}, {}", count(&queue.receive().await));
    let aws = "nothing, ok, receive 2";
    seen.note("a message in flight: a poll, its visibility set to 0, a poll", aws, Model, saw);

    let queue = Queue::new(place, "shortened", 30).await;
    queue.send("m", 0).await;
    let receipt = queue.receipt().await;
    queue.hide(&receipt, 1).await;
    tokio::time::sleep(SECOND).await;
    let saw = count(&queue.receive().await);
    seen.note("a visibility shortened to a second, counted from the call", "receive 2", Model, saw);

    let queue = Queue::new(place, "delayed", 30).await;
    queue.send("m", 2).await;
    let counts = queue.counts().await;
    let early = count(&queue.receive().await);
    tokio::time::sleep(SECOND).await;
    let saw = format!("{counts}, {early}, {}", count(&queue.receive().await));
    seen.note(
        "a delay of 2 s: counts, a poll of a second, a poll after it",
        "0 0 1, nothing, receive 1",
        Model,
        saw,
    );
}

async fn receipts(place: &impl Place, seen: &mut Seen) {
    let queue = Queue::new(place, "receipts", 1).await;
    queue.send("m", 0).await;
    let receipt = queue.receipt().await;
    let saw = format!("{}, {}", queue.delete(&receipt).await, queue.delete(&receipt).await);
    seen.note("a delete, twice", "ok, ok", Model, saw);
    let saw = queue.hide(&receipt, 0).await;
    seen.note("the visibility of a deleted message", "InvalidParameterValue", Doc, saw);

    queue.send("m", 0).await;
    let stale = queue.receipt().await;
    tokio::time::sleep(SECOND).await;
    let visible = queue.hide(&stale, 5).await;
    seen.note(
        "the visibility of a message that is visible again",
        "MessageNotInflight",
        Model,
        visible,
    );
    let fresh = queue.receipt().await;
    let saw = format!("{}, {}", queue.delete(&stale).await, queue.delete(&fresh).await);
    seen.note("a delete with a stale receipt, and with the fresh one", "ok, ok", Model, saw);
    tokio::time::sleep(SECOND).await;
    let saw = count(&queue.receive().await);
    seen.note("what is left then", "nothing", Model, saw);
    let saw = format!("{}, {}", queue.delete("nonsense").await, queue.hide("nonsense", 0).await);
    let aws = "ReceiptHandleIsInvalid, ReceiptHandleIsInvalid";
    seen.note("a receipt handle that nobody gave out: delete, visibility", aws, Model, saw);
}

async fn redrive(place: &impl Place, seen: &mut Seen) {
    let dead = Queue::new(place, "dead", 30).await;
    let (name, redrive) = ("redriven", Some((dead.url.as_str(), 2)));
    let url = place.create_queue(NewQueue { name, visibility_secs: 30, redrive }).await;
    let queue = Queue { sqs: dead.sqs.clone(), url };
    queue.send("m", 0).await;
    let mut polls = Vec::new();
    for _ in 0..3 {
        let received = queue.receive().await;
        polls.push(count(&received));
        for receipt in received.iter().filter_map(Message::receipt_handle) {
            queue.hide(receipt, 0).await;
        }
    }
    let saw = format!("{}; dead {}", polls.join(", "), dead.receive().await.len());
    seen.note(
        "maxReceiveCount 2, three polls",
        "receive 1, receive 2, nothing; dead 1",
        Model,
        saw,
    );
}

async fn batches(place: &impl Place, seen: &mut Seen) {
    let queue = Queue::new(place, "batches", 30).await;
    let entries = |ids: &[&str]| -> Vec<SendMessageBatchRequestEntry> {
        let entry = |id: &&str| SendMessageBatchRequestEntry::builder().id(*id).message_body("m");
        ids.iter().filter_map(|id| entry(id).build().ok()).collect()
    };
    let send = async |ids: &[&str]| {
        let send = queue.sqs.send_message_batch().queue_url(&queue.url);
        word(&send.set_entries(Some(entries(ids))).send().await)
    };
    let eleven: Vec<String> = (0..11).map(|id| id.to_string()).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    let saw = format!("{}, {}", send(&[]).await, send(&eleven).await);
    let aws = "EmptyBatchRequest, TooManyEntriesInBatchRequest";
    seen.note("a batch of none, and of eleven", aws, Model, saw);
    let saw = format!("{}, {}", send(&["a", "a"]).await, send(&["a", "b"]).await);
    seen.note(
        "a batch with one id twice, and one without",
        "BatchEntryIdsNotDistinct, ok",
        Model,
        saw,
    );
    let received = queue.receive().await;
    let good = received.first().and_then(Message::receipt_handle).unwrap_or_default();
    let entry = |id: &str, receipt: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt).build().ok()
    };
    let entries = [entry("good", good), entry("bad", "nonsense")].into_iter().flatten().collect();
    let delete = queue.sqs.delete_message_batch().queue_url(&queue.url);
    let saw = match delete.set_entries(Some(entries)).send().await {
        Ok(done) => {
            let code = |code: &str| code.rsplit('#').next().unwrap_or_default().to_owned();
            let good = done.successful().iter().map(|entry| entry.id().to_owned());
            let bad =
                done.failed().iter().map(|entry| format!("{} {}", entry.id(), code(entry.code())));
            good.chain(bad).collect::<Vec<_>>().join(", ")
        }
        error => word(&error),
    };
    seen.note(
        "a batch of deletes, one with a receipt handle that nobody gave out",
        "good, bad ReceiptHandleIsInvalid",
        Model,
        saw,
    );
}

async fn limits(place: &impl Place, seen: &mut Seen) {
    let queue = Queue::new(place, "limits", 30).await;
    let saw = format!("{}, {}", queue.send("m", 900).await, queue.send("m", 901).await);
    seen.note("a delay of 900 s, and of 901 s", "ok, InvalidParameterValue", Model, saw);
    let saw = format!(
        "{}, {}",
        queue.send(&"x".repeat(1_048_576), 0).await,
        queue.send(&"x".repeat(1_048_577), 0).await
    );
    seen.note("a message of 1 MiB, and of a byte more", "ok, InvalidParameterValue", Model, saw);
    let receipt = queue.receipt().await;
    let saw = format!("{}, {}", queue.hide(&receipt, 43_201).await, queue.hide(&receipt, 60).await);
    seen.note(
        "a visibility of over 12 hours, and of 60 s",
        "InvalidParameterValue, ok",
        Model,
        saw,
    );
    let ask = async |most, wait| {
        let receive = queue.sqs.receive_message().queue_url(&queue.url);
        word(&receive.max_number_of_messages(most).wait_time_seconds(wait).send().await)
    };
    let saw = format!("{}, {}, {}", ask(0, 0).await, ask(11, 0).await, ask(1, 21).await);
    seen.note(
        "a receive of 0 messages, of 11, and one that waits 21 s",
        "InvalidParameterValue, InvalidParameterValue, InvalidParameterValue",
        Model,
        saw,
    );
    let nowhere = Queue { sqs: queue.sqs.clone(), url: format!("{}-not", queue.url) };
    let saw = nowhere.send("m", 0).await;
    seen.note("a queue that is not there", "QueueDoesNotExist", Model, saw);
}
