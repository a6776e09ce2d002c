//! The slot's time.

use std::time::Duration;

/// A point in time, as the time since the slot's start on a monotonic clock.
pub type Moment = Duration;
