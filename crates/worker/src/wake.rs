//! What wakes a slot: a mapping, or another slot. All that the worker knows of Lambda.
//!
//! A slot that works takes rings which no poller has taken yet, and invokes this function with
//! each. Whether a slot is free is Lambda's business: it tries such an invocation again for a
//! while and drops it then, and the ring comes back by itself, as any ring whose slot died.

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use slowlane_policy::wake::handed_on;

use crate::Worker;
use crate::receive::Ring;
use crate::target::Target;

/// What the worker is invoked with.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Wake {
    /// Messages, by a mapping.
    Mapping(SqsEvent),
    /// A ring, by another slot.
    Slot(HandedRing),
}

/// A ring that one slot has taken from the doorbell, and another serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedRing {
    pub(crate) ring: Ring,
    /// How many slots the one that serves it may wake
    /// ([`policy::wake`](slowlane_policy::wake)).
    pub(crate) allowance: u32,
}

/// What came of waking others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Woken {
    pub(crate) slots: u32,
    /// What of the allowance is gone: the slots woken and what was handed on to them.
    pub(crate) allowance_used: u32,
}

/// The worker's own function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    lambda: Client,
    name: String,
}

impl Function {
    pub(crate) fn new(lambda: Client, name: String) -> Self {
        Function { lambda, name }
    }

    /// Has Lambda invoke the function with a ring when it can.
    async fn wake(&self, handed: &HandedRing) -> Result<(), String> {
        let payload = serde_json::to_vec(handed).map_err(|error| error.to_string())?;
        let invoked = self
            .lambda
            .invoke()
            .function_name(&self.name)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload))
            .send()
            .await;
        invoked.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }
}

impl<T: Target> Worker<T> {
    /// Wakes a slot for each ring that nobody has taken, `allowance` at most, what those may wake
    /// in their turn included.
    pub(crate) async fn wake_others(&self, allowance: u32) -> Woken {
        let rings = match self.queues.take_rings_to_hand_on(allowance).await {
            Ok(rings) => rings,
            Err(error) => {
                tracing::warn!(%error, "no other slot is woken");
                return Woken::default();
            }
        };
        let each = handed_on(allowance, u32::try_from(rings.len()).unwrap_or(u32::MAX));
        let wakes = rings.into_iter().map(async |ring| {
            let handed = HandedRing { ring, allowance: each };
            match self.function.wake(&handed).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!(error, "another slot was not woken");
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
        if let Err(error) = self.queues.return_rings(&kept).await {
            tracing::warn!(%error, "rings come back only after their visibility time-out");
        }
        woken
    }
}
