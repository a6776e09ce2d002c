//! Why a message was refused.

use jiff::Timestamp;

use crate::{InvalidValue, SchemaVersion};

/// Why a message cannot be read or written. No variant holds a token or customer data. `Display`
/// says everything, so there is no source: it would only repeat a part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not JSON at all.
    #[error("the message is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// The message is JSON, but not an object.
    #[error("the message is not a JSON object but {found}")]
    NotAnObject {
        /// The JSON type of the message.
        found: &'static str,
    },
    /// The version is well-formed, but of a major version that this reader does not know.
    #[error("version {found} is not supported: this reader knows {}.0 and its newer minor versions", known.major)]
    UnsupportedVersion {
        /// The version in the message.
        found: SchemaVersion,
        /// The version of this reader.
        known: SchemaVersion,
    },
    /// A field that this version does not have.
    #[error("unknown field `{path}`")]
    UnknownField {
        /// The field's path, for instance `request.verb`.
        path: String,
    },
    /// A required field is absent or `null`.
    #[error("field `{path}` is missing: expected {expected}")]
    Missing {
        /// The field's path.
        path: String,
        /// What should have been there.
        expected: &'static str,
    },
    /// A field is of the wrong type or its value is out of bounds.
    #[error("field `{path}`: {reason}")]
    Invalid {
        /// The field's path.
        path: String,
        /// What was expected and what was there.
        reason: InvalidValue,
    },
    /// The deadline had passed before the call was put on its queue.
    #[error("field `deadline`: {deadline} is before the time of enqueueing, {enqueued_at}")]
    DeadlineBeforeEnqueue {
        /// The deadline of the call.
        deadline: Timestamp,
        /// When the call was, or would be, put on its queue.
        enqueued_at: Timestamp,
    },
    /// The message does not fit into one SQS message.
    #[error("the message has {size} bytes and SQS takes at most {limit}: shorten `request.body`")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
