//! The days and months that usage is counted by.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A day or a month of UTC's calendar: `2026-11-30`, `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A day.
    Day(Date),
    /// The month that this day is in.
    Month(Date),
}

/// A text that is no day and no month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a day nor a month; write `2026-11-30` or `2026-11`")]
pub struct BadPeriod(String);

impl Period {
    /// The day of a moment.
    #[must_use]
    pub fn day_of(moment: Timestamp) -> Self {
        Self::Day(date(moment))
    }

    /// The month of a moment.
    #[must_use]
    pub fn month_of(moment: Timestamp) -> Self {
        Self::Month(date(moment).first_of_month())
    }

    /// When it is over.
    #[must_use]
    pub fn ends(self) -> Timestamp {
        let next = match self {
            Self::Day(day) => day.tomorrow(),
            Self::Month(day) => day.last_of_month().tomorrow(),
        };
        let begins = next.and_then(|day| day.to_zoned(TimeZone::UTC));
        begins.map_or(Timestamp::MAX, |begins| begins.timestamp())
    }

    /// The days in it.
    pub fn days(self) -> impl Iterator<Item = Date> {
        let (first, days) = match self {
            Self::Day(day) => (day, 1),
            Self::Month(day) => {
                (day.first_of_month(), usize::from(day.days_in_month().unsigned_abs()))
            }
        };
        std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(days)
    }
}

fn date(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "{day}"),
            Self::Month(day) => write!(f, "{:04}-{:02}", day.year(), day.month()),
        }
    }
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let bad = || BadPeriod(text.to_owned());
        let read = match text.len() {
            7 => format!("{text}-01").parse().map(Self::Month),
            _ => text.parse().map(Self::Day),
        };
        // Other forms of a date, such as one with a time, would be other keys.
        read.ok().filter(|period| period.to_string() == text).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_a_day_and_a_month_of_utc() {
        let moment: Timestamp = "2026-11-30T23:59:59.999Z".parse().unwrap();
        let (day, month) = (Period::day_of(moment), Period::month_of(moment));
        assert_eq!((&*day.to_string(), &*month.to_string()), ("2026-11-30", "2026-11"));
        assert_eq!(day.ends().to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(month.ends(), day.ends());
        assert_eq!(day.days().count(), 1);
        let days: Vec<String> = month.days().map(|day| day.to_string()).collect();
        assert_eq!((&*days[0], &*days[29], days.len()), ("2026-11-01", "2026-11-30", 30));
    }

    #[test]
    fn a_day_and_a_month_are_read_as_they_are_written() {
        for text in ["2026-11-30", "2026-02", "2024-02-29"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["2026-11-31", "2026-13", "today", "", "2026-11-30T00:00:00", "20261130"] {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains("write `2026-11-30` or `2026-11`"), "{error}");
        }
    }
}
