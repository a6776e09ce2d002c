//! The client's rules, each against a server that is a closure. One binary, because linking the
//! HTTP stack is what takes the time.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what serves it")]

mod checks;
mod errors;
mod limits;
mod others;
mod readme;
mod records;
mod secrets;
mod sending;
mod signing;
mod suiteql;
mod support;
mod tokens;
mod wire;
