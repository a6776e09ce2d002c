//! Spreads delays, so that calls put back together do not come back together.

use std::time::Duration;

/// A whole number of seconds from `least` to `most`, both included. Each is equally likely if `unit`
/// is spread evenly over `[0, 1)`. A `unit` outside counts as the nearest inside, NaN as 0.
pub(crate) fn whole_secs(least: u64, most: u64, unit: f64) -> Duration {
    let unit = if unit > 0.0 { unit } else { 0.0 };
    let choices = most.saturating_sub(least).saturating_add(1);
    // Counts of seconds are far below 2^53, and the cast saturates.
    let offset = (unit * choices as f64) as u64;
    Duration::from_secs(least.saturating_add(offset.min(choices - 1)))
}

/// The duration in seconds, rounded up.
pub(crate) fn secs_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_is_reached_and_none_beyond() {
        for (unit, secs) in [
            (0.0, 1),
            (0.199, 1),
            (0.2, 2),
            (0.999_999, 5),
            (1.0, 5),
            (7.0, 5),
            (-1.0, 1),
            (f64::NAN, 1),
            (f64::INFINITY, 5),
        ] {
            assert_eq!(whole_secs(1, 5, unit).as_secs(), secs, "{unit}");
        }
        assert_eq!(whole_secs(7, 7, 0.9).as_secs(), 7);
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(secs_up(Duration::ZERO), 0);
        assert_eq!(secs_up(Duration::from_secs(2)), 2);
        assert_eq!(secs_up(Duration::from_millis(2_001)), 3);
    }
}
