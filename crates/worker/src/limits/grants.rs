//! When calls may go, where the target has rates or quotas: the limiter's grants, as a slot takes
//! them.
//!
//! One conditional write reserves the moment of a call for the whole fleet. A grant is used at its
//! moment or within [`Margin::lateness`](slowlane_limiter::Margin) after it; a call that comes later
//! needs another.

use std::time::Duration;

use slowlane_limiter::{Decision, Moment, Reason, Waiting};
use slowlane_policy::slot::{self, rings_asleep_for};
use tokio::time::sleep;

use super::Limits;
use super::concurrency::LEASE;
use slowlane_lambda::logs::chain;

/// What a call counts for in rates and quotas: those that count units are refused.
pub(crate) const ONE_CALL: u32 = 1;

/// When a slot asks again that was told of limits which cannot be kept.
const UNKEEPABLE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The right to make one call at a moment.
#[derive(Debug)]
pub(crate) struct Grant {
    granted: slowlane_limiter::Grant,
    /// How long after it was asked for its moment comes.
    wait: Duration,
}

/// The answer to who asks when a call may go.
#[derive(Debug)]
pub(crate) enum Reserved {
    Granted(Grant),
    TooEarly(Waiting),
}

impl Grant {
    fn units(&self) -> u32 {
        u32::try_from(self.granted.units()).unwrap_or(u32::MAX)
    }

    /// How long whoever asked for it has to wait for its moment.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }
}

impl Limits {
    /// What each call needs of the target's rates. They can be set live.
    pub(crate) fn rates(&self) -> slot::Rates {
        match self.limiter.keeps_rates() {
            true => slot::Rates::Calls,
            false => slot::Rates::None,
        }
    }

    /// Asks when a call of so many units may go. If the store cannot be reached, this process keeps
    /// its share of the rates.
    pub(crate) async fn reserve(&self, units: u32) -> Reserved {
        match self.limiter.reserve(units.into()).await {
            Ok(Decision::Granted(granted)) => {
                let wait = self.limiter.until(granted.at());
                Reserved::Granted(Grant { granted, wait })
            }
            Ok(Decision::Refused(waiting)) => Reserved::TooEarly(waiting),
            Err(error) => {
                tracing::error!(error = chain(&error), "no call is made under these limits");
                let until = Some(self.limiter.now().plus(UNKEEPABLE_AGAIN_AFTER));
                let limit = error.to_string();
                Reserved::TooEarly(Waiting { reason: Reason::NoGrant { limit }, until })
            }
        }
    }

    /// The answer as a slot is to be told of it that began `since` ago.
    pub(crate) fn tell(&self, since: Duration, reserved: Reserved) -> slot::Reserved<Box<Grant>> {
        match reserved {
            Reserved::Granted(grant) => slot::Reserved::Granted(slot::Grant {
                at: since + self.limiter.until(grant.granted.at()),
                void_at: since + self.limiter.until(grant.granted.void_at()),
                grant: Box::new(grant),
            }),
            Reserved::TooEarly(waiting) => {
                let asleep = self.asleep_behind(&waiting);
                slot::Reserved::TooEarly { rings_back_at: asleep.map(|asleep| since + asleep) }
            }
        }
    }

    /// For how long the rings of a slot sleep that asked too early; none need sleep if others have
    /// grants that are still to come.
    fn asleep_behind(&self, waiting: &Waiting) -> Option<Duration> {
        let now = self.limiter.now().since(Moment(0));
        let free_in = waiting.until.map(|until| self.limiter.until(until));
        match waiting.reason {
            // Whoever asks too early would have to wait longer than the horizon. If calls are no
            // further apart than that, the last grant is still to come, and who has it asks again
            // after it.
            Reason::NoGrant { .. } => {
                let others = self.limiter.interval().is_some_and(|apart| apart <= self.horizon);
                match others {
                    // Who has it may be about to leave its place to whoever trusts in this slot.
                    true if self.concurrency().is_some() => Some(LEASE),
                    true => None,
                    false => Some(free_in.unwrap_or_default()),
                }
            }
            _ => Some(rings_asleep_for(now, free_in)),
        }
    }

    /// How long until the moment of a grant; zero if it is past, or none is needed.
    pub(crate) fn until(&self, grant: Option<&Grant>) -> Duration {
        grant.map_or(Duration::ZERO, |grant| self.limiter.until(grant.granted.at()))
    }

    /// Waits for the moment of a grant, and says whether the call may go now. What came before the
    /// call may have taken so long that its grant is void; then it gets another, if there is one.
    pub(crate) async fn comes(&self, grant: &mut Option<Grant>) -> bool {
        let Some(held) = grant else { return true };
        if self.comes_in_time(held).await {
            return true;
        }
        match self.reserve(held.units()).await {
            Reserved::Granted(another) => {
                self.give_back(std::mem::replace(held, another)).await;
                self.comes_in_time(held).await
            }
            Reserved::TooEarly(_) => false,
        }
    }

    async fn comes_in_time(&self, grant: &Grant) -> bool {
        let until = self.limiter.until(grant.granted.at());
        if !until.is_zero() {
            sleep(until).await;
        }
        self.limiter.now() < grant.granted.void_at()
    }

    /// How many grants were of this process's own share since this was last asked.
    pub(crate) fn take_grants_of_own_share(&self) -> u32 {
        let all = self.limiter.stats().fallback_grants;
        let since = all - self.of_own_share.replace(all);
        u32::try_from(since).unwrap_or(u32::MAX)
    }

    /// Gives back a grant that is not used. If others have reserved behind it, its moment is lost.
    pub(crate) async fn give_back(&self, grant: Grant) {
        self.limiter.give_back(grant.granted).await;
    }
}
