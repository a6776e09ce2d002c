//! A NetSuite to test against: it governs, forgets answers and refuses like the real one,
//! and then reports what it saw.
//!
//! Code that writes into NetSuite fails in ways that a mock never shows. It gets a 429 although it
//! kept its own limit. An order was saved although the answer never came. A token runs out
//! half-way. A repeated update adds sublist lines twice. This crate is a server that does these
//! things on demand, from a seed, and keeps count.
//!
//! # The parts
//!
//! * [`Sandbox`] is the core, that of `slowlane-sandbox` with [`NetSuite`]: a state machine without
//!   a clock, a socket, a thread or a random generator of its own. `now` is an argument of every
//!   call, and all chance comes from one seed. So a run can be repeated exactly, and a simulator
//!   can drive it in virtual time.
//! * [`serve`] puts the core behind a socket. The binary of this crate is [`serve`] with flags.
//! * [`DemoKey`] makes a key pair, so that no secret need be checked in anywhere.
//!
//! # The core by hand
//!
//! A request that gets a permit is admitted and is told when to come back; every other request
//! is answered at once.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use slowlane_netsuite_sandbox::{Begun, Finished, Latency, Sandbox, Settings};
//!
//! let mut sandbox = Sandbox::new(Settings {
//!     limit: 1,
//!     latency: Latency::Fixed(Duration::from_millis(200)),
//!     open: true,
//!     ..Settings::default()
//! });
//! let order = || {
//!     http::Request::put("/services/rest/record/v1/salesOrder/eid:order-1")
//!         .body(Bytes::from(r#"{"entity":{"id":"7"},"item":{"items":[{"item":{"id":"3"},"quantity":2}]}}"#))
//!         .unwrap()
//! };
//! let now = Duration::from_secs(1_800_000_000);
//!
//! let Begun::Admitted(first) = sandbox.begin(order(), now) else { panic!("there was a permit") };
//! assert_eq!(first.finish_at(), now + Duration::from_millis(200));
//! let Begun::Answer(refused) = sandbox.begin(order(), now) else { panic!("there was none left") };
//! assert_eq!(refused.status(), 429);
//!
//! let end = first.finish_at();
//! let Finished::Answer(answer) = sandbox.finish(first, end) else { panic!("no fault was asked for") };
//! assert_eq!(answer.status(), 204);
//! assert_eq!(sandbox.report().records_created, 1);
//! ```
//!
//! What is Oracle's documented behaviour and what is assumed is listed in the crate's README.

mod account;
mod catalog;
mod credentials;
mod jobs;
mod key;
mod netsuite;
mod oauth2;
mod paging;
mod problem;
mod query;
mod records;
mod restlet;
mod route;
mod schema;
mod suiteql;
mod tba;

pub use credentials::{Credentials, DemoKey};
pub use key::{KeyError, KeyKind, PublicKey};
pub use netsuite::{NetSuite, Settings};
pub use records::Seed;
pub use slowlane_sandbox::{
    CallReport, Clock, Fault, FaultKind, Latency, ParseFaultError, ParseLatencyError,
    ParseRateError, Rate, Report, Request, Response, Stats, Which, serve,
};
pub use tba::TbaCredentials;

/// A NetSuite account behind its governance, without a clock and without a socket.
pub type Sandbox = slowlane_sandbox::Sandbox<NetSuite>;

/// What became of a request at once.
pub type Begun = slowlane_sandbox::Begun<NetSuite>;

/// A call that holds a permit.
pub type Admitted = slowlane_sandbox::Admitted<NetSuite>;

/// What the caller of a finished call sees.
pub type Finished = slowlane_sandbox::Finished<NetSuite>;
