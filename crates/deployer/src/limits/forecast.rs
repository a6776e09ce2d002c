//! What a limit keeps waiting, and until when.

use super::Standing;
use slowlane_limiter::{Margin, Moment, Quota, Rate, Spent};

/// Beyond so many resets of a quota the forecast ends: then it is at least that late.
const MOST_RESETS: u64 = 1_000;

impl Standing {
    /// What keeps calls from being made although nobody has shut the gate, in words. A rate does so
    /// only if calls wait: it is always a little ahead of the calls that are made.
    pub fn holds_up(&self, calls_wait: bool) -> Vec<String> {
        let mut told = self.holds_up_itself(calls_wait);
        let shared = self.shared.iter().flat_map(|shared| {
            let told = shared.holds_up_itself(calls_wait).into_iter();
            told.map(|told| format!("{}, shared: {told}", shared.name))
        });
        told.extend(shared);
        told
    }

    fn holds_up_itself(&self, calls_wait: bool) -> Vec<String> {
        let mut told: Vec<String> = self.hindrances().collect();
        told.extend(self.full().filter(|_| calls_wait));
        let spent = self.quotas().filter(|(quota, spent)| spent.units >= quota.units);
        told.extend(spent.map(|(quota, spent)| {
            format!("the quota {quota} is spent: no call before {}", spent.resets_at)
        }));
        let binding = self.rates().filter(|(_, free_at)| calls_wait && *free_at > self.now);
        told.extend(binding.map(|(rate, free_at)| {
            let ahead = free_at.since(self.now).as_millis();
            let apart = interval(rate).as_millis();
            format!("the rate {rate} binds: a call each {apart} ms, the next in {ahead} ms")
        }));
        told
    }

    /// Before this moment no limit lets a call go that has `ahead` calls before it. `None` where no
    /// limit says so. Limits that count units say nothing here: how many the others have is not known.
    pub fn not_before(&self, ahead: u64) -> Option<Moment> {
        let rates = self.rates().filter(|(rate, _)| rate.largest == 1);
        let rates = rates.map(|(rate, free_at)| free_at_after(rate, free_at, ahead));
        let quotas = self.quotas().filter_map(|(quota, spent)| reset_after(quota, spent, ahead));
        let shared = self.shared.iter().filter_map(|shared| shared.not_before(ahead));
        rates.chain(quotas).chain(shared).max().filter(|at| *at > self.now)
    }

    /// How many seconds that is from now, up.
    pub fn secs_until(&self, moment: Moment) -> u64 {
        moment.since(self.now).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
    }
}

/// From one call to the next.
fn interval(rate: &Rate) -> std::time::Duration {
    rate.pace(&Margin::default()).map(|pace| pace.of_units(1)).unwrap_or_default()
}

fn free_at_after(rate: &Rate, free_at: Moment, ahead: u64) -> Moment {
    let pace = rate.pace(&Margin::default());
    let before = pace.map(|pace| pace.of_units(ahead)).unwrap_or_default();
    free_at.plus(before)
}

/// When the quota has room for a call with `ahead` calls before it; `None` if it has now.
fn reset_after(quota: &Quota, spent: Spent, ahead: u64) -> Option<Moment> {
    let left = quota.units.saturating_sub(spent.units);
    let beyond = ahead.checked_sub(left)?;
    let mut resets_at = spent.resets_at;
    for _ in 0..(beyond / quota.units.max(1)).min(MOST_RESETS) {
        resets_at = quota.resets_at(resets_at).ok()?;
    }
    Some(resets_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slowlane_limiter::{
        Aimd, AimdRules, Entry, LimitKey, Limits, Meter, Record, SlotId, Standings,
    };
    use std::time::Duration;

    const NOW: Moment = Moment(1_800_000_000_000_000);

    fn after(secs: u64) -> Moment {
        NOW.plus(Duration::from_secs(secs))
    }

    /// With these limits, the rates' next calls due and the quotas' units spent.
    fn standing(limits: &str, due: &[Moment], spent: &[(u64, Moment)]) -> Standing {
        let configured = Limits::from_json(limits).unwrap();
        let spent =
            spent.iter().map(|(units, resets_at)| Spent { units: *units, resets_at: *resets_at });
        let standings = Standings {
            record: Record::default(),
            meter: Meter { due: due.into(), spent: spent.collect(), ..Meter::default() },
            concurrency: 5,
            rates: configured.iter().filter_map(|limit| limit.rate()).collect(),
            quotas: configured.iter().filter_map(|limit| limit.quota()).collect(),
        };
        Standing {
            name: LimitKey::new("crm").unwrap(),
            now: NOW,
            ceiling: 5,
            configured,
            standings,
            shared: None,
        }
    }

    const RATE: &str = r#"[{"rate":"100/20s"}]"#;
    const QUOTA: &str = r#"[{"quota":"100/1h"}]"#;

    #[test]
    fn a_rate_lets_a_call_go_after_those_before_it() {
        let binds = standing(RATE, &[after(2)], &[]);
        // (20 s + 234 ms) / 100 each: two lateness and jitter of 50 ms, two skews of 67 ms.
        assert_eq!(binds.not_before(0), Some(after(2)));
        assert_eq!(binds.not_before(100), Some(after(2).plus(Duration::from_millis(20_234))));
        assert_eq!(binds.secs_until(after(2).plus(Duration::from_millis(1))), 3);
        let idle = standing(RATE, &[NOW.minus(Duration::from_secs(5))], &[]);
        assert_eq!(idle.not_before(0), None);
        assert_eq!(standing("[]", &[], &[]).not_before(1_000_000), None);
        let tokens = standing(r#"[{"rate":"30000/1m","largest":4000}]"#, &[after(9)], &[]);
        assert_eq!(tokens.not_before(5), None);
    }

    #[test]
    fn a_quota_lets_a_call_go_when_it_has_room_again() {
        let spent = standing(QUOTA, &[], &[(40, after(600))]);
        let hour = 3_600;
        for (ahead, expected) in [
            (59, None),
            (60, Some(after(600))),
            (159, Some(after(600))),
            (160, Some(after(600 + hour))),
            (360, Some(after(600 + 3 * hour))),
        ] {
            // Resets are counted from the epoch, on whole hours.
            let expected = expected.map(|at: Moment| match at == after(600) {
                true => at,
                false => {
                    let hours = at.as_micros() / 3_600_000_000;
                    Moment(hours * 3_600_000_000)
                }
            });
            assert_eq!(spent.not_before(ahead), expected, "{ahead}");
        }
        // One that began anew since then counts from nothing.
        let over = standing(QUOTA, &[], &[(100, NOW)]);
        assert_eq!(over.not_before(99), None);
        assert!(over.holds_up(true).is_empty());
    }

    #[test]
    fn what_holds_calls_up_is_told() {
        let spent = standing(QUOTA, &[], &[(100, after(600))]);
        assert_eq!(
            spent.holds_up(false),
            ["the quota 100/1h is spent: no call before 2027-01-15T08:10:00Z"]
        );
        let binds = standing(RATE, &[after(2)], &[]);
        let told = "the rate 100/20s binds: a call each 202 ms, the next in 2000 ms";
        assert_eq!(binds.holds_up(true), [told]);
        assert!(binds.holds_up(false).is_empty(), "nobody waits for it");
    }

    #[test]
    fn what_is_shared_by_a_name_holds_calls_up_too() {
        let shared = Some(Box::new(standing(RATE, &[after(2)], &[])));
        let both = Standing { shared, ..standing(QUOTA, &[], &[(40, after(600))]) };
        let told = "crm, shared: the rate 100/20s binds: a call each 202 ms, the next in 2000 ms";
        assert_eq!(both.holds_up(true), [told]);
        assert_eq!(both.not_before(0), Some(after(2)));
        assert_eq!(both.not_before(60), Some(after(600)));
    }

    #[test]
    fn places_that_are_all_taken_are_told_and_what_let_them_be_so_few() {
        let told = |limits: &str, slots: usize| {
            let mut standing = standing(limits, &[], &[]);
            standing.standings.concurrency = 2;
            let entry = Entry { entered_at: NOW, lease_until: after(10) };
            let entries = (0..slots).map(|slot| (SlotId::from(slot as u64), entry));
            standing.standings.record.register.slots = entries.collect();
            standing.standings.record.control.adaptive =
                Some(Aimd { value: 2, ..Aimd::new(&AimdRules::up_to(5)) });
            (standing.holds_up(true), standing.holds_up(false))
        };
        let full = |why: &str| vec![format!("all places are taken: 2 calls at once of 5, {why}")];
        let adaptive = r#"[{"adaptive":true}]"#;
        let found = full("as many as the API turned out to take");
        assert_eq!(told(adaptive, 2), (found, Vec::new()));
        assert_eq!(told(adaptive, 1), (Vec::new(), Vec::new()));
        assert_eq!(told("[]", 3), (full("below the ceiling"), Vec::new()));
    }
}
