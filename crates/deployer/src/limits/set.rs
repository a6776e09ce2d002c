//! Limits that are set while a deployment runs, in place of those it was deployed with.

use crate::text;
use serde_json::{Value, json};
use slowlane_limiter::{Limit, Limits, Overrides, Quota, Rate, Scope};
use std::fmt;

/// What is to be set. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// Forget what was set before; what is named beside it counts anew.
    pub as_configured: bool,
    /// Calls at once, below the worker's reserved concurrency.
    pub concurrency: Option<u32>,
    /// All rates of the target's.
    pub rates: Option<Vec<Rate>>,
    /// All quotas of the target's.
    pub quotas: Option<Vec<Quota>>,
    /// All rates that each tenant has for itself.
    pub tenant_rates: Option<Vec<Rate>>,
    /// All quotas that each tenant has for itself.
    pub tenant_quotas: Option<Vec<Quota>>,
}

impl Setting {
    /// What is set then, after `before`.
    pub(super) fn over(&self, before: &Overrides) -> Overrides {
        let before = if self.as_configured { Overrides::default() } else { before.clone() };
        Overrides {
            concurrency: self.concurrency.or(before.concurrency),
            rates: self.rates.clone().or(before.rates),
            quotas: self.quotas.clone().or(before.quotas),
            tenant_rates: self.tenant_rates.clone().or(before.tenant_rates),
            tenant_quotas: self.tenant_quotas.clone().or(before.tenant_quotas),
        }
    }
}

/// Which of a target's limits are shared by a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    /// Rates and quotas.
    times: bool,
    /// Calls at once.
    at_once: bool,
}

impl Sharing {
    pub(super) fn of(shared: &Limits) -> Self {
        let at_once = shared.concurrency().is_some();
        Self { times: shared.len() > usize::from(at_once), at_once }
    }
}

impl Setting {
    /// What of it is to be set in the target's own record, and what in that of the name. Limits of
    /// tenants are the target's own.
    pub(super) fn split(&self, sharing: Sharing) -> (Self, Self) {
        let part = |times: bool, at_once: bool| Self {
            as_configured: self.as_configured,
            concurrency: self.concurrency.filter(|_| at_once),
            rates: self.rates.clone().filter(|_| times),
            quotas: self.quotas.clone().filter(|_| times),
            ..Self::default()
        };
        let Sharing { times, at_once } = sharing;
        let (tenant_rates, tenant_quotas) = (self.tenant_rates.clone(), self.tenant_quotas.clone());
        let own = Self { tenant_rates, tenant_quotas, ..part(!times, !at_once) };
        (own, part(times, at_once))
    }
}

/// Something as it was and as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BeforeAndNow<T> {
    pub(super) before: T,
    pub(super) now: T,
}

impl<T> BeforeAndNow<T> {
    /// What is in effect by it.
    pub(super) fn map(self, in_effect: impl Fn(T) -> InEffect) -> WasSet {
        WasSet { before: in_effect(self.before), now: in_effect(self.now) }
    }
}

impl WasSet {
    /// This, but for what is shared by a name.
    pub(super) fn with(self, shared: WasSet, sharing: Sharing) -> Self {
        Self {
            before: self.before.with(shared.before, sharing),
            now: self.now.with(shared.now, sharing),
        }
    }
}

/// The limits of a target that count, whether they were configured or set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InEffect {
    /// Calls at once.
    pub concurrency: u32,
    /// All rates.
    pub rates: Vec<Rate>,
    /// All quotas.
    pub quotas: Vec<Quota>,
    /// All rates that each tenant has for itself.
    pub tenant_rates: Vec<Rate>,
    /// All quotas that each tenant has for itself.
    pub tenant_quotas: Vec<Quota>,
}

impl InEffect {
    /// What was set, and in place of what was not the limits of the target as they were deployed.
    pub(super) fn of(set: &Overrides, ceiling: u32, configured: &Limits) -> Self {
        let of = |scope: Scope| configured.iter().filter(move |limit| limit.scope == scope);
        let rates = |set: &Option<Vec<Rate>>, scope| {
            set.clone().unwrap_or_else(|| of(scope).filter_map(Limit::rate).collect())
        };
        let quotas = |set: &Option<Vec<Quota>>, scope| {
            set.clone().unwrap_or_else(|| of(scope).filter_map(Limit::quota).collect())
        };
        let at_once = set.concurrency.or(configured.concurrency());
        Self {
            concurrency: at_once.unwrap_or(ceiling).min(ceiling),
            rates: rates(&set.rates, Scope::Target),
            quotas: quotas(&set.quotas, Scope::Target),
            tenant_rates: rates(&set.tenant_rates, Scope::Tenant),
            tenant_quotas: quotas(&set.tenant_quotas, Scope::Tenant),
        }
    }

    fn with(self, shared: Self, Sharing { times, at_once }: Sharing) -> Self {
        let (rates, quotas) = match times {
            true => (shared.rates, shared.quotas),
            false => (self.rates, self.quotas),
        };
        let concurrency = if at_once { shared.concurrency } else { self.concurrency };
        Self { concurrency, rates, quotas, ..self }
    }

    /// For programs: `{concurrency, rates, quotas, tenant_rates, tenant_quotas}`.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "concurrency": self.concurrency,
            "rates": each(&self.rates),
            "quotas": each(&self.quotas),
            "tenant_rates": each(&self.tenant_rates),
            "tenant_quotas": each(&self.tenant_quotas),
        })
    }

    /// Its rows in a table: calls at once, rates, quotas, and the same of each tenant.
    fn cells(&self) -> [String; 5] {
        let all = |texts: Vec<String>| match texts.is_empty() {
            true => NONE.to_owned(),
            false => texts.join("\n"),
        };
        [
            self.concurrency.to_string(),
            all(each(&self.rates)),
            all(each(&self.quotas)),
            all(each(&self.tenant_rates)),
            all(each(&self.tenant_quotas)),
        ]
    }
}

/// In a table, where there is no such limit.
const NONE: &str = "none";

fn each(limits: &[impl fmt::Display]) -> Vec<String> {
    limits.iter().map(ToString::to_string).collect()
}

/// What was in effect before a change, and what is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasSet {
    /// Before.
    pub before: InEffect,
    /// Now.
    pub now: InEffect,
}

impl WasSet {
    /// For programs: `{before: {concurrency, rates, quotas, tenant_rates, tenant_quotas}, now: {...}}`.
    pub fn as_json(&self) -> Value {
        json!({ "before": self.before.as_json(), "now": self.now.as_json() })
    }
}

impl fmt::Display for WasSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_target = ["calls at once", "rates", "quotas"];
        let of_tenants = ["rates of each tenant", "quotas of each tenant"];
        let names = of_target.into_iter().chain(of_tenants);
        let rows = names.zip(self.before.cells()).zip(self.now.cells());
        let rows = rows.map(|((name, before), now)| [name.to_owned(), before, now]);
        // Most targets have no limits of tenants, and need not be told so.
        let is_told = |[name, before, now]: &[String; 3]| {
            of_target.contains(&name.as_str()) || before != NONE || now != NONE
        };
        f.write_str(&text::table(["", "before", "now"], rows.filter(is_told).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rate(units: u64) -> Rate {
        Rate::new(units, Duration::from_secs(20))
    }

    #[test]
    fn what_is_not_named_stays_as_it_was_set() {
        let before = Overrides {
            concurrency: Some(3),
            quotas: Some(Vec::new()),
            tenant_rates: Some(vec![rate(2)]),
            ..Overrides::default()
        };
        let setting = Setting { rates: Some(vec![rate(50)]), ..Setting::default() };
        let expected = Overrides { rates: Some(vec![rate(50)]), ..before.clone() };
        assert_eq!(setting.over(&before), expected);
        let anew = Setting { as_configured: true, ..setting };
        let expected = Overrides { rates: Some(vec![rate(50)]), ..Overrides::default() };
        assert_eq!(anew.over(&before), expected);
    }

    #[test]
    fn what_is_shared_is_set_under_its_name_and_the_rest_at_the_target() {
        let text = r#"[{"rate":"100/20s"},{"quota":"15000/1d"}]"#;
        let times = Sharing::of(&Limits::from_json(text).unwrap());
        let setting = Setting {
            concurrency: Some(3),
            rates: Some(vec![rate(50)]),
            as_configured: true,
            tenant_rates: Some(vec![rate(2)]),
            ..Setting::default()
        };
        let of_all = Setting { tenant_rates: None, ..setting.clone() };
        let at_once = Sharing::of(&Limits::from_json(r#"[{"concurrency":3}]"#).unwrap());
        for (sharing, own, of_all) in [
            (
                times,
                Setting { rates: None, ..setting.clone() },
                Setting { concurrency: None, ..of_all.clone() },
            ),
            (
                at_once,
                Setting { concurrency: None, ..setting.clone() },
                Setting { rates: None, ..of_all.clone() },
            ),
        ] {
            assert_eq!(setting.split(sharing), (own, of_all));
        }
        assert_eq!(setting.split(Sharing::default()).0, setting);

        let effect = |concurrency, units| InEffect {
            concurrency,
            rates: vec![rate(units)],
            quotas: Vec::new(),
            tenant_rates: vec![rate(2)],
            tenant_quotas: Vec::new(),
        };
        let set = |concurrency, units| WasSet {
            before: effect(concurrency, units),
            now: effect(concurrency + 1, units + 1),
        };
        assert_eq!(
            set(2, 10).with(set(5, 50), times),
            set(2, 50).with(set(9, 9), Sharing::default())
        );
        assert_eq!(set(2, 10).with(set(5, 50), at_once).now, effect(6, 11));
    }

    #[test]
    fn what_counts_is_what_was_set_below_the_ceiling_and_else_what_was_configured() {
        let text = r#"[{"rate":"100/20s"},{"rate":"2/s","per":"tenant"},{"quota":"15000/1d"}]"#;
        let configured = Limits::from_json(text).unwrap();
        let set = |set: &Overrides| InEffect::of(set, 5, &configured);
        let day = Quota::every(15_000, Duration::from_secs(86_400));
        let as_configured = set(&Overrides::default());
        assert_eq!((as_configured.concurrency, as_configured.rates), (5, vec![rate(100)]));
        assert_eq!(as_configured.quotas, std::slice::from_ref(&day));
        let text = r#"[{"concurrency":3}]"#;
        let fewer = Limits::from_json(text).unwrap();
        let at_once = |set| {
            let set = Overrides { concurrency: set, ..Overrides::default() };
            InEffect::of(&set, 5, &fewer).concurrency
        };
        assert_eq!([None, Some(2), Some(4), Some(9)].map(at_once), [3, 2, 4, 5]);
        let some = Overrides {
            concurrency: Some(9),
            rates: Some(Vec::new()),
            tenant_quotas: Some(vec![day.clone()]),
            ..Overrides::default()
        };
        assert_eq!((set(&some).concurrency, set(&some).rates), (5, Vec::new()));
        assert_eq!(set(&some).tenant_rates, [Rate::new(2, Duration::from_secs(1))]);
        assert_eq!(set(&some).tenant_quotas, [day]);

        let before = set(&Overrides { rates: Some(vec![rate(50)]), ..Overrides::default() });
        let now = set(&Overrides { concurrency: Some(2), ..some });
        let told = WasSet { before, now };
        let rows = told.to_string();
        let rows: Vec<Vec<&str>> =
            rows.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let row = |name: &str| {
            let row = rows.iter().find(|row| row[0] == name).unwrap();
            row[1..].iter().copied().filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(row("calls at once"), ["5", "2"]);
        assert_eq!((row("rates"), row("quotas")), (vec!["50/20s", "none"], vec!["15000/1d"; 2]));
        assert_eq!(row("rates of each tenant"), ["2/s"; 2]);
        assert_eq!(row("quotas of each tenant"), ["none", "15000/1d"]);
        assert_eq!(told.as_json()["before"]["rates"], json!(["50/20s"]));
        assert_eq!(told.as_json()["now"]["tenant_quotas"], json!(["15000/1d"]));
        let untold = InEffect { tenant_rates: Vec::new(), ..told.before };
        let without = WasSet { before: untold.clone(), now: untold }.to_string();
        assert!(!without.contains("tenant"), "{without}");
    }
}
