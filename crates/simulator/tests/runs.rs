//! Whole runs: the real enqueuer and worker on the simulated cloud.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Dispatch, Scenario};

const DISPATCHES: [Dispatch; 3] =
    [Dispatch::Doorbell, Dispatch::DeferralSwap, Dispatch::DeferralYield];

fn flood(dispatch: Dispatch, limit: u32, seed: u64) -> Scenario {
    Scenario { seed, limit, dispatch, ..Scenario::flood() }
}

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, Onlooker::nobody()).unwrap()
}

#[test]
fn without_faults_every_call_succeeds_within_the_limit() {
    for dispatch in DISPATCHES {
        for limit in [1, 2, 5] {
            let outcome = play(&flood(dispatch, limit, 1));
            let measures = &outcome.measures;
            println!("{} limit {limit}: {measures:?}", dispatch.name());
            assert_eq!(outcome.violations, [], "{} limit {limit}", dispatch.name());
            assert_eq!(outcome.ends.get("Succeeded"), Some(&330), "{:?}", outcome.ends);
            assert_eq!((measures.healthy_in_dlq, measures.duplicates), (0, 0));
            assert!(measures.max_concurrency <= limit);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for dispatch in DISPATCHES {
        let first = play(&flood(dispatch, 3, 7));
        let second = play(&flood(dispatch, 3, 7));
        assert_eq!((first.hash, first.events), (second.hash, second.events));
        assert_ne!(first.hash, play(&flood(dispatch, 3, 8)).hash);
    }
}
