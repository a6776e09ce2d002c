//! A reservation as one conditional update, for a store whose updates cannot say `max`.
//!
//! A DynamoDB update has no `max()`, so the one rule of [`Meter::reserve`] has several forms,
//! each an assignment under a condition. Which one fits depends on what the item holds: *idle*,
//! when every rate's due moment is past, or *busy*, when one of them lies ahead and leads. A
//! caller guesses from what it saw last. A wrong guess is refused with the item as it is, and the
//! second guess is made from that.

use super::meter::{Meter, QuotaTerm, Reserve, Spent};
use crate::moment::{Moment, micros};

/// Which assignment reserves the next free moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// How the rates stand.
    pub rates: RateForm,
    /// How each quota's counter stands.
    pub quotas: Vec<QuotaForm>,
}

/// How the rates of a limit stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateForm {
    /// No rate's due moment lies ahead: reckon from now.
    Idle,
    /// This rate's due moment lies ahead, and no other's lies further: reckon from it.
    Busy(usize),
}

impl RateForm {
    /// The form to expect the next time, of one that fitted `meter`. A rate that was ahead by less
    /// than a call does not bind: somebody else has just called, and that is soon past.
    #[must_use]
    pub fn lasting(self, meter: &Meter, reserve: &Reserve) -> Self {
        match self {
            Self::Busy(lead) if meter.due(lead) >= reserve.now.plus_micros(reserve.apart()) => self,
            _ => Self::Idle,
        }
    }
}

/// How a quota's counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaForm {
    /// It counts: add to it, if there is room.
    Running,
    /// Its reset is past, or it is new: begin with this call.
    Over,
}

impl Form {
    /// The form that fits what `meter` holds.
    #[must_use]
    pub fn of(meter: &Meter, reserve: &Reserve) -> Self {
        let ahead = (0..reserve.rates.len()).filter(|rate| meter.due(*rate) > reserve.now);
        // The first of equals, as a condition "no other's lies further" allows for either.
        let lead = ahead.rev().max_by_key(|rate| meter.due(*rate));
        let quota = |quota: usize| match meter.spent.get(quota) {
            Some(spent) if spent.resets_at > reserve.now => QuotaForm::Running,
            _ => QuotaForm::Over,
        };
        Self {
            rates: lead.map_or(RateForm::Idle, RateForm::Busy),
            quotas: (0..reserve.quotas.len()).map(quota).collect(),
        }
    }

    /// The form to try first by a process that saw `seen` some time ago, when `fitted` was the form
    /// that fitted.
    ///
    /// What lies ahead in what was seen lies ahead still. Else the rates are guessed to be as they
    /// were: where many share a binding rate, each asks so seldom that what it saw last is past.
    #[must_use]
    pub fn guess(seen: &Meter, fitted: Option<RateForm>, reserve: &Reserve) -> Self {
        let mut form = Self::of(seen, reserve);
        if let (RateForm::Idle, Some(RateForm::Busy(lead))) = (form.rates, fitted)
            && lead < reserve.rates.len()
        {
            form.rates = RateForm::Busy(lead);
        }
        form
    }

    /// Whether the update may be made: its condition.
    #[must_use]
    pub fn permitted(&self, meter: &Meter, reserve: &Reserve) -> bool {
        let mut rates = 0..reserve.rates.len();
        let rates = match self.rates {
            RateForm::Idle => rates.all(|rate| meter.due(rate) <= reserve.now),
            RateForm::Busy(lead) => {
                let due = meter.due(lead);
                due > reserve.now
                    && due <= self.latest(reserve)
                    && rates.all(|rate| meter.due(rate) <= due)
            }
        };
        let mut quotas = self.quotas.iter().zip(&reserve.quotas).enumerate();
        rates
            && quotas.all(|(index, (form, term))| {
                let spent = meter.spent.get(index).copied().unwrap_or_default();
                let Some(room) = Self::room(reserve, term) else { return false };
                match form {
                    QuotaForm::Over => spent.resets_at <= reserve.now,
                    QuotaForm::Running => spent.resets_at > reserve.now && spent.units <= room,
                }
            })
    }

    /// What the meter is after the update.
    #[must_use]
    pub fn apply(&self, meter: &Meter, reserve: &Reserve) -> Meter {
        let from = match self.rates {
            RateForm::Idle => reserve.now,
            RateForm::Busy(lead) => meter.due(lead),
        };
        let due = (0..reserve.rates.len()).map(|rate| from.plus_micros(offset(reserve, rate)));
        let quotas = self.quotas.iter().zip(&reserve.quotas).enumerate();
        let spent = quotas.map(|(index, (form, term))| {
            let units = term.units.saturating_mul(reserve.calls.max(1).into());
            let spent = meter.spent.get(index).copied().unwrap_or_default();
            match form {
                QuotaForm::Running => Spent { units: spent.units.saturating_add(units), ..spent },
                QuotaForm::Over => Spent { units, resets_at: term.resets_at },
            }
        });
        let latest = match reserve.overdraw {
            true => meter.latest,
            false => from.plus_micros(reserve.to_last()).minus(reserve.burst()),
        };
        Meter { due: due.collect(), spent: spent.collect(), latest }
    }

    /// The latest due moment of the leading rate at which a call is still granted.
    #[must_use]
    pub fn latest(&self, reserve: &Reserve) -> Moment {
        match reserve.overdraw {
            true => Moment(u64::MAX),
            false => reserve.now.plus(reserve.horizon).plus(reserve.burst()),
        }
    }

    /// The most that may have been spent of a quota for the call to fit. `None` if it does not
    /// fit the whole quota: then there is nothing to send.
    #[must_use]
    pub fn room(reserve: &Reserve, term: &QuotaTerm) -> Option<u64> {
        match reserve.overdraw {
            true => Some(u64::MAX),
            false => term.limit.checked_sub(term.units.saturating_mul(reserve.calls.max(1).into())),
        }
    }
}

/// How far beyond the moment that is reckoned from a rate's next call is due, in microseconds.
pub(crate) fn offset(reserve: &Reserve, rate: usize) -> u64 {
    let own = reserve.rates.get(rate).map_or(0, |term| micros(term.cost));
    reserve.to_last().saturating_add(own)
}
