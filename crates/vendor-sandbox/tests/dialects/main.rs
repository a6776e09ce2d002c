//! The sandboxes over real sockets, and by hand.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod bedrock;
mod clients;
mod core;
mod dataverse;
mod keys;
mod odata;
mod profiles;
mod served;
