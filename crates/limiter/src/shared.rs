//! Which limits of a list are shared by a name, and which cannot stand beside each other.

use crate::core::quota::Quota;
use crate::core::rate::Rate;
use crate::limit::{Limit, Limits, Measure, Scope, Weights};
use crate::names::LimitKey;

/// The ceiling of what is shared by a name: each of those who share it has one of its own.
pub const NO_CEILING: u32 = 1_000_000;

impl Limits {
    /// The rates among them, whosever they are.
    #[must_use]
    pub fn rates(&self) -> Vec<Rate> {
        self.iter().filter_map(Limit::rate).collect()
    }

    /// The quotas among them, whosever they are.
    #[must_use]
    pub fn quotas(&self) -> Vec<Quota> {
        self.iter().filter_map(Limit::quota).collect()
    }

    /// The limits that are the target's alone.
    #[must_use]
    pub fn own(&self) -> Limits {
        self.kept_by(&Scope::Target)
    }

    /// The limits of each tenant, as if they were a target's.
    #[must_use]
    pub fn of_tenants(&self) -> Limits {
        self.kept_by(&Scope::Tenant)
    }

    /// All but those that are shared by a name.
    #[must_use]
    pub fn own_and_tenants(&self) -> Limits {
        self.iter().filter(|limit| !limit.scope.is_shared()).cloned().collect()
    }

    /// The name under which limits are shared, and those limits as if they were a target's. One list
    /// has one name at most.
    #[must_use]
    pub fn shared(&self) -> Option<(LimitKey, Limits)> {
        let scope = self.iter().map(|limit| &limit.scope).find(|scope| scope.is_shared())?;
        let Scope::Shared(name) = scope else { return None };
        Some((LimitKey::new(name).ok()?, self.kept_by(scope)))
    }

    fn kept_by(&self, scope: &Scope) -> Limits {
        let kept = self.iter().filter(|limit| limit.scope == *scope);
        let as_targets = |limit: &Limit| Limit {
            measure: limit.measure,
            scope: Scope::Target,
            weights: Weights::new(),
        };
        kept.map(as_targets).collect()
    }

    /// The weights of tenants, which count for each limit of theirs.
    #[must_use]
    pub fn weights(&self) -> Weights {
        let all = self.iter().flat_map(|limit| &limit.weights);
        all.map(|(tenant, weight)| (tenant.clone(), *weight)).collect()
    }
}

impl Scope {
    /// Whether it is that of a name.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}

impl Limit {
    /// Why it cannot stand beside `earlier`, if it cannot. A call takes its moment from one place, and
    /// a slot has one place among those at work: so these are the target's own, or shared by one name.
    #[must_use]
    pub fn clashes_with(&self, earlier: &Self) -> Option<String> {
        if self.repeats(earlier) {
            return Some(format!("this `{}` is there already", self.measure.word()));
        }
        let differs = self.weights.iter().find_map(|(tenant, weight)| {
            let before = earlier.weights.get(tenant).filter(|before| *before != weight)?;
            Some(format!("a tenant has one weight, and that of `{tenant}` is {before} already"))
        });
        if differs.is_some() {
            return differs;
        }
        let sides = [&self.scope, &earlier.scope];
        let is_apart = sides.contains(&&Scope::Target) && sides.iter().any(|side| side.is_shared());
        match sides {
            [Scope::Shared(name), Scope::Shared(other)] if name != other => {
                Some(format!("a target shares its limits by one name, and `{other}` is one"))
            }
            _ if is_apart && self.measure.is_of_time() && earlier.measure.is_of_time() => {
                Some("rates and quotas are all shared by the name, or all the target's own".into())
            }
            _ if is_apart && !self.measure.is_of_time() && !earlier.measure.is_of_time() => {
                Some("calls at once are shared by the name, or the target's own".into())
            }
            _ => None,
        }
    }
}

impl Measure {
    /// Whether it says when a call may go, and not how many are made at once.
    fn is_of_time(self) -> bool {
        matches!(self, Self::Rate { .. } | Self::Quota { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_by_a_name_is_told_from_what_is_not() {
        let text = r#"[{"rate":"9/s","name":"org"},{"quota":"9/1d","name":"org"},{"concurrency":2},{"rate":"1/s","per":"tenant"}]"#;
        let limits = Limits::from_json(text).unwrap();
        assert_eq!(limits.own().to_json(), r#"[{"concurrency":2}]"#);
        let (name, shared) = limits.shared().unwrap();
        assert_eq!(
            (name.as_str(), shared.to_json().as_str()),
            ("org", r#"[{"rate":"9/s"},{"quota":"9/1d"}]"#)
        );
        assert_eq!((shared.concurrency(), limits.concurrency()), (None, Some(2)));
        assert!(limits.own().shared().is_none());
        assert_eq!(limits.of_tenants().to_json(), r#"[{"rate":"1/s"}]"#);
        assert_eq!((shared.rates().len(), shared.quotas().len()), (1, 1));
    }

    #[test]
    fn limits_that_would_be_kept_in_two_places_are_refused() {
        for (text, told) in [
            (
                r#"[{"rate":"9/s","name":"org"},{"quota":"9/1d","name":"other"}]"#,
                "one name, and `org`",
            ),
            (
                r#"[{"rate":"9/s","name":"org"},{"quota":"9/1d"}]"#,
                "rates and quotas are all shared",
            ),
            (r#"[{"concurrency":2},{"concurrency":9,"name":"org"}]"#, "calls at once are shared"),
            (r#"[{"adaptive":true},{"concurrency":9,"name":"org"}]"#, "calls at once are shared"),
            (r#"[{"concurrency":8,"name":"org"},{"concurrency":9,"name":"org"}]"#, "there already"),
        ] {
            let error = Limits::from_json(text).unwrap_err().to_string();
            assert!(error.starts_with("limits[2]: ") && error.contains(told), "{text}: {error}");
        }
        for text in [
            r#"[{"rate":"9/s","name":"org"},{"concurrency":2}]"#,
            r#"[{"rate":"9/s"},{"concurrency":2,"name":"org"}]"#,
            r#"[{"rate":"9/s","name":"org"},{"rate":"1/s","per":"tenant"}]"#,
        ] {
            Limits::from_json(text).unwrap();
        }
    }
}
