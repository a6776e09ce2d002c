//! The sandbox over a real socket. One binary, because linking each file by itself costs more
//! than running all of them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod faults;
mod governance;
mod sign_in;
