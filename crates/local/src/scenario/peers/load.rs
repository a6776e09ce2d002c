//! The calls that are made on each way.

use std::time::Duration;

use slowlane_local::Rate;
use slowlane_local::target::KEY_PREFIX;

/// One call in so many is HIGH. They come evenly, at this share of the rate.
pub(super) const ONE_HIGH_IN: usize = 10;

/// The names of the calls, and how often a HIGH one comes.
pub(super) struct Load {
    pub(super) batch: Vec<String>,
    pub(super) high: Vec<String>,
    pub(super) high_every: Duration,
}

impl Load {
    pub(super) fn of(way: &str, rate: &Rate, calls: usize) -> Self {
        let high = calls / ONE_HIGH_IN;
        let names = |priority: &str, number: usize| {
            (1..=number).map(|n| format!("{KEY_PREFIX}{way}-{priority}-{n:04}")).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "rates of a demo are small")]
        let each = rate.per_secs() / rate.calls() as f64 * ONE_HIGH_IN as f64;
        Self {
            batch: names("batch", calls - high),
            high: names("high", high),
            high_every: Duration::from_secs_f64(each),
        }
    }
}
