#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod chat;
mod check;
mod deployment;
mod fallback;
mod file;
mod profiles;
pub mod schema;
mod starter;
mod usage;

pub use check::{is_name, is_region};
pub use deployment::{Deployment, UnknownStage};
pub use file::{Config, NETSUITE, Stage, Target, WorkerKind, is_path};
pub use slowlane_limiter::{Limit, LimitError, Limits, Measure, Scope};
pub use slowlane_metering::{Budget, BudgetError, Budgets, Every, Most, Prices};
pub use slowlane_profile::chat::SecondProvider;
pub use starter::{Api, Starter};
