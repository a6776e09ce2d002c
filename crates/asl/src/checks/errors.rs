//! Retry and Catch.

use std::collections::BTreeSet;

use serde_json::Value;

use super::report::{Report, nearest};
use crate::expression::names::Names;
use crate::expression::{inner, parse, texts};
use crate::source::child;
use crate::walk::{Language, State};

/// Step Functions' own errors (Developer Guide, "Handling errors in Step Functions workflows", and
/// the States Language's Appendix A).
const STATES: &[&str] = &[
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.MapRunFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

/// Lambda's, which a function's own errors stand beside.
const LAMBDA: &[&str] = &[
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
];

/// The errors of Slowlane's calls.
const SLOWLANE_ERRORS: &[&str] = &[
    "Slowlane.AttemptsExhausted",
    "Slowlane.DeadlineExceeded",
    "Slowlane.ExceedsLimit",
    "Slowlane.BudgetExceeded",
    "Slowlane.InvalidMessage",
    "Slowlane.NeedsPerson",
    "Slowlane.NotAllowed",
    "Slowlane.NotReconcilable",
    "Slowlane.OutcomeUnknown",
    "Slowlane.PayloadMismatch",
    "Slowlane.QueueUnavailable",
    "Slowlane.Rejected",
    "Slowlane.ResultTooLarge",
    "Slowlane.Unauthorized",
];

/// The rules of a state, each with the names that it is for.
fn rules<'a>(state: &'a State<'_>, key: &str) -> Vec<(String, &'a Value, Vec<&'a str>)> {
    let names = |rule: &'a Value| {
        rule["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    state.rules(key).map(|(pointer, rule)| (pointer, rule, names(rule))).collect()
}

pub(super) fn names(state: &State<'_>, report: &mut Report<'_>) {
    for (pointer, _, names) in ["Retry", "Catch"].iter().flat_map(|key| rules(state, key)) {
        let pointer = child(&pointer, "ErrorEquals");
        for name in names {
            if report.raised.contains(name) {
                continue;
            }
            if let Some(mend) = misspelt(name) {
                let what = format!("{name} is no error that can occur");
                report.say("error-misspelt", state, &pointer, what, mend);
            } else if let Some(why) = cannot_occur(state, name) {
                let what = format!("{name} cannot occur here: {why}");
                report.say("error-cannot-occur", state, &pointer, what, "take the name out");
            }
        }
    }
}

fn misspelt(name: &str) -> Option<String> {
    if name.starts_with("States.Http.StatusCode.") {
        return None;
    }
    let is_known = |names: &[&str]| names.contains(&name);
    let near = |names: &'static [&'static str]| nearest(name, names.iter().copied());
    if name.starts_with("States.") && !is_known(STATES) {
        return Some(near(STATES).map_or_else(
            || "take a name of AWS's list; names that begin with States. are reserved".to_owned(),
            |near| format!("write {near}"),
        ));
    }
    // Others may be a function's own, so only what looks like a slip of the pen is one.
    [STATES, LAMBDA, SLOWLANE_ERRORS]
        .into_iter()
        .find_map(|names| if is_known(names) { None } else { near(names) })
        .map(|near| format!("write {near}"))
}

fn cannot_occur(state: &State<'_>, name: &str) -> Option<&'static str> {
    let jsonpath_only =
        ["States.ParameterPathFailure", "States.ResultPathMatchFailure", "States.IntrinsicFailure"];
    // A Map or Parallel fails with the errors of the states within it.
    let is_task = state.is("Task");
    let called = state.resource();
    match name {
        "States.Runtime" => Some("nothing can retry or catch it"),
        "States.QueryEvaluationError" if is_task && state.language == Language::JsonPath => {
            Some("this state has no JSONata")
        }
        _ if is_task && state.language == Language::Jsonata && jsonpath_only.contains(&name) => {
            Some("this state has no JSONPath")
        }
        "States.HeartbeatTimeout"
            if is_task
                && ["HeartbeatSeconds", "HeartbeatSecondsPath"]
                    .iter()
                    .all(|key| state.value.get(key).is_none()) =>
        {
            Some("this state has no HeartbeatSeconds")
        }
        _ if is_task
            && LAMBDA.contains(&name)
            && called.contains(":states:::")
            && !called.contains(":lambda:") =>
        {
            Some("this state calls no Lambda function")
        }
        _ => None,
    }
}

pub(super) fn order(state: &State<'_>, report: &mut Report<'_>) {
    for key in ["Retry", "Catch"] {
        let rules = rules(state, key);
        let last = rules.len().saturating_sub(1);
        let mut seen = BTreeSet::new();
        for (index, (pointer, _, names)) in rules.iter().enumerate() {
            let pointer = child(pointer, "ErrorEquals");
            if names.contains(&"States.ALL") && names.len() > 1 {
                let what = format!("States.ALL stands beside other names in {key}");
                report.say("states-all-not-alone", state, &pointer, what, "let it stand alone");
            }
            if names.contains(&"States.ALL") && index < last {
                let what = format!("States.ALL is not in the last rule of {key}");
                let mend = "put its rule at the end: those after it are never reached";
                report.say("states-all-not-last", state, &pointer, what, mend);
            }
            for name in names {
                if !seen.insert(*name) {
                    let what = format!("an earlier rule of {key} takes {name} already");
                    report.say("rule-never-reached", state, &pointer, what, "take it out here");
                }
            }
        }
    }
}

/// A Catch for everything that hands on neither the error nor its cause: nobody learns what
/// happened. One for a named error has said it by its name.
pub(super) fn lost(state: &State<'_>, report: &mut Report<'_>) {
    let many = ["States.ALL", "States.TaskFailed"];
    for (pointer, rule, names) in rules(state, "Catch") {
        if !names.iter().any(|name| many.contains(name)) {
            continue;
        }
        let mend = match state.language {
            Language::Jsonata if loses_in_jsonata(rule) => {
                "hand on $states.errorOutput in Output or Assign"
            }
            Language::JsonPath if rule.get("ResultPath") == Some(&Value::Null) => {
                "give it a ResultPath such as $.error"
            }
            _ => continue,
        };
        let what = "a Catch for every error hands on neither its name nor its cause";
        report.say("catch-loses-error", state, &pointer, what, mend);
    }
}

/// Without Output the error is the output.
fn loses_in_jsonata(rule: &Value) -> bool {
    let keeps = |value: &Value| {
        let mut found = Vec::new();
        texts(value, "", &mut found);
        found.iter().filter_map(|(_, text)| inner(text)).any(|expression| {
            parse(expression).map_or(true, |node| {
                let states = Names::of(&node).states;
                states.contains("errorOutput") || states.contains("")
            })
        })
    };
    rule.get("Output").is_some_and(|output| !keeps(output)) && !keeps(&rule["Assign"])
}
