//! All integration tests in one binary, because each binary links the AWS SDK anew.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod aimd;
mod breaker;
mod clock;
mod conformance;
#[cfg(feature = "dynamodb")]
mod examples;
mod from;
mod guesses;
mod limit;
mod limiter;
#[cfg(feature = "dynamodb")]
mod local_aws;
mod meter;
mod overtaking;
#[cfg(feature = "redis")]
mod redis;
mod register;
mod tokens;
mod view;
mod windows;

use std::time::Duration;

use slowlane_limiter::{Moment, SlotId};

/// 2027-01-15T08:00:00Z.
const START: Moment = Moment(1_800_000_000_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn slot(name: impl ToString) -> SlotId {
    SlotId::new(name.to_string()).unwrap()
}
