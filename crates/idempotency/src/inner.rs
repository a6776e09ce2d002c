//! What a guard shares with its clones, its claims and the calls that it could not decide.

use crate::cache::Cache;
use crate::clock::EpochMs;
use crate::record::Owner;
use crate::settings::Settings;

pub(crate) struct Inner<S> {
    pub(crate) store: S,
    pub(crate) settings: Settings,
    pub(crate) cache: Option<Cache>,
}

impl<S> Inner<S> {
    pub(crate) fn now(&self) -> EpochMs {
        self.settings.clock.now().into()
    }

    pub(crate) fn new_owner(&self) -> Owner {
        Owner((self.settings.new_owner)())
    }

    /// What lies before this moment is over by every clock within the margin.
    pub(crate) fn surely_past(&self, now: EpochMs) -> EpochMs {
        now.minus(self.settings.skew_margin)
    }
}
