//! When questions in the common form go to another provider.
//!
//! It is asked for those that the first has surely not executed: it has refused them for a limit, no
//! connection came about, or a server error says so. This must have lasted for as long as the deployment
//! says, or the first asks to wait so long. Until that wait is over, this process asks the second at once;
//! while the first is down, it tries that one every half minute. Each process finds out by itself.
//!
//! What the second answers is the outcome, also if it refuses in turn. What its answers say of limits holds
//! no slot: those are not the target's.

use std::time::Duration;

use slowlane_message::QueuedCall;
use slowlane_policy::settle::{Outcome, Why};
use slowlane_profile::chat::Chat;
use tokio::time::Instant;

use super::{Cause, ProfiledApi, Second, sent_for};
use crate::target::{AfterLoss, TargetResponse};

/// For how long a provider that is down is not tried.
const PAUSE_WHILE_DOWN: Duration = Duration::from_secs(30);

impl ProfiledApi {
    /// Has a question in the common form answered, by whoever can.
    pub(super) async fn answer(
        &self,
        queued: &QueuedCall,
        chat: &Chat,
        until: Instant,
    ) -> Outcome<TargetResponse> {
        let mut call = match self.api.profile().chat_call(chat) {
            Ok(call) => sent_for(queued, call),
            Err(error) => return Outcome::Rejected(error.to_string().into()),
        };
        call.headers.clone_from(&queued.request.headers);
        let Some(second) = &self.second else {
            return self.make_or_fall_back(queued, call, until).await;
        };
        let now = self.clock.now();
        let causes = [Cause::Limit(chat.model.clone()), Cause::Outage];
        if !causes.iter().any(|cause| second.refusals.last_until_after(cause, now)) {
            let outcome = self.make_or_fall_back(queued, call, until).await;
            if !self.is_refused_for_long(second, chat, &outcome) {
                return outcome;
            }
        }
        second.ask(queued, chat, until).await
    }

    /// Whether the first has not executed a call, and has not done so for long.
    fn is_refused_for_long(
        &self,
        second: &Second,
        chat: &Chat,
        outcome: &Outcome<TargetResponse>,
    ) -> bool {
        let Second { refusals, after, .. } = second;
        let now = self.clock.now();
        let limit = Cause::Limit(chat.model.clone());
        match outcome {
            Outcome::Throttled { retry_after } => {
                refusals.has_refused(limit, *retry_after, *after, now)
            }
            Outcome::Transient(why) if is_of_outage(why) => {
                let is_down = refusals.has_refused(Cause::Outage, None, *after, now);
                if is_down {
                    refusals.leave_alone(&Cause::Outage, PAUSE_WHILE_DOWN, now);
                }
                is_down
            }
            // It may have been executed, and does not say that the first is well either.
            Outcome::Unknown(_) => false,
            _ => {
                refusals.are_over(&limit);
                refusals.are_over(&Cause::Outage);
                false
            }
        }
    }

    /// What can be done when an answer is lost of which nobody knows whose it was. `own` is what the first
    /// provider can do.
    pub(super) fn after_loss_of_either(
        &self,
        queued: &QueuedCall,
        chat: &Chat,
        own: AfterLoss,
    ) -> AfterLoss {
        let Some(second) = &self.second else { return own };
        let api = &second.api;
        let Ok(call) = api.api.profile().chat_call(&chat.of_model(&second.model)) else {
            return own;
        };
        match (own, api.after_loss_of(queued, &sent_for(queued, call))) {
            (AfterLoss::Repeat, AfterLoss::Repeat) => AfterLoss::Repeat,
            (AfterLoss::Nothing(why), _) | (_, AfterLoss::Nothing(why)) => AfterLoss::Nothing(why),
            (AfterLoss::Reconcile, _) | (_, AfterLoss::Reconcile) => AfterLoss::Nothing(
                "either of two providers may have been asked, and one cannot tell of the other"
                    .to_owned(),
            ),
        }
    }
}

impl Second {
    async fn ask(
        &self,
        queued: &QueuedCall,
        chat: &Chat,
        until: Instant,
    ) -> Outcome<TargetResponse> {
        let profile = self.api.api.profile();
        let provider = profile.name();
        tracing::info!(
            first = chat.model,
            provider,
            model = self.model,
            "another provider is asked, since the first is over its limit or down"
        );
        let call = match profile.chat_call(&chat.of_model(&self.model)) {
            Ok(call) => sent_for(queued, call),
            Err(error) => return Outcome::Rejected(error.to_string().into()),
        };
        match self.api.make(queued, &call, until).await {
            Outcome::Succeeded(response) => Outcome::Succeeded(TargetResponse {
                fallback_model: Some(self.model.clone()),
                fallback_provider: Some(provider.to_owned()),
                left: Vec::new(),
                ..response
            }),
            outcome => named(outcome, provider),
        }
    }
}

/// Whether a call that was not executed could not be, because nobody is there: no connection came about, or
/// a server says so.
fn is_of_outage(why: &Why) -> bool {
    why.status.is_none_or(|status| status >= 500)
}

/// The outcome with the provider's name in the reason.
fn named(outcome: Outcome<TargetResponse>, provider: &str) -> Outcome<TargetResponse> {
    let named = |why: Why| Why { message: format!("of `{provider}`: {}", why.message), ..why };
    match outcome {
        Outcome::Rejected(why) => Outcome::Rejected(named(why)),
        Outcome::AlreadyExists(why) => Outcome::AlreadyExists(named(why)),
        Outcome::Unauthorized(why) => Outcome::Unauthorized(named(why)),
        Outcome::InFlight { retry_after, why } => {
            Outcome::InFlight { retry_after, why: named(why) }
        }
        Outcome::Transient(why) => Outcome::Transient(named(why)),
        Outcome::Unknown(why) => Outcome::Unknown(named(why)),
        outcome @ (Outcome::Succeeded(_) | Outcome::Throttled { .. }) => outcome,
    }
}
