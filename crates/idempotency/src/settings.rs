//! What a guard can be told.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Clock, SystemClock};

/// Parameters of the protocol. All have defaults: `Settings { expiry, ..Settings::default() }`.
#[derive(Clone)]
pub struct Settings {
    /// Where the time comes from. Default: the operating system.
    pub clock: Arc<dyn Clock>,
    /// The most by which the clocks of two claimants may differ. A lease, a settle
    /// window or a result that another claimant wrote counts as over only this much
    /// later. Default: 2 s (AWS keeps its hosts within milliseconds).
    pub skew_margin: Duration,
    /// The lease of a request that names none. Default: 60 s.
    pub lease: Duration,
    /// How long the target may still be at work on a request after its caller has given
    /// up on it, for a request that does not [say](crate::Request::settles_after). Only after that
    /// does the target's "I do not have it" count. Default: 30 s.
    pub settle_window: Duration,
    /// How long a result is kept and replayed. Default: 24 h.
    pub expiry: Duration,
    /// How many completed results to keep in this process's memory, to replay them
    /// without a request to the store. Unfinished calls are never cached. Default: none.
    pub cached_results: Option<NonZeroUsize>,
    /// Names a new claim; no two claims of any process may get the same name. Default: a
    /// random UUID; a simulator gives seeded ones.
    pub new_owner: Arc<dyn Fn() -> Uuid + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            skew_margin: Duration::from_secs(2),
            lease: Duration::from_secs(60),
            settle_window: Duration::from_secs(30),
            expiry: Duration::from_secs(24 * 60 * 60),
            cached_results: None,
            new_owner: Arc::new(Uuid::new_v4),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("skew_margin", &self.skew_margin)
            .field("lease", &self.lease)
            .field("settle_window", &self.settle_window)
            .field("expiry", &self.expiry)
            .field("cached_results", &self.cached_results)
            .finish_non_exhaustive()
    }
}
