//! The deferral wiring: each queue has a mapping of its own, and one call woke this worker.
//!
//! Before a lower call runs, the worker looks at the higher queues. If something waits there, the
//! lower call is put back for a short, jittered while. The higher one runs here (`swap`), or is
//! left to its own mapping (`yield`, as the pattern was first published). After some receives, or
//! some time, a call runs regardless.
//!
//! While the limit is paused, each call that is delivered is put back for minutes.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use futures::future::join;
use slowlane_lambda::logs::chain;
use slowlane_limiter::Waiting;
use slowlane_message::Priority;
use slowlane_policy::deferral::{self, DeferralSettings, LookHigher, OnHigher};

use crate::aws::queues::Received;
use crate::call::Calls;
use crate::metrics::{Counts, Reporter};
use crate::target::Target;

/// What waits above the call that woke the worker.
enum Higher {
    Nothing,
    /// Received from its queue: it must run here, since nobody else can see it now.
    Received(Received),
    Seen,
}

/// An invocation with what it works with.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a, T> {
    pub(crate) settings: &'a DeferralSettings,
    pub(crate) calls: &'a Calls<T>,
    pub(crate) reporter: &'a Reporter,
}

impl<T: Target> Invocation<'_, T> {
    /// Handles a call that a mapping has brought, and says whether the mapping must leave its
    /// message in the queue.
    pub(crate) async fn handle(&self, record: SqsMessage) -> (Counts, bool) {
        let mut counts = Counts::default();
        let Some(priority) = self.calls.queues.priority_of(&record) else {
            // A mapping that nobody asked for, or one of a wiring that is no more. Its message is
            // left alone.
            tracing::warn!(source = ?record.event_source_arn, "an event of an unknown queue");
            return (counts, true);
        };
        let sent_ms = record.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok());
        let now_ms = self.calls.clock.now().as_millisecond();
        let age_ms = u64::try_from(now_ms.saturating_sub(sent_ms.unwrap_or(0))).unwrap_or(0);
        let woken = Received::from_event(priority, record);
        let keep = self.serve(woken, Duration::from_millis(age_ms), &mut counts).await;
        (counts, keep)
    }

    /// Runs the woken call, or a more urgent one in its place.
    async fn serve(&self, woken: Received, age: Duration, counts: &mut Counts) -> bool {
        // The mapping hid it for six times the function's time-out; after a kill it should be
        // seen sooner.
        let visibility = self.calls.config.call_visibility;
        join(self.change_visibility(&woken, visibility), self.calls.refresh_limit()).await;
        if let Some(waiting) = self.calls.limits.shut() {
            return self.shut_out(woken, &waiting, counts).await;
        }
        let look = deferral::look_higher(woken.priority, woken.receive_count, age, self.settings);
        let higher = match look {
            LookHigher::RunNow => Higher::Nothing,
            LookHigher::CheckHigher => self.find_higher(woken.priority).await,
        };
        match higher {
            Higher::Nothing => self.run_here(woken, counts).await,
            Higher::Seen => self.defer(woken, counts).await,
            Higher::Received(urgent) => {
                // First the lower call back, so that it can be seen again soon.
                let keep = self.defer(woken, counts).await;
                counts.swaps += 1;
                self.run_here(urgent, counts).await;
                keep
            }
        }
    }

    /// Puts the woken call back because no call may be made, and says whether its message must stay.
    async fn shut_out(&self, woken: Received, waiting: &Waiting, counts: &mut Counts) -> bool {
        match self.calls.shut_out(woken, waiting).await {
            Some(ended) => {
                self.reporter.ended(&ended, counts);
                !ended.disposition.is_end()
            }
            None => {
                counts.put_to_sleep += 1;
                true
            }
        }
    }

    async fn find_higher(&self, than: Priority) -> Higher {
        for priority in Priority::ALL.into_iter().filter(|priority| *priority < than) {
            let found = match self.settings.on_higher {
                OnHigher::Swap => self
                    .calls
                    .queues
                    .receive(priority, Duration::ZERO)
                    .await
                    .map(|poll| poll.received.map_or(Higher::Nothing, Higher::Received)),
                OnHigher::Yield => self
                    .calls
                    .queues
                    .visible(priority)
                    .await
                    .map(|count| if count > 0 { Higher::Seen } else { Higher::Nothing }),
            };
            match found {
                Ok(Higher::Nothing) => {}
                Ok(higher) => return higher,
                // If nobody knows, that is no reason to leave the slot idle.
                Err(error) => {
                    tracing::warn!(error = chain(&error), "a higher queue could not be looked at");
                }
            }
        }
        Higher::Nothing
    }

    /// Puts the woken call back. Whether SQS took the new time-out or not, the mapping must
    /// keep the message: without it, it would be deleted.
    async fn defer(&self, woken: Received, counts: &mut Counts) -> bool {
        counts.deferrals += 1;
        let delay = deferral::give_back_delay(self.calls.unit());
        self.change_visibility(&woken, delay).await;
        true
    }

    /// Runs a call and says whether its message must stay: one that was given back must not be
    /// deleted by the mapping for success.
    async fn run_here(&self, received: Received, counts: &mut Counts) -> bool {
        let ended = self.calls.process(received).await;
        self.reporter.ended(&ended, counts);
        !ended.disposition.is_end()
    }

    async fn change_visibility(&self, received: &Received, hidden: Duration) {
        if let Err(error) = self.calls.queues.change_visibility(received, hidden).await {
            tracing::warn!(
                error = chain(&error),
                "a call stays hidden for the visibility time-out of its queue"
            );
        }
    }
}
