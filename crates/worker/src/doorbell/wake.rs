//! How a slot wakes other slots: it takes rings which no poller has taken yet, and invokes its own
//! function with each.

use futures::future::join_all;
use slowlane_lambda::logs::chain;
use slowlane_policy::wake::handed_on;

use super::Invocation;
use crate::aws::function::HandedRing;
use crate::target::Target;

/// What came of waking others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Woken {
    pub(super) slots: u32,
    /// What of the allowance is gone: the slots woken and what was handed on to them.
    pub(super) allowance_used: u32,
}

impl<T: Target> Invocation<'_, T> {
    /// Wakes a slot for each ring that nobody has taken. It wakes `allowance` at most, with all
    /// that those may wake in their turn.
    pub(super) async fn wake_others(&self, allowance: u32) -> Woken {
        let rings = match self.slots.doorbell.receive_rings_to_hand_on(allowance).await {
            Ok(rings) => rings,
            Err(error) => {
                tracing::warn!(error = chain(&error), "no other slot is woken");
                return Woken::default();
            }
        };
        let each = handed_on(allowance, u32::try_from(rings.len()).unwrap_or(u32::MAX));
        let wakes = rings.into_iter().map(async |ring| {
            let handed = HandedRing { ring, allowance: each };
            match self.slots.function.wake(&handed).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "another slot was not woken");
                    Err(handed.ring)
                }
            }
        });
        let (mut woken, mut kept) = (Woken::default(), Vec::new());
        for wake in join_all(wakes).await {
            match wake {
                Ok(()) => {
                    woken.slots += 1;
                    woken.allowance_used += 1 + each;
                }
                Err(ring) => kept.push(ring),
            }
        }
        if let Err(error) = self.slots.doorbell.return_rings(&kept).await {
            tracing::warn!(
                error = chain(&error),
                "rings come back only after their visibility time-out"
            );
        }
        woken
    }
}
