//! This process's place among the slots at work.

use std::cell::Cell;
use std::time::Duration;

use slowlane_limiter::{DynamoDbStore, Moment, Permit};
use tokio::sync::Mutex;

/// How long an entry counts that its slot does not renew. A slot that was killed leaves one, and its
/// ring comes back later than that.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// This process's place.
#[derive(Debug, Default)]
pub(super) struct OwnPlace {
    /// Whoever renews the lease holds it until the answer has come: a place that is given back
    /// meanwhile would be entered again.
    pub(super) permit: Mutex<Option<Permit<DynamoDbStore>>>,
    pub(super) has_place: Cell<bool>,
    /// Until when this process makes no call, because one was just refused.
    pub(super) stands_back_until: Cell<Moment>,
    /// Until when an entry of this process's may count that is none: nobody knows what became of a
    /// write.
    pub(super) unsure_until: Cell<Moment>,
}
