//! A client for NetSuite's REST web services.

mod account;
mod auth;
mod client;
mod clock;
mod error;
mod invalid;
mod jobs;
mod limits;
mod records;
mod request;
mod response;
mod restlet;
mod suiteql;
mod system;
mod transport;

pub use account::AccountId;
#[cfg(feature = "tba")]
pub use auth::Tba;
pub use auth::{Algorithm, Auth, OAuth2};
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, SystemClock};
pub use error::{Class, Detail, Error, Place};
pub use http::{Method, StatusCode};
pub use invalid::Invalid;
pub use jobs::{IdempotencyKey, Job, MAX_BATCH, Poll, Progress};
pub use limits::Retry;
pub use records::{ExternalId, Lines, RecordId, RecordKey, RecordType, Records, View};
pub use request::{MAX_BODY_BYTES, Request, Service};
pub use response::Response;
pub use restlet::Restlet;
pub use secrecy::SecretString;
pub use suiteql::{MAX_ROWS, Page, Param, SuiteQl};
pub use transport::{Transport, TransportError};
pub use url::Url;
