//! What an answer means: its status, its body up to a cap, and what may be told of it.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use slowlane_lambda::clock::Clock;
use slowlane_policy::settle::{Outcome, Why};
use tokio::time::timeout;

use super::chain;
use crate::target::TargetResponse;

/// How much of an answer's body is read, unpacked: four times what a workflow's state holds (256
/// KiB). White space and escapes go when JSON is written anew.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How much of a refusal's body is read. A problem's code stands in less.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// How long a refusal's body is waited for. Its status is known already, and a slot is held.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// What about a call decides what its answer means.
pub(super) struct Asked {
    /// It changes nothing at the API.
    pub(super) reads: bool,
    /// It brought an idempotency key, so that 409 says "the first call with it is still at work".
    pub(super) conflict_is_in_flight: bool,
}

/// Names what became of a call that was answered.
pub(super) async fn outcome(
    response: Response,
    asked: &Asked,
    clock: &Clock,
) -> Outcome<TargetResponse> {
    let status = response.status();
    if status.is_success() {
        return success(response).await;
    }
    let retry_after = retry_after(response.headers(), clock);
    let throttled = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => retry_after.is_some(),
        _ => false,
    };
    if throttled {
        return Outcome::Throttled { retry_after };
    }
    let why = refusal(response).await;
    if status == StatusCode::CONFLICT && asked.conflict_is_in_flight {
        return Outcome::InFlight { retry_after, why };
    }
    meaning(status, asked)(why)
}

/// The outcome that a status other than success stands for.
fn meaning(status: StatusCode, asked: &Asked) -> fn(Why) -> Outcome<TargetResponse> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Outcome::Unauthorized,
        StatusCode::TOO_EARLY => Outcome::Transient,
        StatusCode::REQUEST_TIMEOUT => Outcome::Unknown,
        // These two ask for the same call elsewhere. The others may be how a server says "done,
        // and here is what to look at".
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => Outcome::Rejected,
        _ if status.is_redirection() && asked.reads => Outcome::Rejected,
        _ if status.is_client_error() => Outcome::Rejected,
        _ => Outcome::Unknown,
    }
}

async fn success(mut response: Response) -> Outcome<TargetResponse> {
    let status = response.status();
    let media_type = media_type(response.headers());
    let located = located_id(&response);
    let mut answer = TargetResponse::new(status.as_u16());
    match read(&mut response, MAX_BODY_BYTES).await {
        Ok(Body::Whole(bytes)) => {
            answer.body = value(&bytes, media_type.as_deref());
            let parsed = answer.body.as_ref().is_some_and(Value::is_object);
            answer.id = parsed.then(|| id_in(&bytes)).flatten().or(located);
        }
        Ok(Body::TooLarge { start, at_least }) => {
            answer.too_large_bytes = Some(at_least);
            answer.id = id_in(&start).or(located);
        }
        Err(error) => {
            let lost = chain(error.without_url());
            return Outcome::Unknown(Why {
                message: format!("the API answered {status}, and its body broke off: {lost}"),
                status: Some(status.as_u16()),
                code: None,
            });
        }
    }
    Outcome::Succeeded(answer)
}

/// What may be told of an answer that is no success.
async fn refusal(mut response: Response) -> Why {
    let status = response.status();
    let media_type = media_type(response.headers());
    let body = timeout(REFUSAL_WAIT, read(&mut response, MAX_REFUSAL_BYTES)).await;
    let (length, problem) = match &body {
        Ok(Ok(Body::Whole(bytes))) => {
            (format!("{} bytes", bytes.len()), serde_json::from_slice(bytes).unwrap_or_default())
        }
        Ok(Ok(Body::TooLarge { at_least, .. })) => {
            (format!("{at_least} bytes or more"), Value::Null)
        }
        Ok(Err(_)) | Err(_) => ("a body that broke off".to_owned(), Value::Null),
    };
    let described = [media_type.as_deref(), Some(&length)].into_iter().flatten();
    let described = described.collect::<Vec<_>>().join(", ");
    let mut message = format!("the API answered {status} ({described})");
    if media_type.as_deref() == Some("application/problem+json") {
        for text in [kind(&problem), title(&problem)].into_iter().flatten() {
            message = format!("{message}: {text}");
        }
    }
    if status.is_redirection() {
        message += ": redirects are not followed, so the API must be called where it is";
    }
    Why { message, status: Some(status.as_u16()), code: code(&problem) }
}

/// A problem's type: a URI, of which a query could hold more than a name.
fn kind(problem: &Value) -> Option<String> {
    let uri = problem["type"].as_str()?.split(['?', '#']).next()?;
    let fits =
        !uri.is_empty() && uri.len() <= 200 && uri.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| uri.to_owned())
}

fn title(problem: &Value) -> Option<String> {
    let title: String =
        problem["title"].as_str()?.chars().filter(|c| !c.is_control()).take(100).collect();
    (!title.is_empty()).then_some(title)
}

/// The API's own code for its refusal, if it looks like a code and not like a sentence.
fn code(problem: &Value) -> Option<String> {
    let fits = |code: &str| {
        let mut bytes = code.bytes();
        (1..=64).contains(&code.len())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let codes = [&problem["code"], &problem["error"]["code"]].into_iter().filter_map(|code| {
        code.as_str().map(str::to_owned).or_else(|| code.as_u64().map(|code| code.to_string()))
    });
    codes.into_iter().find(|code| fits(code))
}

/// How long the API asks to wait: seconds, or until a date (RFC 9110, 10.2.3). A date is compared
/// with the API's own clock if it tells it.
fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let given = text(headers, RETRY_AFTER)?;
    if let Ok(seconds) = given.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(given).ok()?;
    let date = text(headers, DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = date.unwrap_or_else(|| clock.system_time());
    Some(until.duration_since(now).unwrap_or_default())
}

/// The media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let essence = text(headers, CONTENT_TYPE)?.split(';').next()?.trim().to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte);
    (essence.len() <= 100 && essence.bytes().all(fits)).then_some(essence)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// What was read of a body.
enum Body {
    Whole(Vec<u8>),
    /// It is longer than was asked for: what was read of it, and how long it is at least.
    TooLarge {
        start: Vec<u8>,
        at_least: u64,
    },
}

/// Reads a body up to `cap` bytes, unpacked, and one piece more.
async fn read(response: &mut Response, cap: usize) -> Result<Body, reqwest::Error> {
    let announced = response.content_length().unwrap_or(0);
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > cap {
            let at_least = announced.max(bytes.len() as u64);
            return Ok(Body::TooLarge { start: bytes, at_least });
        }
    }
    Ok(Body::Whole(bytes))
}

/// A body as a workflow gets it.
fn value(bytes: &[u8], media_type: Option<&str>) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    let declared = media_type.is_some_and(|of| of == "application/json" || of.ends_with("+json"));
    // A number or a word may be text that only looks like JSON: `0017`, `null`.
    let looks_so = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
    let parsed = (declared || looks_so).then(|| serde_json::from_slice(bytes).ok()).flatten();
    parsed.or_else(|| Some(Value::from(String::from_utf8_lossy(bytes))))
}

/// The last segment of the answer's `Location`.
fn located_id(response: &Response) -> Option<String> {
    let location = text(response.headers(), LOCATION)?;
    let url = response.url().join(location).ok()?;
    let last = url.path_segments()?.rfind(|segment| !segment.is_empty())?;
    Some(percent_decode_str(last).decode_utf8_lossy().into_owned())
}

/// The `id` at the root of a JSON object of which the end may be missing.
fn id_in(bytes: &[u8]) -> Option<String> {
    let mut id = None;
    // Where the object breaks off, the id has been seen or there is none.
    let _ = serde_json::Deserializer::from_slice(bytes).deserialize_map(IdVisitor(&mut id));
    id
}

struct IdVisitor<'a>(&'a mut Option<String>);

impl<'de> Visitor<'de> for IdVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "id" {
                *self.0 = id_text(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An id as it stands in its JSON, so that no digit of a long number is lost.
fn id_text(raw: &RawValue) -> Option<String> {
    let raw = raw.get();
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok().filter(|id: &String| !id.is_empty()),
        b'-' | b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}
