//! Makes a prepared call at the API, or asks the API what became of an earlier one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use slowlane_idempotency::dispatch::NotDispatched;
use slowlane_idempotency::{Claim, DynamoDbStore, EpochMs, Unknown};
use slowlane_message::QueuedCall;
use slowlane_policy::settle::{FailureName, Outcome, ask_again_after, try_again_after};
use slowlane_policy::tenants::Appointment;
use tokio::time::{Instant, sleep, timeout};

use super::claim::{let_go, release_unmade};
use super::tenant::{Taken, Turn};
use super::{Answer, Answered, Call, Calls, NotAgain, Ready, ReadyTo};
use crate::limits::Grant;
use crate::target::{AfterLoss, Reconciled, Target};

/// The moments at which a call goes that is about to be made.
struct Goes<'a> {
    /// The target's, if it needs one.
    grant: &'a mut Option<Grant>,
    /// Its tenant's, if that has a limit.
    turn: Option<&'a Turn>,
    appointment: Option<Appointment>,
}

impl<T: Target> Calls<T> {
    /// Makes the call, at the moment of its grant if it needs one. Until this returns, the slot
    /// belongs to the API.
    pub(crate) async fn make(&self, ready: Ready, mut grant: Option<Grant>) -> Answered {
        let fits = self.limits.fits(&mut grant, ready.units(self)).await;
        let taken = match fits {
            true => self.take_turn(&ready, &mut grant).await,
            false => Taken::Shut,
        };
        let Ready { call, claimed, appointment } = ready;
        let goes_in = self.limits.until(grant.as_ref()).max(self.turn_in(&taken));
        let started = Instant::now() + goes_in;
        self.limits.calls();
        let mut turn = None;
        let answer = match (claimed, taken) {
            (claimed, Taken::None(later)) => Answer::NotYet(claimed, later),
            (ReadyTo::Run(claim), Taken::Shut) => too_late(&claim, appointment).await,
            (ReadyTo::Reconcile(_), Taken::Shut) => Answer::TooLate,
            (claimed, Taken::Turn(taken)) => {
                turn = taken;
                let mut goes = Goes { grant: &mut grant, turn: turn.as_ref(), appointment };
                match claimed {
                    ReadyTo::Run(claim) => self.send(&call.queued, claim, &mut goes).await,
                    ReadyTo::Reconcile(unknown) => self.reconcile(&call, unknown, &mut goes).await,
                }
            }
        };
        if let Answer::Made(_, Outcome::Throttled { .. }) = &answer {
            self.limits.was_too_much();
        }
        let asked = !matches!(answer, Answer::TooLate | Answer::NotMade(_) | Answer::NotYet(..));
        if !asked {
            self.give_back_unused(grant.take(), turn).await;
        }
        let took = asked.then(|| started.elapsed());
        Answered { call, answer, started, took, grant }
    }

    async fn give_back_unused(&self, grant: Option<Grant>, turn: Option<Turn>) {
        if let Some(unused) = grant {
            self.limits.give_back(unused).await;
        }
        self.give_back_turn(turn).await;
    }

    async fn send(
        &self,
        call: &QueuedCall,
        claim: Claim<DynamoDbStore>,
        goes: &mut Goes<'_>,
    ) -> Answer {
        // The mark tells a crash before the request left from one after it.
        let claim = match claim.dispatched().await {
            Ok(claim) => claim,
            Err(NotDispatched { claim, error }) => {
                // Nothing was sent, whether or not the mark stands.
                let_go(call, &claim, goes.appointment).await;
                return Answer::NotMade(error.into());
            }
        };
        if !self.comes(goes).await {
            return too_late(&claim, goes.appointment).await;
        }
        let in_time = || !claim.remaining().is_zero();
        if goes.grant.is_some() {
            let longest = self.config.api_timeout.min(claim.remaining());
            let prepared = within(longest, in_time, self.target.prepare(call)).await;
            // What it sent has taken the place of the call.
            let goes_on = prepared == Some(false)
                || self.limits.takes_another(goes.grant).await && self.comes(goes).await;
            if !goes_on {
                return too_late(&claim, goes.appointment).await;
            }
        }
        let longest = self.config.api_timeout.min(claim.remaining());
        let outcome = match within(longest, in_time, self.target.call_within(call, longest)).await {
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
        goes: &mut Goes<'_>,
    ) -> Answer {
        let Call { received, queued, .. } = call;
        if !self.comes(goes).await {
            return Answer::TooLate;
        }
        let asked = timeout(self.config.api_timeout, self.target.reconcile(queued)).await;
        let lost_for = EpochMs::from(self.clock.system_time()).since(unknown.since());
        let not_asked = |why: String| {
            let after = try_again_after(received.receive_count, self.unit());
            Answer::Undecided { why: why.into(), after, silent_for: Some(lost_for) }
        };
        match asked {
            Ok(Reconciled::Done(response)) => Answer::Found(unknown, response),
            Ok(Reconciled::NotDone) if unknown.wait().is_zero() => {
                match self.why_not_again(call, &unknown) {
                    Some(why) => Answer::NotDone(unknown, why),
                    None => self.make_again(queued, unknown, goes).await,
                }
            }
            Ok(Reconciled::NotDone) => {
                let after = ask_again_after(lost_for, unknown.wait(), self.unit());
                let why = "its answer was lost, and the API does not have it so far";
                Answer::Undecided { why: why.into(), after, silent_for: None }
            }
            Ok(Reconciled::Undecidable(why)) => Answer::Undecidable(unknown, why),
            Ok(Reconciled::TryAgain(why)) => not_asked(why),
            Err(_) => not_asked("the API did not say in time what became of it".to_owned()),
        }
    }
}

impl<T: Target> Calls<T> {
    async fn make_again(
        &self,
        call: &QueuedCall,
        unknown: Unknown<DynamoDbStore>,
        goes: &mut Goes<'_>,
    ) -> Answer {
        match unknown.run_again().await {
            // The API was asked just now: what it is sent needs another grant.
            Ok(claim) if goes.is_limited() => too_late(&claim, None).await,
            Ok(claim) => self.send(call, claim, goes).await,
            Err(not) => Answer::NotMade(not.error.into()),
        }
    }

    /// Why a call that the API does not have is not made again.
    fn why_not_again(&self, call: &Call, unknown: &Unknown<DynamoDbStore>) -> Option<NotAgain> {
        if call.unwaited {
            return Some(NotAgain::Unwaited);
        }
        if let Some((name, why)) = self.why_not_run(call) {
            return Some(NotAgain::Fails(name, why));
        }
        let is_spent = unknown.tries() >= u64::from(self.max_attempts());
        is_spent.then(|| {
            let why =
                format!("all {} attempts are used, and the API has nothing of it", unknown.tries());
            NotAgain::Fails(FailureName::AttemptsExhausted, why.into())
        })
    }

    /// Waits for the moment at which a call goes, and says whether it may go now. Its tenant's moment may
    /// come a little after the target's, which is not to be void by then.
    async fn comes(&self, goes: &mut Goes<'_>) -> bool {
        self.limits.comes(goes.grant).await
            && self.turn_comes(goes.turn).await
            && self.limits.is_in_time(goes.grant.as_ref())
    }
}

impl Goes<'_> {
    fn is_limited(&self) -> bool {
        self.grant.is_some() || self.turn.is_some()
    }
}

/// A call that is not made after all. If its tenant's turn had come, it has come for the next claim too.
async fn too_late<P>(claim: &Claim<DynamoDbStore, P>, appointment: Option<Appointment>) -> Answer {
    match release_unmade(claim, appointment).await {
        Ok(()) => Answer::TooLate,
        Err(error) => Answer::NotMade(error.into()),
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
