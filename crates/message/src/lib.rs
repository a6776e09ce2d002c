//! What travels between a workflow, the enqueuer and the worker, and nothing else.
//!
//! A state machine pauses with a task token and hands an [`EnqueueRequest`] to the enqueuer.
//! The enqueuer puts a [`QueuedCall`] on the queue of its [`Priority`]. A worker reads it back:
//!
//! ```
//! use std::time::Duration;
//! use jiff::Timestamp;
//! use slowlane_message::{EnqueueRequest, QueuedCall};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let request = EnqueueRequest::from_json(&serde_json::json!({
//!     "version": "1.4",
//!     "task_token": "AQCEAAAAKgAAAAMAAAAA",
//!     "priority": "HIGH",
//!     "idempotency_key": "order-123",
//!     "request": {"method": "PUT", "resource": "salesOrder/eid:order-123", "body": {"memo": "hi"}},
//! }))?;
//! let now: Timestamp = "2026-11-21T11:00:00.123Z".parse()?;
//! let queued = request.into_queued(now, Duration::from_secs(3600));
//! let body = queued.to_body()?;
//! assert_eq!(QueuedCall::parse(&body)?, queued);
//! # Ok(())
//! # }
//! ```
//!
//! # Versions
//!
//! Every message says `"version": "MAJOR.MINOR"`; this crate writes [`SchemaVersion::CURRENT`].
//!
//! | A reader of 1.4 gets | and |
//! |---|---|
//! | 1.0 to 1.4 | takes every field it knows; any other field is an error that names its path |
//! | a newer minor, 1.7 | reads the fields it knows and ignores the others |
//! | another major, 2.0 | refuses with [`Error::UnsupportedVersion`] |
//!
//! So a minor version may only add optional fields. A change that alters or removes a field, or
//! that no reader may ignore, needs a new major version. Deploy readers (the worker) before writers.
//!
//! 1.1 added `at_most_once`. A reader of 1.0 sends calls without it that a reader of 1.1 refuses.
//! 1.2 added `execution`, which names a call's workflow in the logs, and a request's `headers` and
//! `content`. An older worker sends such a request without its headers and as JSON.
//! 1.3 added `units`. An older worker keeps no limit that counts them.
//! 1.4 added the contents `multipart`, `binary`, and `chat`: a question to a model in the common form. An
//! older reader refuses such a call by the field's name, and sends nothing.
//!
//! # Limits
//!
//! | What | Limit | Whose |
//! |---|---|---|
//! | task token | [`TaskToken::MAX_CHARS`] | Step Functions |
//! | message | [`QueuedCall::MAX_BODY_BYTES`] | SQS |
//! | idempotency key | [`IdempotencyKey::MAX_CHARS`], no control characters | ours |
//! | tenant | [`TENANT_MAX_CHARS`] visible ASCII characters | SQS: it is sent as the message group id |
//! | deadline | ten days ahead, which the enqueuer checks | ours: the queues keep a call only a little longer |
//! | resource, trace header, execution | [`RESOURCE_MAX_CHARS`], [`TRACE_HEADER_MAX_CHARS`], [`EXECUTION_MAX_CHARS`] | ours |
//! | units | 1 to 4,294,967,295 | ours |
//! | a request's headers | 20, names of 64 characters, values of 2,048 | ours |
//!
//! The same limits stand in the JSON Schemas ([`schema`]), which are checked in under `schema/`.
//!
//! # What does not leave this crate
//!
//! `Debug` prints no content of a [`TaskToken`] or of a request's body. No error repeats a value
//! that could be a token or customer data. So all of them may be logged.

mod answer;
mod described;
mod envelope;
mod error;
mod invalid;
mod priority;
mod reader;
mod request;
mod ring;
mod salvage;
pub mod schema;
mod text;
mod version;
mod wiring;

pub use answer::{AnswerFile, Counted, Left, Part, PartOutcome, TargetResponse, Usage};
pub use envelope::{EnqueueRequest, QueuedCall};
pub use error::Error;
pub use invalid::InvalidValue;
pub use priority::Priority;
pub use request::{Content, Method, TargetRequest};
pub use ring::Ring;
pub use salvage::salvage_token;
pub use text::{
    EXECUTION_MAX_CHARS, IdempotencyKey, RESOURCE_MAX_CHARS, TENANT_MAX_CHARS,
    TRACE_HEADER_MAX_CHARS, TaskToken, is_execution, is_trace_header, trace_id, trace_parent,
};
pub use version::SchemaVersion;
pub use wiring::Wiring;
