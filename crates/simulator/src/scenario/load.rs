//! The calls of a scenario.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use slowlane_aws_simulator::chance::{Dice, Latency};
use slowlane_message::Priority;

use super::read::{self, Entry, positive};

/// Calls of one priority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Load {
    /// HIGH, NORMAL or BATCH.
    #[serde(deserialize_with = "priority")]
    pub priority: Priority,
    /// How many.
    pub calls: u64,
    /// When the first one's workflow starts, in milliseconds of the run.
    #[serde(default)]
    pub start_ms: u64,
    /// The gap between one and the next; 0 is all at once.
    #[serde(default)]
    pub every_ms: f64,
    /// Whether the gaps are exponential with that mean, instead of all equal.
    #[serde(default)]
    pub random: bool,
    /// Over how many tenants the calls are spread; 0 is calls of no tenant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tenants: u32,
    /// The number of the first of them: loads with the same numbers have the same tenants.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_tenant: u32,
    /// The share of the calls that is the first tenant's, who is noisy; without it all have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noisy: Option<f64>,
    /// How many units a call has; one, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// How wrong a call's estimate may be: 0.3 is up to a factor of 1.3, too high or too low.
    #[serde(default, skip_serializing_if = "is_never_off")]
    pub estimate_error: f64,
}

/// How many units calls have, log-normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// Half of the calls have fewer.
    #[serde(deserialize_with = "positive")]
    pub median: u64,
    /// 99 of 100 have fewer, and no call has more: the greatest is known, as with tokens.
    #[serde(deserialize_with = "positive")]
    pub p99: u64,
}

/// What one call of a load is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Its tenant's number, if it has a tenant.
    pub tenant: Option<u32>,
    /// Its units.
    pub units: u64,
    /// How many it is thought to have before it is made.
    pub estimate: u64,
}

impl Load {
    /// `calls` of one priority, each so many milliseconds after the other.
    pub fn new(priority: Priority, calls: u64, every_ms: f64) -> Load {
        Load {
            priority,
            calls,
            start_ms: 0,
            every_ms,
            random: false,
            tenants: 0,
            first_tenant: 0,
            noisy: None,
            units: None,
            estimate_error: 0.0,
        }
    }

    /// The most units that one of the calls may have.
    pub fn most_units(&self) -> u64 {
        self.units.map_or(1, |units| units.p99)
    }

    /// Draws the next call. A load without tenants and units draws nothing.
    pub fn draw(&self, dice: &mut Dice) -> Drawn {
        let units = self.units.map_or(1, |units| units.draw(dice));
        let off = if self.estimate_error > 0.0 { 2.0 * dice.fraction() - 1.0 } else { 0.0 };
        let estimate = units as f64 * (1.0 + self.estimate_error).powf(off);
        let estimate = (estimate.round() as u64).clamp(1, self.most_units());
        Drawn { tenant: self.tenant(dice), units, estimate }
    }

    fn tenant(&self, dice: &mut Dice) -> Option<u32> {
        let below = |dice: &mut Dice, tenants: u32| dice.below(tenants.into()) as u32;
        let drawn = match (self.tenants, self.noisy) {
            (0, _) => return None,
            (1, _) => 0,
            (_, Some(share)) if dice.happens(share) => 0,
            (tenants, Some(_)) => 1 + below(dice, tenants - 1),
            (tenants, None) => below(dice, tenants),
        };
        Some(self.first_tenant + drawn)
    }
}

impl Units {
    fn draw(self, dice: &mut Dice) -> u64 {
        // The dice draw whole milliseconds; a unit is one.
        let (median_ms, p99_ms) = (self.median as f64, self.p99 as f64);
        let drawn = dice.draw(&Latency::LogNormal { median_ms, p99_ms }).as_millis() as u64;
        drawn.clamp(1, self.p99)
    }
}

impl Entry for Load {
    fn fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Load, D::Error> {
        Load::deserialize(deserializer)
    }

    fn mistake(&self) -> Option<&'static str> {
        let Load { tenants, noisy, units, estimate_error, .. } = self;
        if noisy.is_some() && *tenants < 2 {
            return Some("a noisy tenant needs quiet ones beside it; tenants is 2 or more");
        }
        if noisy.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Some("noisy is a share of the calls, from 0 to 1");
        }
        if units.is_some_and(|units| units.median > units.p99) {
            return Some("the median of the units is more than their p99");
        }
        if estimate_error.is_nan() || *estimate_error < 0.0 {
            return Some("estimate_error is 0 or more: 0.3 is up to a factor of 1.3");
        }
        let aimless = *estimate_error > 0.0 && units.is_none();
        aimless.then_some("an estimate of one unit is never off; say how many units a call has")
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Load, D::Error> {
        read::entry(deserializer)
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Load::serialize(self, serializer)
    }
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("a priority is HIGH, NORMAL or BATCH"))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_never_off(error: &f64) -> bool {
    *error == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noisy_tenant_has_its_share_and_the_quiet_ones_the_rest() {
        let load = Load { tenants: 5, noisy: Some(0.8), ..Load::new(Priority::Batch, 10_000, 0.0) };
        let mut dice = Dice::new(1, 0);
        let mut of = [0; 5];
        for _ in 0..10_000 {
            of[load.draw(&mut dice).tenant.unwrap() as usize] += 1;
        }
        assert!((7_800..8_200).contains(&of[0]), "{of:?}");
        assert!(of[1..].iter().all(|calls| (400..600).contains(calls)), "{of:?}");
    }

    #[test]
    fn units_are_as_asked_for_and_estimates_off_by_no_more() {
        let units = Some(Units { median: 300, p99: 4_000 });
        let load = Load { units, estimate_error: 0.3, ..Load::new(Priority::Batch, 1, 0.0) };
        let mut dice = Dice::new(1, 0);
        let mut drawn: Vec<Drawn> = (0..10_000).map(|_| load.draw(&mut dice)).collect();
        drawn.sort_by_key(|drawn| drawn.units);
        assert!((280..320).contains(&drawn[5_000].units), "{:?}", drawn[5_000]);
        assert_eq!(drawn[9_999].units, 4_000);
        for Drawn { units, estimate, .. } in drawn {
            let (least, most) = (units as f64 / 1.3 - 0.5, units as f64 * 1.3 + 0.5);
            let estimate = estimate as f64;
            assert!(least <= estimate && estimate <= most, "{units} was thought to be {estimate}");
        }
    }
}
