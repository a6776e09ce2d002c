//! Moments that are not before another: of a limit beside a second one, and of a line in which calls wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use slowlane_limiter::{
    Decision, LimitKey, Limiter, Margin, MemoryStore, Moment, Quota, Rate, Reason, Settings,
};

use crate::{START, millis, seconds, slot};

/// A limiter without margins, and the clock that it goes by.
struct Alone {
    now: Arc<AtomicU64>,
    limiter: Limiter<MemoryStore>,
}

impl Alone {
    fn new(rates: Vec<Rate>, quotas: Vec<Quota>) -> Self {
        let now = Arc::new(AtomicU64::new(START.as_micros()));
        let read = now.clone();
        let clock = move || SystemTime::from(Moment(read.load(Ordering::Relaxed)));
        let clock = Arc::new(clock);
        let settings =
            Settings { rates, quotas, margin: Margin::NONE, clock, ..Settings::default() };
        let limit = LimitKey::new("crm/acme").unwrap();
        let limiter = Limiter::new(MemoryStore::new(), limit, slot("a"), settings).unwrap();
        Self { now, limiter }
    }

    fn is_now(&self, at: Moment) {
        self.now.store(at.as_micros(), Ordering::Relaxed);
    }

    /// The moment that is granted, or until when it is refused.
    async fn reserve(&self, from: Moment, within: Duration) -> Result<Moment, (Reason, Moment)> {
        match self.limiter.reserve_from(from, within).await.unwrap() {
            Decision::Granted(grant) => Ok(grant.at()),
            Decision::Refused(waiting) => Err((waiting.reason, waiting.until.unwrap())),
        }
    }

    async fn next_free(&self) -> Moment {
        self.limiter.next_free().await.unwrap()
    }
}

#[tokio::test]
async fn the_next_free_moment_says_since_when_the_rates_are_idle() {
    let line = Alone::new(vec![Rate::new(1, seconds(6))], Vec::new());
    assert_eq!(line.next_free().await, Moment(0), "nobody has ever asked");
    line.reserve(START, Duration::ZERO).await.unwrap();
    assert_eq!(line.next_free().await, START.plus(seconds(6)));
    line.is_now(START.plus(seconds(60)));
    assert_eq!(line.next_free().await, START.plus(seconds(6)));
}

#[tokio::test]
async fn a_quota_that_was_spent_was_not_idle_before_its_reset() {
    let (rate, hour) = (Rate::new(1, seconds(6)), seconds(3_600));
    let limit = Alone::new(vec![rate], vec![Quota::every(1, hour)]);
    let reset = Quota::every(1, hour).resets_at(START).unwrap();
    limit.reserve(START, Duration::ZERO).await.unwrap();
    assert_eq!(limit.next_free().await, reset);
    limit.is_now(reset.plus(seconds(1)));
    assert_eq!(limit.next_free().await, reset);
}

/// As of a line whose calls were all stopped.
#[tokio::test]
async fn a_line_that_begins_anew_forgets_what_is_to_come() {
    let line = Alone::new(vec![Rate::new(1, seconds(6))], Vec::new());
    assert!(!line.limiter.begin_anew().await.unwrap(), "there is nothing to forget");
    for place in 0..100 {
        let at = line.reserve(START, seconds(3_600)).await;
        assert_eq!(at, Ok(START.plus(seconds(6) * place)));
    }
    let now = START.plus(seconds(60));
    line.is_now(now);
    assert!(line.limiter.begin_anew().await.unwrap());
    assert_eq!(line.reserve(now, Duration::ZERO).await, Ok(now));
    assert_eq!(line.reserve(now, seconds(6)).await, Ok(now.plus(seconds(6))));
    // What is past is not forgotten: there is nothing in it.
    line.is_now(now.plus(seconds(60)));
    assert!(!line.limiter.begin_anew().await.unwrap());
}

/// A quota of three an hour is spent. Who holds a moment of another limit for shortly after the reset asks
/// shortly before.
#[tokio::test]
async fn a_call_for_after_the_reset_does_not_wipe_what_was_spent_before_it() {
    let quota = Quota::every(3, seconds(3_600));
    let reset = quota.resets_at(START).unwrap();
    for largest in [None, Some(1)] {
        let limit = Alone::new(Vec::new(), vec![Quota { largest, ..quota.clone() }]);
        for _ in 0..3 {
            limit.reserve(START, Duration::ZERO).await.unwrap();
        }
        let before = reset.minus(seconds(1));
        limit.is_now(before);
        let spent = Err((Reason::QuotaSpent { limit: "a quota of 3".into() }, reset));
        assert_eq!(limit.reserve(reset.plus(millis(200)), millis(25)).await, spent);
        assert_eq!(limit.reserve(before, millis(25)).await, spent, "the quota is spent still");
        let granted = limit.limiter.reserve(1).await.unwrap();
        assert!(matches!(granted, Decision::Refused(_)), "{granted:?}");
        limit.is_now(reset);
        for _ in 0..3 {
            assert_eq!(limit.reserve(reset, Duration::ZERO).await, Ok(reset));
        }
        assert!(limit.reserve(reset, Duration::ZERO).await.is_err(), "and spent again");
    }
}
