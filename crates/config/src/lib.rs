#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod check;
mod deployment;
mod file;
pub mod schema;
mod starter;
mod usage;

pub use check::{is_name, is_region};
pub use deployment::{Deployment, UnknownStage};
pub use file::{Config, NETSUITE, Stage, Target, WorkerKind, is_path};
pub use slowlane_limiter::{Limit, LimitError, Limits, Measure, Scope};
pub use slowlane_metering::{Budget, BudgetError, Budgets, Every, Most, Prices};
pub use starter::{Api, Starter};
