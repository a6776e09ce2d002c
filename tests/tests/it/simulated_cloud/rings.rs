//! The doorbell: no call is left without a ring, and no slot is woken for nothing by the hundred.
//! The real worker runs on the simulated AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use slowlane_aws_simulator::cloud::sqs::QueueId;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Watch};
use slowlane_message::Priority;
use slowlane_simulator::names::QUEUE_NAMES;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Api, Load, Scenario};

fn play(scenario: &Scenario) -> anyhow::Result<Outcome> {
    Ok(run(scenario, Onlooker::nobody())?)
}

/// The answer to a receive may be lost after SQS has hidden a call for it. Nobody has that call
/// then, and its ring may be gone before it is visible again.
#[test]
fn a_call_hidden_by_a_receive_whose_answer_was_lost_is_rung_for() -> anyhow::Result<()> {
    let mut lost = 0;
    for seed in 1..=60 {
        let calls = Load { random: true, ..Load::new(Priority::High, 8, 900.0) };
        let scenario = Scenario {
            seed,
            limit: 2,
            load: vec![calls],
            faults: [("lost-reply".to_owned(), 0.05)].into(),
            ..Scenario::default()
        };
        let outcome = play(&scenario)?;
        assert_eq!(outcome.violations, [], "seed {seed}");
        assert_eq!(outcome.ends.get("Succeeded"), Some(&8), "seed {seed}: {:?}", outcome.ends);
        lost += outcome.strikes;
    }
    assert!(lost > 100, "{lost} answers were lost");
    Ok(())
}

/// A slot that stays awake runs many calls on one ring. The rings of the others are taken off the
/// doorbell in tens, and do not wake a slot each.
#[test]
fn after_a_flood_slots_are_not_woken_for_nothing() -> anyhow::Result<()> {
    let outcome = play(&Scenario::flood())?;
    let calls = outcome.measures.calls;
    assert_eq!(outcome.ends.get("Succeeded"), Some(&calls), "{:?}", outcome.ends);
    let invocations = outcome.measures.worker_invocations;
    assert!(invocations < calls / 5, "{invocations} invocations for {calls} calls");
    Ok(())
}

/// A mapping begins with five pollers and here adds more only after a minute. Still all twenty slots
/// are at work from the beginning, because slots wake slots; the burst would take 32 s otherwise.
#[test]
fn a_burst_wakes_every_slot_at_once() -> anyhow::Result<()> {
    let burst = Load::new(Priority::Batch, 800, 0.0);
    let scenario = Scenario {
        limit: 20,
        api: Api::fixed(200.0),
        load: vec![burst],
        parameters: [("poller_ramp_interval_ms".to_owned(), 60_000.0)].into(),
        ..Scenario::default()
    };
    let outcome = play(&scenario)?;
    assert_eq!(outcome.violations, []);
    let measures = outcome.measures;
    assert_eq!((measures.max_concurrency, measures.http_429), (20, 0));
    assert!(measures.utilisation > 0.85, "{measures:?}");
    Ok(())
}

/// The rings on the doorbell, and the most that there ever were.
#[derive(Clone, Default)]
struct Rings(Arc<[AtomicI64; 2]>);

impl Watch for Rings {
    fn saw(&mut self, _: Moment, event: &Event<'_>) {
        let is_doorbell = |queue: &QueueId| QUEUE_NAMES.get(queue.0 as usize) == Some(&"doorbell");
        let change = match event {
            Event::Sent { queue, .. } if is_doorbell(queue) => 1,
            Event::Deleted { queue, .. } if is_doorbell(queue) => -1,
            _ => return,
        };
        let now = self.0[0].fetch_add(change, Ordering::Relaxed) + change;
        self.0[1].fetch_max(now, Ordering::Relaxed);
    }
}

/// Slots that are never idle answer one ring in many. The others do not pile up for hours, to be
/// cleared away when the work is done.
#[test]
fn while_slots_are_busy_rings_do_not_pile_up() -> anyhow::Result<()> {
    let busy = Load { random: true, ..Load::new(Priority::Normal, 2_000, 43.0) };
    let scenario =
        Scenario { limit: 5, api: Api::fixed(200.0), load: vec![busy], ..Scenario::default() };
    let rings = Rings::default();
    let watch: Box<dyn Watch> = Box::new(rings.clone());
    let outcome = run(&scenario, Onlooker { watch: Some(watch), ..Onlooker::nobody() })?;
    assert_eq!(outcome.violations, []);
    let [left, most] = [0, 1].map(|at| rings.0[at].load(Ordering::Relaxed));
    assert_eq!(left, 0);
    assert!(most < 300, "{most} rings at once for 2000 calls");
    Ok(())
}
