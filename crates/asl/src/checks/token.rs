//! Whether a state that waits for its task token hands it over.

use serde_json::Value;

use super::report::Report;
use crate::expression::token::{Passed, passed as expression_passes};
use crate::expression::{inner, parse, texts};
use crate::walk::{Language, State};

const MEND: (&str, &str) = (
    "pass {% $states.context.Task.Token %} in Arguments",
    "pass \"task_token.$\": \"$$.Task.Token\" in Parameters",
);

pub(super) fn passed(state: &State<'_>, report: &mut Report<'_>) {
    if !state.waits_for_token() {
        return;
    }
    let (field, handed) = state.handed();
    let (found, mend) = match state.language {
        Language::Jsonata => (in_arguments(handed), MEND.0),
        Language::JsonPath => (in_parameters(state.value, handed), MEND.1),
    };
    let pointer = if handed.is_null() { state.at("Resource") } else { state.at(field) };
    match found {
        Passed::Always => {}
        Passed::Sometimes => {
            let what =
                format!("it waits for a task token that {field} hands over on some paths only");
            report.say(
                "token-on-some-paths",
                state,
                &pointer,
                what,
                format!("{mend} on every path"),
            );
        }
        Passed::Never => {
            let what = format!("it waits for a task token that {field} never hands over");
            report.say("token-not-passed", state, &pointer, what, mend);
        }
    }
}

/// How JSONata arguments hold the token: one place that always has it is enough.
fn in_arguments(arguments: &Value) -> Passed {
    let mut found = Vec::new();
    texts(arguments, "", &mut found);
    let expressions = found.iter().filter_map(|(_, text)| inner(text));
    expressions
        .map(|expression| match parse(expression) {
            Ok(node) => expression_passes(&node),
            // A check of its own says that it is broken.
            Err(_) => Passed::Always,
        })
        .max()
        .unwrap_or(Passed::Never)
}

/// How JSONPath parameters hold it: by a path to it, or to what it is in, within a function too.
fn in_parameters(state: &Value, parameters: &Value) -> Passed {
    let mut found = Vec::new();
    texts(parameters, "", &mut found);
    let is_path = |(pointer, text): &(String, String)| {
        pointer.ends_with(".$")
            && (text.contains("$$.Task.Token") || text == "$$.Task" || text == "$$")
    };
    let input = state["InputPath"].as_str().unwrap_or_default();
    let whole_context = input == "$$" || input.starts_with("$$.Task");
    if whole_context || found.iter().any(is_path) { Passed::Always } else { Passed::Never }
}

/// A token that stands as text is handed over as these very characters.
pub(super) fn as_text(state: &State<'_>, report: &mut Report<'_>) {
    let (field, handed) = state.handed();
    let mut found = Vec::new();
    texts(handed, &state.at(field), &mut found);
    for (pointer, text) in found {
        let mend = match state.language {
            Language::JsonPath if text.starts_with("$$.Task.Token") && !pointer.ends_with(".$") => {
                "let the key end in .$, or it is plain text"
            }
            Language::Jsonata if text.trim() == "$states.context.Task.Token" => {
                "write {% $states.context.Task.Token %}, or it is plain text"
            }
            _ => continue,
        };
        let what = format!("{text} stands as text and not as a value");
        report.say("token-as-text", state, &pointer, what, mend);
    }
}
