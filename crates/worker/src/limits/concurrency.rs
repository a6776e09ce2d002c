//! Calls at once, where fewer may be made than there are slots: this process's place among the slots
//! at work.
//!
//! The places are entries in the limit's control record, each with a lease, which its slot renews
//! beside its once-a-second look. How many there are is configured, set live, or found out. An
//! adaptive concurrency rises by one while all places are taken and all goes well. It falls by three
//! tenths when the API says that it is too much. A slot whose call was refused stands down by itself.
//!
//! Where as many may work as there are slots, and no adaptive concurrency is kept, there are no
//! places, and nothing of this costs anything.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join, select};
use slowlane_lambda::logs::chain;
use slowlane_limiter::{Aimd, Entered, Moment, Reason, Report, Standing, Waiting};
use slowlane_policy::slot;
use tokio::time::sleep;

use super::Limits;
use super::own_place::LEASE;
use super::shared::LOOKS_AGAIN;

/// How long a slot makes no call whose call was refused, nor rings for others.
const STANDS_BACK: Duration = Duration::from_secs(1);
/// How long after a fall of the adaptive concurrency nobody rings for more slots: those that are one
/// too many are still about to stand down.
const CALM: Duration = Duration::from_secs(2);

impl Limits {
    /// The places as a slot is to be told of them that began `since` ago.
    pub(crate) fn places(&self, since: Duration) -> slot::Places {
        let has_place = self.own.has_place.get();
        let Some(place) = self.placed().place(has_place) else {
            return slot::Places::Unlimited;
        };
        let own = self.among_own(&place);
        let now = self.limiter.now();
        let stands_back_until = self.own.stands_back_until.get();
        if place.standing == Standing::Stays && stands_back_until <= now {
            let rings = has_place && own.older < place.free() && !self.has_just_fallen(now);
            return slot::Places::Limited { more_wanted: rings };
        }
        let unsure_until = self.own.unsure_until.get();
        let looks_again = if place.others == 0 { STANDS_BACK } else { LOOKS_AGAIN };
        let back_at = match own.others {
            0 => Some(stands_back_until.max(now.plus(looks_again)).max(unsure_until)),
            _ => Some(unsure_until).filter(|until| *until > now),
        };
        let rings_back_at = back_at.map(|at| since + self.limiter.until(at));
        slot::Places::Full { rings_back_at }
    }

    /// The same for a slot that has looked at the record, which began at `looked_at`. If it could not
    /// be read, nobody knows whether others are at work.
    pub(crate) fn places_seen(&self, since: Duration, looked_at: Moment) -> slot::Places {
        let was_read = self.placed().view().as_of().is_some_and(|as_of| as_of >= looked_at);
        match self.places(since) {
            slot::Places::Full { rings_back_at: None } if !was_read => {
                slot::Places::Full { rings_back_at: Some(since + LEASE) }
            }
            places => places,
        }
    }

    /// Takes a place, if there is one, and says whether there is.
    pub(crate) async fn take_place(&self) -> bool {
        let mut permit = self.own.permit.lock().await;
        let full = matches!(self.places(Duration::ZERO), slot::Places::Full { .. });
        if permit.is_none() && !full {
            match self.placed().take_place().await {
                Ok(Entered::Permit(taken)) => *permit = Some(taken),
                Ok(Entered::Refused(_)) => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "a slot that stands down may count");
                    self.is_unsure();
                }
            }
        }
        self.own.has_place.set(permit.is_some());
        permit.is_some()
    }

    /// Gives the place back, if this process has one, and says whether it surely counts no more.
    pub(crate) async fn leave_place(&self) -> bool {
        let mut permit = self.own.permit.lock().await;
        self.own.has_place.set(false);
        if let Some(permit) = permit.take()
            && let Err(error) = permit.leave().await
        {
            tracing::warn!(
                error = chain(&error),
                "a slot that has left counts until its lease is over"
            );
            self.is_unsure();
        }
        self.own.unsure_until.get() <= self.limiter.now()
    }

    /// Reads what everybody is to know, and renews this slot's lease, if it has one.
    pub(super) async fn read_or_renew(&self) {
        let beside = async {
            if let Some(limiter) = self.beside_places() {
                self.within(limiter.look()).await;
            }
        };
        join(self.read_places_or_renew(), beside).await;
    }

    /// Reads the record with the places, or renews this slot's lease, which is to read it too.
    async fn read_places_or_renew(&self) {
        let mut permit = self.own.permit.lock().await;
        let Some(permit) = permit.as_mut() else {
            return self.within(self.placed().look()).await;
        };
        let renewed = permit.look().await;
        if renewed.is_err() || permit.is_due() {
            self.is_unsure();
        }
    }

    /// Does something that takes long, and keeps the place meanwhile, if this process has one.
    pub(crate) async fn keeping_place<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let wait = pin!(sleep(LEASE / 3));
            if let Either::Left((done, _)) = select(work.as_mut(), wait).await {
                return done;
            }
            if self.own.has_place.get() {
                let renews = pin!(self.read_or_renew());
                if let Either::Left((done, renews)) = select(work.as_mut(), renews).await {
                    renews.await;
                    return done;
                }
            }
        }
    }

    fn is_unsure(&self) {
        self.own.unsure_until.set(self.limiter.now().plus(LEASE * 2));
    }

    /// The API has refused a call of this process's because it was too much.
    pub(crate) fn was_too_much(&self) {
        if self.adapts {
            self.own.stands_back_until.set(self.limiter.now().plus(STANDS_BACK));
        }
    }

    /// Whether all places were taken while a call ran.
    fn all_in_use(&self) -> bool {
        let place = self.placed().place(self.own.has_place.get());
        place.is_some_and(|place| self.own.has_place.get() && place.free() == 0)
    }

    /// The calls at once that are in effect, where places are kept.
    pub(crate) fn concurrency(&self) -> Option<u32> {
        self.placed().place(self.own.has_place.get()).map(|place| place.limit)
    }

    fn has_just_fallen(&self, now: Moment) -> bool {
        let found = |found: &Aimd| now.since(found.lowered_at) < CALM;
        self.adapts && self.limiter.adaptive().is_some_and(|aimd| found(&aimd))
    }

    /// Why a call that a mapping has brought is not made, and until when at least.
    pub(crate) fn no_place(&self) -> Waiting {
        let place = self.placed().place(false);
        let (live, limit) = place.map_or((0, 0), |place| (place.others, place.limit));
        let until = Some(self.limiter.now().plus(STANDS_BACK));
        Waiting { reason: Reason::NoSlot { live, limit }, until }
    }

    /// A report with what this process knows of the places.
    pub(super) fn with_places(&self, report: &Report) -> Report {
        match report {
            Report::Answered { latency, .. } => {
                Report::Answered { latency: *latency, all_in_use: self.all_in_use() }
            }
            report => report.clone(),
        }
    }
}
