//! A deterministic AWS in virtual time, for Rust Lambdas.

pub mod chance;
pub mod clients;
pub mod cloud;
pub mod faults;
pub mod time;
pub mod transcript;
pub mod vectors;
mod wire;
