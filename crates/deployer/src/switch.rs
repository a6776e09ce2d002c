//! What a switch from the deferral wiring to the doorbell needs: rings.
//!
//! Nobody has rung for the calls that wait, or that are hidden at that moment. One ring that rings
//! again finds them all, until the longest time is over for which the other wiring hides a call.

use crate::clock::now;
use crate::{DeployError, aws};
use aws_config::SdkConfig;
use slowlane_message::Ring;
use std::time::Duration;

/// The longest visibility time-out of the deferral wiring: six times the longest time-out of the
/// worker (`DeferralVisibility` in the template, for an API that may take 300 s).
const LONGEST_HIDDEN: Duration = Duration::from_secs(6 * 810);

pub(crate) async fn ring_for_all(config: &SdkConfig, doorbell: &str) -> Result<(), DeployError> {
    let ring = Ring { again_until: now().checked_add(LONGEST_HIDDEN).ok(), ..Ring::default() };
    let sent = aws_sdk_sqs::Client::new(config)
        .send_message()
        .queue_url(doorbell)
        .message_body(ring.to_body())
        .send()
        .await;
    sent.map(drop).map_err(|error| {
        DeployError::Switch(aws::failed("sqs:SendMessage", "the doorbell queue")(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_policy::timing::{API_TIMEOUTS_SECS, Timing};

    #[test]
    fn no_call_is_hidden_for_longer() {
        let hidden = API_TIMEOUTS_SECS.map(|secs| Timing::for_api_timeout(secs).unwrap());
        let longest = hidden.into_iter().map(|timing| timing.deferral_visibility).max();
        assert_eq!(longest, Some(LONGEST_HIDDEN));
    }
}
