//! A call to an API, tried by up to three callers one after the other, and the front door for
//! whoever waits for its answer.
//!
//! ```text
//! somebody ──HTTP──▶ front door ──/now───▶ retry-cascade (Express): caller, caller, caller
//!                        └───────/later──▶ throttled-call: the queues
//! ```
//!
//! 1. [`FrontDoor`] is the Lambda behind a function URL. It reads a [`call`], and refuses a bad one
//!    with what is wrong. `/now` answers with the API's own answer; `/later` at once with an id.
//! 2. The machine `retry-cascade` tries the call by one [`Caller`] after the other until one is
//!    answered with a success (2xx).
//! 3. [`Caller`] is a Lambda that makes one call and says what the API answered. It is deployed
//!    three times, each with an environment and an address of its own.
//!
//! A cascade has no limit, no turn and no guard: `docs/cascade.md` says when it is enough.

pub mod call;
mod caller;
mod front_door;

pub use caller::{Answer, Caller, Config, Error, MAX_BODY_BYTES};
pub use front_door::{FrontDoor, Machines, Request, Response};
