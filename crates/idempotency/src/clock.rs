//! Where the time comes from, and the one form in which it is kept.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Tells the guard the time. Every rule of the guard takes its `now` from here,
/// so that a test or a simulator can rule it.
///
/// Any `Fn() -> SystemTime` is a clock; with the AWS SDK's own time source:
/// `Arc::new(move || time_source.now())`.
pub trait Clock: Send + Sync {
    /// The present moment as this machine sees it.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this crate reads the machine's clock"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A moment in milliseconds since 1970-01-01T00:00:00Z, the only form in which the
/// guard stores and compares times. It prints as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochMs(pub u64);

impl EpochMs {
    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `by` later; stays at the end of time rather than wrap.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This moment and `by` earlier; stays at the epoch rather than wrap.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long from `earlier` to this moment; zero if this moment is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for EpochMs {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since_epoch.map_or(0, millis))
    }
}

impl From<EpochMs> for SystemTime {
    fn from(time: EpochMs) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

impl fmt::Display for EpochMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match time {
            Some(time) => write!(f, "{time:.3}"),
            None => write!(f, "{} ms after 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339_with_milliseconds() {
        assert_eq!(EpochMs(1_795_000_000_120).to_string(), "2026-11-18T11:06:40.120Z");
        assert_eq!(EpochMs(u64::MAX).to_string(), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        assert_eq!(EpochMs(5).minus(Duration::from_secs(1)), EpochMs(0));
        assert_eq!(EpochMs(5).plus(Duration::MAX), EpochMs(u64::MAX));
        assert_eq!(EpochMs(5).since(EpochMs(9)), Duration::ZERO);
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(EpochMs::from(before_1970), EpochMs(0));
    }
}
