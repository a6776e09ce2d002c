//! The target that runs a profile, against real sockets.

mod auth;
mod before;
mod body;
mod chat;
mod ends;
mod fallback;
mod files;
mod hostile;
mod http;
mod parameter;
mod recovery;
mod second;
mod secrecy;

use serde_json::{Value, json};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{Outcome, Why};
use slowlane_worker::TargetResponse;
use slowlane_worker::profile::{Base, Profile, shipped};
use slowlane_worker::reqwest::Url;
use slowlane_worker::targets::profile::{Builder, ProfiledApi};

const CREDENTIAL: &str = "secret-credential";

fn base(url: &Url) -> Base {
    Base::parse(url.as_str()).unwrap()
}

/// The target of a profile, which is asked by nobody else's proxy.
fn of(profile: Profile, url: &Url) -> Builder {
    ProfiledApi::builder(profile, base(url)).client(|client| client.no_proxy())
}

/// An API of which nothing is known.
fn builder(url: &Url) -> Builder {
    keyed_by_its_header(shipped::get("http").unwrap(), url)
}

fn keyed_by_its_header(profile: Profile, url: &Url) -> Builder {
    of(profile, url).auth("header").secret(json!({ "api_key": CREDENTIAL }).to_string())
}

fn plain(url: Url) -> ProfiledApi {
    builder(&url).build().unwrap()
}

/// The profile `http` with a change in its text.
fn changed(change: impl Fn(&str) -> String) -> Profile {
    let (_, text) = shipped::FILES.into_iter().find(|(name, _)| *name == "http").unwrap();
    let new = change(text);
    assert_ne!(new, text, "the change changes nothing");
    Profile::parse(&new).unwrap()
}

/// HTTP with an idempotency key, which makes every call repeatable.
fn with_key(text: &str) -> String {
    let key = "[idempotency]\nheader = \"idempotency-key\"\n\n[auth.header]";
    let text = text.replacen("[auth.header]", key, 1);
    let repeat = "[[after_loss]]\nwith_key = true\nrepeat = {}\n\n[[after_loss]]";
    text.replacen("[[after_loss]]", repeat, 1)
}

fn keyed(url: Url) -> ProfiledApi {
    keyed_by_its_header(changed(with_key), &url).build().unwrap()
}

fn call(method: &str, resource: &str, body: Option<Value>) -> QueuedCall {
    let mut request = json!({ "method": method, "resource": resource });
    if let Some(body) = body {
        request["body"] = body;
    }
    queued(request)
}

fn queued(request: Value) -> QueuedCall {
    let call = json!({
        "version": "1.2",
        "task_token": "token",
        "priority": "HIGH",
        "idempotency_key": "order-1",
        "request": request,
        "enqueued_at": "2026-11-01T00:00:00Z",
        "deadline": "2026-11-02T00:00:00Z",
    });
    QueuedCall::parse(&call.to_string()).unwrap()
}

fn post() -> QueuedCall {
    call("POST", "orders", Some(json!({ "total": 1 })))
}

fn get() -> QueuedCall {
    call("GET", "orders/1", None)
}

fn succeeded(outcome: Outcome<TargetResponse>) -> TargetResponse {
    let Outcome::Succeeded(response) = outcome else { panic!("{outcome:?}") };
    response
}

fn name(outcome: &Outcome<TargetResponse>) -> &'static str {
    match outcome {
        Outcome::Succeeded(_) => "succeeded",
        Outcome::Rejected(_) => "rejected",
        Outcome::AlreadyExists(_) => "already exists",
        Outcome::Unauthorized(_) => "unauthorized",
        Outcome::Throttled { .. } => "throttled",
        Outcome::InFlight { .. } => "in flight",
        Outcome::Transient(_) => "transient",
        Outcome::Unknown(_) => "unknown",
    }
}

fn why(outcome: Outcome<TargetResponse>) -> Why {
    match outcome {
        Outcome::Rejected(why)
        | Outcome::AlreadyExists(why)
        | Outcome::Unauthorized(why)
        | Outcome::InFlight { why, .. }
        | Outcome::Transient(why)
        | Outcome::Unknown(why) => why,
        Outcome::Succeeded(_) | Outcome::Throttled { .. } => panic!("{outcome:?}"),
    }
}
