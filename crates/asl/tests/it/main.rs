//! The machines of this repository, and the checks on broken ones.
#![cfg_attr(test, expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod behavior;
mod broken;
mod bulk;
mod contract;
mod evaluate;
mod histories;
mod machines;
mod public;
mod variables;
