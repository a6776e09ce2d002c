//! Lambda's API, which speaks REST and not AWS JSON.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::reply::{Reply, read};
use crate::cloud::State;

/// The function that a request invokes asynchronously, if that is what it is.
pub(super) fn invoked(request: &HttpRequest) -> Option<&str> {
    let path = request.uri().split_once("/2015-03-31/functions/")?.1;
    let function = path.strip_suffix("/invocations")?;
    (request.headers().get("x-amz-invocation-type") == Some("Event")).then_some(function)
}

/// Takes an event for a function: 202, and no body.
pub(super) fn take(state: &mut State, function: &str, body: &[u8]) -> Reply {
    state.events.take(function, read(body));
    Reply { status: 202, body: Vec::new() }
}
