//! Step Functions in AWS JSON 1.0: the callbacks.

use std::borrow::Cow;

use serde::Deserialize;

use super::reply::{Reply, read};
use crate::cloud::State;
use crate::cloud::parameters::Unconfirmed;
use crate::cloud::requests::Action;
use crate::cloud::tokens::{Ended, Error, Token};
use crate::time::Moment;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Callback<'a> {
    #[serde(borrow)]
    task_token: Cow<'a, str>,
    #[serde(borrow, default)]
    output: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Cow<'a, str>,
    #[serde(borrow, default)]
    cause: Cow<'a, str>,
}

pub(super) fn answer(state: &mut State, action: Action, body: &[u8], now: Moment) -> Reply {
    let callback: Callback<'_> = read(body);
    let done = callback.task_token.parse().and_then(|token: Token| match action {
        Action::SendTaskHeartbeat => heartbeat(state, token),
        Action::SendTaskSuccess => {
            state.end_task(token, Ended::Succeeded(callback.output.into()), now)
        }
        _ => {
            let (error, cause) = (callback.error.into(), callback.cause.into());
            state.end_task(token, Ended::Failed { error, cause }, now)
        }
    });
    match done {
        Ok(()) => Reply::empty(),
        Err(error) => Reply::refused(name(error), &error.to_string()),
    }
}

fn heartbeat(state: &mut State, token: Token) -> Result<(), Error> {
    let beat = state.tokens.heartbeat(token);
    let tells = state.parameters().get(Unconfirmed::HeartbeatTells) >= 0.5;
    match beat {
        Err(Error::TaskTimedOut) if !tells => Ok(()),
        beat => beat,
    }
}

fn name(error: Error) -> &'static str {
    match error {
        Error::TaskDoesNotExist => "TaskDoesNotExist",
        Error::TaskTimedOut => "TaskTimedOut",
        Error::InvalidToken => "InvalidToken",
        Error::InvalidOutput => "InvalidOutput",
        Error::ValidationException => "ValidationException",
    }
}
