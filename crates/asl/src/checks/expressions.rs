//! JSONata expressions: whether they can be read, and whether what they name is there.

use super::report::{Report, nearest};
use crate::expression::names::{FUNCTIONS, Names};
use crate::expression::{Node, inner, parse, texts};
use crate::walk::{Language, State};

/// Fields of a state that hold states of their own, or text for people.
const OTHERS: [&str; 4] = ["Branches", "ItemProcessor", "Iterator", "Comment"];

pub(super) fn all(state: &State<'_>, report: &mut Report<'_>) {
    if state.language != Language::Jsonata {
        return;
    }
    for (key, value) in state.value.as_object().into_iter().flatten() {
        if OTHERS.contains(&key.as_str()) {
            continue;
        }
        let mut found = Vec::new();
        texts(value, &state.at(key), &mut found);
        for (pointer, text) in found {
            match inner(&text) {
                Some(expression) => one(state, key, &pointer, expression, report),
                None => half(state, &pointer, &text, report),
            }
        }
    }
}

fn one(state: &State<'_>, key: &str, pointer: &str, expression: &str, report: &mut Report<'_>) {
    match parse(expression) {
        Ok(node) => {
            names(state, key, pointer, &node, report);
            fields(state, key, pointer, &node, report);
        }
        Err(error) => {
            let what = format!("{key} has an expression that cannot be read: {error}");
            let mend = format!("mend {}", shortened(expression));
            report.say("expression-broken", state, pointer, what, mend);
        }
    }
}

/// `{%` and `%}` make an expression only as the very first and last characters.
fn half(state: &State<'_>, pointer: &str, text: &str, report: &mut Report<'_>) {
    let trimmed = text.trim();
    if trimmed.starts_with("{%") || trimmed.ends_with("%}") {
        let what = format!("{} is plain text and no expression", shortened(text));
        let mend = "begin with {% and end with %}, without spaces around them";
        report.say("expression-half", state, pointer, what, mend);
    }
}

fn shortened(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    if start.len() < text.len() { format!("{start:?}…") } else { format!("{start:?}") }
}

fn names(state: &State<'_>, key: &str, pointer: &str, node: &Node, report: &mut Report<'_>) {
    // A state that nothing leads to has no variables to compare with.
    let Some(variables) = &state.variables else { return };
    let names = Names::of(node);
    let is_function = |name: &str| FUNCTIONS.split_whitespace().any(|known| known == name);
    for name in names.variables.iter().filter(|name| !variables.contains(*name)) {
        if is_function(name) {
            continue;
        }
        let what =
            format!("{key} uses the variable ${name}, which not every path here has assigned");
        let mend = match nearest(name, variables.iter().map(String::as_str)) {
            Some(near) => format!("write ${near}"),
            None => format!("Assign {name} on every path, or write $states.input.{name}"),
        };
        report.say("name-unknown", state, pointer, what, mend);
    }
    for name in names.functions.iter().filter(|name| !is_function(name)) {
        if variables.contains(name) {
            continue;
        }
        let what = format!("{key} calls ${name}, which is no function of Step Functions");
        let mend = match nearest(name, FUNCTIONS.split_whitespace()) {
            Some(near) => format!("write ${near}"),
            None => "define it in the expression, or take another".to_owned(),
        };
        report.say("name-unknown", state, pointer, what, mend);
    }
    for name in &names.bare_functions {
        let what = format!("{key} calls {name}, which is the name of a field");
        report.say("name-unknown", state, pointer, what, format!("write ${name}"));
    }
}

/// `$states.result` is there after a result, `$states.errorOutput` in a Catch (Developer Guide,
/// "Transforming data with JSONata", "Reserved variable: $states").
fn fields(state: &State<'_>, key: &str, pointer: &str, node: &Node, report: &mut Report<'_>) {
    let has_result = ["Task", "Parallel", "Map"].iter().any(|kind| state.is(kind));
    let allowed: &[&str] = match key {
        "Catch" => &["input", "context", "errorOutput"],
        "Output" | "Assign" if has_result => &["input", "context", "result"],
        _ => &["input", "context"],
    };
    let used = Names::of(node).states;
    for field in used.iter().filter(|field| !field.is_empty()) {
        if !allowed.contains(&field.as_str()) {
            let what = format!("{key} has no $states.{field}");
            let mend = match nearest(field, allowed.iter().copied()) {
                Some(near) => format!("write $states.{near}"),
                None => format!("use one of $states.{}", allowed.join(", $states.")),
            };
            report.say("states-field", state, pointer, what, mend);
        }
    }
}
