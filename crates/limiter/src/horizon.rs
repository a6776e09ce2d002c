//! How far ahead moments are reserved, and who has the last of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::grant::Terms;
use crate::limiter::Limiter;
use crate::moment::Moment;
use crate::store::Store;

impl<S: Store> Limiter<S> {
    /// How far ahead a moment may be reserved under the rates in effect.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        match self.terms() {
            Ok(terms) => self.horizon_under(&terms),
            // Nothing is granted under such limits.
            Err(_) => Duration::ZERO,
        }
    }

    pub(crate) fn horizon_under(&self, terms: &Terms) -> Duration {
        let paces = terms.rates.iter().map(|(_, pace)| *pace);
        self.inner.settings.horizon.under(paces, terms.count_units())
    }

    /// The moment of the latest grant of all, as this process has last heard of it. Until then
    /// somebody has a call to make: who asks too early may leave to them what it was to look for.
    #[must_use]
    pub fn granted_until(&self) -> Moment {
        Moment(self.inner.granted_until.load(Ordering::Relaxed))
    }

    pub(crate) fn hears_of_latest(&self, latest: Moment) {
        self.inner.granted_until.store(latest.as_micros(), Ordering::Relaxed);
    }
}
