//! Random APIs that take less than the ceiling, or nothing for a while. Each takes every call in the
//! end: a call larger than a window, or others who leave nothing for ever, are no worlds to test in.

use slowlane_aws_simulator::chance::Dice;

use crate::faults::Fault;
use crate::scenario::{
    Dispatch, Kept, Lowered, Others, Outage, OutageKind, Pause, Per, Rate, Scenario, Told,
    ToldRate, Units, Window,
};

/// The most units of a call.
const MOST_UNITS: u64 = 5;
/// The fewest of a rate: calls of so many units at most can be granted within it with a margin.
const FEWEST_UNITS: u64 = 3 * MOST_UNITS;
/// The longest outage and the longest pause. What waits through them costs requests, and time here.
const LONGEST_SECS: u64 = 120;

/// Makes the API of one scenario in three harder. If the way of dispatch is open, one in twelve is
/// a function with a limiter, which is told of the rates. Half of the others are told what they
/// keep. Half of all, where a pause is kept, are paused by an operator.
pub(super) fn draw(scenario: &mut Scenario, dice: &mut Dice, is_open: bool) {
    let is_limited = dice.happens(1.0 / 12.0) && is_open;
    if !is_limited && !dice.happens(1.0 / 3.0) {
        return;
    }
    draw_tenants(scenario, dice);
    draw_at_once(scenario, dice);
    draw_rates(scenario, dice);
    draw_outages(scenario, dice);
    if is_limited {
        limit(scenario);
    } else if dice.happens(0.5) {
        tell(scenario);
        tell_at_once(scenario, dice);
    }
    if scenario.dispatch.keeps(Kept::Pause) && dice.happens(0.5) {
        let (from_secs, for_secs) = (dice.below(20), 1 + dice.below(LONGEST_SECS));
        scenario.pauses.push(Pause { from_secs, for_secs });
    }
    scenario.api.says_left = dice.happens(0.5);
    if scenario.dispatch.is_the_workers() {
        // Dice of their own: the other draws of a seed stay as they are.
        set_slower(scenario, &mut Dice::new(scenario.seed, 102));
    }
}

fn draw_tenants(scenario: &mut Scenario, dice: &mut Dice) {
    if dice.happens(0.5) {
        let tenants = 1 + dice.below(4) as u32;
        let noisy = (tenants > 1 && dice.happens(0.5)).then(|| dice.fraction());
        for load in &mut scenario.load {
            (load.tenants, load.noisy) = (tenants, noisy);
        }
    }
    if dice.happens(0.3) {
        for load in &mut scenario.load {
            load.units = Some(Units { median: 2, p99: MOST_UNITS });
            load.estimate_error = dice.fraction();
        }
    }
}

fn draw_at_once(scenario: &mut Scenario, dice: &mut Dice) {
    let limit = scenario.limit;
    if dice.happens(0.4) {
        let falls = 1 + dice.below(20);
        let low = dice.below(limit.into()) as u32;
        let rises = falls + 1 + dice.below(60);
        scenario.api.concurrency_steps = vec![(falls, low), (rises, limit)];
    }
    if limit > 1 && dice.happens(0.4) {
        let most = 1 + dice.below(u64::from(limit) - 1) as u32;
        let every_secs = 5 + dice.below(25);
        scenario.api.others = Some(Others { least: 0, most, every_secs });
    }
}

fn draw_rates(scenario: &mut Scenario, dice: &mut Dice) {
    for _ in 0..dice.below(3) {
        let windows = [Window::Fixed, Window::Sliding, Window::Bucket];
        let window = windows[dice.below(3) as usize];
        let mut rate =
            Rate::new(FEWEST_UNITS + dice.below(40), (1 + dice.below(10)) as f64, window);
        if window == Window::Bucket {
            rate.burst = Some(FEWEST_UNITS + dice.below(20));
        }
        // A call of no tenant has no tenant's limit.
        let of_tenants = dice.happens(0.3) && scenario.load.iter().any(|load| load.tenants > 0);
        rate.per = of_tenants.then_some(Per::Tenant);
        scenario.api.rates.push(rate);
    }
    scenario.api.retry_after = dice.happens(0.5);
}

fn draw_outages(scenario: &mut Scenario, dice: &mut Dice) {
    if dice.happens(0.4) {
        let kinds = [
            OutageKind::RefusedCredentials,
            OutageKind::NoConnection,
            OutageKind::Silence,
            OutageKind::ServerErrors,
        ];
        scenario.api.outages.push(Outage {
            from_secs: dice.below(20),
            for_secs: 1 + dice.below(LONGEST_SECS),
            kind: kinds[dice.below(4) as usize],
        });
    }
}

/// A function with a limiter in it. It has no guard. So its calls may all be repeated, and the
/// API's faults are those after which they are.
fn limit(scenario: &mut Scenario) {
    scenario.dispatch = Dispatch::Limiter;
    scenario.repeatable = 1.0;
    scenario.faults.retain(|name, _| {
        let retried = [Fault::ApiThrottle, Fault::ApiLostReply, Fault::ApiSlow, Fault::Deploy];
        let fault = Fault::named(name);
        fault.is_some_and(|fault| matches!(fault, Fault::Aws(_)) || retried.contains(&fault))
    });
    for load in &mut scenario.load {
        // A call that has more units than were granted may pass a window.
        load.estimate_error = 0.0;
    }
    tell(scenario);
}

/// Tells of the API's rates, as far as the way of dispatch keeps them.
fn tell(scenario: &mut Scenario) {
    let most_units = scenario.load.iter().map(|load| load.most_units()).max();
    let told = scenario.api.rates.iter().map(|rate| told(rate, most_units.unwrap_or(1)));
    scenario.limits = told.filter(|told| scenario.dispatch.keeps(told.kind())).collect();
}

/// Tells of fewer calls at once than there may be slots, or that they are to be found out.
fn tell_at_once(scenario: &mut Scenario, dice: &mut Dice) {
    let fewer = 1 + dice.below(scenario.limit.into()) as u32;
    let at_once = Told { concurrency: Some(fewer), ..Told::default() };
    let adaptive = Told { adaptive: true, ..Told::default() };
    for told in [at_once, adaptive] {
        if dice.happens(0.5) && scenario.dispatch.keeps(told.kind()) {
            scenario.limits.push(told);
        }
    }
    if dice.happens(0.3) && scenario.dispatch.keeps(Kept::Concurrency) {
        let concurrency = 1 + dice.below(scenario.limit.into()) as u32;
        let (from_secs, for_secs) = (dice.below(20), 1 + dice.below(LONGEST_SECS));
        let concurrency = Some(concurrency);
        scenario.lowered.push(Lowered { from_secs, for_secs, concurrency, ..Lowered::default() });
    }
}

/// Sets a slower rate for a while, in place of the only one of the target's that is told.
fn set_slower(scenario: &mut Scenario, dice: &mut Dice) {
    let mut told = scenario.limits.iter().filter(|told| told.kind() == Kept::Rate);
    let (Some(Told { rate: Some(told), .. }), None) = (told.next(), told.next()) else { return };
    // What was taken of a bucket is not known in the units of a slower one.
    if told.bucket.is_some() || !dice.happens(0.5) {
        return;
    }
    let rate = Some(ToldRate { units: 1 + dice.below(told.units), ..*told });
    let (from_secs, for_secs) = (dice.below(20), 1 + dice.below(LONGEST_SECS));
    scenario.lowered.push(Lowered { from_secs, for_secs, rate, ..Lowered::default() });
}

/// A rate, as told by somebody who has read the API's documents.
fn told(rate: &Rate, most_units: u64) -> Told {
    let Rate { units, per_secs, per, .. } = *rate;
    let largest = (most_units > 1).then_some(most_units);
    let bucket = (rate.window == Window::Bucket).then(|| rate.capacity());
    let rate = ToldRate { units, per_secs, bucket, largest };
    Told { rate: Some(rate), per, ..Told::default() }
}
