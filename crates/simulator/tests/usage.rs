//! What calls use, counted: each answer once, whatever becomes of the requests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slowlane_message::Priority;
use slowlane_simulator::ledger::{Invariant, Violation};
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Dispatch, Load, Metering, Mutant, Scenario, Units};

const WAYS: [Dispatch; 3] = [Dispatch::Doorbell, Dispatch::DeferralSwap, Dispatch::DeferralYield];

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, Onlooker::nobody()).unwrap()
}

/// Calls of a few tenants on five slots.
fn metered(dispatch: Dispatch) -> Scenario {
    let units = Units { median: 200, p99: 2_000 };
    let load = Load { tenants: 4, units: Some(units), ..Load::new(Priority::Batch, 120, 0.0) };
    let metering = Some(Metering::default());
    Scenario { dispatch, metering, load: vec![load], ..Scenario::default() }
}

fn with(fault: &str, probability: f64, scenario: Scenario) -> Scenario {
    Scenario { faults: [(fault.to_owned(), probability)].into(), ..scenario }
}

#[test]
fn what_is_counted_is_what_the_api_told() {
    for dispatch in WAYS {
        let outcome = play(&metered(dispatch));
        assert_eq!(outcome.violations, [], "{}", dispatch.name());
        assert_eq!(outcome.ends.get("Succeeded"), Some(&120), "{:?}", outcome.ends);
    }
}

/// A write whose answer is lost is made again by the SDK, or by the next flush.
#[test]
fn an_answer_that_is_lost_counts_once() {
    for seed in 0..6 {
        for dispatch in WAYS {
            let scenario = Scenario { seed, ..metered(dispatch) };
            let outcome = play(&with("lost-reply", 0.2, scenario));
            let counted: Vec<&Violation> = of_usage(&outcome);
            assert!(counted.is_empty(), "seed {seed}, {}: {counted:?}", dispatch.name());
        }
    }
}

/// Workers that are killed make calls again, and each time the API is used. What a killed worker knew
/// may be missing; nothing is there twice.
#[test]
fn a_killed_worker_counts_nothing_twice() {
    for seed in 0..6 {
        let outcome = play(&with("crash", 0.3, Scenario { seed, ..metered(WAYS[0]) }));
        let counted = of_usage(&outcome);
        assert!(counted.is_empty(), "seed {seed}: {counted:?}");
    }
}

fn of_usage(outcome: &Outcome) -> Vec<&Violation> {
    let of_usage = |violation: &&Violation| {
        matches!(violation.invariant, Invariant::UsageCounted | Invariant::BudgetKept)
    };
    outcome.violations.iter().filter(of_usage).collect()
}

#[test]
fn a_tenant_that_has_used_up_its_budget_makes_no_more_calls() {
    for dispatch in WAYS {
        let metering = Some(Metering { units_a_day: Some(3_000) });
        let outcome = play(&Scenario { metering, ..metered(dispatch) });
        assert_eq!(outcome.violations, [], "{}", dispatch.name());
        let beyond = outcome.ends.get("Slowlane.BudgetExceeded").copied().unwrap_or(0);
        let done = outcome.ends.get("Succeeded").copied().unwrap_or(0);
        assert_eq!(beyond + done, 120, "{:?}", outcome.ends);
        assert!(beyond > 30 && done > 30, "{:?}", outcome.ends);
    }
}

#[test]
fn mistakes_in_what_is_counted_are_noticed() {
    let budget = Metering { units_a_day: Some(3_000) };
    let tight = Scenario { metering: Some(budget), limit: 1, ..metered(WAYS[0]) };
    for (mutant, scenario, invariant) in [
        (Mutant::UsesMore, metered(WAYS[0]), Invariant::UsageCounted),
        (Mutant::UsesNothing, metered(WAYS[0]), Invariant::UsageCounted),
        (Mutant::UsesNothing, tight, Invariant::BudgetKept),
    ] {
        let outcome = play(&Scenario { mutant: Some(mutant), ..scenario });
        let noticed = outcome.violations.iter().any(|violation| violation.invariant == invariant);
        assert!(noticed, "{mutant:?} was not noticed: {:?}", outcome.violations);
    }
}

/// Counting costs one write for a call, and nothing where it is not asked for.
#[test]
fn a_call_that_is_counted_costs_one_request_more() {
    let counted = play(&metered(Dispatch::DeferralYield)).measures.units.write;
    let uncounted = Scenario { metering: None, ..metered(Dispatch::DeferralYield) };
    let uncounted = play(&uncounted).measures.units.write;
    assert_eq!(counted - uncounted, 120);
}
