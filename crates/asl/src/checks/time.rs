//! Time-outs and heartbeats.

use serde_json::Value;

use super::report::Report;
use crate::expression::{Node, inner, parse};
use crate::walk::{Language, State};

/// The longest time-out, in seconds (Developer Guide, "Task workflow state").
const LONGEST_SECS: f64 = 99_999_999.0;

pub(super) fn bounded(state: &State<'_>, report: &mut Report<'_>) {
    let own = ["TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"];
    let has_own = own.iter().any(|key| state.value.get(key).is_some());
    if state.waits_for_token() && !has_own && !state.bounded {
        let what = "it waits for a task token without TimeoutSeconds, so a lost answer would hang it \
                    for a year";
        let mend = "add TimeoutSeconds";
        report.say("timeout-missing", state, &state.at("Resource"), what, mend);
    }
}

pub(super) fn whole(state: &State<'_>, report: &mut Report<'_>) {
    for key in ["TimeoutSeconds", "HeartbeatSeconds"] {
        let Some(value) = state.value.get(key) else { continue };
        let why = match value {
            Value::Number(number) => {
                let secs = number.as_f64().unwrap_or_default();
                let fits = secs.fract() == 0.0 && (1.0..=LONGEST_SECS).contains(&secs);
                (!fits).then(|| format!("{key} is {number}"))
            }
            Value::String(text) => {
                text_is_not_whole(text, state.language).map(|why| format!("{key} is {why}"))
            }
            other => Some(format!("{key} is {other}")),
        };
        if let Some(what) = why {
            let mend =
                "give a whole number from 1 to 99999999; in an expression $ceil(…) makes one";
            report.say("timeout-not-whole", state, &state.at(key), what, mend);
        }
    }
}

fn text_is_not_whole(text: &str, language: Language) -> Option<String> {
    match inner(text) {
        Some(expression) if language == Language::Jsonata => {
            let node = parse(expression).ok()?;
            let fraction = is_whole(&node) == Some(false);
            fraction.then(|| "an expression that can give a fraction or no number".to_owned())
        }
        // CloudFormation puts a number there.
        _ if text.contains("${") => None,
        _ => Some(format!("the text {text:?}")),
    }
}

/// Whether an expression gives a whole number. None where that depends on what it reads.
fn is_whole(node: &Node) -> Option<bool> {
    match node {
        Node::Number(number) => Some(number.fract() == 0.0),
        Node::Text(_) => Some(false),
        Node::Call { function, arguments } => match (&**function, arguments.len()) {
            (Node::Variable(name), count) => match (name.as_str(), count) {
                ("ceil" | "floor" | "count" | "length" | "millis", _) | ("round", 1) => Some(true),
                ("string" | "random" | "now", _) => Some(false),
                _ => None,
            },
            _ => None,
        },
        Node::Block(lines) => is_whole(lines.last()?),
        Node::Binary { op, left, right } => match op.as_str() {
            "/" | "&" => Some(false),
            "+" | "-" | "*" => both(is_whole(left), is_whole(right)),
            _ => None,
        },
        Node::Conditional { then, otherwise, .. } => {
            both(is_whole(then), is_whole(otherwise.as_deref()?))
        }
        _ => None,
    }
}

fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

pub(super) fn heartbeat(state: &State<'_>, report: &mut Report<'_>) {
    let number = |key: &str| state.value[key].as_f64();
    if let (Some(timeout), Some(heartbeat)) = (number("TimeoutSeconds"), number("HeartbeatSeconds"))
        && heartbeat >= timeout
    {
        let what =
            format!("HeartbeatSeconds {heartbeat} is not less than TimeoutSeconds {timeout}");
        let mend = "make the heartbeat shorter, or take it out";
        report.say("heartbeat-too-long", state, &state.at("HeartbeatSeconds"), what, mend);
    }
}

/// A call of Slowlane's, by the request that it hands over.
fn is_slowlane_call(state: &State<'_>) -> bool {
    let (_, handed) = state.handed();
    let text = handed.to_string();
    state.waits_for_token() && text.contains("idempotency_key") && text.contains("task_token")
}

pub(super) fn heartbeat_in_queue(state: &State<'_>, report: &mut Report<'_>) {
    for key in ["HeartbeatSeconds", "HeartbeatSecondsPath"] {
        if is_slowlane_call(state) && state.value.get(key).is_some() {
            let what =
                format!("{key} on a call that waits in a queue, where nobody sends heartbeats");
            let mend = "take it out: TimeoutSeconds and the call's deadline end the wait";
            report.say("heartbeat-in-queue", state, &state.at(key), what, mend);
        }
    }
}
