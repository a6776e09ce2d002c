//! A deterministic cloud in virtual time that runs the real enqueuer and worker.
//!
//! What an article says about queues, limits and lost work is a belief. Here it is measured:
//! the programs that would be deployed run unchanged, through the AWS SDK's HTTP client, against
//! SQS, event source mappings, Lambda, Step Functions and DynamoDB as AWS documents them, on a
//! clock that jumps to the next thing that happens. One seed gives one history, to the last event.
//!
//! - [`run`]: a [`scenario`], run; its [`ledger`] holds what must always hold.
//! - [`programs`]: the real enqueuer and worker as functions; [`api`]: the API behind them.
//! - [`cloud`]: the services. Each is a pure core; what is not documented is a parameter with a
//!   range ([`cloud::parameters`]).
//! - `wire`: their HTTP front, behind [`cloud::Cloud::sdk`].
//! - [`faults`]: what goes wrong, how often.
//! - [`transcript`]: what happened, hashed and watched; [`narrator`]: the same for people.
//! - [`time`], [`chance`]: the only clock and the only dice.
//! - [`bench`](mod@bench): the comparison of strategies; [`bars`]: what the default promises.
//! - [`chaos`]: random scenarios with all faults, and how a failing one is made small.
//! - [`vectors`]: dialogues that this cloud and other servers must answer alike.
//!
//! Time has a grain of one millisecond, that of tokio's timers. The runtime must be tokio's
//! current-thread one with paused time: one thread, so that there is one order of events.

pub mod api;
pub mod bars;
pub mod bench;
pub mod chance;
pub mod chaos;
pub mod cloud;
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
pub mod time;
pub mod transcript;
pub mod vectors;
mod wire;
