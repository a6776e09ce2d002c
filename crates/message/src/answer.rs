//! The answer of a call that succeeded: what its workflow gets, and what the guard stores for
//! later runs under the same key.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The API's answer to a call that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetResponse {
    /// The HTTP status.
    pub status: u16,
    /// The id of the record, where the API named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The body, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Of a call that was several in one: some were executed, and some were not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partly_succeeded: bool,
    /// Of a call that was several in one: what became of each, in the answer's order, where the
    /// answer says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The API took the call and is still at work: the resource to GET for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<String>,
    /// The model that has answered in the place of the one that the call asked for, which was over its
    /// limit or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_model: Option<String>,
    /// The provider of that model, by the name of its profile, where it is another than the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_provider: Option<String>,
    /// The body was too large to be read to its end, and had at least this many bytes. Instead of
    /// a result, the workflow gets the error `Slowlane.ResultTooLarge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large_bytes: Option<u64>,
    /// The body lies in a file, since it is too large for a workflow's state or no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<AnswerFile>,
    /// Why the body, which belongs into a file, lies in none. The call was executed all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_file: Option<String>,
    /// Units that the call counted for at the API, where that is known. They settle what was kept free
    /// for it, and are neither stored nor told.
    #[serde(skip)]
    pub units: Option<u64>,
    /// What the call has used of a model, where the answer says it. It is counted where the deployment
    /// counts usage, and is neither stored nor told.
    #[serde(skip)]
    pub usage: Option<Usage>,
    /// What the answer says is left of the API's limits. It holds all slots before the API refuses, and
    /// is neither stored nor told.
    #[serde(skip)]
    pub left: Vec<Left>,
}

impl TargetResponse {
    /// An answer that has nothing but its status.
    pub fn new(status: u16) -> Self {
        TargetResponse {
            status,
            id: None,
            body: None,
            partly_succeeded: false,
            parts: Vec::new(),
            follow: None,
            fallback_model: None,
            fallback_provider: None,
            too_large_bytes: None,
            file: None,
            no_file: None,
            units: None,
            usage: None,
            left: Vec::new(),
        }
    }
}

/// Where the body of an answer lies. It is the pointer that another call may have as its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFile {
    /// `s3://BUCKET/KEY`.
    pub s3: String,
    /// What S3 calls this content by.
    pub etag: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// What the API says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// What a call has used of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model, as the call named it. Empty if it named none.
    pub model: String,
    /// Tokens that it read, those of the vendor's cache among them.
    pub input: u64,
    /// Of these, the tokens that came from the vendor's cache.
    pub cached: u64,
    /// Of `input`, the tokens that were put into the vendor's cache.
    pub cache_written: u64,
    /// Tokens that it wrote.
    pub output: u64,
}

/// What an answer says is left of one of the API's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// What the limit counts.
    pub counted: Counted,
    /// So much of it is left.
    pub left: u64,
    /// Of so much, if it says so.
    pub of: Option<u64>,
    /// In how long all of it is there again.
    pub resets_in: Duration,
    /// Whether it comes back bit by bit until then, and not all at once.
    pub evenly: bool,
}

/// What a limit of the API's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Calls in seconds or minutes.
    Calls,
    /// Calls in a day or longer.
    CallsOfDay,
    /// Units: so many for each call, as many as it counted for.
    Units {
        /// Units of the call that was answered.
        of_call: u64,
    },
}

/// What became of one part of a call that was several in one. What it answered stands in the whole
/// answer's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, where it has one. Parts without one go by their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What became of it.
    pub outcome: PartOutcome,
    /// Its HTTP status; 0 if it has none.
    pub status: u16,
    /// The API's own error code, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The id of its record, where the API named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOutcome {
    /// It was executed.
    Succeeded,
    /// The API is still at work on it.
    Running,
    /// It was refused for what it says.
    Rejected,
    /// It was refused because what it would make is there already.
    AlreadyExists,
    /// It was refused because of the credentials.
    Unauthorized,
    /// It was not executed, since a limit is reached.
    Throttled,
    /// It was not executed, and may be if it is tried again.
    Transient,
    /// It may have been executed.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_was_stored_is_read_again() {
        let full = TargetResponse {
            id: Some("1001".to_owned()),
            body: Some(json!({"memo": "hi"})),
            ..TargetResponse::new(201)
        };
        let stored = json!({"status": 201, "id": "1001", "body": {"memo": "hi"}});
        assert_eq!(serde_json::to_value(&full).unwrap(), stored);
        assert_eq!(serde_json::from_value::<TargetResponse>(stored).unwrap(), full);
        let several = TargetResponse {
            partly_succeeded: true,
            parts: vec![Part {
                reference: Some("line-2".to_owned()),
                outcome: PartOutcome::AlreadyExists,
                status: 400,
                code: Some("DUPLICATE".to_owned()),
                id: None,
            }],
            follow: Some("jobs/7".to_owned()),
            ..TargetResponse::new(200)
        };
        let stored = json!({
            "status": 200,
            "partly_succeeded": true,
            "parts": [{
                "reference": "line-2",
                "outcome": "already_exists",
                "status": 400,
                "code": "DUPLICATE",
            }],
            "follow": "jobs/7",
        });
        assert_eq!(serde_json::to_value(&several).unwrap(), stored);
        assert_eq!(serde_json::from_value::<TargetResponse>(stored).unwrap(), several);
        let least = serde_json::to_value(TargetResponse::new(204)).unwrap();
        assert_eq!(least, json!({"status": 204}));
    }
}
