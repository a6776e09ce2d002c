//! An API as its sandbox needs to know it.

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};

use crate::{Measure, Remaining, Request, Response};

/// A test API: what its requests mean, and what it holds.
///
/// The sandbox around it holds calls to a limit, lets faults strike them and keeps count. `now` is
/// the time since the Unix epoch and never goes back.
pub trait Api: std::fmt::Debug + Send + 'static {
    /// What a call remembers of the API from its start to its end, such as the version of the
    /// record that it changes.
    type Start: std::fmt::Debug + Send + 'static;

    /// The header that carries a call's idempotency key, in lower case.
    const IDEMPOTENCY_HEADER: &'static str = "idempotency-key";

    /// The largest body that is read, in bytes.
    const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

    /// Answers a request that is no call: it needs no permit and is not counted, like one for an
    /// access token. None of them by default.
    fn answer_uncounted(
        &mut self,
        _request: &Request,
        _now: Duration,
        _rng: &mut fastrand::Rng,
    ) -> Option<Response> {
        None
    }

    /// Refuses a call that is not signed in. All are good by default.
    ///
    /// # Errors
    /// The answer to a call whose sign-in is not good.
    fn authenticate(&mut self, _request: &Request, _now: Duration) -> Result<(), Box<Response>> {
        Ok(())
    }

    /// Whether a repeat of the request could have a second effect. By default, what is neither GET
    /// nor HEAD.
    fn is_write(&self, request: &Request) -> bool {
        !matches!(*request.method(), Method::GET | Method::HEAD)
    }

    /// What a request weighs where a rate counts more than calls ([`Measure::Units`]): tokens, points.
    /// By default 1.
    fn units(&self, _request: &Request) -> u64 {
        1
    }

    /// Begins a call that has got its permit and would take `takes`; returns how long it does take.
    fn start(
        &mut self,
        request: &Request,
        takes: Duration,
        now: Duration,
    ) -> (Self::Start, Duration);

    /// Does what a call asks for, at its end.
    fn execute(
        &mut self,
        request: &Request,
        start: Self::Start,
        now: Duration,
    ) -> (Response, Effect);

    /// Ends a call whose answer a fault replaces, and that was executed if `commits`. By default it is
    /// [`Api::execute`] for the effect alone, and [`Api::refuse`] for the answer.
    fn fail(
        &mut self,
        request: &Request,
        start: Self::Start,
        refusal: Refusal,
        commits: bool,
        now: Duration,
    ) -> (Response, Effect) {
        let effect = match commits {
            true => self.execute(request, start, now).1,
            false => Effect::default(),
        };
        (self.refuse(request, refusal), effect)
    }

    /// Writes onto an answer what the API says of its limits. Nothing by default.
    fn stamp(&self, _response: &mut Response, _limits: &[Remaining], _now: Duration) {}

    /// The answer to a request that was not executed, or whose answer a fault replaces. By default
    /// the status and one line of text.
    fn refuse(&self, _request: &Request, refusal: Refusal) -> Response {
        let mut response = Response::new(format!("{refusal}\n").into());
        *response.status_mut() = refusal.status();
        response
    }

    /// Does what became due since the last call, such as jobs, and returns the effects. Nothing by
    /// default.
    fn advance(&mut self, _now: Duration) -> Vec<LateEffect> {
        Vec::new()
    }

    /// What a request is about, for the report. By default its path.
    fn subject(&self, request: &Request) -> Subject {
        Subject { resource: request.uri().path().to_owned(), external_id: None }
    }

    /// How many records it holds, by type.
    fn records(&self) -> BTreeMap<String, u64>;

    /// What is attached to what, where it has such links.
    fn attachments(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fills itself with made-up records, as the body of `POST /_sandbox/seed` says. Takes no seeds
    /// by default.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the body.
    fn seed(&mut self, _body: &[u8], _now: Duration) -> Result<(), String> {
        Err("this API makes no records up".to_owned())
    }

    /// Empties itself; what may sign in stays.
    fn reset(&mut self);
}

/// What a call changed, and a repeat would change again.
#[derive(Debug, Default, PartialEq)]
pub struct Effect {
    /// The records that it created.
    pub created: Vec<Created>,
    /// What it added to records that were there before, such as lines of an order.
    pub additions: usize,
}

impl Effect {
    /// Whether a repeat would change nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.created.is_empty() && self.additions == 0
    }
}

/// A record that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its type.
    pub record_type: String,
    /// The id that its creator gave it.
    pub external_id: Option<String>,
}

/// An effect that came after its call had ended.
#[derive(Debug)]
pub struct LateEffect {
    /// The idempotency key of the call that asked for it.
    pub key: Option<String>,
    /// What it changed.
    pub effect: Effect,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The resource, as the report names it.
    pub resource: String,
    /// The external id that the request names.
    pub external_id: Option<String>,
}

/// Why a request was not executed, or what a fault says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many calls run as may run at one time.
    #[error("the limit is reached")]
    TooManyRequests,
    /// A rate is used up.
    #[error("the limit of {measure:?} is used up")]
    OverRate {
        /// What it counts.
        measure: Measure,
        /// How long until the request would be taken; nothing if it is larger than the whole rate.
        wait: Option<Duration>,
    },
    /// The sign-in was refused although it was good.
    #[error("the sign-in is refused")]
    Unauthorized,
    /// An error of the caller's, or so it says.
    #[error("the request is refused")]
    BadRequest,
    /// An error of the API's own.
    #[error("the API failed")]
    ServerError,
    /// The body was larger than [`Api::MAX_BODY_BYTES`], or did not arrive whole.
    #[error("the body is too large, or did not arrive whole")]
    Unreadable,
}

impl Refusal {
    /// The status that HTTP has for it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyRequests | Self::OverRate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreadable => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}
