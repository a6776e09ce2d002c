//! The doorbell: the queue of rings.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    SendMessageBatchRequestEntry,
};
use futures::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slowlane_lambda::logs::chain;
use slowlane_message as message;
use slowlane_policy::timing::{RING_AGAIN, ring_hold};
use slowlane_policy::wake::RING_HIDDEN;
use tokio::time::Instant;

use super::queues::{Error, MAX_VISIBILITY, is_from, without_retries};
use super::whole_secs;

/// SQS delays a message by 15 minutes at most (API model, `SendMessage`).
const MAX_DELAY: Duration = Duration::from_secs(900);
/// The entries of a batch request, and the messages of a receive (API model).
const BATCH: u8 = 10;

/// How long a slot clears the doorbell at most. What it leaves the next one clears.
const LONGEST_CLEARING: Duration = Duration::from_secs(10);

/// A ring received from the doorbell, by its receipt handle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ring(pub(crate) String);

/// What was found where the doorbell was cleared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cleared {
    /// Whether there were rings, or may have been.
    pub(crate) any: bool,
    /// How many of them sleep.
    pub(crate) asleep: u32,
}

/// The queue of rings.
#[derive(Debug, Clone)]
pub(crate) struct Doorbell {
    sqs: Client,
    /// Never tries a request again by itself: a receive that fails may have hidden rings, which is
    /// then made good.
    receiver: Client,
    url: String,
    ring_visibility: Duration,
    ring_hold: Duration,
}

fn rings_again(message: &Message) -> bool {
    message.body().is_some_and(|body| {
        let message::Ring { again_until, not_before } = message::Ring::parse(body);
        again_until.is_some() || not_before.is_some()
    })
}

fn ring_of(message: Message) -> Option<Ring> {
    message.receipt_handle.map(Ring)
}

impl Doorbell {
    /// The doorbell of this URL, which hides a ring for `ring_visibility`, in a deployment that
    /// hides a call for `call_visibility`.
    pub(crate) fn new(
        sqs: Client,
        url: &str,
        ring_visibility: Duration,
        call_visibility: Duration,
    ) -> Self {
        Doorbell {
            receiver: without_retries(&sqs),
            sqs,
            url: url.to_owned(),
            ring_visibility,
            ring_hold: ring_hold(call_visibility),
        }
    }

    /// Whether a mapping's record is a ring.
    pub(crate) fn has_sent(&self, record: &SqsMessage) -> bool {
        is_from(record, &self.url)
    }

    /// Wakes a slot `after` this long.
    pub(crate) async fn ring(&self, after: Duration) -> Result<(), Error> {
        self.send_ring(after, &message::Ring::default()).await
    }

    /// Wakes a slot `after` this long from `now`, which may be longer than SQS delays a message.
    pub(crate) async fn ring_in(&self, now: Timestamp, after: Duration) -> Result<(), Error> {
        let then = now.checked_add(after).ok().filter(|_| after > MAX_DELAY);
        let ring = then.map_or_else(message::Ring::default, message::Ring::not_before);
        self.send_ring(after, &ring).await
    }

    /// Wakes so many slots now.
    pub(crate) async fn ring_for_slots(&self, slots: u32) -> Result<(), Error> {
        let mut left = slots;
        while left > 0 {
            let rings = left.min(BATCH.into());
            let entries = (0..rings).filter_map(|id| {
                let entry = SendMessageBatchRequestEntry::builder().id(id.to_string());
                entry.message_body(message::Ring::default().to_body()).build().ok()
            });
            let request = self.sqs.send_message_batch().queue_url(&self.url);
            let sent = request.set_entries(Some(entries.collect())).send().await;
            sent.map_err(|error| Error::of("ring", "doorbell", error))?;
            left -= rings;
        }
        Ok(())
    }

    /// Wakes a slot `after` this long, with a ring that says this.
    pub(crate) async fn send_ring(
        &self,
        after: Duration,
        ring: &message::Ring,
    ) -> Result<(), Error> {
        self.sqs
            .send_message()
            .queue_url(&self.url)
            .message_body(ring.to_body())
            .delay_seconds(whole_secs(after, MAX_DELAY))
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::of("ring", "doorbell", error))
    }

    /// Hides the ring of a slot anew. It comes back a little after the calls that the slot takes
    /// until the next time are visible again, and not before
    /// ([`ring_hold`](slowlane_policy::timing::ring_hold)).
    pub(crate) async fn hold_ring(&self, ring: &Ring) {
        if let Err(error) = self.hide_ring(ring, self.ring_hold).await {
            tracing::warn!(error = chain(&error), "another ring is sent in its place");
            if let Err(error) = self.ring(self.ring_hold).await {
                tracing::error!(
                    error = chain(&error),
                    "if this slot is killed, only the next ring finds its calls"
                );
            }
        }
    }

    /// Hides a ring for this long from now.
    pub(crate) async fn hide_ring(&self, ring: &Ring, hidden: Duration) -> Result<(), Error> {
        self.sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&ring.0)
            .visibility_timeout(whole_secs(hidden, MAX_VISIBILITY))
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::of("hold a ring of", "doorbell", error))
    }

    /// Receives rings that have woken no slot, as many as one request gives, and hides them for as
    /// long as a slot may live.
    pub(crate) async fn collect_rings(&self) -> Result<Vec<Ring>, Error> {
        self.receive_rings(BATCH.into(), self.ring_visibility).await
    }

    /// Receives rings to wake other slots with, `most` at most. A slot that is woken holds its ring
    /// anew; a ring whose slot was never free comes back soon.
    pub(crate) async fn receive_rings_to_hand_on(&self, most: u32) -> Result<Vec<Ring>, Error> {
        self.receive_rings(most, RING_HIDDEN).await
    }

    /// Lets rings that nobody was woken by sleep for so long, `most` of them at most, and deletes the
    /// others.
    pub(crate) async fn clear_rings(&self, most: u32, asleep: Duration) -> Result<Cleared, Error> {
        let (began, mut left, mut any) = (Instant::now(), most, false);
        while began.elapsed() < LONGEST_CLEARING {
            // To be received for so long is to sleep for so long.
            let mut rings = self.receive_rings(BATCH.into(), asleep).await?;
            if rings.is_empty() {
                break;
            }
            any = true;
            let kept = rings.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= u32::try_from(kept).unwrap_or(left);
            let rest = rings.split_off(kept);
            if !rest.is_empty() {
                self.delete_rings(&rest).await;
            }
        }
        Ok(Cleared { any, asleep: most - left })
    }

    /// Takes ten rings off the doorbell for good, if there are as many: then no poller is free that
    /// could wake a slot with them. Fewer are left where they were. Says whether they are gone.
    pub(crate) async fn thin_out_rings(&self) -> Result<bool, Error> {
        let rings = self.receive_rings(BATCH.into(), RING_HIDDEN).await?;
        let enough = rings.len() == usize::from(BATCH);
        if enough {
            self.delete_rings(&rings).await;
        } else {
            self.return_rings(&rings).await?;
        }
        Ok(enough)
    }

    /// A ring that rings again is not among them. It must wake a slot by itself: a slot that takes
    /// it off the doorbell would end what it has begun.
    ///
    /// If the answer is lost, some rings may have been hidden, and one is sent in their place.
    async fn receive_rings(&self, most: u32, hidden: Duration) -> Result<Vec<Ring>, Error> {
        let received = self
            .receiver
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(u8::try_from(most).map_or(BATCH, |most| most.min(BATCH)).into())
            .wait_time_seconds(0)
            .visibility_timeout(whole_secs(hidden, MAX_VISIBILITY))
            .send()
            .await;
        match received {
            Ok(received) => {
                let (again, plain): (Vec<_>, Vec<_>) =
                    received.messages.unwrap_or_default().into_iter().partition(rings_again);
                for ring in again.into_iter().filter_map(ring_of) {
                    self.hide_ring(&ring, RING_AGAIN).await?;
                }
                Ok(plain.into_iter().filter_map(ring_of).collect())
            }
            Err(error) => {
                let error = Error::of("receive from", "doorbell", error);
                if error.may_hide {
                    self.ring(Duration::ZERO).await?;
                }
                Err(error)
            }
        }
    }

    /// Deletes rings that have been answered. One that stays only wakes a slot for nothing.
    pub(crate) async fn delete_rings(&self, rings: &[Ring]) {
        let batches = rings.chunks(BATCH.into()).map(|batch| {
            let entries = batch.iter().enumerate().filter_map(|(id, Ring(receipt))| {
                let entry = DeleteMessageBatchRequestEntry::builder();
                entry.id(id.to_string()).receipt_handle(receipt).build().ok()
            });
            let request = self.sqs.delete_message_batch().queue_url(&self.url);
            request.set_entries(Some(entries.collect())).send()
        });
        for deleted in join_all(batches).await {
            if let Err(error) = deleted {
                let error = Error::of("delete from", "doorbell", error);
                tracing::warn!(
                    error = chain(&error),
                    "rings that have been answered will ring again"
                );
            }
        }
    }

    /// Makes rings visible again that were taken for nothing. If some stay hidden, one is sent in
    /// their place: they were sent for calls that may be waiting now.
    pub(crate) async fn return_rings(&self, rings: &[Ring]) -> Result<(), Error> {
        let batches = rings.chunks(BATCH.into()).map(|batch| {
            let entries = batch.iter().enumerate().filter_map(|(id, Ring(receipt))| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
                entry.id(id.to_string()).receipt_handle(receipt).visibility_timeout(0).build().ok()
            });
            let request = self.sqs.change_message_visibility_batch().queue_url(&self.url);
            request.set_entries(Some(entries.collect())).send()
        });
        let mut all_returned = true;
        for returned in join_all(batches).await {
            match returned {
                Ok(returned) => all_returned &= returned.failed.is_empty(),
                Err(error) => {
                    let error = Error::of("change a ring of", "doorbell", error);
                    tracing::warn!(error = chain(&error), "another ring is sent in its place");
                    all_returned = false;
                }
            }
        }
        if all_returned { Ok(()) } else { self.ring(Duration::ZERO).await }
    }
}
