//! When the secret ends, as far as somebody says it: the secret itself, or the API in its answers.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

#[derive(Debug, Default)]
pub(in crate::targets::profile) struct Ends(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    by_secret: Option<Timestamp>,
    by_api: Option<Timestamp>,
}

impl Ends {
    /// The secret was read, and it may be another one.
    pub(super) fn of_secret(&self, by_secret: Option<Timestamp>) {
        self.with(|told| *told = Told { by_secret, by_api: None });
    }

    /// The API has answered. Not every answer tells it.
    pub(in crate::targets::profile) fn of_answer(&self, by_api: Option<Timestamp>) {
        self.with(|told| told.by_api = by_api.or(told.by_api));
    }

    /// The earlier of the two.
    pub(in crate::targets::profile) fn first(&self) -> Option<Timestamp> {
        self.with(|told| told.by_secret.into_iter().chain(told.by_api).min())
    }

    fn with<R>(&self, look: impl FnOnce(&mut Told) -> R) -> R {
        // Nothing in a locked section can panic half-way.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
