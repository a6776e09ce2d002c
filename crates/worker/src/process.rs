//! One call, from the queue to the resumed workflow.
//!
//! A received message is *prepared*: read, checked against its deadline, asked whether its
//! workflow still waits, and claimed in the idempotency guard. The *call* is made to the
//! API. The answer is *settled*: the result is stored, the workflow resumed and the message
//! deleted, in that order, so that a worker killed in between is made good by the message's
//! redelivery, which finds the stored result and does not call again.
//!
//! A slot runs the three steps one after another ([`Worker::process`]) or overlaps them for
//! successive calls ([`slot`](crate::slot)). What cannot be run ends on the dead-letter
//! queue *and* fails its workflow by name.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::join;
use slowlane_idempotency::dispatch::NotDispatched;
use slowlane_idempotency::{
    Claim, Claimed, Dispatched, DynamoDbStore, EpochMs, Key, Request, RequestError, Scope, Unknown,
    claim,
};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{
    Attempts, FailureName, Outcome, Settlement, Why, ask_again_after, put_off, settle,
};
use tokio::time::{Instant, sleep, timeout};

use crate::ending::{NOT_A_TOKEN, to_store};
use crate::receive::Received;
use crate::target::{AfterLoss, Reconciled, Target, TargetResponse};
use crate::task_callback::Waiting;
use crate::{Worker, outcome};

/// A call on its way: what the message said, and the message itself.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) received: Received,
    pub(crate) call: QueuedCall,
    /// Step Functions has said that its workflow does not wait any more. Only what an earlier
    /// attempt may have left behind is still cleared up.
    pub(crate) unwaited: bool,
}

/// What preparing a message came to.
pub(crate) enum Prepared {
    /// The API is to be asked.
    Ready(Ready),
    /// The message needed no call, and is dealt with.
    Ended(Ended),
}

/// A call that is checked and claimed, and needs nothing but the slot.
pub(crate) struct Ready {
    pub(crate) taken: Taken,
    pub(crate) claimed: ReadyTo,
}

pub(crate) enum ReadyTo {
    Run(Claim<DynamoDbStore>),
    Reconcile(Unknown<DynamoDbStore>),
}

/// A call after the API's part in it.
pub(crate) struct Answered {
    taken: Taken,
    answer: Answer,
    started: Instant,
    pub(crate) took: Duration,
}

enum Answer {
    /// The call was made, and this became of it.
    Made(Dispatched<DynamoDbStore>, Outcome<TargetResponse>),
    /// The call was made, its answer was lost, and the API cannot be asked what became of it.
    Lost(Dispatched<DynamoDbStore>, Why),
    /// An earlier call whose answer was lost turned out to have had its effect.
    Found(Unknown<DynamoDbStore>, TargetResponse),
    /// An earlier call whose answer was lost had no effect, and nobody waits for it any more.
    NotDone(Unknown<DynamoDbStore>),
    /// An earlier call's answer was lost, and the API cannot tell what became of it.
    Undecidable(Unknown<DynamoDbStore>, String),
    /// An earlier call's answer was lost, and the API is to be asked (again) after so long: it could
    /// not be asked, or it does not have what it may still be at work on.
    Undecided(Why, Duration),
    /// The API was not asked: the guard could not be reached, or the claim is lost.
    Postponed(String),
}

/// How a message left the worker's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Succeeded,
    Replayed,
    Rejected,
    Retried,
    Throttled,
    Unknown,
    Buried,
    Abandoned,
    GivenBack,
    /// The guard says that another worker is at it, or the API that it is: looked at again when
    /// that has ended.
    Waiting,
    /// AWS could not be reached for a step: the call is visible again shortly.
    PutOff,
    /// Nor could it be rung for: the invocation's own ring must come back for it.
    Failed,
}

/// What is told of a message at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) how: How,
    pub(crate) received: Received,
    pub(crate) call: Option<QueuedCall>,
    /// When the API was asked, and how long it took.
    pub(crate) asked: Option<(Instant, Duration)>,
    /// For how long the call is hidden that could not be rung for ([`How::Failed`]).
    pub(crate) hidden_for: Duration,
    pub(crate) why: Option<String>,
}

impl Ended {
    pub(crate) fn of(
        received: Received,
        call: Option<QueuedCall>,
        how: How,
        why: Option<String>,
    ) -> Self {
        Ended { how, received, call, asked: None, hidden_for: Duration::ZERO, why }
    }
}

impl<T: Target> Worker<T> {
    /// The whole way of one call, one step after another.
    pub(crate) async fn process(&self, received: Received) -> Ended {
        match self.prepare(received).await {
            Prepared::Ready(ready) => {
                let answered = self.call(ready).await;
                self.settle(answered).await
            }
            Prepared::Ended(ended) => ended,
        }
    }

    /// Reads the message, checks that it may still run, and claims it.
    pub(crate) async fn prepare(&self, received: Received) -> Prepared {
        let call = match QueuedCall::parse(&received.body) {
            Ok(call) => call,
            Err(error) => return Prepared::Ended(self.bury_malformed(received, &error).await),
        };
        let mut taken = Taken { received, call, unwaited: false };
        let request = match self.guard_request(&taken.call) {
            Ok(request) => request,
            Err(error) => {
                let why = error.to_string().into();
                return Prepared::Ended(self.bury(taken, FailureName::InvalidMessage, why).await);
            }
        };
        let liveness = self.callback.is_waiting(&taken.call.task_token);
        let (waiting, claimed) = join(liveness, self.guard.claim(&request)).await;
        if let Ok(Waiting::NotAToken) = waiting {
            let reason = format!("{}: {NOT_A_TOKEN}", FailureName::InvalidMessage);
            return Prepared::Ended(self.bury_unheard(taken, claimed.ok(), reason).await);
        }
        taken.unwaited = matches!(waiting, Ok(Waiting::No));
        match claimed {
            Ok(claimed) if taken.unwaited => self.prepare_unwaited(taken, claimed).await,
            Ok(claimed) => self.prepare_claimed(taken, claimed).await,
            Err(error) => Prepared::Ended(self.end_unclaimed(taken, &error).await),
        }
    }

    /// The guard's question for a call: the same key with another request is refused.
    fn guard_request(&self, call: &QueuedCall) -> Result<Request, RequestError> {
        let scope = Scope::new(call.tenant.as_deref().unwrap_or("calls"))?;
        let key = Key::new(call.idempotency_key.as_str())?;
        let request = Request::new(scope, key, &call.request)?;
        Ok(request
            .lease(self.config.call_visibility)
            .repeatable(self.is_repeatable(call))
            .settles_after(self.target.settles_after(call))
            .expiry(self.config.record_expiry))
    }

    fn is_repeatable(&self, call: &QueuedCall) -> bool {
        self.target.after_loss(call) == AfterLoss::Repeat
    }

    async fn end_unclaimed(&self, taken: Taken, error: &claim::Error) -> Ended {
        match error {
            claim::Error::PayloadMismatch { .. } => {
                self.bury(taken, FailureName::PayloadMismatch, error.to_string().into()).await
            }
            // Without the guard nobody knows whether the call was made before.
            _ if self.is_last_receive(&taken) || self.is_overdue(&taken) => {
                let name = match self.is_repeatable(&taken.call) {
                    true => FailureName::OutcomeUnknown,
                    false => FailureName::NeedsPerson,
                };
                let why = format!("the guard's record of it cannot be reached: {error}");
                self.bury(taken, name, why.into()).await
            }
            _ => self.put_off(taken, error.to_string()).await,
        }
    }

    /// Nobody waits for the call any more: it is not made. What an earlier attempt may have left
    /// behind is cleared up all the same.
    async fn prepare_unwaited(&self, taken: Taken, claimed: Claimed<DynamoDbStore>) -> Prepared {
        let ended = match claimed {
            Claimed::Unknown(unknown) => return self.prepare_unknown(taken, unknown).await,
            Claimed::InProgress(held) => self.give_back(taken, held.wait, How::Waiting).await,
            Claimed::Run(claim) => self.abandon_claimed(taken, &claim).await,
            _ => self.abandon(taken).await,
        };
        Prepared::Ended(ended)
    }

    async fn prepare_claimed(&self, taken: Taken, claimed: Claimed<DynamoDbStore>) -> Prepared {
        let ended = match claimed {
            Claimed::Run(claim) => match self.why_not_run(&taken) {
                None => {
                    let claimed = ReadyTo::Run(claim);
                    return Prepared::Ready(Ready { taken, claimed });
                }
                Some((name, why)) => {
                    let name = name.if_maybe_executed(claim.maybe_executed_before());
                    match claim.close().await {
                        Ok(()) => self.bury(taken, name, why).await,
                        Err(error) => self.put_off(taken, error.to_string()).await,
                    }
                }
            },
            Claimed::Unknown(unknown) => return self.prepare_unknown(taken, unknown).await,
            Claimed::InProgress(held) => self.give_back(taken, held.wait, How::Waiting).await,
            Claimed::NeedsPerson(unknown) => {
                let why = unknown.why().unwrap_or("nobody knows whether it was executed");
                self.bury(taken, FailureName::NeedsPerson, why.into()).await
            }
            Claimed::Replay(stored) => self.replay(taken, stored).await,
        };
        Prepared::Ended(ended)
    }

    /// The API is asked at once, also while it may still be at work on the call: that it has the
    /// record counts at any time.
    async fn prepare_unknown(&self, taken: Taken, unknown: Unknown<DynamoDbStore>) -> Prepared {
        let ended = match self.target.after_loss(&taken.call) {
            AfterLoss::Nothing(why) => self.leave_to_person(taken, &unknown, why).await,
            _ if self.is_last_receive(&taken) => {
                // The record stays as it is: a new run of the workflow asks the API again.
                let why = unknown.why().unwrap_or("its answer was lost").into();
                self.bury(taken, FailureName::NeedsPerson, why).await
            }
            _ => {
                let claimed = ReadyTo::Reconcile(unknown);
                return Prepared::Ready(Ready { taken, claimed });
            }
        };
        Prepared::Ended(ended)
    }

    /// Why a call that nobody has made may not be made any more. Asked only after the claim:
    /// a call that was made before has a result, and late is better than never for that.
    fn why_not_run(&self, taken: &Taken) -> Option<(FailureName, Why)> {
        let Taken { received, call, .. } = taken;
        if call.deadline <= self.clock.now() {
            let why = format!("its deadline {} passed while it was queued", call.deadline);
            return Some((FailureName::DeadlineExceeded, why.into()));
        }
        if self.is_last_receive(taken) {
            let why = format!("it was handed out {} times and never ended", received.receive_count);
            return Some((FailureName::AttemptsExhausted, why.into()));
        }
        match self.target.after_loss(call) {
            AfterLoss::Nothing(why) if !call.at_most_once => {
                let why = format!("{why}, so it is only sent with at_most_once");
                Some((FailureName::NotReconcilable, why.into()))
            }
            _ => None,
        }
    }

    /// One receive later SQS would move the call to the dead-letter queue without a word to
    /// its workflow.
    fn is_last_receive(&self, taken: &Taken) -> bool {
        taken.received.receive_count >= self.config.max_receive_count
    }

    /// Whether the deadline has passed for so long that the workflow must be told now: it gives up
    /// a function's time-out after its deadline, and what is put off comes back within a minute
    /// or so.
    fn is_overdue(&self, taken: &Taken) -> bool {
        let since = self.clock.now().duration_since(taken.call.deadline);
        Duration::try_from(since).is_ok_and(|since| since >= self.config.call_visibility)
    }

    /// Makes the call. From here to the return the slot is the API's.
    pub(crate) async fn call(&self, ready: Ready) -> Answered {
        let Ready { taken, claimed } = ready;
        let started = Instant::now();
        let answer = match claimed {
            ReadyTo::Run(claim) => self.make(&taken.call, claim).await,
            ReadyTo::Reconcile(unknown) => self.reconcile(&taken, unknown).await,
        };
        Answered { taken, answer, started, took: started.elapsed() }
    }

    async fn make(&self, call: &QueuedCall, claim: Claim<DynamoDbStore>) -> Answer {
        // The mark is what tells a crash before the request left from one after it.
        let claim = match claim.dispatched().await {
            Ok(claim) => claim,
            Err(NotDispatched { claim, error }) => {
                // Nothing was sent, whether or not the mark stands.
                let released = claim.release_untried().await;
                let also = released.err().map(|error| format!("; {error}")).unwrap_or_default();
                return Answer::Postponed(format!("{error}{also}"));
            }
        };
        let longest = self.config.api_timeout.min(claim.remaining());
        let in_time = || !claim.remaining().is_zero();
        let outcome = match within(longest, in_time, self.target.call(call)).await {
            Some(outcome) => outcome,
            None => Outcome::Unknown(format!("the API did not answer within {longest:?}").into()),
        };
        match (outcome, self.target.after_loss(call)) {
            (Outcome::Unknown(why), AfterLoss::Nothing(_)) => Answer::Lost(claim, why),
            (outcome, _) => Answer::Made(claim, outcome),
        }
    }

    async fn reconcile(&self, taken: &Taken, unknown: Unknown<DynamoDbStore>) -> Answer {
        let Taken { received, call, .. } = taken;
        let asked = timeout(self.config.api_timeout, self.target.reconcile(call)).await;
        let not_asked = |why: String| {
            Answer::Undecided(why.into(), put_off(received.receive_count, self.unit()))
        };
        match asked {
            Ok(Reconciled::Done(response)) => Answer::Found(unknown, response),
            Ok(Reconciled::NotDone) if taken.unwaited && unknown.wait().is_zero() => {
                Answer::NotDone(unknown)
            }
            Ok(Reconciled::NotDone) if unknown.wait().is_zero() => {
                match unknown.run_again().await {
                    Ok(claim) => self.make(call, claim).await,
                    Err(not) => Answer::Postponed(not.error.to_string()),
                }
            }
            Ok(Reconciled::NotDone) => {
                let now = EpochMs::from(self.clock.system_time());
                let lost_for = now.since(unknown.since());
                let after = ask_again_after(lost_for, unknown.wait(), self.unit());
                let why = "its answer was lost, and the API does not have it so far";
                Answer::Undecided(why.into(), after)
            }
            Ok(Reconciled::Undecidable(why)) => Answer::Undecidable(unknown, why),
            Ok(Reconciled::TryAgain(why)) => not_asked(why),
            Err(_) => not_asked("the API did not say in time what became of it".to_owned()),
        }
    }

    /// Stores what became of the call, resumes its workflow and deletes its message.
    pub(crate) async fn settle(&self, answered: Answered) -> Ended {
        let Answered { taken, answer, started, took } = answered;
        let mut ended = match answer {
            Answer::Made(claim, outcome) => self.settle_made(taken, claim, outcome).await,
            Answer::Lost(claim, why) => match claim.needs_person(&why).await {
                Ok(()) => self.bury(taken, FailureName::NeedsPerson, why).await,
                Err(error) => self.put_off(taken, error.to_string()).await,
            },
            Answer::Found(unknown, response) => {
                let result = to_store(&response);
                match unknown.adopt(&result).await {
                    Ok(()) => self.resume(taken, result, How::Succeeded).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            Answer::Undecidable(unknown, why) => self.leave_to_person(taken, &unknown, why).await,
            Answer::NotDone(unknown) => match unknown.release().await {
                Ok(()) => self.abandon(taken).await,
                Err(error) => self.put_off(taken, error.to_string()).await,
            },
            Answer::Undecided(why, after) => self.ask_again(taken, why, after).await,
            Answer::Postponed(why) => self.put_off(taken, why).await,
        };
        ended.asked = Some((started, took));
        ended
    }

    /// The API is asked again later, unless the workflow's deadline comes first. The record stays as
    /// it is then: a new run of the workflow asks the API again.
    async fn ask_again(&self, taken: Taken, why: Why, after: Duration) -> Ended {
        let time_left = taken.call.deadline.duration_since(self.clock.now());
        let time_left = Duration::try_from(time_left).unwrap_or_default();
        if after < time_left || taken.unwaited {
            return self.give_back(taken, after, How::Unknown).await;
        }
        self.bury(taken, FailureName::NeedsPerson, why).await
    }

    async fn settle_made(
        &self,
        taken: Taken,
        claim: Dispatched<DynamoDbStore>,
        outcome: Outcome<TargetResponse>,
    ) -> Ended {
        let how = outcome::how(&outcome);
        // Of an attempt that is refused because the record exists, nobody knows who made it.
        let lost = matches!(outcome, Outcome::Unknown(_) | Outcome::AlreadyExists(_));
        let attempts = Attempts {
            used: u32::try_from(claim.tries()).unwrap_or(u32::MAX),
            max: self.config.max_attempts,
            first: claim.attempt() == 1,
            repeatable: claim.is_repeatable(),
            maybe_executed: claim.maybe_executed_before(),
        };
        let (now, deadline) = (self.clock.now(), taken.call.deadline);
        match settle(outcome, &attempts, now, deadline, &self.retry, self.unit()) {
            Settlement::Complete(response) => {
                let result = to_store(&response);
                match claim.complete(&result).await {
                    Ok(()) => self.resume(taken, result, how).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            Settlement::Fail { name, why } => {
                let ended = match name {
                    // It may have been executed, so the record must not be free to run again.
                    FailureName::NeedsPerson => claim.unknown(&why).await,
                    FailureName::OutcomeUnknown if lost => claim.close_unknown(&why).await,
                    // It was not executed: the record makes room for a corrected call.
                    _ => claim.close().await,
                };
                match (ended, name) {
                    (Err(error), _) => self.put_off(taken, error.to_string()).await,
                    (Ok(()), FailureName::Rejected | FailureName::Unauthorized) => {
                        self.fail(taken, name, why, how).await
                    }
                    (Ok(()), _) => self.bury(taken, name, why).await,
                }
            }
            Settlement::RetryAfter(delay) => {
                let how = if lost { How::Unknown } else { how };
                let ended = match how {
                    How::Throttled | How::Waiting => claim.release_untried().await,
                    How::Unknown => claim.unknown("the answer was lost").await,
                    _ => claim.release().await,
                };
                match ended {
                    Ok(()) => self.give_back(taken, delay, how).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            Settlement::Reconcile { after } => match claim.unknown("the answer was lost").await {
                Ok(()) => self.give_back(taken, after, How::Unknown).await,
                Err(error) => self.put_off(taken, error.to_string()).await,
            },
        }
    }
}

/// Waits for `work` until `longest` is over or `in_time` says that it is, and lets it take no step
/// after that: a process that was paused must not send what it had prepared.
async fn within<T>(
    longest: Duration,
    in_time: impl Fn() -> bool,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut over = pin!(sleep(longest));
    poll_fn(|context| match over.as_mut().poll(context) {
        Poll::Pending if in_time() => work.as_mut().poll(context).map(Some),
        _ => Poll::Ready(None),
    })
    .await
}
