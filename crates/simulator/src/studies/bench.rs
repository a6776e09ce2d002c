//! The comparison: one workload after the other on the same cloud, under every strategy. Then the
//! default dispatch and the pattern as first published, over all that nobody has confirmed.

use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::cloud::parameters::FACTS;
use slowlane_message::Priority;

use super::parallel;
use crate::report::Row;
use crate::run::{Error, Onlooker, run};
use crate::scenario::{Api, Dispatch, Load, Scenario, Times};

/// What a team gets that changes nothing.
pub const DEFAULT: Dispatch = Dispatch::Doorbell;
/// The pattern as it was first published.
pub const PUBLISHED: Dispatch = Dispatch::DeferralYield;

/// How much of the comparison is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Limits 2 and 5, calls of 200 ms, floods.
    Quick,
    /// Limits are 1, 2, 5, 10 and 20. Calls take 50 ms, 200 ms, 1 s and a heavy-tailed 2 s. Loads
    /// are at half the limit, at the limit, and floods.
    Full,
}

/// Calls for each slot, in a flood and in a load of the comparison.
const CALLS_A_SLOT: u64 = 80;
/// Calls in a flood of the sweep, for the default dispatch at limits that have a bar for the wait.
/// One in sixteen is HIGH. That makes 400, so that four of them have waited longer than the p99.
const SWEPT_CALLS: u64 = 6_400;
/// Calls in the other floods of the sweep.
const FEWER_CALLS: u64 = 320;
/// Combinations of all unconfirmed facts, each at one end of its range.
const CORNERS: u64 = 4;

/// The APIs of the comparison: fixed times, and one with a tail of five times its median.
fn apis(extent: Extent) -> Vec<Api> {
    match extent {
        Extent::Quick => vec![Api::fixed(200.0)],
        Extent::Full => vec![
            Api::fixed(50.0),
            Api::fixed(200.0),
            Api::fixed(1_000.0),
            Api::new(Times { median_ms: 2_000.0, p99_ms: Some(10_000.0) }),
        ],
    }
}

/// The workloads for a limit and an API. `half` and `full` are Poisson arrivals at that share of
/// what the limit allows, a fifth of them HIGH; `flood` is [`flood`].
fn workload(name: &str, limit: u32, api: &Api, seed: u64) -> Scenario {
    let calls = CALLS_A_SLOT * u64::from(limit);
    let share = match name {
        "flood" => return flood(calls, limit, api, seed),
        "half" => 0.5,
        _ => 1.0,
    };
    let gap = api.latency().mean_ms() / (f64::from(limit) * share);
    let load = vec![
        arriving(Priority::High, calls / 5, gap * 5.0),
        arriving(Priority::Normal, calls * 3 / 10, gap / 0.3),
        arriving(Priority::Batch, calls / 2, gap * 2.0),
    ];
    let (name, api) = (name.to_owned(), api.clone());
    Scenario { name, seed, limit, api, load, ..Scenario::default() }
}

/// Fifteen sixteenths of the calls at once, most of them BATCH. Sparse HIGH calls come one by one
/// until shortly before the last of those is served.
fn flood(calls: u64, limit: u32, api: &Api, seed: u64) -> Scenario {
    let gap = 15.0 * api.latency().mean_ms() / f64::from(limit);
    let high = calls / 16;
    let normal = calls / 5;
    let load = vec![
        arriving(Priority::Batch, calls - high - normal, 0.0),
        arriving(Priority::Normal, normal, 0.0),
        arriving(Priority::High, high, gap),
    ];
    let (name, api) = ("flood".to_owned(), api.clone());
    Scenario { name, seed, limit, api, load, ..Scenario::default() }
}

fn arriving(priority: Priority, calls: u64, every_ms: f64) -> Load {
    Load { random: true, ..Load::new(priority, calls, every_ms) }
}

/// The scenarios of the comparison: every strategy under every load.
fn compared(extent: Extent, seed: u64) -> Vec<Scenario> {
    let (limits, loads): (&[u32], &[&str]) = match extent {
        Extent::Quick => (&[2, 5], &["flood"]),
        Extent::Full => (&[1, 2, 5, 10, 20], &["half", "full", "flood"]),
    };
    let mut scenarios = Vec::new();
    for api in apis(extent) {
        for limit in limits {
            for load in loads {
                for dispatch in Dispatch::OF_CALLS_AT_ONCE {
                    let scenario = workload(load, *limit, &api, seed);
                    scenarios.push(Scenario { dispatch, ..scenario });
                }
            }
        }
    }
    scenarios
}

/// The scenarios of the sweep: the flood as assumed, at both ends of every unconfirmed fact's range,
/// and at some corners of all of them together.
fn swept(extent: Extent, seed: u64) -> Vec<Scenario> {
    let limits: &[u32] = match extent {
        Extent::Quick => &[2, 5],
        Extent::Full => &[1, 2, 5, 10, 20],
    };
    let apis = apis(extent).into_iter().filter(|api| [200.0, 1_000.0].contains(&api.median_ms));
    let mut scenarios = Vec::new();
    for api in apis {
        for limit in limits {
            for (facts, parameters) in settings_of_facts(seed) {
                for dispatch in [PUBLISHED, DEFAULT] {
                    let measured = dispatch == DEFAULT && *limit >= 5;
                    let calls = if measured { SWEPT_CALLS } else { FEWER_CALLS };
                    let flood = flood(calls, *limit, &api, seed);
                    let (facts, parameters) = (facts.clone(), parameters.clone());
                    scenarios.push(Scenario { dispatch, facts, parameters, ..flood });
                }
            }
        }
    }
    scenarios
}

pub(super) type Facts = (String, std::collections::BTreeMap<String, f64>);

pub(super) fn settings_of_facts(seed: u64) -> Vec<Facts> {
    let mut settings = vec![("as assumed".to_owned(), Default::default())];
    for fact in FACTS.iter().filter(|fact| !fact.rare) {
        for value in [fact.low, fact.high] {
            let parameters = [(fact.name.to_owned(), value)].into();
            settings.push((format!("{} = {value}", fact.name), parameters));
        }
    }
    for corner in 1..=CORNERS {
        let mut dice = Dice::new(seed, 200 + corner);
        let mut end = |low, high| if dice.happens(0.5) { high } else { low };
        let parameters = FACTS.map(|fact| (fact.name.to_owned(), end(fact.low, fact.high)));
        settings.push((format!("corner {corner}"), parameters.into()));
    }
    settings
}

/// What the comparison came to.
#[derive(Debug)]
pub struct Comparison {
    /// Every strategy under every load.
    pub compared: Vec<Row>,
    /// The default dispatch and the pattern as first published over the unconfirmed facts.
    pub swept: Vec<Row>,
}

/// Makes the comparison, on all cores. `told` is given every row as it is made, and how many there
/// will be.
///
/// # Errors
/// As [`run`].
pub fn compare(
    extent: Extent,
    seed: u64,
    mut told: impl FnMut(&Row, usize) + Send,
) -> Result<Comparison, Error> {
    let mut scenarios = compared(extent, seed);
    let split = scenarios.len();
    scenarios.extend(swept(extent, seed));
    let total = scenarios.len();
    let rows = parallel::map(
        &scenarios,
        |scenario| Ok(Row::of(scenario, &run(scenario, Onlooker::nobody())?)),
        |row| {
            row.as_ref().is_ok_and(|row| {
                told(row, total);
                true
            })
        },
    );
    let mut compared = rows.into_iter().collect::<Result<Vec<Row>, Error>>()?;
    let swept = compared.split_off(split);
    Ok(Comparison { compared, swept })
}
