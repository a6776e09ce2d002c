//! Tenants with limits of their own: what becomes of more calls than a tenant's line has room for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use slowlane_message::Priority;
use slowlane_simulator::ledger::Invariant;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Api, Load, Per, Rate, Scenario, Told, Window};

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, Onlooker::nobody()).unwrap()
}

/// So many calls at once of the noisy tenant, each of whose tenants has `units` calls in `per_secs`.
fn at_once(calls: u64, units: u64, per_secs: f64) -> Scenario {
    let rate = Rate { per: Some(Per::Tenant), ..Rate::new(units, per_secs, Window::Sliding) };
    Scenario {
        api: Api { rates: vec![rate], ..Api::fixed(200.0) },
        limits: vec![Told { per: Some(Per::Tenant), ..Told::rate(units, per_secs) }],
        load: vec![noisy(calls, 0)],
        repeatable: 1.0,
        ..Scenario::default()
    }
}

fn noisy(calls: u64, start_ms: u64) -> Load {
    Load { tenants: 2, noisy: Some(1.0), start_ms, ..Load::new(Priority::Batch, calls, 0.0) }
}

/// Calls of six other tenants, none faster than its limit.
fn quiet(calls: u64, every_ms: f64) -> Load {
    let load = Load::new(Priority::Normal, calls, every_ms);
    Load { tenants: 6, first_tenant: 1, start_ms: 60_000, ..load }
}

/// The line is fifteen hours long, and SQS hides nothing for so long. Each call comes back when it
/// must, and no slot is kept from quiet tenants.
#[test]
fn calls_that_wait_for_longer_than_sqs_hides_them_come_back_a_few_times() {
    let mut scenario = at_once(150, 10, 3_600.0);
    scenario.deadline_secs = 86_400;
    scenario.load.push(quiet(130, 400_000.0));
    let outcome = play(&scenario);
    assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0));
    let measures = outcome.measures;
    assert!(measures.receives.mean <= 2.5 && measures.receives.max <= 4, "{:?}", measures.receives);
    let wait = measures.tenants.unwrap().quiet_wait_ms;
    assert!(wait.max < 2_000, "{wait:?}");
}

/// One with a weight has so many times as much, and one without what each has.
#[test]
fn a_tenant_with_a_weight_has_so_many_times_as_much() {
    let takes = |weighty: &str| {
        let mut scenario = at_once(120, 6, 1.0);
        let weights = [(weighty.to_owned(), 3)].into();
        scenario.limits = vec![Told { per: Some(Per::Tenant), weights, ..Told::rate(2, 1.0) }];
        let Outcome { violations, measures, .. } = play(&scenario);
        assert_eq!((violations, measures.failed, measures.own_429), (Vec::new(), 0, 0));
        measures.makespan.as_secs()
    };
    let (three_times, once) = (takes("t-0"), takes("t-1"));
    // Six a second in any second, with the margin, are 5.4; two are 1.6.
    assert!((20..30).contains(&three_times), "{three_times} s");
    assert!((70..85).contains(&once), "{once} s");
}

/// A quarter of the calls can be made before their deadline, and the others fail by it. What comes then
/// finds the limit idle.
#[test]
fn calls_that_fail_by_their_deadline_keep_no_later_ones_waiting() {
    let mut scenario = at_once(400, 10, 60.0);
    scenario.deadline_secs = 600;
    scenario.load.push(noisy(40, 660_000));
    let outcome = play(&scenario);
    let failed = outcome.ends.get("Slowlane.DeadlineExceeded").copied().unwrap_or(0);
    assert!((300..=306).contains(&failed), "{:?}", outcome.ends);
    assert_eq!(outcome.measures.failed, failed, "{:?}", outcome.ends);
    let broken = outcome.violations.iter().map(|violation| violation.invariant);
    assert_eq!(broken.collect::<BTreeSet<_>>(), BTreeSet::from([Invariant::Success]));
    let by_deadline = outcome.violations.iter().all(|violation| violation.at.millis() < 610_000);
    assert!(by_deadline, "{:?}", outcome.violations.last());
    assert!(outcome.measures.receives.max <= 3, "{:?}", outcome.measures.receives);
}

/// Somebody stops four hundred executions that wait for forty minutes of a limit. It is idle then, and
/// whoever comes has it.
#[test]
fn calls_whose_workflows_were_stopped_keep_no_later_ones_waiting() {
    let mut scenario = at_once(400, 10, 60.0);
    scenario.load.push(noisy(40, 120_000));
    scenario.faults.insert("stop".to_owned(), 1.0);
    scenario.spare = (400..440).collect();
    let outcome = play(&scenario);
    assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0));
    // Forty calls, six seconds apart.
    let wait = outcome.measures.waits[Priority::Batch as usize];
    assert!(wait.max < 300_000, "{wait:?}: {:?}", outcome.ends);
}
