//! Limits of each tenant's: a meter that gives exact moments, and a line for each priority in which
//! calls have appointments ([`policy::tenants`](slowlane_policy::tenants)).
//!
//! Each is a meter of the limiter's, an item of the guard's table: `crm/acme` gives the moments, and
//! `crm/acme/BATCH` is a line, whose end is as far ahead as calls wait in it. A call asks for its
//! moment with one write. When it is received for the first time, it reads beside its claim when the
//! next one is free. To join the line is one write more. If the meter has been idle for long, the call
//! reads its lines too: one that is ahead all the same is deserted, and begins anew.
//!
//! If the store cannot be reached, each process keeps its share of the tenants' rates, and nobody
//! joins a line.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use percent_encoding::{AsciiSet, utf8_percent_encode};
use slowlane_limiter::{
    DynamoDbStore, Error, Fallback, LimitKey, Limiter, Limits as Configured, MAX_KEY_BYTES, Margin,
    Overrides, Rate, Settings, SlotId, Weights,
};
use slowlane_message::{Priority, TENANT_MAX_CHARS};

/// Of how many tenants a process remembers what it made of their limits. It is made anew at no cost.
const MOST_KNOWN: usize = 1_000;

/// What a limit's key may have beside its name: a tenant, each character of which is written as three
/// at most, and a line.
pub(crate) const KEY_BYTES_OF_TENANTS: usize = 1 + 3 * TENANT_MAX_CHARS + "/NORMAL".len();
const _: () = assert!(KEY_BYTES_OF_TENANTS < MAX_KEY_BYTES);

/// The limits of tenants, if there are any. They may be set live.
pub(super) struct Tenants {
    store: DynamoDbStore,
    target: LimitKey,
    slot: SlotId,
    /// Of a tenant's meter, as it was configured.
    configured: Settings,
    /// Tenants who have so many times as much.
    weights: Weights,
    in_effect: RefCell<Rc<InEffect>>,
    /// Grants that are of this process's own share.
    pub(super) of_own_share: Cell<u32>,
}

/// What each tenant's limits are now, and what this process has made of them.
struct InEffect {
    /// Of the meter of a tenant without a weight.
    meter: Settings,
    known: RefCell<HashMap<String, Rc<Tenant>>>,
}

/// What is kept of one tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    /// It gives the moments.
    pub(super) meter: Limiter<DynamoDbStore>,
    /// How far apart its calls are, under the slowest of its rates.
    pub(super) apart: Duration,
    /// By priority.
    pub(super) lines: [Limiter<DynamoDbStore>; Priority::ALL.len()],
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("target", &self.target).finish_non_exhaustive()
    }
}

impl InEffect {
    fn new(meter: Settings) -> Rc<Self> {
        Rc::new(InEffect { meter, known: RefCell::default() })
    }

    /// The settings of the meter of a tenant who has so many times as much.
    fn meter_of(&self, weight: NonZeroU32) -> Settings {
        let Settings { rates, quotas, .. } = &self.meter;
        Settings {
            rates: rates.iter().map(|rate| rate.clone().times(weight)).collect(),
            quotas: quotas.iter().map(|quota| quota.clone().times(weight)).collect(),
            ..self.meter.clone()
        }
    }

    fn is_none(&self) -> bool {
        self.meter.rates.is_empty() && self.meter.quotas.is_empty()
    }
}

impl Tenants {
    /// # Errors
    /// Limits that contradict themselves.
    pub(super) fn new(
        limits: &Configured,
        store: &DynamoDbStore,
        target: &LimitKey,
        slot: &SlotId,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let weights = limits.weights();
        let limits = limits.of_tenants();
        let configured =
            Settings { rates: limits.rates(), quotas: limits.quotas(), ..settings.clone() };
        let tenants = Tenants {
            store: store.clone(),
            target: target.clone(),
            slot: slot.clone(),
            in_effect: RefCell::new(InEffect::new(configured.clone())),
            configured,
            weights,
            of_own_share: Cell::new(0),
        };
        if !limits.is_empty() {
            let heaviest = tenants.weights.iter().max_by_key(|(_, weight)| **weight);
            tenants.tenant("-")?;
            tenants.tenant(heaviest.map_or("-", |(tenant, _)| tenant))?;
        }
        Ok(tenants)
    }

    /// Takes in what was set live: what was made of other limits is made anew. Calls keep the
    /// appointments that they have.
    pub(super) fn heed(&self, set: Overrides) {
        let Overrides { tenant_rates, tenant_quotas, .. } = set;
        let rates = tenant_rates.as_ref().unwrap_or(&self.configured.rates);
        let quotas = tenant_quotas.as_ref().unwrap_or(&self.configured.quotas);
        let mut in_effect = self.in_effect.borrow_mut();
        if in_effect.meter.rates != *rates || in_effect.meter.quotas != *quotas {
            let (rates, quotas) = (rates.clone(), quotas.clone());
            *in_effect = InEffect::new(Settings { rates, quotas, ..self.configured.clone() });
        }
    }

    /// Whether tenants have limits now.
    pub(super) fn are_limited(&self) -> bool {
        !self.in_effect.borrow().is_none()
    }

    /// How far apart calls of this tenant are now.
    pub(super) fn apart(&self, tenant: &str) -> Duration {
        // One that cannot be kept waits like any other, and its calls are told why.
        self.tenant(tenant)
            .map_or_else(|_| apart(&self.in_effect.borrow().meter), |tenant| tenant.apart)
    }

    fn weight(&self, tenant: &str) -> NonZeroU32 {
        self.weights.get(tenant).copied().unwrap_or(NonZeroU32::MIN)
    }

    /// What is kept of this tenant.
    pub(super) fn tenant(&self, tenant: &str) -> Result<Rc<Tenant>, Error> {
        let in_effect = self.in_effect.borrow().clone();
        if let Some(known) = in_effect.known.borrow().get(tenant) {
            return Ok(known.clone());
        }
        let key = self.target.tenant(&escaped(tenant))?;
        let meter = in_effect.meter_of(self.weight(tenant));
        let apart = apart(&meter);
        let limiter = |key: LimitKey, settings: Settings| {
            Limiter::new(self.store.clone(), key, self.slot.clone(), settings)
        };
        let line = |priority: Priority| {
            let settings = Settings {
                rates: vec![Rate::new(1, apart.max(Duration::from_micros(1)))],
                quotas: Vec::new(),
                margin: Margin::NONE,
                fallback: Fallback::Refuse,
                ..meter.clone()
            };
            limiter(key.tenant(priority.as_str())?, settings)
        };
        let [high, normal, batch] = Priority::ALL.map(line);
        let made = Rc::new(Tenant {
            meter: limiter(key.clone(), meter.clone())?,
            apart,
            lines: [high?, normal?, batch?],
        });
        let mut known = in_effect.known.borrow_mut();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(tenant.to_owned(), made.clone());
        Ok(made)
    }
}

/// How far apart calls under a meter are, under the slowest of its rates.
fn apart(meter: &Settings) -> Duration {
    let paces = meter.rates.iter().filter_map(|rate| rate.pace(&meter.margin).ok());
    paces.map(|pace| pace.of_units(1)).max().unwrap_or_default()
}

/// A tenant as a part of a limit's key: without what separates the parts.
fn escaped(tenant: &str) -> String {
    const APART: &AsciiSet = &AsciiSet::EMPTY.add(b'%').add(b'#').add(b'/');
    utf8_percent_encode(tenant, APART).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tenants_share_a_key() {
        assert_eq!(escaped("acme"), "acme");
        assert_eq!(escaped("a/BATCH#1%"), "a%2FBATCH%231%25");
        let target = LimitKey::new("t".repeat(MAX_KEY_BYTES - KEY_BYTES_OF_TENANTS)).unwrap();
        let longest = target.tenant(&escaped(&"#".repeat(TENANT_MAX_CHARS))).unwrap();
        assert!(longest.tenant(Priority::Normal.as_str()).is_ok());
    }
}
