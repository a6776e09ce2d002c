//! The features with which everything is built on this machine.
//!
//! cargo builds a crate with all features that anything in the build asks of it. So a build of the
//! demo's programs and one of the tests would compile the same crates twice, and everything above them:
//! minutes of a fresh clone. `cargo xtask` names this package in each build beside the programs. A
//! Lambda is built for a deploy without it.
//!
//! It has no code. A test of `xtask` says which feature is missing in its `Cargo.toml`.
