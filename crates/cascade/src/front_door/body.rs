//! The JSON that a request brings.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::http::{Body, Request};
use crate::call;

/// Why a request's body is no call.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCall {
    #[error("the body is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the body is not text in base64, as its sender says")]
    NotBase64,
    #[error(transparent)]
    Call(#[from] call::Error),
}

pub(super) fn body(request: &Request) -> Result<Value, BadCall> {
    match request.body() {
        Body::Text(text) => Ok(serde_json::from_str(text)?),
        Body::Base64(text) => {
            let bytes = BASE64_STANDARD.decode(text).map_err(|_| BadCall::NotBase64)?;
            Ok(serde_json::from_slice(&bytes)?)
        }
    }
}
