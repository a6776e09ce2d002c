//! From the target's answer to what the policy decides upon.

use slowlane_policy::settle::Outcome;

use crate::process::How;
use crate::target::TargetResponse;

/// The name under which an outcome is counted.
pub(crate) fn how(outcome: &Outcome<TargetResponse>) -> How {
    match outcome {
        Outcome::Succeeded(_) => How::Succeeded,
        Outcome::Rejected(_) | Outcome::AlreadyExists(_) | Outcome::Unauthorized(_) => {
            How::Rejected
        }
        Outcome::Throttled { .. } => How::Throttled,
        Outcome::InFlight { .. } => How::Waiting,
        Outcome::Transient(_) => How::Retried,
        Outcome::Unknown(_) => How::Unknown,
    }
}
