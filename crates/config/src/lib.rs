#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod check;
mod deployment;
mod file;
mod limit;
pub mod schema;
mod starter;

pub use deployment::{Deployment, UnknownStage};
pub use file::{Config, Stage, Target, WorkerKind};
pub use limit::{Limit, Measure, Scope};
pub use starter::starter;
