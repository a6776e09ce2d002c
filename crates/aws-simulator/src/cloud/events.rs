//! Asynchronous invocations that Lambda has taken and not yet looked at.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Notify;

/// Events that Lambda has taken and not yet looked at.
#[derive(Debug, Default)]
pub struct Events {
    pub(super) taken: VecDeque<(String, Value)>,
    pub(super) bell: Arc<Notify>,
}

impl Events {
    /// Takes an event for the function of this name.
    pub fn take(&mut self, function: &str, payload: Value) {
        self.taken.push_back((function.to_owned(), payload));
        self.bell.notify_one();
    }
}
