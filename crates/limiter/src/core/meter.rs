//! What has been granted so far, and the rule by which more is: GCRA as reservations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::{Moment, micros};

/// What a store keeps of a limit: for each rate the moment at which its next call is due, for
/// each quota what was spent of it.
///
/// A rate's moment is GCRA's *theoretical arrival time*. It may lie ahead: calls have reserved
/// the time up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// For each rate, when the next call would be due. One that is missing counts as long ago.
    pub due: Vec<Moment>,
    /// For each quota, what was spent. One that is missing counts as none.
    pub spent: Vec<Spent>,
    /// The moment of the latest grant, as the pace has it: a burst may let it go later. Until then
    /// somebody has a call to make.
    pub latest: Moment,
}

/// A quota's counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Units spent.
    pub units: u64,
    /// When it begins anew.
    pub resets_at: Moment,
}

/// A request for the next free moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The fleet's time.
    pub now: Moment,
    /// How far ahead may be reserved. Who would have to wait longer is refused: it holds nothing,
    /// and asks again later.
    pub horizon: Duration,
    /// How many calls of the same size are reserved for at once, at least 1.
    pub calls: u32,
    /// What each of the limit's rates says.
    pub rates: Vec<RateTerm>,
    /// What each of its quotas says.
    pub quotas: Vec<QuotaTerm>,
    /// Grant it whatever is left: what has been used must be counted.
    pub overdraw: bool,
}

/// What a call takes of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateTerm {
    /// How long each call keeps the next one waiting.
    pub cost: Duration,
    /// How far ahead of its pace a call may go. It counts only where there is one rate.
    pub burst: Duration,
}

/// What a call takes of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaTerm {
    /// Units of each call.
    pub units: u64,
    /// The most that may be spent until the reset.
    pub limit: u64,
    /// When a counter that is over, or new, is to be reset.
    pub resets_at: Moment,
}

/// What was reserved: the moments `at`, `at + apart`, ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// When the first call may go.
    pub at: Moment,
    /// Moments of all calls, the first included.
    pub moments: Vec<Moment>,
    /// What the meter was before, where the store knows.
    pub before: Meter,
    /// What the meter is now.
    pub after: Meter,
}

/// Which part of a limit stands in the way, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The part.
    pub by: Part,
    /// Before this moment the answer stays the same, unless something is given back.
    pub retry_at: Moment,
    /// The moment of the latest grant of all, by whatever rates it was made. Until then somebody has
    /// a call to make.
    pub latest: Moment,
}

/// A part of a limit, by its place in the limit's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A rate.
    Rate(usize),
    /// A quota.
    Quota(usize),
}

impl Meter {
    /// Reserves the next free moment, if it is near enough. This is what every store does as one
    /// atomic step.
    ///
    /// With several rates the call goes when the last of them lets it, and takes its time of each
    /// from that moment on. So it needs one write, and holds none of them back in vain.
    ///
    /// # Errors
    /// What stands in the way. Nothing is reserved then.
    pub fn reserve(&self, reserve: &Reserve) -> Result<Reservation, Refusal> {
        let spent = self.spend(reserve)?;
        let (at, by) = self.free_at(reserve);
        let latest = reserve.now.plus(reserve.horizon);
        if at > latest && !reserve.overdraw {
            let retry_at = at.minus(reserve.horizon);
            return Err(Refusal { by: Part::Rate(by), retry_at, latest: self.latest });
        }
        let apart = reserve.apart();
        let calls = u64::from(reserve.calls.max(1));
        let last = at.plus_micros(reserve.to_last());
        let due = reserve.rates.iter().enumerate().map(|(index, term)| {
            let before = self.due(index);
            match reserve.rates.len() {
                1 => before.max(reserve.now).plus_micros(apart.saturating_mul(calls)),
                _ => last.plus_micros(micros(term.cost)),
            }
        });
        let after = Self { due: due.collect(), spent, latest: self.latest_after(reserve, at) };
        let moments = self.moments(reserve, at);
        Ok(Reservation { at, moments, before: self.clone(), after })
    }

    /// When a call may go as far as the rates are concerned, and the rate that says so.
    fn free_at(&self, reserve: &Reserve) -> (Moment, usize) {
        let (latest, by) = self.idle_since(reserve);
        (latest.max(reserve.now), by)
    }

    /// Since when a call may go as far as the rates are concerned, and the rate that says so.
    fn idle_since(&self, reserve: &Reserve) -> (Moment, usize) {
        let free = reserve.rates.iter().enumerate();
        let free = free.map(|(index, _)| (self.due(index).minus(reserve.burst()), index));
        free.max_by_key(|(at, _)| *at).unwrap_or_default()
    }

    /// Since when a call may go, or from when on: however far ahead that is, and whatever was due or spent
    /// before.
    pub(crate) fn free_since(&self, reserve: &Reserve) -> Moment {
        let counters = self.spent.iter().zip(&reserve.quotas);
        let spent =
            counters.filter(|(spent, term)| spent.units.saturating_add(term.units) > term.limit);
        let resets = spent.map(|(spent, _)| spent.resets_at);
        resets.fold(self.idle_since(reserve).0, Moment::max)
    }

    fn moments(&self, reserve: &Reserve, at: Moment) -> Vec<Moment> {
        let apart = reserve.apart();
        let pace = self.pace(reserve, at);
        let moment = |call: u32| {
            let on_pace = pace.plus_micros(apart.saturating_mul(call.into()));
            on_pace.minus(reserve.burst()).max(at)
        };
        (0..reserve.calls.max(1)).map(moment).collect()
    }

    /// Where the pace would be without a burst: the calls catch up with it one by one.
    fn pace(&self, reserve: &Reserve, at: Moment) -> Moment {
        match reserve.rates.len() {
            1 => self.due(0).max(reserve.now),
            _ => at,
        }
    }

    /// What is counted afterwards is nobody's call to come.
    fn latest_after(&self, reserve: &Reserve, at: Moment) -> Moment {
        if reserve.overdraw {
            return self.latest;
        }
        self.pace(reserve, at).plus_micros(reserve.to_last()).minus(reserve.burst())
    }

    fn spend(&self, reserve: &Reserve) -> Result<Vec<Spent>, Refusal> {
        let spend = |(index, term): (usize, &QuotaTerm)| {
            let units = term.units.saturating_mul(reserve.calls.max(1).into());
            let current = self.spent.get(index).copied().unwrap_or_default();
            let spent = match current.resets_at > reserve.now {
                true => Spent { units: current.units.saturating_add(units), ..current },
                false => Spent { units, resets_at: term.resets_at },
            };
            if spent.units > term.limit && !reserve.overdraw {
                let (by, retry_at) = (Part::Quota(index), spent.resets_at);
                return Err(Refusal { by, retry_at, latest: self.latest });
            }
            Ok(spent)
        };
        reserve.quotas.iter().enumerate().map(spend).collect()
    }

    /// Gives back what a call did not use. Only to what it took: a quota that began anew since
    /// then keeps its counter.
    #[must_use]
    pub fn refund(&self, refund: &Refund) -> Self {
        let mut after = self.clone();
        for (due, back) in after.due.iter_mut().zip(&refund.rates) {
            *due = due.minus(*back);
        }
        for (spent, back) in after.spent.iter_mut().zip(&refund.quotas) {
            if spent.resets_at == back.resets_at {
                spent.units = spent.units.saturating_sub(back.units);
            }
        }
        after
    }

    /// What of a refund this meter can take.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn refundable(&self, refund: &Refund) -> Refund {
        let rates = refund.rates.iter().enumerate();
        let rates = rates.map(|(rate, back)| match self.due.get(rate) {
            Some(_) => *back,
            None => Duration::ZERO,
        });
        let quotas = refund.quotas.iter().enumerate();
        let quotas = quotas.map(|(quota, back)| match self.spent.get(quota) {
            Some(spent) if spent.resets_at == back.resets_at => {
                Spent { units: back.units.min(spent.units), ..*back }
            }
            _ => Spent { units: 0, ..*back },
        });
        Refund { rates: rates.collect(), quotas: quotas.collect() }
    }

    /// When the next call of a rate would be due.
    #[must_use]
    pub fn due(&self, rate: usize) -> Moment {
        self.due.get(rate).copied().unwrap_or_default()
    }
}

/// What is given back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refund {
    /// Of each rate.
    pub rates: Vec<Duration>,
    /// Of each quota: the units, and the reset of the counter that they were taken from.
    pub quotas: Vec<Spent>,
}

impl Reserve {
    /// The burst that counts.
    pub(crate) fn burst(&self) -> Duration {
        match self.rates.as_slice() {
            [only] => only.burst,
            _ => Duration::ZERO,
        }
    }

    /// From then on a meter has no meaning any more that this was reserved from, if nobody asks again:
    /// all that is due is past, and all quotas have begun anew.
    pub(crate) fn means_until(&self) -> Moment {
        let ahead = self.rates.iter().map(|term| micros(term.cost)).max().unwrap_or_default();
        let ahead = ahead.saturating_mul(self.calls.max(1).into());
        let due = self.now.plus(self.horizon).plus(self.burst()).plus_micros(ahead);
        self.quotas.iter().map(|term| term.resets_at).fold(due, Moment::max)
    }

    /// How far apart several calls of one reservation are, in microseconds.
    pub(crate) fn apart(&self) -> u64 {
        self.rates.iter().map(|term| micros(term.cost)).max().unwrap_or(0)
    }

    /// From the first of several calls to the last, in microseconds.
    pub(crate) fn to_last(&self) -> u64 {
        self.apart().saturating_mul(u64::from(self.calls.max(1)) - 1)
    }
}
