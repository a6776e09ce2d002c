//! The sandboxes over real sockets, and by hand.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod clients;
mod core;
mod keys;
mod odata;
mod profiles;
mod served;
