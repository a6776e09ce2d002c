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

use std::time::Duration;

use futures::future::join;
use slowlane_idempotency::{
    Claim, Claimed, Dispatched, DynamoDbStore, Key, Request, RequestError, Scope, Unknown, claim,
};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{Attempts, FailureName, Outcome, Settlement, Why, settle};
use tokio::time::{Instant, timeout};

use crate::ending::to_store;
use crate::receive::Received;
use crate::target::{AfterLoss, Reconciled, Target, TargetResponse};
use crate::task_callback::Waiting;
use crate::{Worker, outcome};

/// A call on its way: what the message said, and the message itself.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) received: Received,
    pub(crate) call: QueuedCall,
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
    /// An earlier call's answer was lost, and the API cannot tell what became of it.
    Undecidable(Unknown<DynamoDbStore>, String),
    /// The API was not asked: the guard or the API could not be reached.
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
    pub(crate) why: Option<String>,
}

impl Ended {
    pub(crate) fn of(
        received: Received,
        call: Option<QueuedCall>,
        how: How,
        why: Option<String>,
    ) -> Self {
        Ended { how, received, call, asked: None, why }
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
        let taken = Taken { received, call };
        let request = match self.guard_request(&taken.call) {
            Ok(request) => request,
            Err(error) => {
                let why = error.to_string().into();
                return Prepared::Ended(self.bury(taken, FailureName::InvalidMessage, why).await);
            }
        };
        let liveness = self.callback.is_waiting(&taken.call.task_token);
        let (waiting, claimed) = join(liveness, self.guard.claim(&request)).await;
        if let Ok(Waiting::No) = waiting {
            return Prepared::Ended(self.abandon(taken, claimed.ok()).await);
        }
        match claimed {
            Ok(claimed) => self.prepare_claimed(taken, claimed).await,
            Err(error @ claim::Error::PayloadMismatch { .. }) => {
                let name = FailureName::PayloadMismatch;
                Prepared::Ended(self.bury(taken, name, error.to_string().into()).await)
            }
            Err(error) => Prepared::Ended(self.put_off(taken, error.to_string()).await),
        }
    }

    /// The guard's question for a call: the same key with another request is refused.
    fn guard_request(&self, call: &QueuedCall) -> Result<Request, RequestError> {
        let scope = Scope::new(call.tenant.as_deref().unwrap_or("calls"))?;
        let key = Key::new(call.idempotency_key.as_str())?;
        let request = Request::new(scope, key, &call.request)?;
        let repeatable = self.target.after_loss(call) == AfterLoss::Repeat;
        Ok(request.lease(self.config.call_visibility).repeatable(repeatable))
    }

    async fn prepare_claimed(&self, taken: Taken, claimed: Claimed<DynamoDbStore>) -> Prepared {
        let ended = match claimed {
            Claimed::Run(claim) => match self.why_not_run(&taken) {
                None => {
                    let claimed = ReadyTo::Run(claim);
                    return Prepared::Ready(Ready { taken, claimed });
                }
                Some((name, why)) => match claim.release().await {
                    Ok(()) => self.bury(taken, name, why).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                },
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

    async fn prepare_unknown(&self, taken: Taken, unknown: Unknown<DynamoDbStore>) -> Prepared {
        let ended = match self.target.after_loss(&taken.call) {
            AfterLoss::Nothing(why) => self.leave_to_person(taken, &unknown, why).await,
            _ if self.is_last_receive(&taken) => {
                // The record stays as it is: a new run of the workflow asks the API again.
                let why = unknown.why().unwrap_or("its answer was lost").into();
                self.bury(taken, FailureName::NeedsPerson, why).await
            }
            _ if unknown.wait().is_zero() => {
                let claimed = ReadyTo::Reconcile(unknown);
                return Prepared::Ready(Ready { taken, claimed });
            }
            // The API may still be at work on it: asking now could be answered "not done"
            // a moment before it is.
            _ => self.give_back(taken, unknown.wait(), How::Unknown).await,
        };
        Prepared::Ended(ended)
    }

    /// Why a call that nobody has made may not be made any more. Asked only after the claim:
    /// a call that was made before has a result, and late is better than never for that.
    fn why_not_run(&self, taken: &Taken) -> Option<(FailureName, Why)> {
        let Taken { received, call } = taken;
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

    /// Makes the call. From here to the return the slot is the API's.
    pub(crate) async fn call(&self, ready: Ready) -> Answered {
        let Ready { taken, claimed } = ready;
        let started = Instant::now();
        let answer = match claimed {
            ReadyTo::Run(claim) => self.make(&taken.call, claim).await,
            ReadyTo::Reconcile(unknown) => self.reconcile(&taken.call, unknown).await,
        };
        Answered { taken, answer, started, took: started.elapsed() }
    }

    async fn make(&self, call: &QueuedCall, claim: Claim<DynamoDbStore>) -> Answer {
        // The mark is what tells a crash before the request left from one after it.
        let claim = match claim.dispatched().await {
            Ok(claim) => claim,
            Err(error) => return Answer::Postponed(error.to_string()),
        };
        let outcome = match timeout(self.config.api_timeout, self.target.call(call)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let waited = self.config.api_timeout;
                Outcome::Unknown(format!("the API did not answer within {waited:?}").into())
            }
        };
        match (outcome, self.target.after_loss(call)) {
            (Outcome::Unknown(why), AfterLoss::Nothing(_)) => Answer::Lost(claim, why),
            (outcome, _) => Answer::Made(claim, outcome),
        }
    }

    async fn reconcile(&self, call: &QueuedCall, unknown: Unknown<DynamoDbStore>) -> Answer {
        let asked = timeout(self.config.api_timeout, self.target.reconcile(call)).await;
        match asked {
            Ok(Reconciled::Done(response)) => Answer::Found(unknown, response),
            Ok(Reconciled::NotDone) => match unknown.run_again().await {
                Ok(claim) => self.make(call, claim).await,
                Err(error) => Answer::Postponed(error.to_string()),
            },
            Ok(Reconciled::Undecidable(why)) => Answer::Undecidable(unknown, why),
            Ok(Reconciled::TryAgain(why)) => Answer::Postponed(why),
            Err(_) => Answer::Postponed("the API did not say in time what became of it".to_owned()),
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
            Answer::Postponed(why) => self.put_off(taken, why).await,
        };
        ended.asked = Some((started, took));
        ended
    }

    async fn settle_made(
        &self,
        taken: Taken,
        claim: Dispatched<DynamoDbStore>,
        outcome: Outcome<TargetResponse>,
    ) -> Ended {
        let how = outcome::how(&outcome);
        let used = u32::try_from(claim.tries()).unwrap_or(u32::MAX);
        let attempts = Attempts {
            used,
            max: self.config.max_attempts,
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
            Settlement::Fail {
                name: name @ (FailureName::Rejected | FailureName::Unauthorized),
                why,
            } => {
                // The API refused it and did nothing: the record makes room for a corrected call.
                match claim.release().await {
                    Ok(()) => self.fail(taken, name, why, how).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            // It may have been executed, so the record must not be free to run again.
            Settlement::Fail { name: name @ FailureName::NeedsPerson, why } => {
                match claim.unknown(&why).await {
                    Ok(()) => self.bury(taken, name, why).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            Settlement::Fail { name, why } => match claim.release().await {
                Ok(()) => self.bury(taken, name, why).await,
                Err(error) => self.put_off(taken, error.to_string()).await,
            },
            Settlement::RetryAfter(delay) => {
                let released = match how {
                    How::Throttled | How::Waiting => claim.release_untried().await,
                    _ => claim.release().await,
                };
                match released {
                    Ok(()) => self.give_back(taken, delay, how).await,
                    Err(error) => self.put_off(taken, error.to_string()).await,
                }
            }
            Settlement::Reconcile { after } => match claim.unknown("the answer was lost").await {
                Ok(()) => self.give_back(taken, after, how).await,
                Err(error) => self.put_off(taken, error.to_string()).await,
            },
        }
    }
}
