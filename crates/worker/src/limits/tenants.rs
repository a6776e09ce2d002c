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
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use slowlane_lambda::logs::chain;
use slowlane_limiter::{
    Decision, DynamoDbStore, Error, Fallback, LimitKey, Limiter, Limits as Configured,
    MAX_KEY_BYTES, Margin, Moment, Overrides, Rate, Reason, Settings, SlotId,
};
use slowlane_message::{Priority, TENANT_MAX_CHARS};
use slowlane_policy::tenants::is_deserted;

use super::Limits;

/// Of how many tenants a process remembers what it made of their limits. It is made anew at no cost.
const MOST_KNOWN: usize = 1_000;

/// When a call asks again whose line cannot be joined, or whose limits cannot be kept.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

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
    in_effect: RefCell<Rc<InEffect>>,
    /// Grants that are of this process's own share.
    of_own_share: Cell<u32>,
}

/// What each tenant's limits are now, and what this process has made of them.
struct InEffect {
    /// Of a tenant's meter.
    meter: Settings,
    /// How far apart calls of a tenant are, under the slowest of its rates.
    apart: Duration,
    known: RefCell<HashMap<String, Rc<Tenant>>>,
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

/// The answer to who joins a line.
#[derive(Debug)]
pub(crate) enum Joined {
    /// It has this appointment.
    At(Moment),
    /// The line is full until the call's deadline.
    NoRoom,
    /// Nobody can tell now. It asks again at this moment.
    AgainAt(Moment),
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("target", &self.target).finish_non_exhaustive()
    }
}

impl InEffect {
    fn new(meter: Settings) -> Rc<Self> {
        let paces = meter.rates.iter().filter_map(|rate| rate.pace(&meter.margin).ok());
        let apart = paces.map(|pace| pace.of_units(1)).max().unwrap_or_default();
        Rc::new(InEffect { meter, apart, known: RefCell::default() })
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
        let limits = limits.of_tenants();
        let configured =
            Settings { rates: limits.rates(), quotas: limits.quotas(), ..settings.clone() };
        let tenants = Tenants {
            store: store.clone(),
            target: target.clone(),
            slot: slot.clone(),
            in_effect: RefCell::new(InEffect::new(configured.clone())),
            configured,
            of_own_share: Cell::new(0),
        };
        if !limits.is_empty() {
            tenants.tenant("-")?;
        }
        Ok(tenants)
    }

    /// Takes in what was set live: what was made of other limits is made anew. Calls keep the
    /// appointments that they have.
    fn heed(&self, set: Overrides) {
        let Overrides { tenant_rates, tenant_quotas, .. } = set;
        let rates = tenant_rates.as_ref().unwrap_or(&self.configured.rates);
        let quotas = tenant_quotas.as_ref().unwrap_or(&self.configured.quotas);
        let mut in_effect = self.in_effect.borrow_mut();
        if in_effect.meter.rates != *rates || in_effect.meter.quotas != *quotas {
            let (rates, quotas) = (rates.clone(), quotas.clone());
            *in_effect = InEffect::new(Settings { rates, quotas, ..self.configured.clone() });
        }
    }

    /// What is kept of this tenant.
    fn tenant(&self, tenant: &str) -> Result<Rc<Tenant>, Error> {
        let in_effect = self.in_effect.borrow().clone();
        if let Some(known) = in_effect.known.borrow().get(tenant) {
            return Ok(known.clone());
        }
        let key = self.target.tenant(&escaped(tenant))?;
        let limiter = |key: LimitKey, settings: Settings| {
            Limiter::new(self.store.clone(), key, self.slot.clone(), settings)
        };
        let line = |priority: Priority| {
            let settings = Settings {
                rates: vec![Rate::new(1, in_effect.apart.max(Duration::from_micros(1)))],
                quotas: Vec::new(),
                margin: Margin::NONE,
                fallback: Fallback::Refuse,
                ..in_effect.meter.clone()
            };
            limiter(key.tenant(priority.as_str())?, settings)
        };
        let [high, normal, batch] = Priority::ALL.map(line);
        let made = Rc::new(Tenant {
            meter: limiter(key.clone(), in_effect.meter.clone())?,
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

impl Tenant {
    /// Nobody comes to the appointments in the lines of such calls, and of more urgent ones.
    async fn lines_begin_anew(&self, priority: Priority) {
        let lines = lines_before(priority).chain([priority]);
        let lines = lines.map(|priority| self.lines[priority as usize].begin_anew());
        for anew in join_all(lines).await {
            if let Err(error) = anew {
                tracing::warn!(error = chain(&error), "a line that nobody comes to stays as it is");
            }
        }
    }
}

/// Whose calls go before those of this priority.
fn lines_before(priority: Priority) -> impl Iterator<Item = Priority> {
    Priority::ALL.into_iter().filter(move |urgent| *urgent < priority)
}

impl Limits {
    /// How far apart calls of one tenant are, where tenants have limits of their own.
    pub(crate) fn tenants_apart(&self) -> Option<Duration> {
        let tenants = self.limited_tenants()?;
        let apart = tenants.in_effect.borrow().apart;
        Some(apart)
    }

    /// What is kept of tenants, if they have limits now.
    fn limited_tenants(&self) -> Option<&Tenants> {
        self.tenants.heed(self.limiter.set_live());
        let is_limited = !self.tenants.in_effect.borrow().is_none();
        is_limited.then_some(&self.tenants)
    }

    /// When the next moment of this tenant's is free, or since when, if that can be read. If the lines
    /// of such calls are deserted, they begin anew.
    pub(crate) async fn next_free_of(&self, tenant: &str, priority: Priority) -> Option<Moment> {
        let found = self.limited_tenants()?.tenant(tenant).ok()?;
        let free_at = known(found.meter.next_free().await)?;
        let apart = self.tenants_apart()?;
        if is_deserted(self.limiter.now().since(free_at), apart) {
            found.lines_begin_anew(priority).await;
        }
        Some(free_at)
    }

    /// An appointment at the end of the line of such calls, at `from` at the earliest, and not after
    /// the call's deadline. Behind more urgent calls of the tenant's that wait: they would have its
    /// moment.
    pub(crate) async fn join_line(
        &self,
        tenant: &str,
        priority: Priority,
        from: Moment,
        deadline: Moment,
    ) -> Joined {
        let now = self.limiter.now();
        let again = Joined::AgainAt(now.plus(AGAIN_AFTER));
        let Some(Ok(found)) = self.limited_tenants().map(|tenants| tenants.tenant(tenant)) else {
            return again;
        };
        let mut from = from.max(now);
        for urgent in lines_before(priority) {
            let ends = known(found.lines[urgent as usize].next_free().await);
            from = from.max(ends.unwrap_or_default());
        }
        if from > deadline {
            return Joined::NoRoom;
        }
        let line = &found.lines[priority as usize];
        match line.reserve_from(from, deadline.since(from)).await {
            Ok(Decision::Granted(appointment)) => Joined::At(appointment.at()),
            // It is refused also where the store is down, or too many ask at once.
            Ok(Decision::Refused(_)) => match known(line.next_free().await) {
                Some(free_at) if free_at > deadline => Joined::NoRoom,
                _ => again,
            },
            Err(error) => {
                tracing::error!(error = chain(&error), "a tenant's line cannot be kept");
                again
            }
        }
    }

    /// Asks for a moment of this tenant's, not before `from` and `within` this time after it.
    pub(crate) async fn ask_tenant(&self, tenant: &str, from: Moment, within: Duration) -> Asked {
        let again_at = Asked::SpentUntil(self.limiter.now().plus(AGAIN_AFTER));
        let Some(tenants) = self.limited_tenants() else { return again_at };
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
        if let Ok(tenant) = self.tenants.tenant(tenant) {
            tenant.meter.give_back(grant).await;
        }
    }

    /// How many grants of tenants' limits were of this process's own share since this was last asked.
    pub(super) fn take_tenants_of_own_share(&self) -> u32 {
        self.tenants.of_own_share.take()
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
