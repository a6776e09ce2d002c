//! How far ahead a moment may be reserved.

use std::time::Duration;

use super::rate::Pace;

/// How far ahead a moment may be reserved. Who would have to wait longer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// So far, whatever the rates.
    Fixed(Duration),
    /// Two intervals of the slowest rate in effect, within these bounds: it follows rates that are set
    /// live.
    TwoIntervals {
        /// At least so far.
        least: Duration,
        /// At most so far.
        most: Duration,
        /// So far where units are counted. Then it is a turn that is reserved, and the wait for units
        /// comes after it.
        of_turns: Duration,
    },
}

impl Default for Horizon {
    /// 300 ms, or two intervals of the slowest rate if that is longer.
    fn default() -> Self {
        let least = Duration::from_millis(300);
        Self::TwoIntervals { least, most: Duration::MAX, of_turns: least }
    }
}

impl Horizon {
    /// Under rates of such paces.
    pub(crate) fn under(self, paces: impl Iterator<Item = Pace>, counts_units: bool) -> Duration {
        match self {
            Self::Fixed(horizon) => horizon,
            Self::TwoIntervals { of_turns, .. } if counts_units => of_turns,
            Self::TwoIntervals { least, most, .. } => {
                let slowest = paces.map(|pace| pace.of_units(1)).max().unwrap_or_default();
                slowest.saturating_mul(2).max(least).min(most)
            }
        }
    }
}
