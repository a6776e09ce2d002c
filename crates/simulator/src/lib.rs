//! The real enqueuer and worker on a simulated AWS, in virtual time.
//!
//! What an article says about queues, limits and lost work is a belief. Here it is measured:
//! the programs that would be deployed run unchanged on [`slowlane_aws_simulator`]. One seed gives
//! one history, to the last event.
//!
//! - [`run`]: a [`scenario`], run; its [`ledger`] holds what must always hold.
//! - [`programs`]: the real enqueuer and worker as functions; [`api`]: the API behind them.
//! - [`faults`]: what goes wrong: the cloud's faults, the API's and those of people.
//! - [`narrator`]: a run, told event by event.
//! - [`bench`](mod@bench): the comparison of strategies; [`bars`]: what the default promises.
//! - [`chaos`]: random scenarios with all faults, and how a failing one is made small.

pub mod api;
pub mod bars;
pub mod bench;
pub mod chaos;
mod docs;
pub mod faults;
pub mod ledger;
pub mod narrator;
pub mod parallel;
mod plain_doorbell;
pub mod plots;
pub mod programs;
pub mod report;
pub mod run;
pub mod scenario;
pub mod strategies;
