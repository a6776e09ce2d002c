use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, SystemTime};

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this crate reads the machine's clock"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The moment that long ago.
pub fn ago(window: Duration) -> Timestamp {
    let window = SignedDuration::try_from(window).unwrap_or_default();
    now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH)
}
