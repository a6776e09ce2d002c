//! The whole path, on a local AWS with the real Lambda binaries, the real template and the real
//! deploy.
//!
//! Each scenario deploys a stack and a NetSuite sandbox of its own ([`setup`]), so that none sees
//! another's calls.
//!
//! The scenarios need the binaries and the Python environment that `cargo xtask test` makes.
//! Without them they fail and say so: a test that silently skips cannot fail.

mod bad_input;
mod cascade;
mod enqueuing;
mod example_machines;
mod faults;
mod files;
mod guard;
mod judges;
mod kills;
mod live_limits;
mod lost_answers;
mod marked;
mod operations;
mod own_workflows;
mod pause;
mod priorities;
mod readme_tables;
mod reviews;
mod rollback;
mod rotated;
mod second_provider;
mod server;
mod setup;
mod shared_name;
mod switch;
mod tap;
mod tenants;
mod usage;
mod vectors;
mod vendors;
