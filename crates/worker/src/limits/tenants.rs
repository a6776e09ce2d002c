//! Limits of each tenant's: a meter that gives exact moments, and a line for each priority in which
//! calls have appointments ([`policy::tenants`](slowlane_policy::tenants)).
//!
//! Each is a meter of the limiter's, an item of the guard's table: `crm/acme` gives the moments, and
//! `crm/acme/BATCH` is a line, whose end is as far ahead as calls wait in it. A call asks for its
//! moment with one write. When it is received for the first time, it reads beside its claim when the
//! next one is free. To join the line is one write more.
//!
//! If the store cannot be reached, each process keeps its share of the tenants' rates, and nobody
//! joins a line.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use percent_encoding::{AsciiSet, utf8_percent_encode};
use slowlane_lambda::logs::chain;
use slowlane_limiter::{
    Decision, DynamoDbStore, Error, Fallback, LimitKey, Limiter, Limits as Configured,
    MAX_KEY_BYTES, Margin, Moment, Rate, Reason, Settings, SlotId,
};
use slowlane_message::{Priority, TENANT_MAX_CHARS};
use slowlane_policy::tenants::LONGEST_AHEAD;

use super::Limits;

/// Of how many tenants a process remembers what it made of their limits. It is made anew at no cost.
const MOST_KNOWN: usize = 1_000;

/// When a call asks again whose line cannot be joined, or whose limits cannot be kept.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What a limit's key may have beside its name: a tenant, each character of which is written as three
/// at most, and a line.
pub(crate) const KEY_BYTES_OF_TENANTS: usize = 1 + 3 * TENANT_MAX_CHARS + "/NORMAL".len();
const _: () = assert!(KEY_BYTES_OF_TENANTS < MAX_KEY_BYTES);

/// The limits of tenants, if there are any.
pub(super) struct Tenants {
    store: DynamoDbStore,
    target: LimitKey,
    slot: SlotId,
    /// Of a tenant's meter.
    meter: Settings,
    /// How far apart calls of a tenant are, under the slowest of its rates.
    apart: Duration,
    known: RefCell<HashMap<String, Rc<Tenant>>>,
    /// Grants that are of this process's own share.
    of_own_share: Cell<u32>,
}

#[derive(Debug)]
struct Tenant {
    meter: Limiter<DynamoDbStore>,
    /// By priority.
    lines: [Limiter<DynamoDbStore>; Priority::ALL.len()],
}

/// The answer to who asks for a moment of a tenant's.
#[derive(Debug)]
pub(crate) enum Asked {
    Granted(Box<slowlane_limiter::Grant>),
    /// None is free soon enough.
    FreeAt(Moment),
    /// None is free before this one, and many may wait for it.
    SpentUntil(Moment),
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("target", &self.target).finish_non_exhaustive()
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
    ) -> Result<Option<Self>, Error> {
        let limits = limits.of_tenants();
        if limits.is_empty() {
            return Ok(None);
        }
        let meter = Settings { rates: limits.rates(), quotas: limits.quotas(), ..settings.clone() };
        let paces = meter.rates.iter().filter_map(|rate| rate.pace(&meter.margin).ok());
        let apart = paces.map(|pace| pace.of_units(1)).max().unwrap_or_default();
        let tenants = Tenants {
            store: store.clone(),
            target: target.clone(),
            slot: slot.clone(),
            meter,
            apart,
            known: RefCell::default(),
            of_own_share: Cell::new(0),
        };
        tenants.tenant("-").map(|_| Some(tenants))
    }

    /// What is kept of this tenant.
    fn tenant(&self, tenant: &str) -> Result<Rc<Tenant>, Error> {
        if let Some(known) = self.known.borrow().get(tenant) {
            return Ok(known.clone());
        }
        let key = self.target.tenant(&escaped(tenant))?;
        let limiter = |key: LimitKey, settings: Settings| {
            Limiter::new(self.store.clone(), key, self.slot.clone(), settings)
        };
        let line = |priority: Priority| {
            let settings = Settings {
                rates: vec![Rate::new(1, self.apart.max(Duration::from_micros(1)))],
                quotas: Vec::new(),
                margin: Margin::NONE,
                fallback: Fallback::Refuse,
                ..self.meter.clone()
            };
            limiter(key.tenant(priority.as_str())?, settings)
        };
        let [high, normal, batch] = Priority::ALL.map(line);
        let made = Rc::new(Tenant {
            meter: limiter(key.clone(), self.meter.clone())?,
            lines: [high?, normal?, batch?],
        });
        let mut known = self.known.borrow_mut();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(tenant.to_owned(), made.clone());
        Ok(made)
    }
}

impl Limits {
    /// How far apart calls of one tenant are, where tenants have limits of their own.
    pub(crate) fn tenants_apart(&self) -> Option<Duration> {
        self.tenants.as_ref().map(|tenants| tenants.apart)
    }

    /// When the next moment of this tenant's is free, if that can be read.
    pub(crate) async fn next_free_of(&self, tenant: &str) -> Option<Moment> {
        let tenant = self.tenants.as_ref()?.tenant(tenant).ok()?;
        known(tenant.meter.next_free().await)
    }

    /// An appointment at the end of the line of such calls, at `from` at the earliest. Behind more
    /// urgent calls of the tenant's that wait: they would have its moment.
    pub(crate) async fn join_line(&self, tenant: &str, priority: Priority, from: Moment) -> Moment {
        let again_at = self.limiter.now().plus(AGAIN_AFTER);
        let Some(Ok(found)) = self.tenants.as_ref().map(|tenants| tenants.tenant(tenant)) else {
            return again_at;
        };
        let mut from = from;
        for urgent in Priority::ALL.into_iter().filter(|urgent| *urgent < priority) {
            let ends = known(found.lines[urgent as usize].next_free().await);
            from = from.max(ends.unwrap_or_default());
        }
        match found.lines[priority as usize].reserve_from(from, LONGEST_AHEAD).await {
            Ok(Decision::Granted(appointment)) => appointment.at(),
            // So many wait that nobody has an appointment to give. It asks again when there is one.
            Ok(Decision::Refused(waiting)) => waiting.until.map_or(again_at, |at| at.max(again_at)),
            Err(error) => {
                tracing::error!(error = chain(&error), "a tenant's line cannot be kept");
                again_at
            }
        }
    }

    /// Asks for a moment of this tenant's, not before `from` and `within` this time after it.
    pub(crate) async fn ask_tenant(&self, tenant: &str, from: Moment, within: Duration) -> Asked {
        let again_at = Asked::SpentUntil(self.limiter.now().plus(AGAIN_AFTER));
        let Some(tenants) = &self.tenants else { return again_at };
        let decision = match tenants.tenant(tenant) {
            Ok(found) => found.meter.reserve_from(from, within).await,
            Err(error) => Err(error),
        };
        match decision {
            Ok(Decision::Granted(grant)) => {
                let of_own_share = u32::from(grant.is_by_fallback());
                tenants.of_own_share.set(tenants.of_own_share.get() + of_own_share);
                Asked::Granted(Box::new(grant))
            }
            Ok(Decision::Refused(waiting)) => match (waiting.until, waiting.reason) {
                (Some(reset), Reason::QuotaSpent { .. }) => Asked::SpentUntil(reset),
                (Some(until), _) => Asked::FreeAt(until.plus(within)),
                (None, _) => again_at,
            },
            Err(error) => {
                tracing::error!(error = chain(&error), "no call is made under a tenant's limits");
                again_at
            }
        }
    }

    /// Gives back a moment of a tenant's that is not used. If others have reserved behind it, it is
    /// lost.
    pub(crate) async fn give_back_to_tenant(&self, tenant: &str, grant: slowlane_limiter::Grant) {
        if let Some(Ok(tenant)) = self.tenants.as_ref().map(|tenants| tenants.tenant(tenant)) {
            tenant.meter.give_back(grant).await;
        }
    }

    /// How many grants of tenants' limits were of this process's own share since this was last asked.
    pub(super) fn take_tenants_of_own_share(&self) -> u32 {
        self.tenants.as_ref().map_or(0, |tenants| tenants.of_own_share.take())
    }
}

fn known(free: Result<Moment, Error>) -> Option<Moment> {
    free.inspect_err(|error| {
        tracing::warn!(error = chain(error), "a call does not know who waits before it");
    })
    .ok()
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
