//! An AWS request that failed, with the request's name and what it was about.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error as StdError;

/// A failed AWS request.
#[derive(Debug, thiserror::Error)]
#[error("{call} for {about}: {reason}")]
pub struct Error {
    /// The request, written as IAM writes it: `s3:PutObject`.
    pub call: &'static str,
    /// The bucket, key, stack or function.
    pub about: String,
    /// The service's code and message; what kept the request from the service if it has none.
    pub reason: String,
    cause: Box<dyn StdError + Send + Sync>,
}

/// For `map_err`: names the request that failed.
pub(crate) fn failed<E: ProvideErrorMetadata + StdError + Send + Sync + 'static>(
    call: &'static str,
    about: impl Into<String>,
) -> impl FnOnce(E) -> Error {
    move |cause| {
        let reason = match (cause.code(), cause.message()) {
            (Some(code), Some(message)) => format!("{message} ({code})"),
            (Some(code), None) => code.into(),
            (None, _) => chain(&cause),
        };
        Error { call, about: about.into(), reason, cause: Box::new(cause) }
    }
}

/// The SDK's own message is only "dispatch failure": what happened is in its sources.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
