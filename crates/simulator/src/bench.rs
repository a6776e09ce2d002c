//! The comparison: one workload after the other on the same cloud, under every strategy; and the
//! strategies with queues again at both ends of every unconfirmed fact's range.

use slowlane_message::Priority;

use crate::cloud::parameters::FACTS;
use crate::report::Row;
use crate::run::{Error, Onlooker, run};
use crate::scenario::{Dispatch, Load, Scenario, Times};

/// How much of the comparison is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Limits 2 and 5, calls of 200 ms, floods: under a minute.
    Quick,
    /// Limits 1, 2, 5, 10 and 20; calls of 50 ms, 200 ms, 1 s and a heavy-tailed 2 s; loads at
    /// half the limit, at the limit, and floods.
    Full,
}

/// The APIs of the comparison: fixed times, and one with a tail of five times its median.
fn apis(extent: Extent) -> Vec<Times> {
    match extent {
        Extent::Quick => vec![Times::fixed(200.0)],
        Extent::Full => vec![
            Times::fixed(50.0),
            Times::fixed(200.0),
            Times::fixed(1_000.0),
            Times { median_ms: 2_000.0, p99_ms: Some(10_000.0) },
        ],
    }
}

/// The workloads for a limit and an API: `half` and `full` are Poisson arrivals at that share of
/// what the limit allows, a fifth of them HIGH; `flood` is 48 BATCH and 12 NORMAL calls for each
/// slot at once, and a HIGH call every two service times of one slot.
fn workload(name: &str, limit: u32, api: Times, seed: u64) -> Scenario {
    let slots = f64::from(limit);
    let load =
        |priority, calls, every_ms, random| Load { priority, calls, start_ms: 0, every_ms, random };
    let mean = api.latency().mean_ms();
    let load = match name {
        "flood" => vec![
            load(Priority::Batch, 48 * u64::from(limit), 0.0, false),
            load(Priority::Normal, 12 * u64::from(limit), 0.0, false),
            load(Priority::High, 30, 2.0 * mean, true),
        ],
        _ => {
            let share = if name == "half" { 0.5 } else { 1.0 };
            let gap = mean / (slots * share);
            let calls = 60 * u64::from(limit);
            vec![
                load(Priority::High, calls / 5, gap * 5.0, true),
                load(Priority::Normal, calls * 3 / 10, gap / 0.3, true),
                load(Priority::Batch, calls / 2, gap * 2.0, true),
            ]
        }
    };
    Scenario { name: name.to_owned(), seed, limit, api, load, ..Scenario::default() }
}

/// Makes the comparison. `told` is given every row as it is made, and how many there will be.
///
/// # Errors
/// As [`run`].
pub fn compare(
    extent: Extent,
    seed: u64,
    told: &mut dyn FnMut(&Row, usize),
) -> Result<Vec<Row>, Error> {
    let (limits, loads): (&[u32], &[&str]) = match extent {
        Extent::Quick => (&[2, 5], &["flood"]),
        Extent::Full => (&[1, 2, 5, 10, 20], &["half", "full", "flood"]),
    };
    let mut scenarios = Vec::new();
    for api in apis(extent) {
        for limit in limits {
            for load in loads {
                for dispatch in Dispatch::ALL {
                    let scenario = workload(load, *limit, api, seed);
                    scenarios.push(Scenario { dispatch, ..scenario });
                }
            }
        }
    }
    rows(scenarios, told)
}

/// Runs the flood at limit 5 at both ends of every unconfirmed fact's range, for the strategies
/// with queues. The rows' `load` names the fact and its value.
///
/// # Errors
/// As [`run`].
pub fn sweep(
    extent: Extent,
    seed: u64,
    told: &mut dyn FnMut(&Row, usize),
) -> Result<Vec<Row>, Error> {
    let apis = apis(extent).into_iter().filter(|api| [200.0, 1_000.0].contains(&api.median_ms));
    let queues = [Dispatch::DeferralYield, Dispatch::DeferralSwap, Dispatch::Doorbell];
    let mut scenarios = Vec::new();
    for api in apis {
        for fact in FACTS {
            for value in [fact.low, fact.high] {
                for dispatch in queues {
                    let mut scenario = workload("flood", 5, api, seed);
                    scenario.dispatch = dispatch;
                    scenario.name = format!("flood, {} = {value}", fact.name);
                    scenario.parameters.insert(fact.name.to_owned(), value);
                    scenarios.push(scenario);
                }
            }
        }
    }
    rows(scenarios, told)
}

fn rows(scenarios: Vec<Scenario>, told: &mut dyn FnMut(&Row, usize)) -> Result<Vec<Row>, Error> {
    let total = scenarios.len();
    let mut rows = Vec::with_capacity(total);
    for scenario in scenarios {
        let outcome = run(&scenario, Onlooker::nobody())?;
        let row = Row::of(scenario.dispatch.name(), &scenario, &outcome);
        told(&row, total);
        rows.push(row);
    }
    Ok(rows)
}
