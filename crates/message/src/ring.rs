//! What a ring of the doorbell says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::SchemaVersion;

/// A ring: "look". It names no call, since whoever it wakes looks for the most urgent one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The slot that it wakes rings again, until then. So a deployment that has changed its wiring
    /// also finds the calls that were hidden at that moment.
    pub again_until: Option<Timestamp>,
    /// The call that it is sent for is hidden until then. Who gets it before sends it on: a queue
    /// delays a message by a quarter of an hour at most.
    pub not_before: Option<Timestamp>,
}

/// A ring that says nothing more.
const PLAIN: &str = "ring";

#[derive(Serialize, Deserialize)]
struct Body {
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
}

impl Ring {
    /// A ring for a call that is hidden until then.
    pub fn not_before(moment: Timestamp) -> Ring {
        Ring { not_before: Some(moment), ..Ring::default() }
    }

    /// The body of the message.
    pub fn to_body(&self) -> String {
        // A worker that does not know `not_before` rings again until then, which is as good.
        let Some(again_until) = self.again_until.or(self.not_before) else {
            return PLAIN.to_owned();
        };
        let mut body = serde_json::json!({
            "version": SchemaVersion::CURRENT.to_string(),
            "again_until": format!("{again_until:.3}"),
        });
        if let Some(not_before) = self.not_before {
            body["not_before"] = format!("{not_before:.3}").into();
        }
        body.to_string()
    }

    /// Reads the body of a message. A body that makes no sense is a plain ring: every ring says
    /// "look", and none is refused.
    pub fn parse(body: &str) -> Ring {
        let body: Option<Body> = serde_json::from_str(body).ok();
        let Some(Body { again_until, not_before, .. }) = body else { return Ring::default() };
        Ring { again_until: again_until.filter(|_| not_before.is_none()), not_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_read_as_it_is_written() {
        let plain = Ring::default();
        assert_eq!(plain.to_body(), "ring");
        let at = "2026-11-25T12:00:00.250Z".parse().unwrap();
        let again = Ring { again_until: Some(at), ..Ring::default() };
        let body = again.to_body();
        assert_eq!(body, r#"{"again_until":"2026-11-25T12:00:00.250Z","version":"1.4"}"#);
        let later = Ring::not_before(at);
        // The older field is for workers that know only that.
        let body = later.to_body();
        assert!(body.starts_with(r#"{"again_until":"2026-11-25T12:00:00.250Z","not_before":"#));
        for ring in [plain, again, later] {
            assert_eq!(Ring::parse(&ring.to_body()), ring);
        }
    }

    #[test]
    fn whatever_lies_on_the_doorbell_is_a_ring() {
        for body in ["", "ring", "{}", "null", r#"{"version":"9.0","louder":true}"#] {
            assert_eq!(Ring::parse(body), Ring::default(), "{body}");
        }
        let later = r#"{"version":"2.0","again_until":"2026-11-25T12:00:00Z","louder":true}"#;
        assert!(Ring::parse(later).again_until.is_some());
    }
}
