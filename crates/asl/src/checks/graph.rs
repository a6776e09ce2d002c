//! Whether the states hang together.

use serde_json::Map;

use super::report::{Report, nearest};
use crate::source::{Source, child};
use crate::walk::{Scope, State, ways_on};

pub(super) fn repeated_keys(source: &Source, report: &mut Report<'_>) {
    for pointer in &source.repeated {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        let what =
            format!("the key {key} stands twice in one object, and only the last one counts");
        report.at("repeated-key", None, pointer, what, "rename one of the two, or take it out");
    }
}

/// A name stands for one state in the whole machine, those within a Map or a branch too (States
/// Language, "States").
pub(super) fn repeated_names(states: &[State<'_>], report: &mut Report<'_>) {
    let own = |state: &State<'_>| state.name.rsplit(" > ").next().map(str::to_owned);
    for (at, state) in states.iter().enumerate() {
        if let Some(first) = states[..at].iter().find(|first| own(first) == own(state)) {
            let what = format!("the state {} has the same name", first.name);
            let mend = "rename one of the two: a name is for one state in the whole machine";
            report.say("state-name-repeated", state, &state.pointer, what, mend);
        }
    }
}

pub(super) fn start(scope: &Scope<'_>, report: &mut Report<'_>) {
    let start = scope.value["StartAt"].as_str().unwrap_or_default();
    if scope.value["States"].get(start).is_none() {
        let what = format!("StartAt names {start:?}, and no state here has that name");
        let pointer = child(&scope.pointer, "StartAt");
        let mend = nearest_state(scope, start);
        report.at("next-missing", scope.within.clone(), &pointer, what, mend);
    }
}

pub(super) fn next(scope: &Scope<'_>, report: &mut Report<'_>) {
    for (name, state) in scope.value["States"].as_object().into_iter().flatten() {
        let missing = |next: &str| scope.value["States"].get(next).is_none();
        for (way, next, _) in ways_on(state).into_iter().filter(|(_, next, _)| missing(next)) {
            let pointer = format!("{}{way}", child(&child(&scope.pointer, "States"), name));
            let what = format!("the next state {next:?} does not exist here");
            let mend = nearest_state(scope, next);
            report.at("next-missing", Some(scope.name_of(name)), &pointer, what, mend);
        }
    }
}

fn nearest_state(scope: &Scope<'_>, name: &str) -> String {
    let names = scope.value["States"].as_object().into_iter().flat_map(Map::keys);
    match nearest(name, names.map(String::as_str)) {
        Some(near) => format!("write {near:?}"),
        None => "name a state of the same machine".to_owned(),
    }
}

pub(super) fn ways(state: &State<'_>, report: &mut Report<'_>) {
    if state.variables.is_none() {
        let mend = "name it in a Next, a Default or a Catch, or take it out";
        report.say("unreachable", state, &state.pointer, "no path leads here", mend);
    }
    let ends = state.value["End"] == true;
    let goes_on = state.value.get("Next").is_some();
    let needs_one = !["Choice", "Succeed", "Fail"].iter().any(|kind| state.is(kind));
    if needs_one && ends == goes_on {
        let what = if ends { "it has both Next and End" } else { "it has neither Next nor End" };
        let mend = "write \"Next\": \"STATE\" or \"End\": true, one of them";
        report.say("no-way-on", state, &state.pointer, what, mend);
    }
}
