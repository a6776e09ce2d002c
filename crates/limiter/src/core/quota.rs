//! Counters that begin anew at a reset.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use super::units::Units;
use crate::core::units::units_in;
use crate::moment::{Moment, as_micros, micros};

/// So many units until a reset, after which it begins anew.
///
/// A quota over *any* 24 hours, as Salesforce counts, is a [`Rate`](crate::Rate) of a sliding
/// window. A call within the clocks' error of a reset may count on the other side of it. If the
/// quota must not be exceeded by a single call, leave out what is spent in that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Calls or units until the reset.
    pub units: u64,
    /// When it resets.
    pub period: Period,
    /// Units of the largest call, where it counts units. `None`: each call counts as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u64>,
}

/// When a quota resets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Each time this long has passed, counted from 1970-01-01T00:00:00Z and `offset`.
    Every {
        /// From reset to reset.
        #[serde(with = "as_micros", rename = "length_us")]
        length: Duration,
        /// The first reset after the epoch.
        #[serde(with = "as_micros", rename = "offset_us")]
        offset: Duration,
    },
    /// At midnight in a time zone of this IANA name (`UTC`, `America/New_York`).
    Day {
        /// The zone.
        zone: String,
    },
    /// At the first midnight of each month in a time zone of this IANA name.
    Month {
        /// The zone.
        zone: String,
    },
}

/// Why a quota's reset cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A period of no length.
    #[error("a quota's period is more than zero")]
    Zero,
    /// The machine's time zone database does not know the zone.
    #[error("the time zone {zone:?} is not known here")]
    Zone {
        /// Its name.
        zone: String,
        /// As the library said it.
        source: jiff::Error,
    },
    /// The call is larger than the quota allows for.
    #[error("a call of {units} units is larger than the largest that the quota takes, {largest}")]
    CallTooLarge {
        /// Its units.
        units: u64,
        /// The most it may have.
        largest: u64,
    },
    /// The moment lies beyond the calendar.
    #[error("the reset lies beyond the calendar")]
    BeyondCalendar(#[source] jiff::Error),
}

impl Quota {
    /// `units` calls each time `length` has passed.
    #[must_use]
    pub fn every(units: u64, length: Duration) -> Self {
        Self { units, period: Period::Every { length, offset: Duration::ZERO }, largest: None }
    }

    /// `units` calls a day of a time zone.
    #[must_use]
    pub fn daily(units: u64, zone: impl Into<String>) -> Self {
        Self { units, period: Period::Day { zone: zone.into() }, largest: None }
    }

    /// The same as a quota of units, of which a call has so many at most.
    #[must_use]
    pub fn in_units(self, largest: u64) -> Self {
        Self { largest: Some(largest), ..self }
    }

    /// The quota of one who has so many times as much.
    #[must_use]
    pub fn times(self, weight: NonZeroU32) -> Self {
        Self { units: self.units.saturating_mul(weight.get().into()), ..self }
    }

    /// What a call takes of it at first.
    ///
    /// # Errors
    /// The call is larger than it allows: [`Error::CallTooLarge`].
    pub fn take(&self, units: Units) -> Result<u64, Error> {
        let Some(largest) = self.largest else { return Ok(1) };
        let largest = largest.min(self.units);
        let too_large = Error::CallTooLarge { units: units.expected, largest };
        let Units { expected, most } = units.within(largest).ok_or(too_large)?;
        Ok(most.max(expected))
    }

    /// When a counter that begins at `now` is reset.
    ///
    /// # Errors
    /// The period has no length, or its zone is not known: [`enum@Error`].
    pub fn resets_at(&self, now: Moment) -> Result<Moment, Error> {
        match &self.period {
            Period::Every { length, offset } => every(now, *length, *offset),
            Period::Day { zone } => next_midnight(now, zone, |today| today.tomorrow()),
            Period::Month { zone } => next_midnight(now, zone, |today| {
                today.first_of_month().and_then(|first| first.checked_add(1.month()))
            }),
        }
    }
}

impl fmt::Display for Quota {
    /// `15000/1d`; `15000 a day of America/New_York`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.period {
            Period::Every { length, .. } => f.write_str(&units_in(self.units, *length)),
            Period::Day { zone } => write!(f, "{} a day of {zone}", self.units),
            Period::Month { zone } => write!(f, "{} a month of {zone}", self.units),
        }?;
        match self.largest {
            None => Ok(()),
            Some(largest) => write!(f, " in calls of up to {largest}"),
        }
    }
}

fn every(now: Moment, length: Duration, offset: Duration) -> Result<Moment, Error> {
    let length = micros(length);
    let into = now.0.checked_add(length).and_then(|shifted| {
        let offset = micros(offset).checked_rem(length)?;
        (shifted - offset).checked_rem(length)
    });
    into.map(|into| now.plus_micros(length - into)).ok_or(Error::Zero)
}

fn next_midnight(
    now: Moment,
    zone: &str,
    next_day: impl FnOnce(&Zoned) -> Result<Zoned, jiff::Error>,
) -> Result<Moment, Error> {
    let known = TimeZone::get(zone);
    let known = known.map_err(|source| Error::Zone { zone: zone.to_owned(), source })?;
    let us = i64::try_from(now.0).unwrap_or(i64::MAX);
    let midnight = Timestamp::from_microsecond(us)
        .and_then(|now| next_day(&now.to_zoned(known)))
        .and_then(|day| day.start_of_day())
        .map_err(Error::BeyondCalendar)?;
    let us = midnight.timestamp().as_microsecond();
    Ok(Moment(u64::try_from(us).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        let timestamp: Timestamp = text.parse().unwrap();
        Moment(timestamp.as_microsecond().try_into().unwrap())
    }

    #[test]
    fn resets() {
        let hour = Duration::from_secs(3600);
        let halves = Period::Every { length: hour, offset: hour / 2 };
        let day = |zone: &str| Period::Day { zone: zone.into() };
        for (period, now, expected) in [
            (halves.clone(), "2027-03-14T05:10:00Z", "2027-03-14T05:30:00Z"),
            (halves, "2027-03-14T05:30:00Z", "2027-03-14T06:30:00Z"),
            (day("UTC"), "2027-03-14T23:59:59.9Z", "2027-03-15T00:00:00Z"),
            // A day of 23 hours: the clocks go forward.
            (day("America/New_York"), "2027-03-14T05:00:00Z", "2027-03-15T04:00:00Z"),
            (Period::Month { zone: "UTC".into() }, "2027-12-31T12:00:00Z", "2028-01-01T00:00:00Z"),
            (Period::Month { zone: "UTC".into() }, "2027-01-31T12:00:00Z", "2027-02-01T00:00:00Z"),
        ] {
            let resets = Quota { units: 1, period: period.clone(), largest: None }
                .resets_at(at(now))
                .unwrap();
            assert_eq!(resets.to_string(), expected, "{period:?} at {now}");
        }
    }

    #[test]
    fn a_period_that_is_none_is_refused() {
        assert!(matches!(Quota::every(1, Duration::ZERO).resets_at(Moment(5)), Err(Error::Zero)));
        let error = Quota::daily(1, "Atlantis").resets_at(Moment(5)).unwrap_err();
        assert_eq!(error.to_string(), "the time zone \"Atlantis\" is not known here");
    }
}
