//! What becomes of rings when a slot ends, and after the stack was switched to the doorbell.

use std::time::{Duration, UNIX_EPOCH};

use slowlane_lambda::logs::chain;
use slowlane_message as message;
use slowlane_policy::slot::{End, rings_asleep_for};
use slowlane_policy::timing::{DEFERRAL_VISIBILITY_FACTOR, RING_AGAIN, RING_LEAD, RING_RENEWAL};
use tokio::time::Instant;

use super::{Invocation, NONE, WokenBy};
use crate::aws::doorbell::Ring;
use crate::target::Target;

impl<T: Target> Invocation<'_, T> {
    /// Hides the ring of this slot anew.
    pub(super) async fn hold_ring(&self, by: &WokenBy) {
        let began = Instant::now();
        self.slots.doorbell.hold_ring(&by.ring).await;
        by.held_at.set(began);
    }

    /// Before a receive: a process that stood still may have missed when its ring was to be held
    /// anew. If it were killed then, its ring would come back before what it had received. The slot
    /// that the ring wakes would find nothing, and let it go.
    pub(super) async fn hold_ring_if_late(&self, by: &WokenBy) {
        while by.held_at.get().elapsed() > RING_RENEWAL + RING_LEAD {
            self.hold_ring(by).await;
        }
    }

    /// So many rings sleep from now on, for so long.
    pub(super) fn are_asleep(&self, rings: u32, back_after: Duration) {
        let asleep = &self.slots.asleep;
        let now = self.since_epoch();
        asleep.set(asleep.get().and(now, rings, now + back_after));
    }

    /// Whether enough rings sleep in front of a shut gate without the one that woke this slot. The
    /// gate is looked at anew: whoever opens it later rings later.
    pub(super) async fn can_spare_ring(&self) -> bool {
        if !self.enough_are_asleep() {
            return false;
        }
        self.calls.refresh_limit().await;
        self.enough_are_asleep() && !self.calls.limits.wants_ring_for_probe()
    }

    /// Whether the gate is shut, as far as is known, and enough rings come back in front of it as soon as
    /// another one would.
    fn enough_are_asleep(&self) -> bool {
        let limits = &self.calls.limits;
        let Some(waiting) = limits.shut() else { return false };
        let now = self.since_epoch();
        let back_at = now + rings_asleep_for(now, limits.opens_in(&waiting));
        self.slots.asleep.get().suffice(now, self.slots.limit, back_at)
    }

    fn since_epoch(&self) -> Duration {
        self.calls.clock.system_time().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Does the last things that a slot wants done, and says whether its ring may go.
    pub(super) async fn leave(&self, end: End<Ring>, ring: &Ring) -> bool {
        let doorbell = &self.slots.doorbell;
        match end {
            End::Served { collected } => {
                doorbell.delete_rings(&collected).await;
                true
            }
            End::HandedOver { hide_ring, collected, ring: ring_anew, ring_may_go } => {
                if let Some(hidden) = hide_ring
                    && let Err(error) = doorbell.hide_ring(ring, hidden).await
                {
                    tracing::error!(
                        error = chain(&error),
                        "the ring may come back before its call does"
                    );
                }
                let returned = doorbell.return_rings(&collected).await.is_ok();
                let rung = !ring_anew || doorbell.ring(NONE).await.is_ok();
                ring_may_go && returned && rung
            }
            End::Asleep { ring_back_after } => {
                match doorbell.hide_ring(ring, ring_back_after).await {
                    Ok(()) => self.are_asleep(1, ring_back_after),
                    Err(error) => {
                        tracing::warn!(
                            error = chain(&error),
                            "the ring of a slot comes back early"
                        );
                    }
                }
                false
            }
            End::CannotPoll { ring_back_after, collected } => {
                if let Err(error) = doorbell.hide_ring(ring, ring_back_after).await {
                    tracing::warn!(
                        error = chain(&error),
                        "the ring of a slot that cannot poll comes back early"
                    );
                }
                if let Err(error) = doorbell.return_rings(&collected).await {
                    tracing::warn!(
                        error = chain(&error),
                        "rings come back only after their visibility time-out"
                    );
                }
                if let Err(error) = doorbell.thin_out_rings().await {
                    tracing::debug!(error = chain(&error), "rings are left where they are");
                }
                false
            }
        }
    }

    /// Sends on a ring that came `early` before its time, and says whether that is done.
    pub(super) async fn send_on(&self, early: Duration) -> bool {
        let sent = self.slots.doorbell.ring_in(self.calls.clock.now(), early).await;
        if let Err(error) = &sent {
            tracing::warn!(error = chain(error), "the ring itself comes back");
        }
        sent.is_ok()
    }

    /// Rings again if the ring says so; false if that could not be done.
    pub(super) async fn ring_again(&self, says: message::Ring) -> bool {
        if says.again_until.is_none_or(|until| until <= self.calls.clock.now()) {
            return true;
        }
        let rung = self.slots.doorbell.send_ring(RING_AGAIN, &says).await;
        if let Err(error) = &rung {
            tracing::warn!(error = chain(error), "the ring itself comes back");
        }
        rung.is_ok()
    }

    /// Nobody has rung for the calls of the other wiring. What is hidden now may become visible
    /// until the longest visibility time-out of that wiring is over. Where there is one such call
    /// there are many, so they are rung for once in a while.
    pub(super) async fn ring_after_switch(&self) {
        let now = Instant::now();
        let rung_at = self.slots.rung_after_switch.get();
        if rung_at.is_some_and(|at| now.duration_since(at) < RING_AGAIN) {
            return;
        }
        let horizon = self.calls.config.function_timeout * DEFERRAL_VISIBILITY_FACTOR;
        let again_until = self.calls.clock.now().checked_add(horizon).ok();
        let ring = message::Ring { again_until, ..message::Ring::default() };
        match self.slots.doorbell.send_ring(NONE, &ring).await {
            Ok(()) => self.slots.rung_after_switch.set(Some(now)),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "what waits beside this call is not rung for"
                );
            }
        }
    }
}
