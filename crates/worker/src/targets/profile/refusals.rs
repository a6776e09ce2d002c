//! Who refuses calls, as this process has seen.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Those that refuse calls, by their names.
pub(super) struct Refusals<K>(Mutex<HashMap<K, Refusal>>);

/// Since when somebody refuses calls, and until when nobody asks.
struct Refusal {
    since: Timestamp,
    until: Timestamp,
}

impl<K> Default for Refusals<K> {
    fn default() -> Self {
        Refusals(Mutex::default())
    }
}

impl<K: Eq + Hash> Refusals<K> {
    /// Whether nobody is to ask until after this moment.
    pub(super) fn last_until_after(&self, who: &K, now: Timestamp) -> bool {
        self.lock().get(who).is_some_and(|refusal| now < refusal.until)
    }

    /// Notes a refusal, and says whether it is one of many, for as long as `after`, or asks to `wait` so
    /// long. Then nobody is to ask until the wait is over.
    pub(super) fn has_refused(
        &self,
        who: K,
        wait: Option<Duration>,
        after: Duration,
        now: Timestamp,
    ) -> bool {
        let mut all = self.lock();
        let refusal = all.entry(who).or_insert(Refusal { since: now, until: now });
        let lasts = Duration::try_from(now.duration_since(refusal.since)).unwrap_or_default();
        match wait.filter(|wait| *wait >= after) {
            Some(wait) => refusal.until = now.checked_add(wait).unwrap_or(now),
            None if lasts < after => return false,
            None => {}
        }
        true
    }

    /// Lets nobody ask for so long, if it refuses calls.
    pub(super) fn leave_alone(&self, who: &K, pause: Duration, now: Timestamp) {
        if let Some(refusal) = self.lock().get_mut(who) {
            refusal.until = now.checked_add(pause).unwrap_or(now);
        }
    }

    pub(super) fn are_over(&self, who: &K) {
        self.lock().remove(who);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Refusal>> {
        // Nothing in a locked section can panic half-way, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
