//! What is promised of limits. Each case of `scenarios/limits` is run on the worker at every value
//! of what nobody has confirmed, and beside it on the ways that need no queue.
//!
//! A case of which the worker does not keep what it is told is "not kept yet": it is never met.

mod cases;
mod page;

pub use self::cases::{Bar, CASES, Case};
pub use self::page::{table, write};
use super::bench::{self, DEFAULT};
use super::parallel;
use crate::report::Row;
use crate::run::{Error, Onlooker, run};
use crate::scenario::{Dispatch, Scenario};

/// The ways that are measured beside the worker.
pub const BESIDE: [Dispatch; 3] = [Dispatch::Limiter, Dispatch::CheckAndReject, Dispatch::Direct];
/// Calls of a run beside the worker: they poll, so that long floods would take hours.
const CALLS_BESIDE: u64 = 1_500;
/// Where half of the short polls miss, a HIGH call is found so much later.
const MISSED_POLLS_SECS: f64 = 0.4;

/// What became of one bar.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The worker's worst figure meets it.
    Met(Worst),
    /// The worker's worst figure does not.
    Missed(Worst),
    /// The worker does not keep what the case tells it: this is missing.
    NotKept(String),
}

/// The figure that comes nearest to breaking a bar, or breaks it, and at which of the unconfirmed
/// facts it was. None where a run does not tell the figure, which meets no bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// The figure.
    pub figure: Option<f64>,
    /// The facts.
    pub facts: String,
}

/// One case with what was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The case.
    pub case: &'static Case,
    /// What became of each of its bars, in their order.
    pub verdicts: Vec<Verdict>,
    /// The runs of the worker, one for each setting of the facts.
    pub worker: Vec<Row>,
    /// The runs of the ways beside it that can be told of the case.
    pub beside: Vec<Row>,
}

/// Runs all cases, on all cores. `told` is given each row as it is made, and how many there will be.
///
/// # Errors
/// As [`run`], or a case's scenario is no scenario.
pub fn measure(
    seed: u64,
    mut told: impl FnMut(&Row, usize) + Send,
) -> Result<Vec<Measured>, Error> {
    let mut scenarios = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        scenarios.extend(scenarios_of(case, seed)?.into_iter().map(|scenario| (at, scenario)));
    }
    let total = scenarios.len();
    let rows = parallel::map(
        &scenarios,
        |(at, scenario)| Ok((*at, Row::of(scenario, &run(scenario, Onlooker::nobody())?))),
        |row: &Result<(usize, Row), Error>| {
            row.as_ref().is_ok_and(|(_, row)| {
                told(row, total);
                true
            })
        },
    );
    let rows = rows.into_iter().collect::<Result<Vec<_>, Error>>()?;
    let measured = CASES.iter().enumerate().map(|(at, case)| {
        let of_case = rows.iter().filter(|(of, _)| *of == at).map(|(_, row)| row.clone());
        let (worker, beside): (Vec<Row>, Vec<Row>) =
            of_case.partition(|row| row.strategy == DEFAULT.name());
        let missing = missing(case);
        let verdicts = case.bars.iter().map(|bar| judge(bar, &worker, missing.as_deref()));
        Measured { case, verdicts: verdicts.collect(), worker, beside }
    });
    Ok(measured.collect())
}

/// The runs of one case: the worker at each setting of the facts, if it keeps what it is told, and
/// shorter ones of the ways beside it.
fn scenarios_of(case: &Case, seed: u64) -> Result<Vec<Scenario>, Error> {
    let scenario = case.scenario()?;
    let of = |dispatch| Scenario { seed, dispatch, ..scenario.clone() };
    let mut scenarios = Vec::new();
    if missing(case).is_none() {
        for (facts, parameters) in bench::settings_of_facts(seed) {
            scenarios.push(Scenario { facts, parameters, ..of(DEFAULT) });
        }
    }
    for dispatch in BESIDE {
        let mut scenario = of(dispatch);
        if scenario.tells_more_than_is_kept().is_none() {
            let calls = scenario.calls().min(CALLS_BESIDE);
            scenario.scale_to(calls);
            scenarios.push(scenario);
        }
    }
    Ok(scenarios)
}

/// What the worker does not keep of a case, if anything.
fn missing(case: &Case) -> Option<String> {
    let needed = case.needs.iter().find(|kind| !DEFAULT.keeps(**kind)).copied();
    let told = || {
        let scenario = case.scenario().ok()?;
        Scenario { dispatch: DEFAULT, ..scenario }.tells_more_than_is_kept()
    };
    needed.or_else(told).map(|kind| kind.to_string())
}

fn judge(bar: &Bar, worker: &[Row], missing: Option<&str>) -> Verdict {
    if let Some(missing) = missing {
        return Verdict::NotKept(missing.to_owned());
    }
    let worst = worker.iter().max_by(|a, b| lacks(bar, a).total_cmp(&lacks(bar, b)));
    let Some(row) = worst else { return Verdict::NotKept("a run".to_owned()) };
    let worst = Worst { figure: (bar.figure)(row), facts: row.facts.clone() };
    if lacks(bar, row) <= 0.0 { Verdict::Met(worst) } else { Verdict::Missed(worst) }
}

/// By how much a row misses a bar; negative, by how much it is better.
fn lacks(bar: &Bar, row: &Row) -> f64 {
    let Some(figure) = (bar.figure)(row) else { return f64::INFINITY };
    let missed_polls = row.short_poll_miss >= 0.5 && bar.waits_for_polls;
    let bound = bar.bound + if missed_polls { MISSED_POLLS_SECS } else { 0.0 };
    if bar.at_least { bound - figure } else { figure - bound }
}

/// How many bars were missed, and how many are of cases that the worker does not keep yet.
pub fn count(measured: &[Measured]) -> (usize, usize, usize) {
    let verdicts = measured.iter().flat_map(|case| &case.verdicts);
    verdicts.fold((0, 0, 0), |(met, missed, open), verdict| match verdict {
        Verdict::Met(_) => (met + 1, missed, open),
        Verdict::Missed(_) => (met, missed + 1, open),
        Verdict::NotKept(_) => (met, missed, open + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: &Scenario) -> Row {
        Row::of(scenario, &run(scenario, Onlooker::nobody()).unwrap())
    }

    const SUCCEEDED: Bar = Bar {
        promise: "calls that succeed",
        bound: 2.0,
        at_least: true,
        waits_for_polls: false,
        figure: |row| Some(row.succeeded as f64),
        missed_because: None,
    };

    #[test]
    fn every_case_is_a_scenario_that_some_way_can_be_told_of() {
        for case in &CASES {
            let scenario = case.scenario().unwrap();
            assert!(!scenario.name.is_empty() && !case.bars.is_empty());
            let ways = [DEFAULT].into_iter().chain(BESIDE);
            let is_told = |dispatch| {
                Scenario { dispatch, ..scenario.clone() }.tells_more_than_is_kept().is_none()
            };
            assert!(ways.into_iter().any(is_told), "{}", scenario.name);
        }
    }

    #[test]
    fn a_bar_is_judged_by_the_worst_row_and_never_met_by_what_is_not_kept() {
        let one = include_str!("../../scenarios/one.toml");
        let rows: Vec<Row> = (1..=2)
            .map(|calls| {
                let mut scenario = Scenario::parse(one).unwrap();
                scenario.facts = format!("{calls} calls");
                scenario.load[0].calls = calls;
                row(&scenario)
            })
            .collect();
        let worst = Worst { figure: Some(1.0), facts: "1 calls".to_owned() };
        assert_eq!(judge(&SUCCEEDED, &rows, None), Verdict::Missed(worst.clone()));
        let easier = Bar { bound: 1.0, ..SUCCEEDED };
        assert_eq!(judge(&easier, &rows, None), Verdict::Met(worst));
        let not_kept = Verdict::NotKept("a rate".to_owned());
        assert_eq!(judge(&easier, &rows, Some("a rate")), not_kept);
        assert!(matches!(judge(&easier, &[], None), Verdict::NotKept(_)));
        let untold = Bar { figure: |_| None, ..SUCCEEDED };
        assert!(matches!(judge(&untold, &rows, None), Verdict::Missed(Worst { figure: None, .. })));
    }
}
