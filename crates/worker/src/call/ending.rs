//! The ways in which a message leaves the worker's hands.
//!
//! Each ends with the message deleted or visible again, and each tells the workflow before
//! it deletes: a worker killed half-way leaves a message that comes back. A step that fails leaves by
//! [`Calls::ended`], the one place from where it is tried again later.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};
use slowlane_idempotency::{Claim, DynamoDbStore, Unknown};
use slowlane_lambda::logs::chain;
use slowlane_limiter as limiter;
use slowlane_message::{QueuedCall, salvage_token};
use slowlane_policy::settle::{FailureName, Why, lasting_delay, try_again_after};
use slowlane_policy::tenants::{Hidden, hidden_at_once};
use tokio::time::{Instant, sleep};

use super::claim::{let_go, release_unmade};
use super::{Call, Calls, Disposition, Ended, Ending, Ready, ReadyTo, StepError};
use crate::aws::deletes::When;
use crate::aws::queues::Received;
use crate::aws::task_callback::{MAX_CAUSE_CHARS, MAX_OUTPUT_BYTES, Waiting, output_bytes};
use crate::target::{Target, TargetResponse};

/// A field of a call's stored result: how many bytes its answer had, and that no workflow gets it.
/// A target that has not read an answer to its end says so by the same field.
const TOO_LARGE: &str = "too_large_bytes";

/// What is stored of an answer: all of it, unless it is too large for a workflow's state. Then it
/// may be too large for the guard's record too. But the record must be completed all the same: a
/// call without a result would be made again.
pub(super) fn to_store(response: &TargetResponse) -> Value {
    shortened(json!(response))
}

fn shortened(answer: Value) -> Value {
    let bytes = output_bytes(&answer);
    if bytes <= MAX_OUTPUT_BYTES {
        return answer;
    }
    json!({ "status": answer["status"], "id": answer["id"], TOO_LARGE: bytes })
}

impl<T: Target> Calls<T> {
    /// What is told of a message after its last step. If that was its end, the message is deleted.
    /// A step that failed is tried again later: its message becomes visible then, and its log line
    /// has the whole chain of causes.
    pub(super) async fn ended(
        &self,
        received: Received,
        queued: Option<QueuedCall>,
        result: Result<Ending, StepError>,
        delete: When,
    ) -> Ended {
        let Ending { disposition, why } = match result {
            Ok(ending) => ending,
            Err(error) => {
                let after = try_again_after(received.receive_count, self.unit());
                let later = Disposition::TriedAgainLater;
                let Ending { disposition, why } = self.give_back_to(&received, after, later).await;
                let unrung = why.map(|why| format!("; {why}")).unwrap_or_default();
                Ending { disposition, why: Some(chain(&error) + &unrung) }
            }
        };
        if disposition.is_end() {
            self.deletes.delete(&received, delete).await;
        }
        let concurrency = self.limits.concurrency();
        let (asked, metered, wait_for_grant) = (None, None, None);
        Ended { disposition, received, queued, asked, metered, wait_for_grant, concurrency, why }
    }

    /// The stored result of an earlier run goes to the workflow that waits now.
    pub(super) async fn replay(&self, call: &Call, stored: Value) -> Result<Ending, StepError> {
        match TargetResponse::deserialize(&stored) {
            Ok(_) => self.resume(call, shortened(stored), Disposition::Replayed).await,
            Err(error) => {
                let why = format!("the guard's stored result cannot be read: {error}");
                self.dead_letter_and_fail(call, FailureName::InvalidMessage, why.into()).await
            }
        }
    }

    /// Resumes the workflow with the API's answer as it is stored by now.
    pub(super) async fn resume(
        &self,
        call: &Call,
        stored: Value,
        disposition: Disposition,
    ) -> Result<Ending, StepError> {
        if let Some(bytes) = stored[TOO_LARGE].as_u64() {
            // The record exists: its id is what the workflow must not lose.
            let cause = json!({
                "message": format!(
                    "the answer has at least {bytes} bytes, and a task's output may have {MAX_OUTPUT_BYTES}"
                ),
                "status": stored["status"],
                "id": stored["id"],
            });
            return self.fail_by(call, FailureName::ResultTooLarge, cause).await;
        }
        let mut output = stored;
        output["replayed"] = Value::from(disposition == Disposition::Replayed);
        match self.callback.succeed(&call.queued.task_token, &output.to_string()).await? {
            Waiting::NotAToken => {
                let reason = format!("it was executed, and {NOT_A_TOKEN}");
                self.dead_letter_unheard(call, reason).await
            }
            Waiting::Yes | Waiting::No => Ok(Ending { disposition, why: None }),
        }
    }

    /// Fails the workflow of a call that the API has refused.
    pub(super) async fn fail(
        &self,
        call: &Call,
        name: FailureName,
        why: &Why,
    ) -> Result<Ending, StepError> {
        self.fail_by(call, name, cause(why)).await
    }

    async fn fail_by(
        &self,
        call: &Call,
        name: FailureName,
        cause: Value,
    ) -> Result<Ending, StepError> {
        let token = &call.queued.task_token;
        match self.callback.fail(token, name, &in_words(&cause)).await? {
            Waiting::NotAToken => {
                let reason = format!("{name}: {cause}; {NOT_A_TOKEN}");
                self.dead_letter_unheard(call, reason).await
            }
            Waiting::Yes | Waiting::No => {
                let why = Some(format!("{name}: {cause}"));
                Ok(Ending { disposition: Disposition::Failed(name), why })
            }
        }
    }

    /// Takes a call that cannot be run out of the queue: it goes to the dead-letter queue with
    /// the reason, and its workflow fails by `name`.
    pub(super) async fn dead_letter_and_fail(
        &self,
        call: &Call,
        name: FailureName,
        why: Why,
    ) -> Result<Ending, StepError> {
        self.queues.dead_letter(&call.received, &format!("{name}: {why}")).await?;
        let cause = cause(&why);
        self.callback.fail(&call.queued.task_token, name, &in_words(&cause)).await?;
        let why = Some(format!("{name}: {cause}"));
        Ok(Ending { disposition: Disposition::Failed(name), why })
    }

    /// A call that may have been executed, and the API cannot tell. Its workflow fails, and nobody
    /// makes it again before a person has decided.
    pub(super) async fn leave_to_person(
        &self,
        call: &Call,
        unknown: &Unknown<DynamoDbStore>,
        why: String,
    ) -> Result<Ending, StepError> {
        unknown.needs_person(&why).await?;
        self.dead_letter_and_fail(call, FailureName::NeedsPerson, why.into()).await
    }

    /// A message that is no call goes to the dead-letter queue; if a task token can be found
    /// in it, somebody waits and is told.
    pub(super) async fn end_malformed(
        &self,
        received: Received,
        error: &slowlane_message::Error,
    ) -> Ended {
        let result = self.dead_letter_malformed(&received, error).await;
        self.ended(received, None, result, When::AtOnce).await
    }

    async fn dead_letter_malformed(
        &self,
        received: &Received,
        error: &slowlane_message::Error,
    ) -> Result<Ending, StepError> {
        let name = FailureName::InvalidMessage;
        let reason = format!("{name}: {error}");
        self.queues.dead_letter(received, &reason).await?;
        if let Some(token) = salvage_token(&received.body) {
            let cause = in_words(&json!({ "message": error.to_string() }));
            self.callback.fail(&token, name, &cause).await?;
        }
        Ok(Ending { disposition: Disposition::Failed(name), why: Some(reason) })
    }

    /// As [`dead_letter_and_fail`](Self::dead_letter_and_fail), for a call whose workflow cannot be
    /// told, or has been.
    pub(super) async fn dead_letter_unheard(
        &self,
        call: &Call,
        reason: String,
    ) -> Result<Ending, StepError> {
        self.queues.dead_letter(&call.received, &reason).await?;
        Ok(Ending { disposition: Disposition::Unheard, why: Some(reason) })
    }

    /// Nobody waits for the call any more: it is dropped without being made.
    pub(super) fn abandon() -> Ending {
        let why = "its workflow no longer waits".to_owned();
        Ending { disposition: Disposition::Abandoned, why: Some(why) }
    }

    /// As [`abandon`](Self::abandon), for a call that is claimed. A dead letter that came back to
    /// its queue goes to where it came from: a person has moved it, and expects more than that it
    /// is dropped.
    pub(super) async fn abandon_claimed(
        &self,
        call: &Call,
        claim: &Claim<DynamoDbStore>,
    ) -> Result<Ending, StepError> {
        let_go(&call.queued, claim, None).await;
        if !call.received.dead_letter {
            return Ok(Self::abandon());
        }
        let reason = "its workflow no longer waits: a dead letter needs a new execution \
                      (slowlane calls dead-letters restart)";
        self.dead_letter_unheard(call, reason.to_owned()).await
    }

    /// Gives back a message that the slot received and cannot use. It is visible at once. Nobody
    /// rings for it, because the slot looks again before it lets its own ring go.
    pub(crate) async fn give_back_unread(&self, received: Received) -> Ended {
        let result = self.make_visible(&received).await;
        self.ended(received, None, result, When::AtOnce).await
    }

    /// The same for a call that is claimed already.
    pub(crate) async fn give_back_ready(&self, ready: Ready) -> Ended {
        let Ready { call, claimed, appointment } = ready;
        let result = async {
            if let ReadyTo::Run(claim) = claimed {
                release_unmade(&claim, appointment).await?;
            }
            self.make_visible(&call.received).await
        };
        let result = result.await;
        self.ended(call.received, Some(call.queued), result, When::AtOnce).await
    }

    /// Gives back a call that is claimed and has no grant, until one may be asked for.
    pub(super) async fn give_back_ungranted(
        &self,
        ready: Ready,
        waiting: &limiter::Waiting,
    ) -> Ended {
        let Ready { call, claimed, appointment } = ready;
        let after = self.limits.opens_in(waiting).unwrap_or_default();
        let receives = call.received.receive_count;
        let time_left = call.queued.deadline.duration_since(self.clock.now());
        let time_left = Duration::try_from(time_left).unwrap_or_default();
        let lasting = lasting_delay(receives, self.config.max_receive_count, time_left);
        let soonest = try_again_after(receives, self.unit());
        let after = after.max(soonest).max(lasting);
        let result = async {
            if let ReadyTo::Run(claim) = claimed {
                release_unmade(&claim, appointment).await?;
            }
            let lacks_place = matches!(waiting.reason, limiter::Reason::NoSlot { .. });
            let lacks = if lacks_place { Disposition::NoPlace } else { Disposition::NoGrant };
            let given_back = self.give_back(&call, after, lacks).await;
            Ok(Ending {
                why: given_back.why.or_else(|| Some(waiting.reason.to_string())),
                ..given_back
            })
        };
        let result = result.await;
        self.ended(call.received, Some(call.queued), result, When::AtOnce).await
    }

    pub(super) async fn make_visible(&self, received: &Received) -> Result<Ending, StepError> {
        self.queues.change_visibility(received, Duration::ZERO).await?;
        Ok(Ending { disposition: Disposition::GivenBack, why: None })
    }

    /// Gives a call back to its queue, and rings for it when it is visible again.
    pub(super) async fn give_back(
        &self,
        call: &Call,
        after: Duration,
        disposition: Disposition,
    ) -> Ending {
        self.give_back_to(&call.received, after, disposition).await
    }

    /// Gives a call back that waits for its tenant. No slot waits for that. So the request is sent at
    /// the fraction of a second at which it makes the message visible in time, and its ring with it: the
    /// slot that is woken needs longer than that. In the deferral wiring the invocation would have to
    /// wait.
    pub(super) async fn give_back_until(&self, received: &Received, ahead: Duration) -> Ending {
        let disposition = Disposition::NotItsTurn;
        if self.doorbell.is_none() {
            return self.give_back_to(received, hidden_at_once(ahead), disposition).await;
        }
        let Hidden { after, seconds } = Hidden::until(ahead);
        sleep(after).await;
        self.hide_and_ring(received, seconds, Duration::ZERO, disposition).await
    }

    /// Makes a message visible `after` this long, and has a ring come a little later.
    ///
    /// The ring is sent first. So if a worker is killed between the two, its call is visible again
    /// before the slot's own ring comes back. Never is one hidden for longer.
    async fn give_back_to(
        &self,
        received: &Received,
        after: Duration,
        disposition: Disposition,
    ) -> Ending {
        self.hide_and_ring(received, after, RING_LATER, disposition).await
    }

    /// The same, with a ring that comes so much `later` than the message is to be visible.
    async fn hide_and_ring(
        &self,
        received: &Received,
        after: Duration,
        later: Duration,
        disposition: Disposition,
    ) -> Ending {
        let began = Instant::now();
        if let Err(unrung) = self.ring(after + later, self.config.call_visibility).await {
            return unrung;
        }
        // If SQS refuses, the message comes back at the end of its visibility time-out. If the
        // answer is lost, it comes back then or `after` this long.
        let visible_after = match self.queues.change_visibility(received, after).await {
            Ok(()) if began.elapsed() < RING_LATER => return Ending { disposition, why: None },
            Ok(()) => after,
            Err(error) => {
                tracing::warn!(
                    message_id = received.message_id,
                    error = chain(&error),
                    "a call stays hidden until its visibility time-out"
                );
                let hidden = self.config.call_visibility;
                if error.may_hide { hidden.max(after) } else { hidden }
            }
        };
        match self.ring(visible_after, visible_after).await {
            Ok(()) => Ending { disposition, why: None },
            Err(unrung) => unrung,
        }
    }

    /// Rings `after` this long for a call that is hidden for `hidden_for`.
    async fn ring(&self, after: Duration, hidden_for: Duration) -> Result<(), Ending> {
        let Some(doorbell) = &self.doorbell else { return Ok(()) };
        doorbell.ring_in(self.clock.now(), after).await.map_err(|error| Ending {
            disposition: Disposition::Unrung { hidden_for },
            why: Some(chain(&error)),
        })
    }
}

/// How much later than a given-back call its ring comes: longer than the two requests usually take.
const RING_LATER: Duration = Duration::from_secs(1);

/// Why nobody can be told.
pub(super) const NOT_A_TOKEN: &str = "its task token is none that Step Functions has given out";

/// A cause as Step Functions takes it: JSON that can be read, whatever is cut of its message.
fn in_words(cause: &Value) -> String {
    let text = cause.to_string();
    let Some(message) = cause["message"].as_str().filter(|_| !fits(&text)) else {
        return text;
    };
    let mut cause = cause.clone();
    // Each character of the message takes one of the text, or up to six where JSON escapes it.
    let mut room = MAX_CAUSE_CHARS / 6;
    while room > 0 {
        let kept: String = message.chars().take(room).collect();
        cause["message"] = Value::from(kept + " ...");
        let shorter = cause.to_string();
        if fits(&shorter) {
            return shorter;
        }
        room /= 2;
    }
    json!({ "message": "the cause is too long to be told; the log has it" }).to_string()
}

fn fits(cause: &str) -> bool {
    cause.chars().count() <= MAX_CAUSE_CHARS
}

/// The cause that a state machine is given: a JSON object, so that it can be read by an
/// expression.
fn cause(why: &Why) -> Value {
    let mut cause = json!({ "message": why.message });
    if let Some(status) = why.status {
        cause["status"] = status.into();
    }
    if let Some(code) = &why.code {
        cause["code"] = code.as_str().into();
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_json_however_long_its_message_is() {
        let long = "\"é\u{1}".repeat(MAX_CAUSE_CHARS);
        let cause = json!({ "message": long, "status": 400, "code": "BAD" });
        let text = in_words(&cause);
        assert!(text.chars().count() <= MAX_CAUSE_CHARS);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["status"], &read["code"]), (&json!(400), &json!("BAD")));
        assert!(read["message"].as_str().unwrap().starts_with("\"é\u{1}\"é"), "{read}");
        let short = json!({ "message": "no", "status": 400 });
        assert_eq!(in_words(&short), short.to_string());
    }

    #[test]
    fn a_cause_that_is_long_without_its_message_is_json_too() {
        let cause = json!({ "message": "no", "code": "x".repeat(MAX_CAUSE_CHARS) });
        let read: Value = serde_json::from_str(&in_words(&cause)).unwrap();
        assert!(read["message"].is_string(), "{read}");
    }
}
