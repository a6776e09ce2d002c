//! Limits that operators set while calls run: kept, used in full, and nothing is stranded when they are
//! set back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Watch};
use slowlane_message::Priority;
use slowlane_simulator::api::API_STARTS;
use slowlane_simulator::ledger::Invariant;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{
    Api, Dispatch, Load, Lowered, Mutant, Per, Rate, Scenario, Told, ToldRate, Window,
};

/// When the API begins to take less, and when it takes as much as before again.
const LESS: (u64, u64) = (10, 70);
/// How much earlier and later an operator says so.
const AHEAD_SECS: u64 = 3;
/// When the run is looked at again: the operator has set the rate back, and what slept is awake.
const BACK_IN_USE: u64 = LESS.1 + AHEAD_SECS + 7;

/// Counts the API's calls, second by second.
#[derive(Clone, Default)]
struct Starts(Arc<Mutex<Vec<u64>>>);

impl Watch for Starts {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        if matches!(event, Event::Run(API_STARTS, ..)) {
            self.0.lock().unwrap().push(now.millis() / 1_000);
        }
    }
}

impl Starts {
    /// The share of a rate that was used in these seconds.
    fn used(&self, (units, per_secs): (u64, f64), from: u64, until: u64) -> f64 {
        let starts = self.0.lock().unwrap();
        let starts = starts.iter().filter(|second| (from..until).contains(*second)).count();
        starts as f64 / (units as f64 / per_secs * (until - from) as f64)
    }
}

/// An API of `usual` units in `per_secs`, which takes only `fewer` for a minute. An operator sets that
/// in time.
fn lowered(dispatch: Dispatch, usual: u64, fewer: u64, per_secs: f64) -> Scenario {
    let (from, until) = LESS;
    let rate = |units| Rate::new(units, per_secs, Window::Sliding);
    let calls = usual * (from + 45) / per_secs as u64 + fewer * (until - from) / per_secs as u64;
    Scenario {
        dispatch,
        limit: 5,
        api: Api {
            rates: vec![rate(usual), Rate { between: Some(LESS), ..rate(fewer) }],
            ..Api::fixed(200.0)
        },
        limits: vec![Told::rate(usual, per_secs)],
        lowered: vec![Lowered {
            from_secs: from - AHEAD_SECS,
            for_secs: until - from + 2 * AHEAD_SECS,
            rate: Some(ToldRate { units: fewer, per_secs, bucket: None, largest: None }),
            ..Lowered::default()
        }],
        load: vec![Load::new(Priority::Batch, calls, 0.0)],
        ..Scenario::default()
    }
}

fn play(scenario: &Scenario) -> (Outcome, Starts) {
    let starts = Starts::default();
    let onlooker = Onlooker { watch: Some(Box::new(starts.clone())), ..Onlooker::nobody() };
    (run(scenario, onlooker).unwrap(), starts)
}

/// A rate far below the configured one is used in full, though calls are further apart under it than
/// anybody reserved ahead before. When it is set back nobody rings but the operator.
#[test]
fn a_rate_that_is_set_live_is_used_in_full_and_so_is_the_one_after_it() {
    let cases = [
        (Dispatch::Doorbell, 40, 10, 5.0),
        (Dispatch::Doorbell, 100, 10, 10.0),
        // Calls are further apart than anybody reserves ahead.
        (Dispatch::Doorbell, 60, 3, 6.0),
        (Dispatch::DeferralSwap, 40, 10, 5.0),
    ];
    for (dispatch, usual, fewer, per_secs) in cases {
        let (outcome, starts) = play(&lowered(dispatch, usual, fewer, per_secs));
        let told = format!("{dispatch:?}, {usual} and then {fewer} in {per_secs} s");
        assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0), "{told}");
        let used = starts.used((fewer, per_secs), LESS.0, LESS.1);
        let after = starts.used((usual, per_secs), BACK_IN_USE, BACK_IN_USE + 25);
        assert!(used >= 0.9 && after >= 0.9, "{told}: used {used}, afterwards {after}");
    }
}

/// Three tenants with 80 calls each. Each may have four a second or any number, and for a minute one.
fn tenants_lowered(dispatch: Dispatch, usual: Option<u64>) -> Scenario {
    let (from, until) = LESS;
    let rate = |units| Rate { per: Some(Per::Tenant), ..Rate::new(units, 1.0, Window::Sliding) };
    let mut rates = vec![Rate { between: Some(LESS), ..rate(1) }];
    rates.extend(usual.map(rate));
    Scenario {
        dispatch,
        limit: 5,
        api: Api { rates, ..Api::fixed(200.0) },
        limits: usual
            .map(|usual| Told { per: Some(Per::Tenant), ..Told::rate(usual, 1.0) })
            .into_iter()
            .collect(),
        lowered: vec![Lowered {
            from_secs: from - AHEAD_SECS,
            for_secs: until - from + 2 * AHEAD_SECS,
            rate: Some(ToldRate { units: 1, per_secs: 1.0, bucket: None, largest: None }),
            per: Some(Per::Tenant),
            ..Lowered::default()
        }],
        load: vec![Load { tenants: 3, ..Load::new(Priority::Batch, 240, 60.0) }],
        ..Scenario::default()
    }
}

/// A rate of each tenant's may be set where none was configured, too. Calls have their turns by the rate
/// that there was: they find no moment then and join the line again.
#[test]
fn a_rate_of_each_tenants_that_is_set_live_is_kept() {
    for dispatch in [Dispatch::Doorbell, Dispatch::DeferralSwap] {
        for usual in [Some(4), None] {
            let (outcome, _) = play(&tenants_lowered(dispatch, usual));
            let told = format!("{dispatch:?}, {usual:?}");
            assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0), "{told}");
            let measures = outcome.measures;
            assert_eq!(measures.own_429, 0, "{told}: {measures:?}");
            assert!(measures.receives.mean < 3.0, "{told}: {:?}", measures.receives);
        }
    }
}

/// Where nobody reads what operators set, the API refuses calls.
#[test]
fn that_a_rate_set_live_is_kept_is_noticed() {
    for dispatch in [Dispatch::Doorbell, Dispatch::DeferralSwap] {
        let mutant = Some(Mutant::DeafToOperators);
        for sound in [lowered(dispatch, 40, 10, 5.0), tenants_lowered(dispatch, Some(4))] {
            let (outcome, _) = play(&Scenario { mutant, ..sound });
            let mut broken = outcome.violations.iter().map(|seen| seen.invariant);
            assert!(broken.any(|of| of == Invariant::RateKept), "{dispatch:?}: {broken:?}");
        }
    }
}
