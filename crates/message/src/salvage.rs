//! Finds out whom to tell about a message that cannot be read.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::TaskToken;

/// Finds the task token in a body that [`QueuedCall::parse`](crate::QueuedCall::parse) refused,
/// so that a malformed message can still fail the workflow that waits for it.
///
/// Only a top-level `task_token` of a JSON object counts, because a token inside a request's body
/// could be somebody else's. The rest of the object may be anything. After the token, the text may
/// break off or stop being JSON.
pub fn salvage_token(body: &str) -> Option<TaskToken> {
    let mut token = None;
    // If the text breaks off, the error comes only after what was found before the break.
    let _ = serde_json::Deserializer::from_str(body).deserialize_map(TopLevel(&mut token));
    token
}

struct TopLevel<'a>(&'a mut Option<TaskToken>);

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "task_token" {
                *self.0 = map.next_value::<String>()?.parse().ok();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_where_it_must_be_and_nowhere_else() {
        for (body, found) in [
            (r#"{"version":"9.0","task_token":"tok"}"#, Some("tok")),
            (r#"{"a":[{}],"task_token":"t\u006fk","priority":7}"#, Some("tok")),
            (r#"{"task_token":"tok","request":{"method":"PU"#, Some("tok")),
            (r#"{"task_token":"tok" nonsense"#, Some("tok")),
            (r#"{"task_token":"to"#, None),
            (r#"{"task_token":""}"#, None),
            (r#"{"task_token":7}"#, None),
            (r#"{"request":{"body":{"task_token":"other"}}}"#, None),
            (r#"{"request":{"body":{"task_token":"other"#, None),
            (r#"[{"task_token":"tok"}]"#, None),
            (r#""task_token""#, None),
            ("task_token: tok", None),
            ("", None),
        ] {
            let token = salvage_token(body);
            assert_eq!(token.as_ref().map(TaskToken::as_str), found, "{body}");
        }
    }

    #[test]
    fn a_token_beyond_the_limit_is_not_worth_a_call() {
        let body = format!(r#"{{"task_token":"{}"}}"#, "x".repeat(2_049));
        assert_eq!(salvage_token(&body), None);
    }
}
