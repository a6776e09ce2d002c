//! Tells a login that was refused for its credentials from one that had to wait too long.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::StatusCode;

/// A refused login that took as long is in doubt. NetSuite refuses bad credentials at once. But an
/// account over its limit has been reported to answer "Invalid login attempt" after 61 seconds.
const SLOW: Duration = Duration::from_secs(30);

/// How many refusals in a row are put down to the limit. Two, and the two attempts that make a
/// refusal final, stay below the five failed logins that lock the user.
const DOUBTS: u32 = 2;

/// What a client has seen of its logins.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    /// The slow refusals that may still be put down to the limit; none before the credentials
    /// were accepted once.
    doubts_left: AtomicU32,
}

impl Logins {
    /// Notes an answer that took so long, and says whether it is a login that was refused because
    /// the account is at its limit.
    pub(crate) fn refused_at_the_limit(&self, status: StatusCode, took: Duration) -> bool {
        if status.is_success() {
            self.doubts_left.store(DOUBTS, Ordering::Relaxed);
        }
        let one_less = |left: u32| left.checked_sub(1);
        status == StatusCode::UNAUTHORIZED
            && took >= SLOW
            && self.doubts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_refusals_are_doubted_twice_after_each_success() {
        let logins = Logins::default();
        let answer = |status: u16, secs: u64| {
            let status = StatusCode::from_u16(status).unwrap();
            logins.refused_at_the_limit(status, Duration::from_secs(secs))
        };
        assert!(!answer(401, 61), "the credentials may never have been good");
        assert!(!answer(204, 1));
        assert!(!answer(401, 1), "a quick refusal is meant");
        assert!(answer(401, 61) && answer(401, 30));
        assert!(!answer(401, 61), "no third time: five failed logins lock the user");
        assert!(!answer(500, 61) && !answer(401, 61), "an error proves nothing of the login");
        assert!(!answer(200, 1));
        assert!(answer(401, 61));
    }
}
