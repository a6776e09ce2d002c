//! What an answer means for the worker.

use serde_json::json;
use slowlane_message::{Counted, Left, Part, PartOutcome, Usage};
use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::chat::ChatAnswer;
use slowlane_profile::{Answer, LimitKind, Outcome as Said, Reason, SeenLimit, Verdict};

use crate::target::TargetResponse;

/// The worker's word for a verdict. `parts` is what became of each part of the call.
pub(super) fn outcome(
    verdict: Verdict,
    answer: &Answer,
    too_large_bytes: Option<u64>,
    parts: Vec<Part>,
) -> Outcome<TargetResponse> {
    let why = why(&verdict.reason);
    match verdict.outcome {
        Said::Succeeded | Said::PartlySucceeded | Said::Running => {
            let units = verdict.usage.as_ref().and_then(|usage| usage.units());
            let usage = verdict.usage.and_then(tokens);
            let left = verdict.limits.iter().filter_map(|seen| left(seen, units.unwrap_or(1)));
            Outcome::Succeeded(TargetResponse {
                units,
                usage,
                left: left.collect(),
                id: verdict.id,
                body: answer.value(),
                partly_succeeded: verdict.outcome == Said::PartlySucceeded,
                parts,
                follow: verdict.follow,
                too_large_bytes,
                ..TargetResponse::new(answer.status)
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

/// The outcome of a question in the common form. `said` is what its answer says, if that has the form.
pub(super) fn in_common_form(
    outcome: Outcome<TargetResponse>,
    said: Option<ChatAnswer>,
) -> Outcome<TargetResponse> {
    match (outcome, said) {
        (Outcome::Succeeded(response), _) if response.too_large_bytes.is_some() => {
            Outcome::Succeeded(response)
        }
        (Outcome::Succeeded(response), Some(said)) => {
            Outcome::Succeeded(TargetResponse { body: Some(json!(said)), ..response })
        }
        // It is no answer of a model's, so nobody knows whether one was asked.
        (Outcome::Succeeded(response), None) => Outcome::Unknown(Why {
            message: "the API's answer has not the form that its profile says (`chat`)".to_owned(),
            status: Some(response.status),
            code: None,
        }),
        (outcome, _) => outcome,
    }
}

/// What a call has used of a model, if what it used is tokens.
fn tokens(usage: slowlane_profile::Usage) -> Option<Usage> {
    let is_there = usage.input.or(usage.output).is_some();
    is_there.then(|| Usage {
        model: usage.model.unwrap_or_default(),
        input: usage.input.unwrap_or(0),
        cached: usage.cached.unwrap_or(0),
        cache_written: usage.cache_written.unwrap_or(0),
        output: usage.output.unwrap_or(0),
    })
}

/// What is left of a limit, if it says so of one that comes back by itself.
fn left(seen: &SeenLimit, units: u64) -> Option<Left> {
    let counted = match seen.kind {
        LimitKind::Rate => Counted::Calls,
        LimitKind::DailyQuota => Counted::CallsOfDay,
        LimitKind::Cost => Counted::Units { of_call: units },
        LimitKind::Concurrency | LimitKind::Money | LimitKind::Maintenance => return None,
    };
    Some(Left {
        counted,
        left: seen.remaining?,
        of: seen.limit,
        resets_in: seen.resets_in?,
        evenly: seen.refills_evenly,
    })
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
