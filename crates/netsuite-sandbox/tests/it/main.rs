//! The sandbox over a real socket, and its core under random loads. One binary, because linking
//! each file by itself costs more than running all of them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod core;
mod faults;
mod governance;
mod jobs;
mod program;
mod python;
mod queries;
mod records;
mod restlets;
mod sign_in;
