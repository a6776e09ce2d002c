//! What the API has told its callers that their calls used, and what was counted of it.

use std::collections::BTreeMap;

use slowlane_aws_simulator::cloud::State;
use slowlane_aws_simulator::cloud::dynamodb::Value;
use slowlane_aws_simulator::faults::{Fault as AwsFault, Rates};

use crate::faults::Fault;
use crate::invariant::Invariant;
use crate::promises::Broken;
use crate::scenario::{Metering, Scenario};

/// The table of usage.
pub const USAGE_TABLE: &str = "usage";

/// The one model of the API.
pub const MODEL: &str = "model";

/// The faults by which a process may end, or stand still, before it has written what it knows.
const LOSE_USAGE: [AwsFault; 7] = [
    AwsFault::Crash,
    AwsFault::Freeze,
    AwsFault::TableUnreachable,
    AwsFault::AwsThrottle,
    AwsFault::AwsError,
    AwsFault::LostRequest,
    AwsFault::SlowRequest,
];

/// What was told of usage.
#[derive(Debug, Default)]
pub struct Metered {
    /// By tenant, whose number may be missing: units.
    told: BTreeMap<Option<u32>, u64>,
}

impl Metered {
    /// The API tells a live caller that its call has used so many units.
    pub fn tells(&mut self, tenant: Option<u32>, units: u64) {
        *self.told.entry(tenant).or_default() += units;
    }

    /// What is wrong with what was counted, if anything.
    pub fn check(&self, scenario: &Scenario, rates: &Rates, state: &State) -> Vec<Broken> {
        let Some(metering) = &scenario.metering else { return Vec::new() };
        let told: u64 = self.told.values().sum();
        let counted = counted(state);
        let may_lose = LOSE_USAGE.iter().any(|fault| rates.of(Fault::Aws(*fault)) > 0.0)
            || scenario.sdk_attempts == 1;
        let mut broken = Vec::new();
        if counted > told || (counted < told && !may_lose) {
            let what = format!("{counted} units are counted, and the API has told of {told}");
            broken.push((Invariant::UsageCounted, what));
        }
        broken.extend(self.beyond_budget(metering, scenario, may_lose));
        broken
    }

    /// A budget is passed by what is under way at most: in each slot a call at the API and one that is
    /// ready.
    fn beyond_budget(
        &self,
        metering: &Metering,
        scenario: &Scenario,
        may_lose: bool,
    ) -> Option<Broken> {
        let budget = metering.units_a_day.filter(|_| !may_lose)?;
        let largest = scenario.load.iter().map(|load| load.most_units()).max().unwrap_or(1);
        let most = budget + 2 * u64::from(scenario.limit) * largest;
        let beyond = self.told.iter().find(|(tenant, used)| tenant.is_some() && **used > most);
        beyond.map(|(tenant, used)| {
            let what = format!("tenant {tenant:?} has used {used} of {budget} units a day");
            (Invariant::BudgetKept, what)
        })
    }
}

/// The units in the table of usage.
fn counted(state: &State) -> u64 {
    let Ok(items) = state.dynamo.items(USAGE_TABLE) else { return 0 };
    let days = items.filter(|(key, _)| key.find('#') == Some("2026-11-30".len()));
    let attributes = days.flat_map(|(_, item)| item.iter());
    let tokens = attributes.filter(|(name, _)| {
        [format!("input:{MODEL}"), format!("output:{MODEL}")].iter().any(|one| one == name)
    });
    tokens
        .map(|(_, value)| match value {
            Value::Number(number) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        })
        .sum()
}
