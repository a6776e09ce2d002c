//! What an answer means.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::{LimitKind, SeenLimit, Usage};

/// What became of a call that was answered. Every answer has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was executed.
    Succeeded,
    /// Some of its parts were executed and some were refused. The body says which. It must not be
    /// made again as a whole.
    PartlySucceeded,
    /// The API took it and is still at work. Its end is asked for under
    /// [`follow`](Verdict::follow).
    Running,
    /// It was refused for what it says, and will be refused again. Not executed.
    Rejected,
    /// It was refused because what it would make or change is so already, perhaps by an earlier
    /// attempt of the same call.
    AlreadyExists,
    /// It was refused because of the credentials. Not executed.
    Unauthorized,
    /// It was not executed because a limit is reached: which one is the [`LimitKind`].
    Throttled,
    /// This attempt did nothing: an earlier one with the same idempotency key is still at work.
    InFlight,
    /// It was not executed, and may be if it is tried again.
    Transient,
    /// It may have been executed.
    Unknown,
}

/// What has to be fetched anew before the call is made again, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renew {
    /// The access token, or the secret.
    Credentials,
    /// What the call before the call of this name gave.
    PreCall(String),
}

/// Why the outcome is what it is. It holds no text of the API's but its error code, since error
/// texts hold customer data. So it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// In words, from the profile.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// The API's own code, if it looks like one: up to 64 letters, digits, `_`, `-`, `.`, `/`.
    pub code: Option<String>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {}", self.message, self.status)?;
        match &self.code {
            Some(code) => write!(f, ", {code})"),
            None => f.write_str(")"),
        }
    }
}

/// All that an answer says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What became of the call.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// How long the API asks to wait, if it does: at most [`LONGEST_WAIT`](crate::LONGEST_WAIT).
    pub wait: Option<Duration>,
    /// Which limit is reached. It stands with [`Outcome::Throttled`], and only there.
    pub kind: Option<LimitKind>,
    /// The id of the record that was made, or that was there already.
    pub id: Option<String>,
    /// What the answer says of the API's limits.
    pub limits: Vec<SeenLimit>,
    /// What the call has used of limits that count more than calls.
    pub usage: Option<Usage>,
    /// What has to be fetched anew first.
    pub renew: Option<Renew>,
    /// The resource to GET for the end of a call that is [`Outcome::Running`].
    pub follow: Option<String>,
}
