//! Every decision of Slowlane, without the doing.
//!
//! Nothing here waits, sends, reads a clock or draws a random number. The time is an argument:
//! `now`, an age, or a duration measured elsewhere. So is randomness: `unit`, a number in `[0, 1)`.
//! The worker asks, does what it is told, and asks again. So each rule can be tested by itself, and
//! each bound that the documentation promises is a property test beside it.
//!
//! # A call's way through the decisions
//!
//! ```text
//!             doorbell                     deferral
//! who runs    wake::allowance
//! which call  dispatch::poll_order         deferral::look_higher
//!             prefetch::ServiceTimes
//!                        \                 /
//! the call                 target API -> settle::Outcome
//! what then                settle::settle -> settle::Settlement
//! ```
//!
//! - [`dispatch`]: a slot of the doorbell wiring polls HIGH, NORMAL, BATCH; every k-th turn it
//!   serves a lower queue first, so that no call starves. [`dispatch::longest_wait`] is the bound.
//! - [`prefetch`]: when, during a call, to fetch the next one, and how long it may be held.
//! - [`wake`]: how many other slots a slot wakes, where the limit is higher than the number of
//!   pollers that a mapping begins with.
//! - [`deferral`]: a worker woken by a call of a lower queue runs it or makes room for a higher
//!   one. After `max_deferrals` receives or past `max_wait` it runs regardless.
//! - [`settle`]: what becomes of a call after the API answered, or did not.
//! - [`tenants`]: when a call goes whose tenant has a limit of its own, and how urgent ones overtake.
//! - [`timing`]: every time-out and receive count of the deployment, derived from the few that
//!   are chosen.
//!
//! # Seconds
//!
//! SQS counts visibility and delay in whole seconds. Every delay that ends up there is given in
//! whole seconds, at least one, so that what was decided is what happens.
//!
//! # Random tests
//!
//! A failing property test prints its smallest failing case and writes its seed to
//! `proptest-regressions/`, where the next run replays it first. `PROPTEST_RNG_SEED=n` repeats a
//! whole run and `PROPTEST_CASES=n` sets its length.

pub mod deferral;
pub mod dispatch;
mod jitter;
pub mod prefetch;
pub mod settle;
pub mod slot;
pub mod tenants;
pub mod timing;
pub mod wake;
