//! A call's part of its workflow's trace: how long it waited for the API, and how long that took.

use jiff::Timestamp;
use slowlane_lambda::spans::{Kind, Span, Trace};
use slowlane_message::{QueuedCall, trace_id, trace_parent};

use crate::call::{Disposition, Ended};

/// The spans of a call that has left the worker's hands. There are none of one that is in no trace.
pub(crate) fn of(ended: &Ended, now: Timestamp) -> Vec<Span> {
    let Some(call) = &ended.queued else { return Vec::new() };
    let Some(trace) = trace(call) else { return Vec::new() };
    let about = |span: Span| {
        span.attribute("slowlane.idempotency_key", call.idempotency_key.as_str())
            .attribute("slowlane.priority", ended.received.priority.as_str())
            .attribute("slowlane.receive_count", ended.received.receive_count)
    };
    let asked = ended.asked.map(|(started, took)| {
        let began = now.saturating_sub(started.elapsed()).unwrap_or(now);
        (began, began.saturating_add(took).unwrap_or(now))
    });
    let waited_until = asked.map_or(now, |(began, _)| began);
    let name = format!("wait {}", ended.received.priority);
    let wait = Span::new(trace.clone(), name, Kind::Internal, call.enqueued_at, waited_until);
    let Some((began, answered)) = asked else { return vec![about(with_end(wait, ended))] };
    let method = call.request.method.as_str();
    let api = Span::new(trace, format!("call {method}"), Kind::Client, began, answered)
        .attribute("http.request.method", method);
    vec![about(wait), about(with_end(api, ended))]
}

fn trace(call: &QueuedCall) -> Option<Trace> {
    let header = call.trace_header.as_deref()?;
    Some(Trace { id: trace_id(header)?, parent: trace_parent(header) })
}

/// With what became of the call.
fn with_end(span: Span, ended: &Ended) -> Span {
    let outcome = ended.disposition.as_str();
    let span = span.attribute("slowlane.outcome", outcome);
    match ended.disposition {
        Disposition::Failed(_) | Disposition::Unheard => {
            span.error(ended.why.as_deref().unwrap_or(outcome))
        }
        _ => span,
    }
}
