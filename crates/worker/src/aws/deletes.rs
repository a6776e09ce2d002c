//! Deletes of finished calls: ten in one request, or as many as end within a second.
//!
//! A delete may wait. The call's workflow has been told by then. If the worker is killed before the
//! delete is sent, the message comes back, finds the stored result, and is deleted then. A slot
//! waits no longer for it: before it ends it listens for as long as a delete is held back.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use slowlane_lambda::logs::chain;
use slowlane_message::Priority;
use slowlane_policy::slot::LISTEN;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::queues::{Error, Received};
use crate::config::QueueUrls;

/// The entries of a batch request (API model, `DeleteMessageBatch`).
const BATCH: usize = 10;
/// How long a delete is held back for others to join it.
const HOLD: Duration = LISTEN;

/// The deletes that are held back, of each queue of calls.
pub(crate) struct Deletes {
    sqs: Client,
    urls: QueueUrls,
    held: [RefCell<Vec<Held>>; Priority::ALL.len()],
    /// From then on none is held back.
    hold_until: Cell<Instant>,
}

/// When a delete is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Now, with those that are held back: something waits for the call's end.
    AtOnce,
    /// When others have joined it, or a second is over.
    WithOthers,
}

struct Held {
    receipt_handle: String,
    /// Dropped when the request has been answered.
    waits: oneshot::Sender<Infallible>,
}

impl Deletes {
    /// Deletes of calls from these queues. None is held back yet.
    pub(crate) fn new(sqs: Client, urls: QueueUrls) -> Self {
        let hold_until = Cell::new(Instant::now());
        Deletes { sqs, urls, held: Default::default(), hold_until }
    }

    /// Deletes may be held back until then: later the slot ends, and another waits for its place.
    pub(crate) fn hold_until(&self, end: Instant) {
        self.hold_until.set(end);
    }

    /// Deletes a finished call. One that stays comes back, finds its result stored or its workflow
    /// gone, and is deleted then.
    pub(crate) async fn delete(&self, received: &Received, when: When) {
        let (waits, mut answered) = oneshot::channel();
        let receipt_handle = received.receipt_handle.clone();
        let count = self.hold(received.priority, Held { receipt_handle, waits });
        let due = match (when, count) {
            (When::AtOnce, _) | (_, BATCH) => true,
            (When::WithOthers, 1) => {
                let longest = self.hold_until.get().saturating_duration_since(Instant::now());
                if timeout(HOLD.min(longest), &mut answered).await.is_ok() {
                    return;
                }
                self.is_first(received)
            }
            (When::WithOthers, _) => false,
        };
        if due {
            self.send(received.priority).await;
        }
        // The sender never sends: it is dropped.
        let _ = answered.await;
    }

    /// Holds a delete back, and says how many of its queue are held back now.
    fn hold(&self, priority: Priority, held: Held) -> usize {
        let mut all = self.held[priority as usize].borrow_mut();
        // Nobody waits for the deletes of an invocation that was dropped half-way.
        all.retain(|one| !one.waits.is_closed());
        all.push(held);
        all.len()
    }

    /// Whether the batch that this delete began has not been sent.
    fn is_first(&self, received: &Received) -> bool {
        let all = self.held[received.priority as usize].borrow();
        all.first().is_some_and(|first| first.receipt_handle == received.receipt_handle)
    }

    async fn send(&self, priority: Priority) {
        let batch = self.held[priority as usize].take();
        let entries = batch.iter().enumerate().filter_map(|(id, held)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
            entry.receipt_handle(&held.receipt_handle).build().ok()
        });
        let request = self.sqs.delete_message_batch().queue_url(self.urls.of(priority));
        match request.set_entries(Some(entries.collect())).send().await {
            Ok(deleted) => {
                for failed in deleted.failed {
                    tracing::warn!(code = failed.code, "a finished call was not deleted");
                }
            }
            Err(error) => {
                let error = Error::of("delete from", priority.as_str(), error);
                let calls = batch.len();
                tracing::warn!(error = chain(&error), calls, "finished calls were not deleted");
            }
        }
    }
}
