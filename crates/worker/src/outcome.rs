//! From the target's answer to what the policy decides upon.

use slowlane_policy::settle::Outcome;

use crate::process::How;
use crate::target::TargetResponse;

/// A lost answer matters only where making the call again would have a second effect.
pub(crate) fn of_call(
    outcome: Outcome<TargetResponse>,
    repeatable: bool,
) -> Outcome<TargetResponse> {
    match outcome {
        Outcome::Unknown(why) if repeatable => Outcome::Transient(why),
        other => other,
    }
}

/// The name under which an outcome is counted.
pub(crate) fn how(outcome: &Outcome<TargetResponse>) -> How {
    match outcome {
        Outcome::Succeeded(_) => How::Succeeded,
        Outcome::Rejected(_) | Outcome::Unauthorized(_) => How::Rejected,
        Outcome::Throttled { .. } => How::Throttled,
        Outcome::Transient(_) => How::Retried,
        Outcome::Unknown(_) => How::Unknown,
    }
}
