//! Bodies that are files in S3: those of calls, and those of answers.

use std::io::{self, Write as _};

use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use slowlane_message::{AnswerFile, Content, QueuedCall, TargetRequest};
use slowlane_profile::{Answer, Body, File};
use tempfile::NamedTempFile;

use crate::aws::files::Files;
use crate::aws::signed;
use crate::aws::task_callback::{MAX_OUTPUT_BYTES, output_bytes};
use crate::target::TargetResponse;

/// The largest answer that becomes a file. It is written to `/tmp` first, of which the function has 512 MB.
pub const MAX_KEPT_BYTES: u64 = 100 * 1024 * 1024;

/// What the body of a call is whose content is `binary`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pointer {
    pub(super) s3: String,
    pub(super) etag: String,
    content_type: Option<String>,
}

/// The pointer that a call has in the place of its body.
pub(super) fn pointer(request: &TargetRequest) -> Option<Pointer> {
    let body = request.body.as_ref().filter(|_| request.content == Some(Content::Binary))?;
    Pointer::deserialize(body).ok()
}

/// The file that a call names, still without its bytes.
pub(super) fn named(request: &TargetRequest) -> Option<File> {
    let of = pointer(request)?.content_type;
    let content_type = match of {
        Some(of) => HeaderValue::from_str(&of).ok()?,
        None => HeaderValue::from_static("application/octet-stream"),
    };
    Some(File { content_type, bytes: Default::default() })
}

/// The body of an answer that belongs into a file.
pub(super) struct Unheld {
    start: Vec<u8>,
    /// What of it is not read yet.
    rest: Option<Response>,
    content_type: Option<String>,
}

/// What of an answer belongs into a file: a body that no workflow's state holds, or that is no text.
pub(super) fn unheld(
    response: &TargetResponse,
    answer: Answer,
    rest: Option<Response>,
) -> Option<Unheld> {
    let content_type = answer.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|of| of.to_str().ok()).map(str::to_owned);
    let (start, fits) = match answer.body {
        Body::Whole(bytes) => {
            let fits = str::from_utf8(&bytes).is_ok()
                && output_bytes(&json!(response)) <= MAX_OUTPUT_BYTES;
            (bytes, fits)
        }
        Body::Start(bytes) => (bytes, rest.is_none()),
    };
    (!fits).then_some(Unheld { start, rest, content_type })
}

/// Why the body of an answer is in no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    #[error("it has at least {0} bytes, and {MAX_KEPT_BYTES} are kept at most")]
    TooLarge(u64),
    #[error("its body broke off")]
    BrokeOff(#[source] reqwest::Error),
    #[error("it could not be written to /tmp")]
    Disk(#[from] io::Error),
    #[error("it could not be read from /tmp")]
    Stream(#[from] aws_smithy_types::byte_stream::error::Error),
    #[error("S3 did not take it")]
    S3(#[from] signed::Error),
    #[error("there was no time to write it to S3")]
    TooLate,
}

/// The name of an answer's file. It says nothing of the call, and no other call has it.
pub(super) fn name(queued: &QueuedCall) -> String {
    let of = json!([queued.scope(), queued.idempotency_key.as_str()]).to_string();
    format!("answers/{:x}", Sha256::digest(of))
}

/// Puts a body into a file.
pub(super) async fn keep(files: &Files, name: &str, unheld: Unheld) -> Result<AnswerFile, NotKept> {
    let Unheld { start, rest, content_type } = unheld;
    // Of a body whose start was read, a response tells what is left.
    let left = rest.as_ref().and_then(Response::content_length).unwrap_or(0);
    let announced = left.saturating_add(start.len() as u64);
    if announced > MAX_KEPT_BYTES {
        return Err(NotKept::TooLarge(announced));
    }
    let mut spool = Spool::new()?;
    spool.write(&start)?;
    drop(start);
    if let Some(mut rest) = rest {
        while let Some(piece) = rest.chunk().await.map_err(broke_off)? {
            spool.write(&piece)?;
        }
    }
    let Spool { file, digest, bytes } = spool;
    let digest = BASE64_STANDARD.encode(digest.finalize());
    let content = ByteStream::read_from().path(file.path()).build().await?.into_inner();
    let put = files.put(name, content_type.as_deref(), &digest, content).await?;
    Ok(AnswerFile { s3: put.s3, etag: put.etag, bytes, content_type })
}

fn broke_off(error: reqwest::Error) -> NotKept {
    NotKept::BrokeOff(error.without_url())
}

/// A file on the disk, which goes with this.
struct Spool {
    file: NamedTempFile,
    digest: Sha256,
    bytes: u64,
}

impl Spool {
    fn new() -> io::Result<Self> {
        Ok(Spool { file: NamedTempFile::new()?, digest: Sha256::new(), bytes: 0 })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), NotKept> {
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_KEPT_BYTES {
            return Err(NotKept::TooLarge(self.bytes));
        }
        self.digest.update(piece);
        Ok(self.file.write_all(piece)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use slowlane_message::Method;

    use super::*;

    fn request(content: Option<Content>, body: Value) -> TargetRequest {
        TargetRequest { content, body: Some(body), ..TargetRequest::new(Method::Post, "documents") }
    }

    #[test]
    fn a_call_names_a_file_by_a_pointer_and_by_nothing_else() {
        let binary = Some(Content::Binary);
        let whole = json!({ "s3": "s3://b/k", "etag": "\"1\"", "content_type": "application/pdf" });
        for (content, body, of) in [
            (binary, whole.clone(), Some("application/pdf")),
            (binary, json!({ "s3": "s3://b/k", "etag": "1" }), Some("application/octet-stream")),
            (binary, json!({ "s3": "s3://b/k" }), None),
            (binary, json!({ "s3": "s3://b/k", "etag": "1", "acl": "public" }), None),
            (binary, json!({ "s3": "s3://b/k", "etag": "1", "content_type": "a\r\nb: c" }), None),
            (binary, json!("s3://b/k"), None),
            (Some(Content::Json), whole.clone(), None),
            (None, whole, None),
        ] {
            let file = named(&request(content, body.clone()));
            let found = file.as_ref().map(|file| file.content_type.to_str().unwrap());
            assert_eq!(found, of, "{body}");
        }
    }

    #[test]
    fn what_a_state_holds_is_in_no_file() {
        let answer =
            |body: Body| Answer { body, ..Answer::new(200, Default::default(), Vec::<u8>::new()) };
        let of = |body: Vec<u8>| {
            let answer = answer(Body::Whole(body));
            let response = TargetResponse { body: answer.value(), ..TargetResponse::new(200) };
            unheld(&response, answer, None).is_some()
        };
        // With `{"status":200,"body":"…"}` and the word that it is no replay.
        let room = MAX_OUTPUT_BYTES - r#"{"body":"","status":200,"replayed":false}"#.len();
        assert!(!of(Vec::new()));
        assert!(!of("ä".into()));
        assert!(!of(vec![b'x'; room]));
        assert!(of(vec![b'x'; room + 1]));
        assert!(of(vec![b'"'; room / 2 + 1]), "each is two characters in JSON");
        assert!(of(b"%PDF-1.7 \xff".to_vec()));
        // It broke off, so there is nothing whole to keep.
        let response = TargetResponse::new(200);
        assert!(unheld(&response, answer(Body::Start(vec![0xff])), None).is_none());
    }

    #[test]
    fn a_spool_ends_at_its_cap() {
        let mut spool = Spool::new().unwrap();
        let piece = vec![0; 1024 * 1024];
        for _ in 0..MAX_KEPT_BYTES / piece.len() as u64 {
            spool.write(&piece).unwrap();
        }
        let Err(NotKept::TooLarge(bytes)) = spool.write(b"x") else { panic!("it is full") };
        assert_eq!(bytes, MAX_KEPT_BYTES + 1);
        assert_eq!(spool.file.path().metadata().unwrap().len(), MAX_KEPT_BYTES);
    }

    #[test]
    fn no_two_calls_have_one_file() {
        let queued = |tenant: Option<&str>, key: &str| {
            let call = json!({
                "version": "1.4", "task_token": "token", "priority": "HIGH",
                "idempotency_key": key, "tenant": tenant,
                "request": { "method": "GET", "resource": "x" },
                "enqueued_at": "2026-11-01T00:00:00Z", "deadline": "2026-11-02T00:00:00Z",
            });
            name(&QueuedCall::parse(&call.to_string()).unwrap())
        };
        let names = [
            queued(None, "a"),
            queued(None, "b"),
            queued(Some("t"), "a"),
            queued(Some("t-a"), "x"),
            queued(Some("t"), "a-x"),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names[0].starts_with("answers/") && names[0].len() == "answers/".len() + 64);
    }
}
