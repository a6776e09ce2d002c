//! Prepares a message: reads it, checks that it may still run, and claims it.

use std::time::Duration;

use futures::future::join4;
use slowlane_idempotency::{
    Claim, Claimed, DynamoDbStore, Key, Request, RequestError, Scope, Unknown, claim,
};
use slowlane_lambda::logs::chain;
use slowlane_limiter::Moment;
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{FailureName, Why};
use slowlane_policy::tenants::Appointment;
use slowlane_policy::timing::ENDING_RECEIVES;

use super::ending::NOT_A_TOKEN;
use super::{Call, Calls, Disposition, Ending, Prepared, Ready, ReadyTo, StepError, tenant};
use crate::aws::deletes::When;
use crate::aws::queues::Received;
use crate::aws::task_callback::Waiting;
use crate::target::{AfterLoss, Target};

/// What becomes of a call after it was checked.
enum Next {
    /// Its tenant's turn has come, if it has waited for that.
    Ready(ReadyTo, Option<Appointment>),
    /// Its tenant's turn comes later: at its appointment, or not before its deadline if it has none.
    NotYet(Claim<DynamoDbStore>, Option<Appointment>),
    Ended(Ending),
}

/// What was asked of a call's tenant while the call was claimed.
struct Asked {
    /// When its next moment is free, as far as that was read.
    free_at: Option<Moment>,
    /// Which of its budgets is used up.
    beyond: Option<String>,
}

impl From<Ending> for Next {
    fn from(ending: Ending) -> Self {
        Next::Ended(ending)
    }
}

impl<T: Target> Calls<T> {
    /// Reads the message, checks that it may still run, and claims it.
    pub(crate) async fn prepare(&self, received: Received) -> Prepared {
        let queued = match QueuedCall::parse(&received.body) {
            Ok(queued) => queued,
            Err(error) => return Prepared::Ended(self.end_malformed(received, &error).await),
        };
        let mut call = Call { received, queued, unwaited: false };
        let result = match self.claim(&mut call).await {
            Ok(Next::Ready(claimed, appointment)) => {
                return Prepared::Ready(Ready { call, claimed, appointment });
            }
            Ok(Next::NotYet(claim, appointment)) => {
                let claimed = ReadyTo::Run(claim);
                return Prepared::NotYet(Ready { call, claimed, appointment });
            }
            Ok(Next::Ended(ending)) => Ok(ending),
            Err(error) => Err(error),
        };
        let Call { received, queued, .. } = call;
        // The slot looks for the next call only when this one has ended.
        Prepared::Ended(self.ended(received, Some(queued), result, When::AtOnce).await)
    }

    async fn claim(&self, call: &mut Call) -> Result<Next, StepError> {
        let request = match self.guard_request(&call.queued) {
            Ok(request) => request,
            Err(error) => {
                let why = error.to_string().into();
                let name = FailureName::InvalidMessage;
                return self.dead_letter_and_fail(call, name, why).await.map(Next::from);
            }
        };
        let liveness = self.callback.is_waiting(&call.queued.task_token);
        let claimed = self.guard.claim(&request);
        let (free_at, beyond) = (self.free_at_first(call), self.why_beyond_budget(&call.queued));
        let (waiting, claimed, free_at, beyond) = join4(liveness, claimed, free_at, beyond).await;
        if let Ok(Waiting::NotAToken) = waiting {
            if let Ok(Claimed::Run(claim)) = claimed {
                claim.release_untried().await?;
            }
            let reason = format!("{}: {NOT_A_TOKEN}", FailureName::InvalidMessage);
            return self.dead_letter_unheard(call, reason).await.map(Next::from);
        }
        call.unwaited = matches!(waiting, Ok(Waiting::No));
        match claimed {
            Ok(claimed) if call.unwaited => self.prepare_unwaited(call, claimed).await,
            Ok(claimed) => self.prepare_claimed(call, claimed, Asked { free_at, beyond }).await,
            Err(error) => self.end_unclaimed(call, error).await.map(Next::from),
        }
    }

    /// The guard's question for a call: the same key with another request is refused.
    fn guard_request(&self, call: &QueuedCall) -> Result<Request, RequestError> {
        let scope = Scope::new(call.scope())?;
        let key = Key::new(call.idempotency_key.as_str())?;
        let request = Request::new(scope, key, &call.request)?;
        Ok(request
            .lease(self.config.call_visibility)
            .repeatable(self.is_repeatable(call))
            .settles_after(self.target.settles_after(call))
            .expiry(self.config.record_expiry))
    }

    async fn why_beyond_budget(&self, call: &QueuedCall) -> Option<String> {
        self.metering.as_ref()?.why_beyond_budget(call).await
    }

    fn is_repeatable(&self, call: &QueuedCall) -> bool {
        self.target.after_loss(call) == AfterLoss::Repeat
    }

    async fn end_unclaimed(&self, call: &Call, error: claim::Error) -> Result<Ending, StepError> {
        if let claim::Error::PayloadMismatch { .. } = error {
            let why = error.to_string().into();
            return self.dead_letter_and_fail(call, FailureName::PayloadMismatch, why).await;
        }
        if !self.is_among_last_receives(&call.received) && !self.is_overdue(call) {
            return Err(error.into());
        }
        // Without the guard nobody knows whether the call was made before.
        let why = format!("the guard's record of it cannot be reached: {}", chain(&error));
        self.dead_letter_and_fail(call, self.unknown_name(call), why.into()).await
    }

    /// What the workflow of a call is told that may have been executed.
    fn unknown_name(&self, call: &Call) -> FailureName {
        match self.is_repeatable(&call.queued) {
            true => FailureName::OutcomeUnknown,
            false => FailureName::NeedsPerson,
        }
    }

    /// Nobody waits for the call any more, so it is not made. What an earlier attempt may have left
    /// behind is still cleared up.
    async fn prepare_unwaited(
        &self,
        call: &Call,
        claimed: Claimed<DynamoDbStore>,
    ) -> Result<Next, StepError> {
        let ending = match claimed {
            Claimed::Unknown(unknown) => return self.prepare_unknown(call, unknown).await,
            Claimed::InProgress(held) => {
                self.give_back(call, held.wait, Disposition::Waiting).await
            }
            Claimed::Run(claim) => self.abandon_claimed(call, &claim).await?,
            _ => Self::abandon(),
        };
        Ok(ending.into())
    }

    async fn prepare_claimed(
        &self,
        call: &Call,
        claimed: Claimed<DynamoDbStore>,
        Asked { free_at, beyond }: Asked,
    ) -> Result<Next, StepError> {
        let ending = match claimed {
            Claimed::Run(claim) => {
                let beyond = beyond.map(|why| (FailureName::BudgetExceeded, why.into()));
                let Some((name, why)) = self.why_not_run(call).or(beyond) else {
                    return Ok(match self.after_claim(call, &claim, free_at).await {
                        tenant::Next::Goes(come) => Next::Ready(ReadyTo::Run(claim), come),
                        tenant::Next::PutOff(until) => Next::NotYet(claim, until),
                    });
                };
                let name = name.if_maybe_executed(claim.maybe_executed_before());
                claim.close().await?;
                self.dead_letter_and_fail(call, name, why).await?
            }
            Claimed::Unknown(unknown) => return self.prepare_unknown(call, unknown).await,
            Claimed::InProgress(_) if self.is_among_last_receives(&call.received) => {
                let why = format!(
                    "it was handed out {} times, and another worker has it",
                    call.received.receive_count
                );
                self.dead_letter_and_fail(call, self.unknown_name(call), why.into()).await?
            }
            Claimed::InProgress(held) => {
                self.give_back(call, held.wait, Disposition::Waiting).await
            }
            Claimed::NeedsPerson(unknown) => {
                let why = unknown.why().unwrap_or("nobody knows whether it was executed");
                self.dead_letter_and_fail(call, FailureName::NeedsPerson, why.into()).await?
            }
            Claimed::Replay(stored) => self.replay(call, stored).await?,
        };
        Ok(ending.into())
    }

    /// The API is asked at once, even while it may still be at work on the call: "it has the
    /// record" counts at any time.
    async fn prepare_unknown(
        &self,
        call: &Call,
        unknown: Unknown<DynamoDbStore>,
    ) -> Result<Next, StepError> {
        let ending = match self.target.after_loss(&call.queued) {
            AfterLoss::Nothing(why) => self.leave_to_person(call, &unknown, why).await?,
            _ if self.is_among_last_receives(&call.received) => {
                // The record stays as it is: a new run of the workflow asks the API again.
                let why = unknown.why().unwrap_or("its answer was lost").into();
                self.dead_letter_and_fail(call, FailureName::NeedsPerson, why).await?
            }
            _ => return Ok(Next::Ready(ReadyTo::Reconcile(unknown), None)),
        };
        Ok(ending.into())
    }

    /// Why a call that nobody has made may not be made any more. This is checked only after the
    /// claim: a call that was made before has a result, and that is better late than never.
    pub(super) fn why_not_run(&self, call: &Call) -> Option<(FailureName, Why)> {
        let Call { received, queued, .. } = call;
        if queued.deadline <= self.clock.now() {
            let why = format!("its deadline {} passed while it was queued", queued.deadline);
            return Some((FailureName::DeadlineExceeded, why.into()));
        }
        if self.is_among_last_receives(&call.received) {
            let why = format!("it was handed out {} times and never ended", received.receive_count);
            return Some((FailureName::AttemptsExhausted, why.into()));
        }
        if let Some(why) = self.limits.never_takes(self.units(queued)) {
            return Some((FailureName::ExceedsLimit, why.into()));
        }
        match self.target.after_loss(queued) {
            AfterLoss::Nothing(why) if !queued.at_most_once => {
                let why = format!("{why}, so it is only sent with at_most_once");
                Some((FailureName::NotReconcilable, why.into()))
            }
            _ => None,
        }
    }

    /// A few receives later SQS would move the call to the dead-letter queue without a word to
    /// its workflow.
    pub(super) fn is_among_last_receives(&self, received: &Received) -> bool {
        received.receive_count + ENDING_RECEIVES > self.config.max_receive_count
    }

    /// Whether the deadline passed so long ago that the workflow must be told now. The workflow
    /// gives up one function time-out after its deadline, and a call that is tried again later
    /// comes back within about a minute.
    fn is_overdue(&self, call: &Call) -> bool {
        let since = self.clock.now().duration_since(call.queued.deadline);
        Duration::try_from(since).is_ok_and(|since| since >= self.config.call_visibility)
    }
}
