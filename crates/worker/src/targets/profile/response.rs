//! What an answer means for the worker.

use slowlane_message::{Part, PartOutcome};
use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::{Outcome as Said, Reason, Verdict};

use super::send::Received;
use crate::target::TargetResponse;

/// The worker's word for a verdict. `parts` is what became of each part of the call.
pub(super) fn outcome(
    verdict: Verdict,
    received: Received,
    parts: Vec<Part>,
) -> Outcome<TargetResponse> {
    let why = why(&verdict.reason);
    match verdict.outcome {
        Said::Succeeded | Said::PartlySucceeded | Said::Running => {
            Outcome::Succeeded(TargetResponse {
                units: verdict.usage.and_then(|usage| usage.units()),
                id: verdict.id,
                body: received.answer.value(),
                partly_succeeded: verdict.outcome == Said::PartlySucceeded,
                parts,
                follow: verdict.follow,
                too_large_bytes: received.too_large_bytes,
                ..TargetResponse::new(received.answer.status)
            })
        }
        Said::Rejected => Outcome::Rejected(why),
        Said::AlreadyExists => Outcome::AlreadyExists(why),
        Said::Unauthorized => Outcome::Unauthorized(why),
        Said::Throttled => Outcome::Throttled { retry_after: verdict.wait },
        Said::InFlight => Outcome::InFlight { retry_after: verdict.wait, why },
        Said::Transient => Outcome::Transient(why),
        Said::Unknown => Outcome::Unknown(why),
    }
}

pub(super) fn why(reason: &Reason) -> Why {
    Why { message: reason.message.clone(), status: Some(reason.status), code: reason.code.clone() }
}

/// A part as it is stored.
pub(super) fn part(part: slowlane_profile::Part) -> Part {
    let slowlane_profile::Part { reference, verdict } = part;
    Part {
        reference,
        outcome: match verdict.outcome {
            Said::Succeeded | Said::PartlySucceeded => PartOutcome::Succeeded,
            Said::Running => PartOutcome::Running,
            Said::Rejected => PartOutcome::Rejected,
            Said::AlreadyExists => PartOutcome::AlreadyExists,
            Said::Unauthorized => PartOutcome::Unauthorized,
            Said::Throttled => PartOutcome::Throttled,
            Said::Transient => PartOutcome::Transient,
            Said::InFlight | Said::Unknown => PartOutcome::Unknown,
        },
        status: verdict.reason.status,
        code: verdict.reason.code,
        id: verdict.id,
    }
}
