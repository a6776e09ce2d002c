#![doc = include_str!("../README.md")]
#![warn(clippy::missing_errors_doc)]

mod budget;
#[cfg(feature = "dynamodb")]
mod item;
#[cfg(feature = "dynamodb")]
mod meter;
mod money;
mod period;
mod prices;
#[cfg(feature = "dynamodb")]
mod table;
mod used;

pub use budget::{Budget, Budgets, Error as BudgetError, Every, Exceeded, Most};
#[cfg(feature = "dynamodb")]
pub use meter::Meter;
pub use money::{BadMoney, Money};
pub use period::{BadPeriod, Period};
pub use prices::{Price, Prices};
#[cfg(feature = "dynamodb")]
pub use table::{Error, Usage, UsageTable, WriterId};
pub use used::{Tally, Tokens, Used};
