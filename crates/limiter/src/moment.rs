//! The one form in which times are kept: microseconds.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment in microseconds since 1970-01-01T00:00:00Z, as the fleet's clock shows it. It prints
/// as RFC 3339.
///
/// Microseconds, because a limit of 10,000 a second is an interval of 100 of them. They fit the 53
/// bits of a Redis script's numbers until the year 2255.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Microseconds since the epoch.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// This moment and `by` later; stays at the end of time rather than wrap.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        self.plus_micros(micros(by))
    }

    /// This moment and `by` earlier; stays at the epoch rather than wrap.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        self.minus_micros(micros(by))
    }

    /// How long from `earlier` to this moment; zero if this moment is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn plus_micros(self, by: u64) -> Self {
        Self(self.0.saturating_add(by))
    }

    pub(crate) fn minus_micros(self, by: u64) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// A duration in microseconds, rounded down; the longest that fits if it is longer.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since_epoch.map_or(0, micros))
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> Self {
        Self::UNIX_EPOCH + Duration::from_micros(moment.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp =
            i64::try_from(self.0).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
        match timestamp {
            Some(timestamp) => write!(f, "{timestamp}"),
            None => write!(f, "{} us", self.0),
        }
    }
}

/// Durations in records: whole microseconds.
pub(crate) mod as_micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::micros(*duration).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_rfc_3339() {
        assert_eq!(Moment(1_800_000_000_250_000).to_string(), "2027-01-15T08:00:00.25Z");
        assert_eq!(Moment(u64::MAX).to_string(), "18446744073709551615 us");
    }

    #[test]
    fn arithmetic_stays_within_time() {
        assert_eq!(Moment(5).minus(Duration::from_secs(1)), Moment(0));
        assert_eq!(Moment(5).plus(Duration::MAX), Moment(u64::MAX));
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
    }
}
