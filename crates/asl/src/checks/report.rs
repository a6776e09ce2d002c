//! What the checks say they found.

use std::collections::BTreeSet;

use crate::problem::Problem;
use crate::source::Source;
use crate::walk::State;

/// Where the checks say what they find.
pub(crate) struct Report<'a> {
    pub(super) source: &'a Source,
    /// The errors that the machine's own Fail states raise.
    pub(super) raised: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
}

impl Report<'_> {
    /// A mistake in a state, at a value of it.
    pub(super) fn say(
        &mut self,
        check: &'static str,
        state: &State<'_>,
        pointer: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.at(check, Some(state.name.clone()), pointer, what, mend);
    }

    pub(super) fn at(
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
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate));
    near.filter(|(distance, _)| *distance <= 2).min().map(|(_, candidate)| candidate)
}
