//! A client for NetSuite's REST web services.

mod account;
mod auth;
mod client;
mod clock;
mod error;
mod invalid;
mod records;
mod request;
mod response;
mod transport;

pub use account::AccountId;
pub use auth::{Algorithm, Auth, OAuth2};
pub use client::{Client, ClientBuilder};
pub use clock::{Clock, SystemClock};
pub use error::{Class, Detail, Error, Place};
pub use http::{Method, StatusCode};
pub use invalid::Invalid;
pub use records::{ExternalId, Lines, RecordId, RecordKey, RecordType, Records, View};
pub use request::{MAX_BODY_BYTES, Request, Service};
pub use response::Response;
pub use secrecy::SecretString;
pub use transport::{Transport, TransportError};
pub use url::Url;
