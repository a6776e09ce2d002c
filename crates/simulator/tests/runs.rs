//! Whole runs: the real enqueuer and worker on the simulated cloud.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use slowlane_aws_simulator::faults::Struck;
use slowlane_message::Priority;
use slowlane_simulator::faults::Fault;
use slowlane_simulator::ledger::Invariant;
use slowlane_simulator::narrator::Narrator;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Api, Dispatch, Load, Mutant, Outage, OutageKind, Scenario};
use slowlane_simulator::studies::chaos;

const DISPATCHES: [Dispatch; 4] =
    [Dispatch::Doorbell, Dispatch::DoorbellPlain, Dispatch::DeferralSwap, Dispatch::DeferralYield];

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

/// Answers are lost, and then the API is silent until long after the deadlines. Where the mapping brings
/// the calls all the same, each workflow is told at its deadline that nobody knows, or that it was not made.
#[test]
fn a_call_whose_answer_was_lost_ends_by_its_deadline_while_the_api_cannot_be_asked() {
    let silence = Outage { from_secs: 5, for_secs: 4 * 3_600, kind: OutageKind::Silence };
    for dispatch in [Dispatch::DeferralSwap, Dispatch::DeferralYield] {
        let outcome = play(&Scenario {
            dispatch,
            limit: 5,
            repeatable: 0.0,
            deadline_secs: 1_800,
            api: Api { outages: vec![silence], ..Api::fixed(200.0) },
            load: vec![Load::new(Priority::Normal, 60, 200.0)],
            ..Scenario::default()
        });
        let ends = outcome.ends;
        assert_eq!(outcome.violations, [], "{}: {ends:?}", dispatch.name());
        assert!(ends["Slowlane.NeedsPerson"] > 1 && !ends.contains_key("TimedOut"), "{ends:?}");
    }
}

/// The errors of a single call open no breaker. It is asked about less and less often all the same, so that
/// its receives last: SQS hands a call out 437 times, which were used up after eleven hours.
#[test]
fn a_lone_call_whose_answer_was_lost_outlasts_half_a_day_of_silence() {
    let silence = Outage { from_secs: 0, for_secs: 12 * 3_600, kind: OutageKind::Silence };
    for dispatch in [Dispatch::Doorbell, Dispatch::DeferralSwap, Dispatch::DeferralYield] {
        let outcome = play(&Scenario {
            dispatch,
            repeatable: 0.0,
            deadline_secs: 50_000,
            api: Api { outages: vec![silence], ..Api::fixed(200.0) },
            load: vec![Load::new(Priority::Normal, 1, 0.0)],
            ..Scenario::default()
        });
        assert_eq!(outcome.violations, [], "{}: {:?}", dispatch.name(), outcome.ends);
        assert_eq!(outcome.ends, [("Succeeded".into(), 1)].into(), "{}", dispatch.name());
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

/// Each invariant notices the mistake that breaks it, and the same run without it is sound.
#[test]
fn every_invariant_bites() {
    let slow = Scenario { api: Api::fixed(1_000.0), limit: 2, ..Scenario::flood() };
    let few = Scenario { api: Api::fixed(1_000.0), limit: 2, ..few_calls() };
    let lossy = |mut scenario: Scenario| {
        scenario.faults.insert("api-lost-reply".to_owned(), 0.3);
        scenario.repeatable = 0.0;
        scenario
    };
    let crashing = |mut scenario: Scenario| {
        scenario.faults.insert("crash".to_owned(), 0.9);
        scenario
    };
    let cases = [
        (Mutant::OneSlotTooMany, few.clone(), Invariant::Limit),
        (Mutant::NoRing, few.clone(), Invariant::NothingStranded),
        (Mutant::NoRing, few.clone(), Invariant::EveryExecutionEnds),
        (Mutant::EverythingRepeatable, lossy(few.clone()), Invariant::OneEffect),
        (Mutant::LostMeansNotDone, lossy(few.clone()), Invariant::OneEffect),
        (
            Mutant::LostMeansNotDone,
            lossy(Scenario { max_attempts: 1, ..few.clone() }),
            Invariant::TruthfulName,
        ),
        (Mutant::SettlesSoon, faulty("api-works-late", 0.3), Invariant::OneEffect),
        (
            Mutant::LostMeansNotDone,
            Scenario { max_attempts: 1, ..faulty("api-works-late", 0.3) },
            Invariant::TruthfulName,
        ),
        (
            Mutant::EveryRefusalRejects,
            faulty("api-error-after-commit", 0.5),
            Invariant::TruthfulName,
        ),
        (
            Mutant::FewReceives,
            faulty("table-unreachable", 0.05),
            Invariant::NoHealthyCallInDeadLetters,
        ),
        (Mutant::NoRing, faulty("receive-refused", 0.05), Invariant::NothingStranded),
        (Mutant::NoRing, faulty("freeze", 0.5), Invariant::EveryExecutionEnds),
        (Mutant::OneSlotTooMany, faulty("raise-limit", 0.05), Invariant::Limit),
        (Mutant::WrongRecord, faulty("clock-steps", 1.0), Invariant::TrueResult),
        (Mutant::NoRingAfterSwitch, switched(), Invariant::NothingStranded),
        (Mutant::FewReceives, crashing(slow.clone()), Invariant::NoHealthyCallInDeadLetters),
        (Mutant::LowestFirst, slow, Invariant::BoundedWait),
        (Mutant::WrongRecord, few.clone(), Invariant::TrueResult),
        (Mutant::Rejects, few, Invariant::Success),
    ];
    for (mutant, scenario, invariant) in cases {
        assert_eq!(play(&scenario).violations, [], "without {mutant:?}");
        let outcome = play(&Scenario { mutant: Some(mutant), ..scenario });
        let noticed = outcome.violations.iter().any(|violation| violation.invariant == invariant);
        assert!(noticed, "{mutant:?} was not noticed: {:?}", outcome.violations);
    }
}

/// A few creates with one kind of fault.
fn faulty(fault: &str, probability: f64) -> Scenario {
    Scenario { faults: [(fault.to_owned(), probability)].into(), ..few_creates() }
}

/// A few creates on an API of two slots.
fn few_creates() -> Scenario {
    Scenario {
        api: Api::fixed(1_000.0),
        limit: 2,
        repeatable: 0.0,
        deadline_secs: 20_000,
        ..few_calls()
    }
}

/// Calls that wait in the deferral wiring when the stack is switched to the doorbell, and of which
/// the mappings bring none any more.
fn switched() -> Scenario {
    Scenario {
        dispatch: Dispatch::DeferralSwap,
        faults: [("switch-dispatch".to_owned(), 0.02), ("crash".to_owned(), 0.5)].into(),
        ..few_creates()
    }
}

fn few_calls() -> Scenario {
    let flood = Scenario::flood();
    let load = flood.load.iter().map(|load| Load { calls: load.calls.min(8), ..load.clone() });
    Scenario { load: load.collect(), deadline_secs: 1_200, ..flood }
}

/// How many random scenarios. Without optimization a request through the SDK takes ten times as
/// long, so `cargo xtask test` leaves the 2,000 to `cargo xtask simulate --chaos --seeds 2000`.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

#[test]
fn random_seeds_with_all_faults_break_nothing() {
    let mut struck = Struck::default();
    let mut spared = Fault::ALL.to_vec();
    // Those that last for hours are drawn rarely.
    for from in (0..5 * SEEDS).step_by(SEEDS as usize) {
        let searched = chaos::search(from..from + SEEDS, false, || {}).unwrap();
        if let Some((seed, violation)) = searched.failing.first() {
            panic!("seed {seed}: {violation}\nreplay: {}", chaos::replay(*seed));
        }
        struck += searched.struck;
        spared.retain(|fault| struck.of(*fault) == 0);
        if spared.is_empty() {
            return;
        }
    }
    panic!("never struck: {spared:?}");
}

#[test]
fn a_random_scenario_is_the_same_each_time() {
    for seed in 0..8 {
        let scenario = chaos::scenario(seed, None);
        let [first, second] = [play(&scenario), play(&scenario)];
        let said = |outcome: &Outcome| (outcome.hash, outcome.events, outcome.strikes);
        assert_eq!(said(&first), said(&second), "seed {seed}");
    }
}

#[test]
fn a_failing_scenario_is_shrunk_and_still_fails() {
    let mut scenario = chaos::scenario(3, Some(Dispatch::Doorbell));
    scenario.mutant = Some(Mutant::WrongRecord);
    let shrunk = chaos::shrink(scenario, Invariant::TrueResult).unwrap();
    assert_eq!((shrunk.calls(), shrunk.faults.len()), (1, 0));
    assert_eq!(play(&shrunk).violations[0].invariant, Invariant::TrueResult);
}

const README: &str = include_str!("../README.md");

#[test]
fn the_scenarios_of_the_page_are_read_and_kept() {
    let blocks = README.split("\n```toml\n").skip(1);
    let mut scenarios = 0;
    for block in blocks.map(|block| block.split("\n```").next().unwrap()) {
        let scenario = Scenario::parse(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(scenario.tells_more_than_is_kept(), None, "{block}");
        scenarios += 1;
    }
    assert_eq!(scenarios, 5);
}

/// What is written, for who looks at it afterwards.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_run_that_the_page_reads_is_what_happens() {
    let scenario = Scenario::parse(include_str!("../scenarios/one.toml")).unwrap();
    let written = Written::default();
    let watch = Narrator(written.clone());
    run(&scenario, Onlooker { watch: Some(Box::new(watch)), ..Onlooker::nobody() }).unwrap();
    let happened = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let shown = README.split_once("## A run, read").unwrap().1.split("\n```").nth(1).unwrap();
    let without_remarks =
        shown.lines().skip(1).map(|line| line.split(" # ").next().unwrap().trim_end());
    assert_eq!(without_remarks.collect::<Vec<_>>(), happened.lines().collect::<Vec<_>>());
}
