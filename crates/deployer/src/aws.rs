//! An AWS request that failed, with the request's name and what it was about.

use aws_smithy_types::error::display::DisplayErrorContext;
use std::error::Error as StdError;

/// A failed AWS request. Its message ends with the whole chain of causes, because the SDK's own
/// message is only "service error" or "dispatch failure".
#[derive(Debug, thiserror::Error)]
#[error("{call} for {about}: {}", DisplayErrorContext(.cause.as_ref()))]
pub struct Error {
    /// The request, written as IAM writes it: `s3:PutObject`.
    pub call: &'static str,
    /// The bucket, key, stack or function.
    pub about: String,
    cause: Box<dyn StdError + Send + Sync>,
}

/// For `map_err`: names the request that failed.
pub(crate) fn failed<E: StdError + Send + Sync + 'static>(
    call: &'static str,
    about: impl Into<String>,
) -> impl FnOnce(E) -> Error {
    move |cause| Error { call, about: about.into(), cause: Box::new(cause) }
}
