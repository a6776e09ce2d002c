//! A call and its tenant's limits: its appointment in a line, and its moment.

use std::time::Duration;

use futures::future::join_all;
use slowlane_lambda::logs::chain;
use slowlane_limiter::{Decision, Error, Moment, Reason};
use slowlane_message::Priority;
use slowlane_policy::tenants::is_deserted;

use super::Limits;
use super::tenants::{Tenant, Tenants};

/// When a call asks again whose line cannot be joined, or whose limits cannot be kept.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

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

impl Limits {
    /// How far apart calls of this tenant are, where tenants have limits of their own.
    pub(crate) fn apart_of(&self, tenant: &str) -> Option<Duration> {
        self.limited_tenants().map(|tenants| tenants.apart(tenant))
    }

    /// What is kept of tenants, if they have limits now.
    fn limited_tenants(&self) -> Option<&Tenants> {
        self.tenants.heed(self.limiter.set_live());
        self.tenants.are_limited().then_some(&self.tenants)
    }

    /// When the next moment of this tenant's is free, or since when, if that can be read. If the lines
    /// of such calls are deserted, they begin anew.
    pub(crate) async fn next_free_of(&self, tenant: &str, priority: Priority) -> Option<Moment> {
        let found = self.limited_tenants()?.tenant(tenant).ok()?;
        let free_at = known(found.meter.next_free().await)?;
        if is_deserted(self.limiter.now().since(free_at), found.apart) {
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

fn known(free: Result<Moment, Error>) -> Option<Moment> {
    free.inspect_err(|error| {
        tracing::warn!(error = chain(error), "a call does not know who waits before it");
    })
    .ok()
}
