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
mod size;
mod time;
mod token;

use std::collections::BTreeSet;

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

/// Where the checks say what they find.
pub(crate) struct Report<'a> {
    source: &'a Source,
    /// The errors that the machine's own Fail states raise.
    raised: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Report<'_> {
    /// A mistake in a state, at a value of it.
    fn say(
        &mut self,
        check: &'static str,
        state: &State<'_>,
        pointer: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.at(check, Some(state.name.clone()), pointer, what, mend);
    }

    fn at(
        &mut self,
        check: &'static str,
        state: Option<String>,
        pointer: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let line = self.source.line(pointer);
        self.problems.push(Problem { check, line, state, what: what.into(), mend: mend.into() });
    }
}

/// The candidate that is spelled most like a name, if it is near.
fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    near.filter(|(distance, _)| *distance <= 2).min().map(|(_, candidate)| candidate)
}
