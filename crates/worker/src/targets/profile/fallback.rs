//! When calls go to a profile's second model.
//!
//! It is asked for calls that the first has surely not executed, since it has refused them for a limit: if
//! it has done so for as long as the profile says, or asks to wait so long. Until that wait is over, this
//! process asks the second at once. Each process finds out by itself.

use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;
use slowlane_profile::{Call, Fallback};
use tokio::time::Instant;

use super::ProfiledApi;
use crate::target::TargetResponse;

impl ProfiledApi {
    /// Makes a call, or has its profile's second model make it.
    pub(super) async fn make_or_fall_back(
        &self,
        queued: &QueuedCall,
        call: Call,
        until: Instant,
    ) -> Outcome<TargetResponse> {
        let Some(second) = self.api.profile().fallback(&call) else {
            return self.make(queued, &call, until).await;
        };
        if !self.refusals.last_until_after(&second.first, self.clock.now()) {
            let outcome = self.make(queued, &call, until).await;
            let Outcome::Throttled { retry_after } = outcome else {
                self.refusals.are_over(&second.first);
                return outcome;
            };
            let (first, now) = (second.first.clone(), self.clock.now());
            if !self.refusals.has_refused(first, retry_after, second.after, now) {
                return outcome;
            }
        }
        let Fallback { call, first, model, .. } = second;
        tracing::info!(
            first,
            model,
            "the second model is asked, since the first is over its limit"
        );
        match self.make(queued, &call, until).await {
            Outcome::Succeeded(response) => {
                Outcome::Succeeded(TargetResponse { fallback_model: Some(model), ..response })
            }
            outcome => outcome,
        }
    }
}
