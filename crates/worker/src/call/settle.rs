//! Settles an answered call: decides what becomes of it, and carries that out.

use std::time::Duration;

use futures::future::join3;
use jiff::Timestamp;
use slowlane_idempotency::{Dispatched, DynamoDbStore};
use slowlane_lambda::logs::chain;
use slowlane_limiter::{FailureKind, Report};
use slowlane_policy::settle::{
    Attempts, FailureName, Outcome, Settlement, Why, outage_delay, settle,
};

use super::ending::to_store;
use super::{Answer, Answered, Call, Calls, Disposition, Ended, Ending, NotAgain, StepError};
use crate::aws::deletes::When;
use crate::limits::{Grant, Moved, report_of};
use crate::metering::Metered;
use crate::target::{Target, TargetResponse};

impl<T: Target> Calls<T> {
    /// Stores what became of the call, resumes its workflow and deletes its message.
    pub(crate) async fn settle(&self, answered: Answered) -> Ended {
        let Answered { call, answer, started, took, grant } = answered;
        let report = self.report(&call, &answer, took.unwrap_or_default());
        let settled = self.settle_units(grant.as_ref(), &answer);
        let ((), (), metered) = join3(report, settled, self.count_usage(&call, &answer)).await;
        let wait_for_grant = grant.as_ref().map(Grant::wait);
        let result = self.settle_answer(&call, answer).await;
        let ended = self.ended(call.received, Some(call.queued), result, When::WithOthers).await;
        Ended { asked: took.map(|took| (started, took)), metered, wait_for_grant, ..ended }
    }

    /// Counts what the call has used of a model, if its answer says that and the deployment counts it.
    async fn count_usage(&self, call: &Call, answer: &Answer) -> Option<Metered> {
        let metering = self.metering.as_ref()?;
        match answer {
            Answer::Made(_, Outcome::Succeeded(TargetResponse { usage: Some(usage), .. })) => {
                Some(metering.count(&call.queued, usage).await)
            }
            _ => None,
        }
    }

    /// Gives back what was kept free for the call and was not used, if its answer says what was.
    async fn settle_units(&self, grant: Option<&Grant>, answer: &Answer) {
        if let Answer::Made(_, Outcome::Succeeded(TargetResponse { units: Some(used), .. })) =
            answer
        {
            self.limits.settle(grant, *used).await;
        }
    }

    /// Tells all slots what became of the call, as far as it says something of the API.
    async fn report(&self, call: &Call, answer: &Answer, took: Duration) {
        let failed = Report::Failed { kind: FailureKind::Connection };
        let report = match answer {
            Answer::Made(_, outcome) => report_of(outcome, took),
            Answer::Lost(_, why) => report_of::<()>(&Outcome::Unknown(why.clone()), took),
            Answer::Undecided { silent_for: Some(_), .. } => failed,
            Answer::Found(..)
            | Answer::NotDone(..)
            | Answer::Undecidable(..)
            | Answer::Undecided { .. } => Report::Answered { latency: took, all_in_use: false },
            Answer::NotMade(_) | Answer::TooLate | Answer::NotYet(..) => {
                return self.limits.did_not_call();
            }
        };
        if report == (Report::Failed { kind: FailureKind::Credentials }) {
            // They may have been changed. Then the next call of this process is taken.
            self.renew_credentials().await;
        }
        let name = call.queued.idempotency_key.as_str();
        let moved = self.limits.report(name, &report).await;
        if let Answer::Made(_, Outcome::Succeeded(response)) = answer {
            self.limits.heed_left(name, &response.left).await;
        }
        let wanted = match moved {
            Moved::No => 0,
            // Their rings sleep.
            Moved::Closed => self.config.slots().unwrap_or(1).saturating_sub(1),
            // Those that stood down took the rings with them.
            Moved::Raised => 1,
        };
        if let Some(doorbell) = self.doorbell.as_ref().filter(|_| wanted > 0)
            && let Err(error) = doorbell.ring_for_slots(wanted).await
        {
            tracing::warn!(error = chain(&error), "other slots come back within minutes");
        }
    }

    async fn settle_answer(&self, call: &Call, answer: Answer) -> Result<Ending, StepError> {
        match answer {
            Answer::Made(claim, outcome) => self.settle_made(call, claim, outcome).await,
            Answer::Lost(claim, why) => {
                claim.needs_person(&why).await?;
                self.dead_letter_and_fail(call, FailureName::NeedsPerson, why).await
            }
            Answer::Found(unknown, response) => {
                let result = to_store(&response);
                unknown.adopt(&result).await?;
                self.resume(call, result, Disposition::Succeeded).await
            }
            Answer::Undecidable(unknown, why) => self.leave_to_person(call, &unknown, why).await,
            Answer::NotDone(unknown, not_again) => {
                unknown.release().await?;
                match not_again {
                    NotAgain::Unwaited => Ok(Self::abandon()),
                    NotAgain::Fails(name, why) => self.dead_letter_and_fail(call, name, why).await,
                }
            }
            Answer::Undecided { why, after, silent_for } => {
                self.ask_again(call, why, after, silent_for).await
            }
            Answer::NotMade(error) => Err(error),
            Answer::TooLate => self.make_visible(&call.received).await,
            Answer::NotYet(claimed, later) => self.release_until(call, claimed, later).await,
        }
    }

    /// The API is asked again later, unless the workflow's deadline comes first. Then the record
    /// stays as it is, and a new run of the workflow asks the API again. One that has been silent for
    /// long is asked less often, also if its breaker is closed: the errors of a single call do not open it.
    async fn ask_again(
        &self,
        call: &Call,
        why: Why,
        after: Duration,
        silent_for: Option<Duration>,
    ) -> Result<Ending, StepError> {
        let time_left = call.queued.deadline.duration_since(self.clock.now());
        let time_left = Duration::try_from(time_left).unwrap_or_default();
        if after < time_left || call.unwaited {
            let after = self.unless_out_of_order(call, after, silent_for);
            return Ok(self.give_back(call, after, Disposition::Unknown).await);
        }
        self.dead_letter_and_fail(call, FailureName::NeedsPerson, why).await
    }

    async fn settle_made(
        &self,
        call: &Call,
        claim: Dispatched<DynamoDbStore>,
        outcome: Outcome<TargetResponse>,
    ) -> Result<Ending, StepError> {
        let again = if_made_again(&outcome);
        let out_of_order = self.limits.is_out_of_order();
        let attempts = Attempts {
            used: u32::try_from(claim.tries()).unwrap_or(u32::MAX),
            max: self.max_attempts(),
            first: claim.attempt() == 1,
            repeatable: claim.is_repeatable(),
            maybe_executed: claim.maybe_executed_before(),
        };
        let (now, deadline) = (self.clock.now(), call.queued.deadline);
        match settle(outcome, &attempts, now, deadline, &self.retry, self.unit()) {
            Settlement::Complete(response) => {
                let result = to_store(&response);
                claim.complete(&result).await?;
                self.resume(call, result, Disposition::Succeeded).await
            }
            Settlement::Fail { name, why } => {
                match name {
                    // It may have been executed, so the record must not be free to run again.
                    FailureName::NeedsPerson => claim.unknown(&why).await?,
                    FailureName::OutcomeUnknown if again == Disposition::Unknown => {
                        claim.close_unknown(&why).await?;
                    }
                    // It was not executed: the record makes room for a corrected call.
                    _ => claim.close().await?,
                }
                match name {
                    FailureName::Rejected | FailureName::Unauthorized => {
                        self.fail(call, name, &why).await
                    }
                    _ => self.dead_letter_and_fail(call, name, why).await,
                }
            }
            Settlement::RetryAfter(delay) => {
                match again {
                    // The request that the API is at work on may have been this call's own.
                    Disposition::Waiting if claim.is_repeatable() => {
                        claim.unknown_untried("the API is at work on a call with its key").await?;
                    }
                    Disposition::Throttled | Disposition::Waiting => {
                        claim.release_untried().await?
                    }
                    Disposition::Unknown if out_of_order => {
                        claim.unknown_untried("the answer was lost").await?;
                    }
                    Disposition::Unknown => claim.unknown("the answer was lost").await?,
                    _ if out_of_order => claim.release_untried().await?,
                    _ => claim.release().await?,
                }
                let delay = self.unless_out_of_order(call, delay, None);
                Ok(self.give_back(call, delay, again).await)
            }
            Settlement::Reconcile { after } => {
                match out_of_order {
                    true => claim.unknown_untried("the answer was lost").await?,
                    false => claim.unknown("the answer was lost").await?,
                }
                let after = self.unless_out_of_order(call, after, None);
                Ok(self.give_back(call, after, Disposition::Unknown).await)
            }
        }
    }

    /// How many attempts a call may have. While the API answers nobody, none is used up.
    pub(super) fn max_attempts(&self) -> u32 {
        if self.limits.is_out_of_order() { u32::MAX } else { self.config.max_attempts }
    }

    /// The delay, or a longer one while the API answers nobody, or has not answered this call for as long
    /// as `silent_for`: but none beyond the deadline, at which the call has to end.
    fn unless_out_of_order(
        &self,
        call: &Call,
        delay: Duration,
        silent_for: Option<Duration>,
    ) -> Duration {
        let now = self.clock.now();
        let between = |from: Timestamp, to: Timestamp| {
            Duration::try_from(to.duration_since(from)).unwrap_or_default()
        };
        let waited = match self.limits.is_out_of_order() {
            true => between(call.queued.enqueued_at, now),
            false => silent_for.unwrap_or_default(),
        };
        outage_delay(delay, waited).min(between(now, call.queued.deadline).max(delay))
    }
}

/// The outcome under which a call is counted that is made again after this.
fn if_made_again(outcome: &Outcome<TargetResponse>) -> Disposition {
    match outcome {
        Outcome::Throttled { .. } => Disposition::Throttled,
        Outcome::InFlight { .. } => Disposition::Waiting,
        // If an attempt is refused because the record exists, nobody knows who made that record.
        Outcome::Unknown(_) | Outcome::AlreadyExists(_) => Disposition::Unknown,
        Outcome::Succeeded(_) | Outcome::Rejected(_) | Outcome::Transient(_) => {
            Disposition::Retried
        }
        Outcome::Unauthorized(_) => Disposition::CredentialsRefused,
    }
}
