//! Whole runs on the simulated AWS, in virtual time: enqueuer, queues, mappings and all slots.

mod alarms;
mod cost;
mod pause;
mod places;
mod profiles;
mod rings;

use std::sync::{Arc, Mutex, PoisonError};

use slowlane_aws_simulator::transcript::Watch;
use slowlane_simulator::run::{Onlooker, run};
use slowlane_simulator::scenario::Scenario;

/// Runs a scenario in which nothing may go wrong, and gives back who has watched it.
fn watched<W: Watch + Default + 'static>(scenario: &Scenario) -> anyhow::Result<W> {
    let seen = Arc::new(Mutex::new(W::default()));
    let watch: Box<dyn Watch> = Box::new(Arc::clone(&seen));
    let outcome = run(scenario, Onlooker { watch: Some(watch), ..Onlooker::nobody() })?;
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.ends.get("Succeeded"), Some(&scenario.calls()), "{:?}", outcome.ends);
    Ok(std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner)))
}
