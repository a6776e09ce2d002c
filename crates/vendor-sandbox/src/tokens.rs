//! Access tokens: given for a client's credentials, good for a time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use base64::Engine as _;
use serde_json::Value;

use crate::asked::Asked;

/// The grant of a signed assertion (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The tokens that were given, and until when each is good.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, Duration>);

impl Tokens {
    pub(crate) fn give(&mut self, until: Duration, rng: &mut fastrand::Rng) -> String {
        let token: String = std::iter::repeat_with(|| rng.alphanumeric()).take(32).collect();
        self.0.insert(token.clone(), until);
        token
    }

    pub(crate) fn are_good(&self, token: &str, now: Duration) -> bool {
        self.0.get(token).is_some_and(|until| now < *until)
    }
}

/// Whether a request for a token brings what it takes.
pub(crate) fn may_have_one(asked: &Asked, credentials: &BTreeMap<String, String>) -> bool {
    let holds = |field: &str, given: &str| credentials.get(field).is_some_and(|had| had == given);
    let (id, secret) = match asked.basic() {
        Some(client) => client,
        None => {
            let text = |pointer| asked.text(pointer).unwrap_or_default().to_owned();
            (text("/client_id"), text("/client_secret"))
        }
    };
    let is_client = holds("client_id", &id) && holds("client_secret", &secret);
    match asked.text("/grant_type") {
        Some("client_credentials") => is_client,
        Some("refresh_token") => {
            is_client
                && asked.text("/refresh_token").is_some_and(|token| holds("refresh_token", token))
        }
        Some(JWT_BEARER) => asked.text("/assertion").and_then(claims).is_some_and(|claims| {
            let claims =
                |name: &str, field| claims[name].as_str().is_some_and(|text| holds(field, text));
            claims("iss", "client_id") && claims("sub", "username")
        }),
        _ => false,
    }
}

/// The claims of an assertion. Its signature is not looked at.
fn claims(assertion: &str) -> Option<Value> {
    let mut parts = assertion.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice(&bytes).ok()
}
