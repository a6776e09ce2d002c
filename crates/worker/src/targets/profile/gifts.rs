//! What calls before the call have given, and may serve other calls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use slowlane_profile::{Given, PreCall, Request};

/// Kept for this environment, by the call before the call and where it goes.
#[derive(Default)]
pub(super) struct Gifts(Mutex<HashMap<(String, String), (Given, Timestamp)>>);

impl Gifts {
    pub(super) fn get(
        &self,
        pre_call: &PreCall,
        request: &Request,
        now: Timestamp,
    ) -> Option<Given> {
        let mut gifts = self.lock();
        gifts.retain(|_, (_, until)| now < *until);
        gifts.get(&key(pre_call, request)).map(|(given, _)| given.clone())
    }

    pub(super) fn keep(
        &self,
        pre_call: &PreCall,
        request: &Request,
        given: &Given,
        now: Timestamp,
    ) {
        let until = pre_call.keep_for().and_then(|keep_for| now.checked_add(keep_for).ok());
        if let Some(until) = until {
            self.lock().insert(key(pre_call, request), (given.clone(), until));
        }
    }

    /// Drops what the call before the call of this name has given.
    pub(super) fn drop_those_of(&self, name: &str) {
        self.lock().retain(|(of, _), _| of != name);
    }

    /// Drops all: they belong to whoever called.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), (Given, Timestamp)>> {
        // Nothing in a locked section can panic half-way, so a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(pre_call: &PreCall, request: &Request) -> (String, String) {
    (pre_call.name().to_owned(), request.url.to_string())
}
