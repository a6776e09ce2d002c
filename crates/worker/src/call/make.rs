//! Makes a prepared call at the API, or asks the API what became of an earlier one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use slowlane_idempotency::dispatch::NotDispatched;
use slowlane_idempotency::{Claim, DynamoDbStore, EpochMs, Unknown};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{Outcome, ask_again_after, try_again_after};
use tokio::time::{Instant, sleep, timeout};

use super::{Answer, Answered, Call, Calls, Ready, ReadyTo, let_go};
use crate::limits::Grant;
use crate::target::{AfterLoss, Reconciled, Target};

impl<T: Target> Calls<T> {
    /// Makes the call, at the moment of its grant if it needs one. Until this returns, the slot
    /// belongs to the API.
    pub(crate) async fn make(&self, ready: Ready, mut grant: Option<Grant>) -> Answered {
        let fits = self.limits.fits(&mut grant, ready.units(self)).await;
        let Ready { call, claimed } = ready;
        let started = Instant::now() + self.limits.until(grant.as_ref());
        self.limits.calls();
        let answer = match claimed {
            ReadyTo::Run(claim) if !fits => Self::too_late(claim).await,
            ReadyTo::Reconcile(_) if !fits => Answer::TooLate,
            ReadyTo::Run(claim) => self.send(&call.queued, claim, &mut grant).await,
            ReadyTo::Reconcile(unknown) => self.reconcile(&call, unknown, &mut grant).await,
        };
        if let Answer::Made(_, Outcome::Throttled { .. }) = &answer {
            self.limits.was_too_much();
        }
        if matches!(answer, Answer::TooLate | Answer::NotMade(_))
            && let Some(unused) = grant.take()
        {
            self.limits.give_back(unused).await;
        }
        Answered { call, answer, started, took: started.elapsed(), grant }
    }

    async fn too_late(claim: Claim<DynamoDbStore>) -> Answer {
        match claim.release_untried().await {
            Ok(()) => Answer::TooLate,
            Err(error) => Answer::NotMade(error.into()),
        }
    }

    async fn send(
        &self,
        call: &QueuedCall,
        claim: Claim<DynamoDbStore>,
        grant: &mut Option<Grant>,
    ) -> Answer {
        // The mark tells a crash before the request left from one after it.
        let claim = match claim.dispatched().await {
            Ok(claim) => claim,
            Err(NotDispatched { claim, error }) => {
                // Nothing was sent, whether or not the mark stands.
                let_go(call, &claim).await;
                return Answer::NotMade(error.into());
            }
        };
        if !self.limits.comes(grant).await {
            return match claim.release_untried().await {
                Ok(()) => Answer::TooLate,
                Err(error) => Answer::NotMade(error.into()),
            };
        }
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

    async fn reconcile(
        &self,
        call: &Call,
        unknown: Unknown<DynamoDbStore>,
        grant: &mut Option<Grant>,
    ) -> Answer {
        let Call { received, queued, unwaited } = call;
        if !self.limits.comes(grant).await {
            return Answer::TooLate;
        }
        let asked = timeout(self.config.api_timeout, self.target.reconcile(queued)).await;
        let not_asked = |why: String| {
            let after = try_again_after(received.receive_count, self.unit());
            Answer::Undecided { why: why.into(), after, answered: false }
        };
        match asked {
            Ok(Reconciled::Done(response)) => Answer::Found(unknown, response),
            Ok(Reconciled::NotDone) if *unwaited && unknown.wait().is_zero() => {
                Answer::NotDone(unknown)
            }
            Ok(Reconciled::NotDone) if unknown.wait().is_zero() => {
                match unknown.run_again().await {
                    // The API was asked just now: what it is sent needs another grant.
                    Ok(claim) if grant.is_some() => match claim.release_untried().await {
                        Ok(()) => Answer::TooLate,
                        Err(error) => Answer::NotMade(error.into()),
                    },
                    Ok(claim) => self.send(queued, claim, &mut None).await,
                    Err(not) => Answer::NotMade(not.error.into()),
                }
            }
            Ok(Reconciled::NotDone) => {
                let now = EpochMs::from(self.clock.system_time());
                let lost_for = now.since(unknown.since());
                let after = ask_again_after(lost_for, unknown.wait(), self.unit());
                let why = "its answer was lost, and the API does not have it so far";
                Answer::Undecided { why: why.into(), after, answered: true }
            }
            Ok(Reconciled::Undecidable(why)) => Answer::Undecidable(unknown, why),
            Ok(Reconciled::TryAgain(why)) => not_asked(why),
            Err(_) => not_asked("the API did not say in time what became of it".to_owned()),
        }
    }
}

/// Waits for `work` until `longest` is over or `in_time` says that time is up, and lets it take no
/// step after that. A process that was paused must not send what it had prepared.
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
