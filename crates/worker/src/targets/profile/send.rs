//! Sends a request, and reads the answer up to a cap.

use std::time::Duration;

use reqwest::{Client, Response};
use slowlane_lambda::logs::chain;
use slowlane_profile::{Answer, Body, MAX_PARSED_BYTES, Method, Request};
use tokio::time::timeout;

use super::client::Wire;

/// How much of an answer's body is read, unpacked. It is four times what a workflow's state holds
/// (256 KiB), because white space and escapes go when JSON is written anew.
pub const MAX_BODY_BYTES: usize = MAX_PARSED_BYTES;
/// How long the body of an answer that is no success is waited for. Its status is known already, and
/// a slot is held.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// What came of sending a request.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is soon taken apart")]
pub(super) enum Sent {
    /// An answer came.
    Answered(Received),
    /// No connection came about, so nothing was sent.
    NoConnection(String),
    /// No answer came, or the body of a success broke off.
    Lost {
        /// In words.
        why: String,
        /// The status, if that came.
        status: Option<u16>,
    },
}

/// An answer, and how large it is.
pub(super) struct Received {
    pub(super) answer: Answer,
    /// How many bytes its body has at least, if they are more than were read.
    pub(super) too_large_bytes: Option<u64>,
    /// What of the body was not read, if it was a success and is larger than was read.
    pub(super) rest: Option<Response>,
}

pub(super) async fn send(wire: &Wire, request: Request) -> Sent {
    match wire {
        Wire::Http(client) => send_over_http(client, request).await,
        Wire::Carried(carrier) => match carrier(request).await {
            Some(answer) => Sent::Answered(Received { answer, too_large_bytes: None, rest: None }),
            None => Sent::Lost { why: "the connection broke".to_owned(), status: None },
        },
    }
}

async fn send_over_http(client: &Client, request: Request) -> Sent {
    let mut sent = reqwest::Request::new(method(request.method), request.url);
    *sent.headers_mut() = request.headers;
    if !request.body.is_empty() {
        *sent.body_mut() = Some(request.body.into());
    }
    match client.execute(sent).await {
        Ok(response) => receive(response).await,
        Err(error) if error.is_connect() => Sent::NoConnection(chain(&error.without_url())),
        Err(error) => Sent::Lost { why: chain(&error.without_url()), status: None },
    }
}

async fn receive(mut response: Response) -> Sent {
    let status = response.status();
    let mut answer = Answer::new(status.as_u16(), response.headers().clone(), Vec::new());
    let announced = response.content_length().unwrap_or(0);
    let mut bytes = Vec::new();
    let read = read(&mut response, &mut bytes);
    let end = if status.is_success() {
        match read.await {
            Ok(end) => end,
            Err(error) => {
                let why = chain(&error.without_url());
                let why = format!("the API answered {status}, and its body broke off: {why}");
                return Sent::Lost { why, status: Some(status.as_u16()) };
            }
        }
    } else {
        match timeout(REFUSAL_WAIT, read).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) | Err(_) => End::BrokenOff,
        }
    };
    let too_large_bytes = (end == End::Capped).then(|| announced.max(bytes.len() as u64));
    answer.body = if end == End::Whole { Body::Whole(bytes) } else { Body::Start(bytes) };
    let rest = (end == End::Capped && status.is_success()).then_some(response);
    Sent::Answered(Received { answer, too_large_bytes, rest })
}

/// How the reading of a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Capped,
    BrokenOff,
}

/// Reads a body up to the cap, unpacked, and one piece more.
async fn read(response: &mut Response, bytes: &mut Vec<u8>) -> Result<End, reqwest::Error> {
    while let Some(piece) = response.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_BODY_BYTES {
            return Ok(End::Capped);
        }
    }
    Ok(End::Whole)
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
