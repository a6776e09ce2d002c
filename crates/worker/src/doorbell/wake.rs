//! How a slot wakes other slots: by invoking the function that it is.
//!
//! A slot that works takes rings which no poller has taken yet, and invokes this function with
//! each. Lambda knows whether a slot is free: it tries such an invocation again for a while, and
//! then drops it. The ring comes back by itself, as any ring does whose slot died.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use slowlane_lambda::logs::chain;
use slowlane_policy::wake::handed_on;

use super::Invocation;
use crate::aws::doorbell::Ring;
use crate::target::Target;

/// A ring that one slot has received from the doorbell, and another serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedRing {
    pub(super) ring: Ring,
    /// How many slots the one that serves it may wake
    /// ([`policy::wake`](slowlane_policy::wake)).
    pub(super) allowance: u32,
}

/// What came of waking others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Woken {
    pub(super) slots: u32,
    /// What of the allowance is gone: the slots woken and what was handed on to them.
    pub(super) allowance_used: u32,
}

/// The worker's own function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    lambda: Client,
    name: String,
}

/// Why a slot was not woken.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the ring could not be written")]
    Payload(#[from] serde_json::Error),
    #[error("Lambda did not take the invocation")]
    Invoke(#[from] Box<SdkError<InvokeError>>),
}

impl Function {
    pub(crate) fn new(lambda: Client, name: String) -> Self {
        Function { lambda, name }
    }

    /// Has Lambda invoke the function with a ring when it can.
    async fn wake(&self, handed: &HandedRing) -> Result<(), Error> {
        let payload = serde_json::to_vec(handed)?;
        let invoked = self
            .lambda
            .invoke()
            .function_name(&self.name)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload))
            .send()
            .await;
        Ok(invoked.map(drop).map_err(Box::new)?)
    }
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
