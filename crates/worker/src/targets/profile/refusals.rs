//! Which models refuse calls, as this process has seen.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use slowlane_profile::Fallback;

/// The models that refuse calls, by their names.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Refusal>>);

/// Since when a model refuses calls, and until when it is not asked.
struct Refusal {
    since: Timestamp,
    until: Timestamp,
}

impl Refusals {
    /// Whether the first model has asked to wait until after this moment.
    pub(super) fn last_until_after(&self, second: &Fallback, now: Timestamp) -> bool {
        self.lock().get(&second.first).is_some_and(|refusal| now < refusal.until)
    }

    /// Notes a refusal of the first model, and says whether it is over its limit for long.
    pub(super) fn has_refused(
        &self,
        second: &Fallback,
        wait: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        let mut models = self.lock();
        let none = Refusal { since: now, until: now };
        let refusal = models.entry(second.first.clone()).or_insert(none);
        let lasts = Duration::try_from(now.duration_since(refusal.since)).unwrap_or_default();
        match wait.filter(|wait| *wait >= second.after) {
            Some(wait) => refusal.until = now.checked_add(wait).unwrap_or(now),
            None if lasts < second.after => return false,
            None => {}
        }
        true
    }

    pub(super) fn are_over(&self, second: &Fallback) {
        self.lock().remove(&second.first);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Refusal>> {
        // Nothing in a locked section can panic half-way, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
