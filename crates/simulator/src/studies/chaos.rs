//! Random scenarios in which everything may go wrong, and how a failing one is made small.

mod hard_api;

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::cloud::parameters::FACTS;
use slowlane_aws_simulator::faults::{Fault as AwsFault, Kind, Struck};
use slowlane_message::Priority;

use super::parallel;
use crate::faults::Fault;
use crate::ledger::{Invariant, Violation};
use crate::run::{Error, Onlooker, Outcome, run};
use crate::scenario::{Api, Dispatch, Load, Metering, Scenario};

/// How many runs shrinking may cost, and how long it may take: a run through hours takes seconds.
const SHRINKING_RUNS: u32 = 400;
const SHRINKING_TIME: Duration = Duration::from_secs(60);

/// How much longer a workflow of the deferral wiring waits. A worker that is killed before its
/// first request leaves its call hidden for six times the function's time-out, as AWS advises for
/// such queues (doc). That is 23 minutes, and ten such deaths in a row must not outlast a
/// workflow's patience. In the doorbell wiring the call is visible again after 50 seconds.
const SLOW_RECOVERY_SECS: u64 = 10 * 1_380;

/// Each fault's usual probability at its occasions; a scenario draws around it.
const USUAL: [(Fault, f64); Fault::ALL.len()] = [
    (Fault::Aws(AwsFault::AwsThrottle), 0.01),
    (Fault::Aws(AwsFault::AwsError), 0.01),
    (Fault::Aws(AwsFault::LostRequest), 0.01),
    (Fault::Aws(AwsFault::LostReply), 0.01),
    (Fault::Aws(AwsFault::SlowRequest), 0.005),
    (Fault::Aws(AwsFault::Duplicate), 0.03),
    (Fault::Aws(AwsFault::Reorder), 0.1),
    (Fault::Aws(AwsFault::Undelete), 0.02),
    (Fault::Aws(AwsFault::Crash), 0.1),
    (Fault::ApiThrottle, 0.05),
    (Fault::ApiLostRequest, 0.03),
    (Fault::ApiLostReply, 0.03),
    (Fault::ApiError, 0.03),
    (Fault::ApiErrorAfterCommit, 0.03),
    (Fault::ApiSlow, 0.05),
    (Fault::ApiOutage, 0.02),
    (Fault::ApiLargeAnswer, 0.02),
    (Fault::ApiReject, 0.03),
    (Fault::Stop, 0.05),
    (Fault::Aws(AwsFault::ClockSkew), 0.2),
    (Fault::LostRing, 0.01),
    (Fault::Malformed, 0.01),
    (Fault::Oversized, 0.003),
    (Fault::Deploy, 0.01),
    (Fault::Redrive, 0.005),
    (Fault::ApiWorksLate, 0.03),
    (Fault::ApiDownForHours, 0.02),
    (Fault::ApiRefusesDuplicate, 0.5),
    (Fault::Aws(AwsFault::ReceiveRefused), 0.002),
    (Fault::Aws(AwsFault::TableUnreachable), 0.005),
    (Fault::SwitchDispatch, 0.003),
    (Fault::LowerLimit, 0.005),
    (Fault::RaiseLimit, 0.005),
    (Fault::DeadLettersRestarted, 0.005),
    (Fault::LongDeadline, 0.05),
    (Fault::Aws(AwsFault::ClockSteps), 0.2),
    (Fault::Aws(AwsFault::Freeze), 0.05),
];

/// The faults that last for up to an hour and more. They are drawn more rarely than others: a world
/// with one of them costs more than ten without.
const LONG: [Fault; 3] = [
    Fault::ApiDownForHours,
    Fault::Aws(AwsFault::ReceiveRefused),
    Fault::Aws(AwsFault::TableUnreachable),
];

/// The limits of random scenarios: most as an API has them, two at which slots wake slots.
const LIMITS: [u32; 7] = [1, 2, 3, 4, 5, 7, 12];

/// The scenario of a seed. It has a small load on a small limit, about half of all short faults,
/// and a few of the long ones. The unconfirmed facts are anywhere in their ranges.
pub fn scenario(seed: u64, dispatch: Option<Dispatch>) -> Scenario {
    let mut dice = Dice::new(seed, 100);
    let drawn = [Dispatch::Doorbell, Dispatch::DeferralSwap, Dispatch::DeferralYield];
    let drawn = drawn[dice.below(4).saturating_sub(1) as usize];
    let is_open = dispatch.is_none();
    let dispatch = dispatch.unwrap_or(drawn);
    let mut scenario = Scenario {
        name: format!("chaos {seed}"),
        seed,
        limit: LIMITS[dice.below(LIMITS.len() as u64) as usize],
        dispatch,
        api: Api::fixed(20.0 + dice.below(1_500) as f64),
        api_timeout_secs: 10,
        deadline_secs: 1_200 + dice.below(3_600),
        share_every: 2 + dice.below(10) as u32,
        max_attempts: 3 + dice.below(5) as u32,
        sdk_attempts: 1 + 2 * dice.below(2) as u32,
        repeatable: dice.fraction(),
        ..Scenario::default()
    };
    for (fault, usual) in USUAL {
        if dice.happens(if LONG.contains(&fault) { 0.15 } else { 0.5 }) {
            let scale = 4f64.powf(2.0 * dice.fraction() - 1.0);
            scenario.faults.insert(fault.name().to_owned(), usual * scale);
        }
    }
    let most = most_calls(&scenario);
    for priority in Priority::ALL {
        let calls = 1 + dice.below(most);
        let start_ms = dice.below(10_000);
        let every_ms = if dice.happens(0.25) { 0.0 } else { dice.below(2_000) as f64 };
        let load = Load { start_ms, random: true, ..Load::new(priority, calls, every_ms) };
        scenario.load.push(load);
    }
    hard_api::draw(&mut scenario, &mut dice, is_open);
    scenario.deadline_secs += patience(&scenario);
    for fact in FACTS {
        if dice.happens(0.3) {
            let value = fact.low + dice.fraction() * (fact.high - fact.low);
            scenario.parameters.insert(fact.name.to_owned(), value);
        }
    }
    // By dice of its own, so that the rest of a seed's scenario is as it was.
    let is_metered = Dice::new(seed, 101).happens(0.25);
    scenario.metering = is_metered.then(Metering::default);
    scenario
}

/// The most calls of a priority. What waits through hours is looked at every minute: with as many
/// calls as elsewhere, one such world would cost as much as fifty others.
fn most_calls(scenario: &Scenario) -> u64 {
    let long = LONG.iter().any(|fault| scenario.faults.contains_key(fault.name()));
    if long { 4 } else { 12 }
}

/// How much longer a workflow waits where calls may be hidden, or workers may not be able to tell
/// anybody anything, for long.
fn patience(scenario: &Scenario) -> u64 {
    let may = |fault: Fault| scenario.faults.contains_key(fault.name());
    let deferral = scenario.dispatch != Dispatch::Doorbell || may(Fault::SwitchDispatch);
    let cut_off =
        may(Fault::Aws(AwsFault::ReceiveRefused)) || may(Fault::Aws(AwsFault::TableUnreachable));
    u64::from(deferral) * SLOW_RECOVERY_SECS + u64::from(cut_off) * CUT_OFF_SECS
}

/// How much longer a workflow waits where a service may not answer, for up to an hour at a time.
const CUT_OFF_SECS: u64 = 2 * 3_600;

/// What the random scenarios of many seeds came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// How many scenarios were run.
    pub seeds: u64,
    /// Their calls.
    pub calls: u64,
    /// Their events.
    pub events: u64,
    /// How often each fault struck.
    pub struck: Struck,
    /// The seeds that broke an invariant, in order, with the first violation of each.
    pub failing: Vec<(u64, Violation)>,
}

/// Runs the random scenarios of `seeds` on all cores; unless it is to keep going, no further ones
/// are begun once one has broken an invariant. `told` is called after each.
///
/// # Errors
/// As [`run`].
pub fn search(
    seeds: std::ops::Range<u64>,
    keep_going: bool,
    mut told: impl FnMut() + Send,
) -> Result<Searched, Error> {
    let seeds: Vec<u64> = seeds.collect();
    let each = parallel::map(
        &seeds,
        |seed| Ok(Searched::of(*seed, run(&scenario(*seed, None), Onlooker::nobody())?)),
        |one: &Result<Searched, Error>| {
            told();
            one.as_ref().is_ok_and(|one| keep_going || one.failing.is_empty())
        },
    );
    let mut searched = Searched::default();
    for one in each {
        searched += one?;
    }
    Ok(searched)
}

impl Searched {
    fn of(seed: u64, outcome: Outcome) -> Searched {
        Searched {
            seeds: 1,
            calls: outcome.measures.calls,
            events: outcome.events,
            struck: outcome.struck,
            failing: outcome.violations.into_iter().take(1).map(|first| (seed, first)).collect(),
        }
    }
}

impl AddAssign for Searched {
    fn add_assign(&mut self, other: Searched) {
        self.seeds += other.seeds;
        self.calls += other.calls;
        self.events += other.events;
        self.struck += other.struck;
        self.failing.extend(other.failing);
    }
}

/// The command that runs the random scenario of a seed again.
pub fn replay(seed: u64) -> String {
    format!("cargo xtask simulate --chaos --seed {seed}")
}

/// Makes a scenario that breaks `invariant` smaller: an easier API, fewer kinds of faults, fewer
/// calls, fewer strikes, as long as it still does. After a minute it is the smallest so far.
///
/// # Errors
/// As [`run`].
pub fn shrink(scenario: Scenario, invariant: Invariant) -> Result<Scenario, Error> {
    let until = Instant::now() + SHRINKING_TIME;
    let mut shrinker = Shrinker { best: scenario, invariant, runs: 0, until };
    shrinker.easier_api()?;
    shrinker.fewer_kinds()?;
    shrinker.fewer_calls()?;
    shrinker.fewer_strikes()?;
    Ok(shrinker.best)
}

struct Shrinker {
    best: Scenario,
    invariant: Invariant,
    runs: u32,
    until: Instant,
}

impl Shrinker {
    /// Keeps `smaller` if it still breaks the invariant.
    fn keeps(&mut self, smaller: Scenario) -> Result<bool, Error> {
        if self.runs == SHRINKING_RUNS || Instant::now() > self.until {
            return Ok(false);
        }
        self.runs += 1;
        let outcome = run(&smaller, Onlooker::nobody())?;
        let broken = (outcome.violations.iter()).any(|seen| seen.invariant == self.invariant);
        if broken {
            self.best = smaller;
        }
        Ok(broken)
    }

    fn easier_api(&mut self) -> Result<(), Error> {
        let easier: [fn(&mut Scenario); 8] = [
            |scenario| scenario.api = Api::fixed(scenario.api.median_ms),
            |scenario| scenario.api.outages.clear(),
            |scenario| scenario.api.rates.clear(),
            |scenario| scenario.api.others = None,
            |scenario| scenario.api.concurrency_steps.clear(),
            |scenario| scenario.pauses.clear(),
            |scenario| scenario.lowered.clear(),
            |scenario| scenario.metering = None,
        ];
        for change in easier {
            let mut smaller = self.best.clone();
            change(&mut smaller);
            if smaller != self.best {
                self.keeps(smaller)?;
            }
        }
        for load in 0..self.best.load.len() {
            let mut smaller = self.best.clone();
            let Load { priority, calls, start_ms, every_ms, random, .. } = smaller.load[load];
            smaller.load[load] = Load { start_ms, random, ..Load::new(priority, calls, every_ms) };
            if smaller != self.best {
                self.keeps(smaller)?;
            }
        }
        Ok(())
    }

    fn fewer_kinds(&mut self) -> Result<(), Error> {
        for name in self.best.faults.clone().into_keys() {
            let mut smaller = self.best.clone();
            smaller.faults.remove(&name);
            self.keeps(smaller)?;
        }
        for name in self.best.parameters.clone().into_keys() {
            let mut smaller = self.best.clone();
            smaller.parameters.remove(&name);
            self.keeps(smaller)?;
        }
        Ok(())
    }

    fn fewer_calls(&mut self) -> Result<(), Error> {
        for load in (0..self.best.load.len()).rev() {
            let mut without = self.best.clone();
            without.load.remove(load);
            if self.keeps(without)? {
                continue;
            }
            while self.best.load[load].calls > 1 {
                let mut smaller = self.best.clone();
                smaller.load[load].calls /= 2;
                if !self.keeps(smaller)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Spares strikes, first by halves, then by ever smaller stretches.
    fn fewer_strikes(&mut self) -> Result<(), Error> {
        let strikes = run(&self.best, Onlooker::nobody())?.strikes;
        let mut stretch = strikes.div_ceil(2);
        while stretch > 0 {
            for from in (0..strikes).step_by(stretch as usize) {
                let mut smaller = self.best.clone();
                smaller.spare.extend(from..from + stretch);
                if smaller.spare.len() > self.best.spare.len() {
                    self.keeps(smaller)?;
                }
            }
            stretch /= 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_drawn() {
        let drawn = |fault: &Fault| USUAL.iter().any(|(known, _)| known == fault);
        assert!(Fault::ALL.iter().all(drawn));
    }

    #[test]
    fn every_hardness_of_an_api_is_drawn() {
        const SEEDS: u64 = 600;
        let drawn: Vec<Scenario> = (0..SEEDS).map(|seed| scenario(seed, None)).collect();
        let are_drawn: [fn(&Scenario) -> bool; 13] = [
            |scenario| !scenario.api.outages.is_empty(),
            |scenario| !scenario.api.rates.is_empty(),
            |scenario| scenario.api.rates.iter().any(|rate| rate.per.is_some()),
            |scenario| scenario.api.others.is_some(),
            |scenario| !scenario.api.concurrency_steps.is_empty(),
            |scenario| !scenario.limits.is_empty(),
            |scenario| !scenario.pauses.is_empty(),
            |scenario| scenario.lowered.iter().any(|set| set.concurrency.is_some()),
            |scenario| scenario.lowered.iter().any(|set| set.rate.is_some()),
            |scenario| scenario.limits.iter().any(|told| told.adaptive),
            |scenario| scenario.limits.iter().any(|told| told.concurrency.is_some()),
            |scenario| scenario.load[0].tenants > 0,
            |scenario| scenario.metering.is_some(),
        ];
        for (at, is_drawn) in are_drawn.iter().enumerate() {
            let often = drawn.iter().filter(|scenario| is_drawn(scenario)).count();
            assert!((5..300).contains(&often), "{at}: {often} of {SEEDS}");
        }
    }

    #[test]
    fn a_seed_gives_one_scenario_and_it_can_be_written_down() {
        for seed in 0..200 {
            let drawn = scenario(seed, None);
            assert_eq!(drawn, scenario(seed, None));
            let written = drawn.to_toml().unwrap();
            assert_eq!(Scenario::parse(&written).unwrap(), drawn);
        }
    }
}
