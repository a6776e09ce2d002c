//! The real enqueuer and worker on a simulated AWS, in virtual time.
//!
//! What an article says about queues, limits and lost work is a belief. Here it is measured:
//! the programs that would be deployed run unchanged on [`slowlane_aws_simulator`]. One seed gives
//! one history, to the last event.
//!
//! - [`run`] runs a [`scenario`]. Its [`ledger`] watches what must always hold, and [`promises`]
//!   what is promised of limits, pauses, outages and tenants.
//! - [`programs`]: the real enqueuer and worker as functions, by their [`names`]; [`api`]: the API
//!   behind them, which enforces limits as real ones do; [`vendor`]: a vendor's in its place.
//! - [`figures`]: what a run comes to; [`usage`]: the oracle of what the API would have taken.
//! - [`metered`]: what calls are told to have used, and what is counted of it.
//! - [`faults`]: what goes wrong: the cloud's faults, the API's and those of people.
//! - [`monitor`]: what CloudWatch would be told of it.
//! - [`narrator`]: a run, told event by event.
//! - [`strategies`]: other ways for a workflow to reach the API, to compare with.
//! - [`studies`]: what many runs tell: the [comparison](studies::bench), the
//!   [promises](studies::bars) and the [random scenarios](studies::chaos).

pub mod api;
pub mod faults;
pub mod figures;
mod invariant;
pub mod ledger;
pub mod metered;
pub mod monitor;
pub mod names;
pub mod narrator;
mod plain_doorbell;
pub mod programs;
pub mod promises;
pub mod report;
pub mod run;
pub mod scenario;
pub mod strategies;
pub mod studies;
pub mod usage;
pub mod vendor;
