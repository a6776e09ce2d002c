//! How many units a call has, and how units in a span of time are written.

use std::time::Duration;

/// What is known of a call's units before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// How many it is thought to take. This is its pace: calls are so far apart.
    pub expected: u64,
    /// How many it may take. So much is kept free for it until it is settled.
    pub most: u64,
}

impl Units {
    /// Nothing is known of the call: it counts for the largest that each limit allows.
    pub const LARGEST: Self = Self { expected: u64::MAX, most: u64::MAX };

    /// It takes so many, or fewer.
    #[must_use]
    pub fn up_to(most: u64) -> Self {
        Self { expected: most, most }
    }

    /// It is thought to take so many, and may take `factor` times as many.
    #[must_use]
    pub fn about(expected: u64, factor: u64) -> Self {
        Self { expected, most: expected.saturating_mul(factor) }
    }

    /// As far as one call can go under a limit whose largest call has so many. `None`: even what it is
    /// thought to take is more.
    #[must_use]
    pub fn within(self, largest: u64) -> Option<Self> {
        if self.expected > largest && self != Self::LARGEST {
            return None;
        }
        Some(Self { expected: self.expected.min(largest), most: self.most.min(largest) })
    }
}

/// `100/20s`, in the largest unit of time that is whole.
pub(crate) fn units_in(units: u64, per: Duration) -> String {
    let units_of_time =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let millis = per.as_millis();
    let whole = per.subsec_nanos().is_multiple_of(1_000_000) && millis > 0;
    let fits =
        units_of_time.into_iter().find(|(length, _)| whole && millis.is_multiple_of(*length));
    match fits.map(|(length, unit)| (millis / length, unit)) {
        Some((1, "s")) => format!("{units}/s"),
        Some((number, unit)) => format!("{units}/{number}{unit}"),
        None => format!("{units}/{per:?}"),
    }
}
