//! What can be done when a call's answer is lost.

use std::time::Duration;

use jiff::SignedDuration;
use slowlane_lambda::logs::chain;
use slowlane_message::QueuedCall;
use slowlane_profile::{Call, Found, LookUp, Loss, Method, Recovery, Renew};

use super::ProfiledApi;
use super::send::{Received, Sent, send};
use crate::target::{Reconciled, TargetResponse};

impl ProfiledApi {
    /// What can be done. A repeat that is good for a time only must be over by then: each attempt
    /// lies between the call's enqueueing and its deadline.
    pub(super) fn recovery(&self, queued: &QueuedCall, call: &Call) -> Recovery {
        let profile = self.api.profile();
        let (within, charged) = match profile.recovery(call, Loss::NoAnswer) {
            Recovery::Repeat { within: Some(within), charged } => (within, charged),
            other => return other,
        };
        let may_take = queued.deadline.duration_since(queued.enqueued_at);
        if Duration::try_from(may_take).is_ok_and(|may_take| may_take <= within) {
            return Recovery::Repeat { within: Some(within), charged };
        }
        match profile.recovery(call, Loss::Answered) {
            Recovery::LookUp(look_up) => Recovery::LookUp(look_up),
            Recovery::Repeat { .. } | Recovery::Nothing(_) => {
                let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
                Recovery::Nothing(format!(
                    "the API keeps an idempotency key for {within:#} only, and the call's deadline \
                     is later: give it one within that time"
                ))
            }
        }
    }

    /// What can be asked about a call whose answer was lost, if anything.
    pub(super) fn question(&self, queued: &QueuedCall, call: &Call) -> Option<LookUp> {
        match self.recovery(queued, call) {
            Recovery::LookUp(look_up) => Some(look_up),
            Recovery::Repeat { .. } | Recovery::Nothing(_) => None,
        }
    }

    /// What can be asked at once about a call that would be repeated, and that the API has answered
    /// without telling. The API is done with it, and may have stored that answer under the key.
    pub(super) fn question_at_once(&self, queued: &QueuedCall, call: &Call) -> Option<LookUp> {
        let Recovery::Repeat { .. } = self.recovery(queued, call) else { return None };
        match self.api.profile().recovery(call, Loss::Answered) {
            Recovery::LookUp(look_up) => Some(look_up),
            Recovery::Repeat { .. } | Recovery::Nothing(_) => None,
        }
    }

    /// Asks the API about a call, and once more with new credentials where it refuses these.
    pub(super) async fn look_up(&self, look_up: &LookUp) -> Reconciled {
        let question = Call::new(Method::Get, look_up.resource.clone());
        let mut renewed = false;
        loop {
            let (received, used) = match self.ask(look_up).await {
                Ok(answered) => answered,
                Err(why) => return Reconciled::TryAgain(why),
            };
            let (profile, now) = (self.api.profile(), self.clock.now());
            let verdict = profile.verdict(&question, &received.answer, now);
            let refused = verdict.renew == Some(Renew::Credentials);
            if refused && !renewed && self.renew(&Renew::Credentials, used).await {
                renewed = true;
                continue;
            }
            return match profile.looked_up(look_up, &received.answer, now) {
                Found::Done { id } => Reconciled::Done(TargetResponse {
                    id,
                    ..TargetResponse::new(received.answer.status)
                }),
                Found::NotDone => Reconciled::NotDone,
                Found::TryAgain { why, .. } => Reconciled::TryAgain(why),
                Found::Undecidable(why) => Reconciled::Undecidable(why),
            };
        }
    }

    async fn ask(&self, look_up: &LookUp) -> Result<(Received, u64), String> {
        let ready = self.credentials.ready(&self.api).await;
        let ready = ready.map_err(|error| chain(&error))?;
        let api = self.api_of(&ready);
        let mut request = api.look_up_request(look_up).map_err(|error| error.to_string())?;
        let signed = self.credentials.sign(&api, &ready, &mut request).await;
        signed.map_err(|error| chain(&error))?;
        match send(&ready.wire, request).await {
            Sent::Answered(received) => Ok((received, ready.number)),
            Sent::NoConnection(why) | Sent::Lost { why, .. } => Err(why),
        }
    }
}
