//! The deferral wiring: each queue has a mapping of its own, and one call woke this worker.
//!
//! Before a lower call runs, the higher queues are looked at. If something waits there, the
//! lower call is put back for a short, jittered while and the higher one runs here
//! (`swap`), or is left to its own mapping (`yield`, as the pattern was first published).
//! After some receives, or some time, a call runs regardless.

use std::time::Duration;

use slowlane_message::Priority;
use slowlane_policy::deferral::{self, DeferralSettings, LookHigher, OnHigher};

use crate::Worker;
use crate::metrics::Counts;
use crate::process::{Ended, How};
use crate::receive::{self, Received};
use crate::target::Target;

/// What became of the message that woke the worker.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) counts: Counts,
    /// Whether the mapping must leave the message in its queue.
    pub(crate) keep: bool,
}

/// What waits above the call that woke the worker.
enum Higher {
    Nothing,
    /// Taken from its queue: it must run here, since nobody else can see it now.
    Taken(Received),
    Seen,
}

impl<T: Target> Worker<T> {
    /// Runs the woken call, or a more urgent one in its place.
    pub(crate) async fn serve_call(
        &self,
        woken: Received,
        age: Duration,
        settings: &DeferralSettings,
    ) -> Deferred {
        let mut counts = Counts::default();
        // The mapping hid it for six times the function's time-out; after a kill it should be
        // seen sooner.
        if let Err(error) = self.queues.hide(&woken, self.config.call_visibility).await {
            log_unchanged(&error);
        }
        let look = deferral::look_higher(woken.priority, woken.receive_count, age, settings);
        let higher = match look {
            LookHigher::RunNow => Higher::Nothing,
            LookHigher::CheckHigher => self.find_higher(woken.priority, settings.on_higher).await,
        };
        let keep = match higher {
            Higher::Nothing => self.run_here(woken, &mut counts).await,
            Higher::Seen => self.defer(woken, &mut counts).await,
            Higher::Taken(urgent) => {
                // First the lower call back, so that it can be seen again soon.
                let keep = self.defer(woken, &mut counts).await;
                counts.swaps += 1;
                self.run_here(urgent, &mut counts).await;
                keep
            }
        };
        Deferred { counts, keep }
    }

    async fn find_higher(&self, than: Priority, on_higher: OnHigher) -> Higher {
        for priority in Priority::ALL.into_iter().filter(|priority| *priority < than) {
            let found = match on_higher {
                OnHigher::Swap => self
                    .queues
                    .take(priority, Duration::ZERO)
                    .await
                    .map(|poll| poll.received.map_or(Higher::Nothing, Higher::Taken)),
                OnHigher::Yield => self
                    .queues
                    .visible(priority)
                    .await
                    .map(|count| if count > 0 { Higher::Seen } else { Higher::Nothing }),
            };
            match found {
                Ok(Higher::Nothing) => {}
                Ok(higher) => return higher,
                // Not knowing is no reason to leave the slot idle.
                Err(error) => tracing::warn!(%error, "a higher queue could not be looked at"),
            }
        }
        Higher::Nothing
    }

    /// Puts the woken call back. Whether SQS took the new time-out or not, the mapping must
    /// keep the message: without it, it would be deleted.
    async fn defer(&self, woken: Received, counts: &mut Counts) -> bool {
        counts.deferrals += 1;
        let delay = deferral::give_back_delay(self.unit());
        if let Err(error) = self.queues.hide(&woken, delay).await {
            log_unchanged(&error);
        }
        true
    }

    /// Runs a call and says whether its message must stay.
    pub(crate) async fn run_here(&self, received: Received, counts: &mut Counts) -> bool {
        let ended = self.process(received).await;
        counts.add(ended.how);
        self.report(&ended);
        stays(&ended)
    }
}

/// A message that was given back must not be deleted by the mapping for success.
fn stays(ended: &Ended) -> bool {
    match ended.how {
        How::Succeeded | How::Replayed | How::Rejected | How::Buried | How::Abandoned => false,
        How::Retried
        | How::Throttled
        | How::Unknown
        | How::GivenBack
        | How::Waiting
        | How::PutOff
        | How::Failed => true,
    }
}

fn log_unchanged(error: &receive::Error) {
    tracing::warn!(%error, "a call stays hidden for the visibility time-out of its queue");
}
