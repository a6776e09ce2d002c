//! The one place where the crate asks what time it is.

use jiff::Timestamp;

/// Tells the time of day, for what leaves this process or comes from outside: a JWT's `iat`, an
/// OAuth 1.0a timestamp, the end of a token's life. Waiting is done with [`tokio::time`].
///
/// Tests and simulators give their own; everyone else needs none, since [`SystemClock`] is the
/// default of [`ClientBuilder::clock`](crate::ClientBuilder::clock).
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The computer's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl<F> Clock for F
where
    F: Fn() -> Timestamp + Send + Sync + 'static,
{
    fn now(&self) -> Timestamp {
        self()
    }
}
