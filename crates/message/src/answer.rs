//! The answer of a call that succeeded: what its workflow gets, and what the guard stores for
//! later runs under the same key.

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
    /// The body was too large to be read to its end, and had at least this many bytes. Instead of
    /// a result, the workflow gets the error `Slowlane.ResultTooLarge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large_bytes: Option<u64>,
}

impl TargetResponse {
    /// An answer that has nothing but its status.
    pub fn new(status: u16) -> Self {
        TargetResponse { status, id: None, body: None, too_large_bytes: None }
    }
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
        let least = serde_json::to_value(TargetResponse::new(204)).unwrap();
        assert_eq!(least, json!({"status": 204}));
    }
}
