//! One attempt at a call: the calls before it, the call, and what its answer means.

use std::borrow::Cow;

use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::{
    Api, Call, Given, Loss, Method, Outcome as Said, PreCall, Renew, Request, Verdict,
};

use super::credentials::Ready;
use super::file::{Unheld, unheld};
use super::send::{Received, Sent, send};
use super::{ProfiledApi, response};
use crate::target::TargetResponse;

/// What came of an attempt.
pub(super) struct Attempt {
    pub(super) outcome: Outcome<TargetResponse>,
    /// How the call came to be unknown, if it is.
    pub(super) loss: Option<Loss>,
    /// What to fetch anew before another attempt, if the call was not executed.
    pub(super) renew: Option<Renew>,
    /// Under which number credentials were used.
    pub(super) credentials: u64,
    /// What of a success belongs into a file.
    pub(super) unheld: Option<Unheld>,
}

impl Attempt {
    fn of(outcome: Outcome<TargetResponse>) -> Self {
        Attempt { outcome, loss: None, renew: None, credentials: 0, unheld: None }
    }
}

impl ProfiledApi {
    pub(super) async fn attempt(&self, call: &Call) -> Attempt {
        let ready = match self.credentials.ready(&self.api).await {
            Ok(ready) => ready,
            Err(error) => return Attempt::of(error.outcome()),
        };
        let api = self.api_of(&ready);
        let given = match self.before(&api, &ready, call).await {
            Ok(given) => given,
            Err(attempt) => return attempt,
        };
        let request = match api.request(call, &given) {
            Ok(request) => request,
            Err(error) => return Attempt::of(Outcome::Rejected(error.to_string().into())),
        };
        let sent = match self.send(&api, &ready, request).await {
            Ok(sent) => sent,
            Err(attempt) => return attempt,
        };
        match sent {
            Sent::Answered(received) => self.answered(call, &ready, received),
            Sent::NoConnection(why) => Attempt::of(Outcome::Transient(why.into())),
            Sent::Lost { why, status } => Attempt {
                loss: Some(Loss::NoAnswer),
                ..Attempt::of(Outcome::Unknown(Why { message: why, status, code: None }))
            },
        }
    }

    /// Signs and sends a request.
    pub(super) async fn send(
        &self,
        api: &Api,
        ready: &Ready,
        mut request: Request,
    ) -> Result<Sent, Attempt> {
        match self.credentials.sign(api, ready, &mut request).await {
            Ok(()) => Ok(send(&ready.wire, request).await),
            Err(error) => Err(Attempt::of(error.outcome())),
        }
    }

    /// The API, where its token service says that it is.
    pub(super) fn api_of(&self, ready: &Ready) -> Cow<'_, Api> {
        match &ready.base {
            Some(base) => Cow::Owned(Api::new(self.api.profile().clone(), base.clone())),
            None => Cow::Borrowed(&self.api),
        }
    }

    fn answered(&self, call: &Call, ready: &Ready, received: Received) -> Attempt {
        let profile = self.api.profile();
        let Received { answer, too_large_bytes, rest } = received;
        let answer = profile.readable(call, answer);
        self.credentials.ends.of_answer(profile.secret_ends(&answer));
        let now = self.clock.now();
        let verdict = profile.verdict(call, &answer, now);
        let parts = profile.parts(call, &answer, now);
        let parts = parts.into_iter().map(response::part).collect();
        let renew = renewed(&verdict);
        let said = call.is_chat().then(|| profile.chat_answer(call, &answer));
        let outcome = response::outcome(verdict, &answer, too_large_bytes, parts);
        let outcome = match said {
            Some(said) => response::in_common_form(outcome, said),
            None => outcome,
        };
        let unknown = matches!(outcome, Outcome::Unknown(_));
        let unheld = match &outcome {
            Outcome::Succeeded(response) if self.files.is_some() => unheld(response, answer, rest),
            _ => None,
        };
        Attempt {
            outcome,
            loss: unknown.then_some(Loss::Answered),
            renew,
            credentials: ready.number,
            unheld,
        }
    }

    /// Makes the calls before the call whose gifts serve others too, where these are not there. Says
    /// whether it has sent one.
    pub(super) async fn fetch_what_is_kept(&self, call: &Call) -> bool {
        let is_kept = |pre_call: &&PreCall| pre_call.keep_for().is_some();
        let kept: Vec<&PreCall> = self.api.before(call).into_iter().filter(is_kept).collect();
        // A call that cannot be sent needs nothing before it.
        if kept.is_empty() || self.api.request(call, &Given::default()).is_err() {
            return false;
        }
        let Ok(ready) = self.credentials.ready(&self.api).await else { return false };
        let api = self.api_of(&ready);
        let mut has_sent = false;
        for pre_call in kept {
            let Ok(request) = api.pre_call_request(pre_call, call) else { continue };
            if self.gifts.get(pre_call, &request, self.clock.now()).is_none() {
                has_sent = true;
                // What goes wrong is told when the call itself asks.
                if self.gift(&api, &ready, pre_call, call).await.is_err() {
                    tracing::debug!(name = pre_call.name(), "a call before the call gave nothing");
                }
            }
        }
        has_sent
    }

    /// What the calls before the call give to it.
    async fn before(&self, api: &Api, ready: &Ready, call: &Call) -> Result<Given, Attempt> {
        let mut given = Given::default();
        for pre_call in api.before(call) {
            given.add(&self.gift(api, ready, pre_call, call).await?);
        }
        Ok(given)
    }

    /// What one call before the call gives. If it gives nothing, the call is not made.
    async fn gift(
        &self,
        api: &Api,
        ready: &Ready,
        pre_call: &PreCall,
        call: &Call,
    ) -> Result<Given, Attempt> {
        let request = api.pre_call_request(pre_call, call);
        let request =
            request.map_err(|error| Attempt::of(Outcome::Rejected(error.to_string().into())))?;
        if let Some(given) = self.gifts.get(pre_call, &request, self.clock.now()) {
            return Ok(given);
        }
        let name = pre_call.name();
        let received = match self.send(api, ready, request.clone()).await? {
            Sent::Answered(received) => received,
            Sent::NoConnection(why) | Sent::Lost { why, .. } => {
                let why = format!("the call `{name}` before it has no answer: {why}");
                return Err(Attempt::of(Outcome::Transient(why.into())));
            }
        };
        let not_given = match pre_call.read(&received.answer) {
            Ok(given) => {
                self.gifts.keep(pre_call, &request, &given, self.clock.now());
                return Ok(given);
            }
            Err(not_given) => not_given,
        };
        // It only reads, so whatever it was answered the call itself has not been made.
        let question = Call::new(Method::Get, call.resource.clone());
        let attempt = self.answered(&question, ready, received);
        let outcome = match attempt.outcome {
            Outcome::Succeeded(_) | Outcome::Unknown(_) | Outcome::AlreadyExists(_) => {
                Outcome::Transient(not_given.to_string().into())
            }
            other => named(other, name),
        };
        Err(Attempt { outcome, loss: None, ..attempt })
    }
}

/// What to fetch anew before the call is made again: only of calls that were not executed, and whose
/// effect is not there already.
fn renewed(verdict: &Verdict) -> Option<Renew> {
    match verdict.outcome {
        Said::Unauthorized | Said::Transient => verdict.renew.clone(),
        Said::Succeeded
        | Said::PartlySucceeded
        | Said::Running
        | Said::Rejected
        | Said::AlreadyExists
        | Said::Throttled
        | Said::InFlight
        | Said::Unknown => None,
    }
}

/// The outcome of a call before the call, with its name in the reason.
fn named(outcome: Outcome<TargetResponse>, name: &str) -> Outcome<TargetResponse> {
    let named =
        |why: Why| Why { message: format!("the call `{name}` before it: {}", why.message), ..why };
    match outcome {
        Outcome::Rejected(why) => Outcome::Rejected(named(why)),
        Outcome::Unauthorized(why) => Outcome::Unauthorized(named(why)),
        Outcome::Transient(why) => Outcome::Transient(named(why)),
        other => other,
    }
}
