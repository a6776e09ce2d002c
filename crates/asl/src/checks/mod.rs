//! Mistakes in a machine, most of which no validator finds.
//!
//! Each check is one function over a state, or over a machine or the machine within a state. It
//! says only what is certain: a value that cannot be followed counts as right.

mod errors;
mod expressions;
mod graph;
mod integration;
mod language;
mod map;
mod report;
mod size;
mod time;
mod token;

use self::report::Report;
use crate::problem::Problem;
use crate::source::Source;
use crate::walk::{self, Scope, State};

/// The name of every check, as it stands in a [`Problem`].
pub const CHECKS: &[&str] = &[
    "repeated-key",
    "state-name-repeated",
    "unreachable",
    "next-missing",
    "no-way-on",
    "token-not-passed",
    "token-on-some-paths",
    "token-as-text",
    "integration-unknown",
    "argument-missing",
    "timeout-missing",
    "timeout-not-whole",
    "heartbeat-too-long",
    "heartbeat-in-queue",
    "expression-broken",
    "expression-half",
    "name-unknown",
    "states-field",
    "jsonpath-in-jsonata",
    "jsonata-in-jsonpath",
    "language-mixed",
    "map-field-misplaced",
    "map-field-in-processor-config",
    "map-not-distributed",
    "execution-type-missing",
    "express-waits",
    "error-misspelt",
    "error-cannot-occur",
    "rule-never-reached",
    "states-all-not-alone",
    "states-all-not-last",
    "catch-loses-error",
    "payload-too-large",
];

type StateCheck = fn(&State<'_>, &mut Report<'_>);
type ScopeCheck = fn(&Scope<'_>, &mut Report<'_>);

const SCOPE_CHECKS: &[ScopeCheck] = &[graph::start, graph::next];

const STATE_CHECKS: &[StateCheck] = &[
    graph::ways,
    token::passed,
    token::as_text,
    integration::known,
    time::bounded,
    time::whole,
    time::heartbeat,
    time::heartbeat_in_queue,
    expressions::all,
    language::fields,
    language::of_state,
    map::places,
    map::processor_config,
    map::express_children,
    errors::names,
    errors::order,
    errors::lost,
    size::results_of_a_dataset,
    size::literal,
];

/// What is wrong with a machine, in the order of its text.
#[must_use]
pub fn problems(source: &Source) -> Vec<Problem> {
    let (scopes, states) = walk::all(source);
    let fails = states.iter().filter(|state| state.is("Fail"));
    let raised = fails.filter_map(|state| state.value["Error"].as_str()).map(str::to_owned);
    let mut report = Report { source, raised: raised.collect(), problems: Vec::new() };
    graph::repeated_keys(source, &mut report);
    graph::repeated_names(&states, &mut report);
    for scope in &scopes {
        SCOPE_CHECKS.iter().for_each(|check| check(scope, &mut report));
    }
    for state in &states {
        STATE_CHECKS.iter().for_each(|check| check(state, &mut report));
    }
    let mut problems = report.problems;
    problems.sort_by(|a, b| (a.line, a.check, &a.what).cmp(&(b.line, b.check, &b.what)));
    problems.dedup();
    problems
}
