//! The doorbell wiring: a ring wakes a slot, which polls the queues itself.

mod rings;
mod slot;
mod wake;

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use futures::future::join;
use slowlane_policy::slot::RingsAsleep;
use slowlane_policy::wake::allowance;
use tokio::time::Instant;

use crate::aws::doorbell::{Doorbell, Ring};
use crate::aws::function::{Function, HandedRing};
use crate::aws::queues::{Received, receive_count};
use crate::call::Calls;
use crate::metrics::{Counts, Reporter};
use crate::target::Target;

/// What the doorbell wiring keeps from invocation to invocation.
pub(crate) struct Slots {
    pub(crate) doorbell: Doorbell,
    pub(crate) function: Function,
    pub(crate) limit: u32,
    pub(crate) share_every: NonZeroU32,
    /// The number of the slot's turn. It is counted over all invocations of this process, so that
    /// each priority has its share, however short the invocations are.
    pub(crate) turn: Cell<u64>,
    /// When this process last rang for calls that a mapping of the other wiring had brought.
    pub(crate) rung_after_switch: Cell<Option<Instant>>,
    /// Rings that this process has let sleep.
    pub(crate) asleep: Cell<RingsAsleep>,
}

/// The ring that woke an invocation.
#[derive(Debug)]
struct WokenBy {
    ring: Ring,
    /// How often SQS has handed it out.
    receive_count: u32,
    /// When it was held last.
    held_at: Cell<Instant>,
}

impl WokenBy {
    fn new(ring: Ring, receive_count: u32) -> Self {
        Self { ring, receive_count, held_at: Cell::new(Instant::now()) }
    }
}

/// How an invocation ended.
#[derive(Debug)]
struct Done {
    counts: Counts,
    /// Whether the ring that woke the slot may go. If not, it must come back: something was
    /// left behind that no other ring is sure to cover.
    ring_served: bool,
}

/// A slot's invocation with what it works with.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a, T> {
    pub(crate) slots: &'a Slots,
    pub(crate) calls: &'a Calls<T>,
    pub(crate) reporter: &'a Reporter,
    /// When Lambda ends it.
    pub(crate) deadline: Instant,
}

impl<T: Target> Invocation<'_, T> {
    /// Handles what a mapping has brought: a ring, or a call of the other wiring, from which the
    /// stack has just been switched. Says whether the message must stay in its queue.
    pub(crate) async fn handle(&self, record: SqsMessage) -> (Counts, bool) {
        if !self.slots.doorbell.has_sent(&record) {
            return self.serve_unrung(record).await;
        }
        let says = slowlane_message::Ring::parse(record.body.as_deref().unwrap_or_default());
        if let Some(early) = self.early(says) {
            return (Counts::default(), !self.send_on(early).await);
        }
        let count = receive_count(record.attributes.get("ApproximateReceiveCount"));
        let woken_by = WokenBy::new(Ring(record.receipt_handle.unwrap_or_default()), count);
        let done = self.serve(&woken_by, allowance(self.slots.limit)).await;
        // A ring that stays says the same when it comes back.
        let may_go = done.ring_served && self.ring_again(says).await;
        (done.counts, !may_go)
    }

    /// How much too early a ring comes whose call is hidden for longer than SQS delays a message.
    fn early(&self, says: slowlane_message::Ring) -> Option<Duration> {
        let early = says.not_before?.duration_since(self.calls.clock.now());
        Duration::try_from(early).ok().filter(|early| *early > EARLY)
    }

    /// Handles a ring that another slot has handed on. No mapping will delete that ring.
    pub(crate) async fn handle_ring(&self, handed: HandedRing) -> Counts {
        let woken_by = WokenBy::new(handed.ring, 1);
        let done = self.serve(&woken_by, handed.allowance).await;
        if done.ring_served {
            self.slots.doorbell.delete_rings(&[woken_by.ring]).await;
        }
        done.counts
    }

    async fn serve(&self, woken_by: &WokenBy, allowance: u32) -> Done {
        if self.can_spare_ring().await {
            let counts = Counts { put_to_sleep: 1, ..Counts::default() };
            return Done { counts, ring_served: true };
        }
        join(self.hold_ring(woken_by), self.calls.refresh_limit()).await;
        // A call received at the last moment must still end before Lambda kills us.
        let visibility = self.calls.config.call_visibility;
        let stop_at = self.deadline.checked_sub(visibility).unwrap_or_else(Instant::now);
        self.run_slot(woken_by, stop_at, allowance).await
    }

    /// Runs a call that nobody has rung for. If it were given back, its mapping would only bring it
    /// again.
    async fn serve_unrung(&self, record: SqsMessage) -> (Counts, bool) {
        let Some(priority) = self.calls.queues.priority_of(&record) else {
            return (Counts::default(), true);
        };
        join(self.ring_after_switch(), self.calls.refresh_limit()).await;
        let mut counts = Counts::default();
        if let Some(waiting) = self.calls.limits.shut() {
            // The ring that rings again outlasts it.
            let received = Received::from_event(priority, record);
            let Some(ended) = self.calls.shut_out(received, &waiting).await else {
                counts.put_to_sleep += 1;
                return (counts, true);
            };
            self.reporter.ended(&ended, &mut counts);
            return (counts, !ended.disposition.is_end());
        }
        let ended = self.calls.process(Received::from_event(priority, record)).await;
        self.reporter.ended(&ended, &mut counts);
        (counts, !ended.disposition.is_end())
    }
}

/// A ring that comes earlier than this is sent on: a slot listens that long before it lets one go.
const EARLY: Duration = slowlane_policy::slot::LISTEN;

/// No time at all: as a wait of a poll, or before a ring.
const NONE: Duration = Duration::ZERO;
