//! The worker's own function, which a slot invokes to wake another.
//!
//! Lambda knows whether a slot is free: it tries such an invocation again for a while, and then drops
//! it. The ring comes back by itself, as any ring does whose slot died.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde::{Deserialize, Serialize};

use super::doorbell::Ring;

/// A ring that one slot has received from the doorbell, and another serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandedRing {
    pub(crate) ring: Ring,
    /// How many slots the one that serves it may wake
    /// ([`policy::wake`](slowlane_policy::wake)).
    pub(crate) allowance: u32,
}

/// The worker's own function.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    lambda: Client,
    name: String,
}

/// Why a slot was not woken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    pub(crate) async fn wake(&self, handed: &HandedRing) -> Result<(), Error> {
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
