//! All integration tests in one binary, because each binary links the AWS SDK anew.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod own_worker;
mod profile;
mod readme;
mod server;
