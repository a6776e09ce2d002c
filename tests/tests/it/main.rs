//! The whole path, on a local AWS with the real Lambda binaries, the real template and the
//! real deploy.
//!
//! One binary, because every scenario needs a local AWS: the scenarios of one process share
//! one, and the AWS SDK is linked once. Each deploys a stack and a NetSuite sandbox of its
//! own, so that none sees another's calls.
//!
//! The scenarios need the binaries and the Python environment that `cargo xtask test` makes.
//! Without them they fail and say so: a test that silently skips cannot fail.

mod arrows;
mod bad_input;
mod enqueuing;
mod faults;
mod guard;
mod hard_world;
mod kills;
mod local_aws;
mod lost_answers;
mod own_workflows;
mod priorities;
mod rig;
mod rings;
mod setup;
mod tap;
mod traps;
mod urgent;
mod vectors;
