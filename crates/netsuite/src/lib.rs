#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! * [`Client`] and [`ClientBuilder`]: an account, credentials, time-outs, limits. Clones share
//!   their connections, their access token and their limits; make one for an account and clone it.
//! * [`Auth`]: OAuth 2.0 machine-to-machine with [`OAuth2`]; OAuth 1.0a with `Tba` behind the
//!   feature `tba`.
//! * [`Records`]: read, create, upsert, update, delete, transform, attach; [`Lines`] guards the
//!   sublists; [`List`] gives the ids of all records or of those that pass a filter.
//! * [`Error`] and its [`Class`]: what became of a request, with the table of how an answer tells.
//! * [`SuiteQl`]: queries with bound values, their rows as a stream, beyond 100,000 rows by
//!   [`keyset`](SuiteQl::keyset).
//! * [`Restlet`], [`Job`] (asynchronous requests and batches), the metadata catalogue and the
//!   server's time as methods of [`Client`].
//! * [`Request`] and [`Client::send`]: the door for all that has no method of its own.
//! * [`Retry`], [`ClientBuilder::max_in_flight`], [`ClientBuilder::pace`]: limits inside one
//!   process, each off until asked for.
//! * [`Transport`] and [`Clock`]: what the client needs of the world. A test or a simulation
//!   replaces both, and then no socket and no clock of the computer's is touched.
//!
//! # What it does not do
//!
//! No SOAP (it ends with release 2028.2). No model of each record type: an account's fields are
//! its own, so bodies are your serde types or JSON values. No background task, except the one that
//! keeps a [`pace`](ClientBuilder::pace). No redirect is followed.

#![warn(clippy::must_use_candidate, clippy::return_self_not_must_use)]

mod account;
mod auth;
mod class;
mod client;
mod clock;
mod error;
mod ids;
mod invalid;
mod jobs;
mod limits;
mod list;
mod logins;
mod paging;
mod records;
mod request;
mod response;
mod restlet;
mod said;
mod suiteql;
mod system;
mod transport;

pub use account::AccountId;
#[cfg(feature = "tba")]
pub use auth::Tba;
pub use auth::{Algorithm, Auth, OAuth2};
pub use class::Class;
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, SystemClock};
pub use error::Error;
pub use http::{Method, StatusCode};
pub use ids::{ExternalId, RecordId, RecordKey, RecordType};
pub use invalid::Invalid;
pub use jobs::{IdempotencyKey, Job, MAX_BATCH, Poll, Progress};
pub use limits::Retry;
pub use list::{List, quoted};
pub use paging::{MAX_ROWS, Page};
pub use records::{Lines, Records, View};
pub use request::{MAX_BODY_BYTES, Request, Service};
pub use response::{Created, Response};
pub use restlet::Restlet;
pub use said::{Detail, Place};
pub use secrecy::SecretString;
pub use suiteql::{Param, SuiteQl};
pub use transport::{Transport, TransportError};
pub use url::Url;
