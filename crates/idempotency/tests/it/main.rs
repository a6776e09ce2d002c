//! All integration tests in one binary, because each binary links the AWS SDK anew.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cases;
mod conformance;
mod errors;
#[cfg(feature = "dynamodb")]
mod examples;
mod interleavings;
mod layer;
mod lives;
mod offload;
#[cfg(feature = "dynamodb")]
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use slowlane_idempotency::{Clock, EpochMs, Key, Request, Scope, Settings};
use uuid::Uuid;

/// Time that stands still until a test moves it, and owners numbered from 1.
#[derive(Clone)]
struct Stopwatch(Arc<AtomicU64>);

impl Stopwatch {
    /// 2027-01-15T08:00:00Z.
    const START: EpochMs = EpochMs(1_800_000_000_000);

    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(Self::START.as_millis())))
    }

    fn passes(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Skew margin 2 s, lease 60 s, settle window 30 s, expiry 24 h.
    fn settings(&self) -> Settings {
        let owners = AtomicU64::new(1);
        Settings {
            clock: Arc::new(self.clone()),
            new_owner: Arc::new(move || {
                Uuid::from_u128(owners.fetch_add(1, Ordering::Relaxed).into())
            }),
            ..Settings::default()
        }
    }
}

impl Clock for Stopwatch {
    fn now(&self) -> SystemTime {
        EpochMs(self.0.load(Ordering::Relaxed)).into()
    }
}

fn scope() -> Scope {
    Scope::new("orders").unwrap()
}

fn key() -> Key {
    Key::new("order-123").unwrap()
}

fn order(total: u32) -> Request {
    Request::new(scope(), key(), &serde_json::json!({ "total": total })).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
