//! What of a call, and of its answer, lies in files.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::json;
use slowlane_lambda::logs::chain;
use slowlane_message::QueuedCall;
use slowlane_policy::settle::Outcome;
use slowlane_profile::{Call, File};
use tokio::time::{Instant, timeout, timeout_at};

use super::ProfiledApi;
use super::file::{NotKept, Pointer, Unheld, keep, name, pointer};
use crate::aws::files::NoFile;
use crate::aws::task_callback::{MAX_OUTPUT_BYTES, output_bytes};
use crate::target::TargetResponse;

/// The largest file that a call sends. It is held in memory, of which the function has 256 MB.
pub const MAX_SENT_BYTES: usize = 50 * 1024 * 1024;
/// So much earlier than the worker's patience ends that of the writing of an answer: the call was executed,
/// and this must be told.
const MARGIN: Duration = Duration::from_secs(1);

impl ProfiledApi {
    /// The call with the bytes of the file that it names. An error is what became of the call, which was
    /// not sent.
    pub(super) async fn with_its_file<'a>(
        &self,
        queued: &QueuedCall,
        call: &'a Call,
        until: Instant,
    ) -> Result<Cow<'a, Call>, Outcome<TargetResponse>> {
        let (Some(Pointer { s3, etag, .. }), Some(file)) = (pointer(&queued.request), &call.file)
        else {
            return Ok(Cow::Borrowed(call));
        };
        let Some(files) = &self.files else {
            let why = "this deployment has no `files`, so a call's body cannot be one";
            return Err(Outcome::Rejected(why.into()));
        };
        // The API is to have its time too.
        let longest = until.saturating_duration_since(Instant::now()) / 2;
        let got = timeout(longest, files.get(&s3, &etag, MAX_SENT_BYTES)).await;
        let late = |_| NoFile::NotNow(format!("S3 did not give the call's file in {longest:?}"));
        match got.map_err(late).flatten() {
            Ok(bytes) => {
                let file = File { bytes: bytes.into(), ..file.clone() };
                let mut call = call.clone();
                call.file = Some(file);
                Ok(Cow::Owned(call))
            }
            Err(NoFile::Never(why)) => Err(Outcome::Rejected(why.into())),
            Err(NoFile::NotNow(why)) => Err(Outcome::Transient(why.into())),
        }
    }

    /// The answer with its body in a file, if it belongs there. The call was executed, so that nothing that
    /// goes wrong here makes another of it.
    pub(super) async fn with_its_body_kept(
        &self,
        queued: &QueuedCall,
        response: TargetResponse,
        unheld: Option<Unheld>,
        until: Instant,
    ) -> TargetResponse {
        let (Some(files), Some(unheld)) = (&self.files, unheld) else { return response };
        let told = TargetResponse { body: None, too_large_bytes: None, ..response };
        let end = until.checked_sub(MARGIN).unwrap_or(until);
        let kept = timeout_at(end, keep(files, &name(queued), unheld)).await;
        let kept = kept.unwrap_or(Err(NotKept::TooLate));
        let told = match kept {
            Ok(file) => TargetResponse { file: Some(file), ..told },
            Err(NotKept::TooLarge(bytes)) => {
                TargetResponse { too_large_bytes: Some(bytes), ..told }
            }
            Err(why) => {
                tracing::warn!(
                    idempotency_key = queued.idempotency_key.as_str(),
                    error = chain(&why),
                    "the workflow gets an answer without its body"
                );
                TargetResponse { no_file: Some(chain(&why)), ..told }
            }
        };
        match output_bytes(&json!(told)) <= MAX_OUTPUT_BYTES {
            true => told,
            false => TargetResponse { parts: Vec::new(), ..told },
        }
    }
}
