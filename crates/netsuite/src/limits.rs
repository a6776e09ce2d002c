//! What stands between a caller and the wire when asked for: a pool of permits, a pace, and
//! retries. All three are [`tower`] layers; here they get their rules and their order.
//!
//! Outermost are the retries, so that a call gives its permit back while it waits to try again;
//! then the permits; innermost the pace.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tower::{
    BoxError, ServiceExt as _,
    buffer::Buffer,
    limit::{ConcurrencyLimit, RateLimit, rate::Rate},
    retry::{self, Policy},
    util::BoxCloneSyncService,
};

use crate::{Error, Invalid, Request, response::Answer};

/// A service for our requests; what a client sends through.
pub(crate) type Stack = BoxCloneSyncService<Request, Answer, Error>;

/// How often and how patiently to repeat a call that is
/// [safe to repeat](Error::is_safe_to_repeat). Anything else is never repeated.
///
/// The wait before the second attempt is between half of `first_wait` and all of it. It doubles
/// from attempt to attempt up to `longest_wait`. A longer `Retry-After` is obeyed. A wait that
/// would pass the request's [deadline](Request::deadline) is not begun: the error is returned at
/// once.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The longest wait before the second attempt.
    pub first_wait: Duration,
    /// The longest wait before any attempt, and the most of a `Retry-After` that is heeded.
    pub longest_wait: Duration,
}

impl Default for Retry {
    /// Five attempts; waits of at most 0.5, 1, 2 and 4 seconds; 30 seconds for a `Retry-After`.
    fn default() -> Self {
        Self {
            max_attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// The wait after `failed` attempts; `jitter` is in 0..1.
    fn wait(&self, failed: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doubled =
            self.first_wait.saturating_mul(1u32.checked_shl(failed - 1).unwrap_or(u32::MAX));
        let ceiling = doubled.min(self.longest_wait);
        let wait = ceiling.mul_f64(0.5 + jitter / 2.0);
        wait.max(retry_after.unwrap_or_default().min(self.longest_wait))
    }
}

/// All limits of a client; none by default.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) permits: Option<usize>,
    pub(crate) pace: Option<(u64, Duration)>,
    pub(crate) retry: Option<Retry>,
    pub(crate) seed: Option<u64>,
}

impl Limits {
    /// Puts the limits around `service`.
    pub(crate) fn around(self, mut service: Stack) -> Result<Stack, Invalid> {
        if let Some((calls, period)) = self.pace {
            service = paced(service, calls, period)?;
        }
        if let Some(permits) = self.permits {
            if permits == 0 {
                return Err(Invalid::new("permits", "0", "at least one"));
            }
            service = Stack::new(ConcurrencyLimit::new(service, permits));
        }
        if let Some(retry) = self.retry {
            let rng = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
            let policy = Session { retry, failed: 0, rng: Arc::new(Mutex::new(rng)) };
            service = Stack::new(retry::Retry::new(policy, service));
        }
        Ok(service)
    }
}

fn paced(service: Stack, calls: u64, period: Duration) -> Result<Stack, Invalid> {
    if calls == 0 || period.is_zero() {
        return Err(Invalid::new(
            "pace",
            &format!("{calls} in {period:?}"),
            "at least one call, and some time",
        ));
    }
    // A rate limit has one state; the buffer is how tower lets clones share it, by a small task.
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Invalid::unquoted("pace", "a client that is built inside a tokio runtime"));
    }
    let limited = RateLimit::new(service, Rate::new(calls, period));
    let shared =
        Buffer::new(limited, 1024).map_err(|error: BoxError| match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(stopped) => Error::pace_stopped(stopped),
        });
    Ok(Stack::new(shared))
}

/// The retries of one call.
#[derive(Clone)]
struct Session {
    retry: Retry,
    failed: u32,
    /// Shared by all sessions of a client, so that no two wait alike.
    rng: Arc<Mutex<fastrand::Rng>>,
}

impl Policy<Request, Answer, Error> for Session {
    type Future = tokio::time::Sleep;

    fn retry(
        &mut self,
        request: &mut Request,
        result: &mut Result<Answer, Error>,
    ) -> Option<Self::Future> {
        let error = result.as_ref().err()?;
        self.failed += 1;
        if !error.is_safe_to_repeat() || self.failed >= self.retry.max_attempts {
            return None;
        }
        let jitter = self.rng.lock().unwrap_or_else(PoisonError::into_inner).f64();
        let until = Instant::now() + self.retry.wait(self.failed, error.retry_after(), jitter);
        if request.deadline.is_some_and(|deadline| until >= deadline) {
            tracing::info!(%error, attempt = self.failed, "not repeated: the deadline is too near");
            return None;
        }
        let wait_ms = (until - Instant::now()).as_millis();
        tracing::info!(class = error.class().as_str(), %error, attempt = self.failed, wait_ms, "will be repeated");
        Some(tokio::time::sleep_until(until))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_heed_retry_after() {
        let retry = Retry {
            max_attempts: 9,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(5),
        };
        let secs = |failed, after, jitter| retry.wait(failed, after, jitter).as_secs_f64();
        assert_eq!(
            [1, 2, 3, 4, 40].map(|failed| secs(failed, None, 1.0)),
            [1.0, 2.0, 4.0, 5.0, 5.0]
        );
        assert_eq!(
            [1, 2, 3, 4, 40].map(|failed| secs(failed, None, 0.0)),
            [0.5, 1.0, 2.0, 2.5, 2.5]
        );
        assert_eq!(secs(1, Some(Duration::from_secs(3)), 0.0), 3.0);
        assert_eq!(secs(1, Some(Duration::from_secs(600)), 0.0), 5.0);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_cap(failed in 1u32.., after in proptest::option::of(0u64..100_000), jitter in 0.0..1.0) {
            let retry = Retry::default();
            let wait = retry.wait(failed, after.map(Duration::from_secs), jitter);
            prop_assert!(wait <= retry.longest_wait && wait >= retry.first_wait / 2);
        }
    }
}
