//! The ways in which a message leaves the worker's hands.
//!
//! Each ends with the message deleted or visible again, and each tells the workflow before
//! it deletes: a worker killed half-way leaves a message that comes back.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};
use slowlane_idempotency::{Claim, Claimed, DynamoDbStore, Unknown};
use slowlane_message::{QueuedCall, salvage_token};
use slowlane_policy::settle::{FailureName, Why, put_off};
use tokio::time::Instant;

use crate::Worker;
use crate::process::{Ended, How, Ready, ReadyTo, Taken};
use crate::receive::{self, Received};
use crate::target::{Target, TargetResponse};
use crate::task_callback::{MAX_CAUSE_CHARS, MAX_OUTPUT_BYTES, Waiting};

/// In the stored result of a call: how many bytes its answer had, and that nobody gets it. A
/// target that has not read an answer to its end says so by the same field.
const TOO_LARGE: &str = "too_large_bytes";
/// Room for what is added to a stored result before a workflow gets it.
const REPLAYED_BYTES: usize = r#","replayed":false"#.len();

/// What is stored of an answer: all of it, unless it is too large for a workflow's state. Then it
/// may be too large for the guard's record too, which must be completed all the same: a call
/// without a result would be made again.
pub(crate) fn to_store(response: &TargetResponse) -> Value {
    shortened(json!(response))
}

fn shortened(answer: Value) -> Value {
    let bytes = answer.to_string().len() + REPLAYED_BYTES;
    if bytes <= MAX_OUTPUT_BYTES {
        return answer;
    }
    json!({ "status": answer["status"], "id": answer["id"], TOO_LARGE: bytes })
}

impl<T: Target> Worker<T> {
    /// The stored result of an earlier run goes to whoever waits now.
    pub(crate) async fn replay(&self, taken: Taken, stored: Value) -> Ended {
        match TargetResponse::deserialize(&stored) {
            Ok(_) => self.resume(taken, shortened(stored), How::Replayed).await,
            Err(error) => {
                let why = format!("the guard's stored result cannot be read: {error}");
                self.bury(taken, FailureName::InvalidMessage, why.into()).await
            }
        }
    }

    /// Resumes the workflow with the API's answer as it is stored by now.
    pub(crate) async fn resume(&self, taken: Taken, stored: Value, how: How) -> Ended {
        if let Some(bytes) = stored[TOO_LARGE].as_u64() {
            // The record exists: its id is what the workflow must not lose.
            let why = json!({
                "message": format!(
                    "the answer has at least {bytes} bytes, and a task's output may have {MAX_OUTPUT_BYTES}"
                ),
                "status": stored["status"],
                "id": stored["id"],
            });
            return self.fail_with(taken, FailureName::ResultTooLarge, why, how).await;
        }
        let mut output = stored;
        output["replayed"] = Value::from(how == How::Replayed);
        match self.callback.succeed(&taken.call.task_token, &output.to_string()).await {
            Ok(Waiting::NotAToken) => {
                let reason = format!("it was executed, and {NOT_A_TOKEN}");
                self.bury_unheard(taken, None, reason).await
            }
            Ok(Waiting::Yes | Waiting::No) => self.delete(taken, how, None).await,
            Err(error) => self.put_off(taken, error.to_string()).await,
        }
    }

    /// Fails the workflow of a call that the API has refused.
    pub(crate) async fn fail(&self, taken: Taken, name: FailureName, why: Why, how: How) -> Ended {
        self.fail_with(taken, name, cause(&why), how).await
    }

    /// Takes a call that cannot be run out of the queue: it goes to the dead-letter queue with
    /// the reason, and its workflow fails by `name`.
    pub(crate) async fn bury(&self, taken: Taken, name: FailureName, why: Why) -> Ended {
        if let Err(error) =
            self.queues.dead_letter(&taken.received, &format!("{name}: {why}")).await
        {
            return self.put_off(taken, error.to_string()).await;
        }
        self.fail_with(taken, name, cause(&why), How::Buried).await
    }

    /// A call that may have been executed, and of which the API cannot tell: its workflow fails,
    /// and nobody makes it again before a person has decided.
    pub(crate) async fn leave_to_person(
        &self,
        taken: Taken,
        unknown: &Unknown<DynamoDbStore>,
        why: String,
    ) -> Ended {
        match unknown.needs_person(&why).await {
            Ok(()) => self.bury(taken, FailureName::NeedsPerson, why.into()).await,
            Err(error) => self.put_off(taken, error.to_string()).await,
        }
    }

    /// A message that is no call goes to the dead-letter queue; if a task token can be found
    /// in it, somebody waits and is told.
    pub(crate) async fn bury_malformed(
        &self,
        received: Received,
        error: &slowlane_message::Error,
    ) -> Ended {
        let name = FailureName::InvalidMessage;
        let reason = format!("{name}: {error}");
        let told = async {
            self.queues.dead_letter(&received, &reason).await.map_err(|error| error.to_string())?;
            if let Some(token) = salvage_token(&received.body) {
                let cause = in_words(&json!({ "message": error.to_string() }));
                let failed = self.callback.fail(&token, name, &cause).await;
                failed.map_err(|error| error.to_string())?;
            }
            self.queues.delete(&received).await.map_err(|error| error.to_string())
        };
        match told.await {
            Ok(()) => Ended::of(received, None, How::Buried, Some(reason)),
            Err(why) => self.put_off_message(received, None, why).await,
        }
    }

    /// As [`bury`](Self::bury), for a call whose token names no task, so that nobody can be told.
    pub(crate) async fn bury_unheard(
        &self,
        taken: Taken,
        claimed: Option<Claimed<DynamoDbStore>>,
        reason: String,
    ) -> Ended {
        if let Some(Claimed::Run(claim)) = claimed
            && let Err(error) = claim.release_untried().await
        {
            return self.put_off(taken, error.to_string()).await;
        }
        match self.queues.dead_letter(&taken.received, &reason).await {
            Ok(()) => self.delete(taken, How::Buried, Some(reason)).await,
            Err(error) => self.put_off(taken, error.to_string()).await,
        }
    }

    /// Nobody waits for the call any more: it is dropped without being made.
    pub(crate) async fn abandon(&self, taken: Taken) -> Ended {
        self.delete(taken, How::Abandoned, Some("its workflow no longer waits".to_owned())).await
    }

    /// As [`abandon`](Self::abandon), for a call that is claimed. A dead letter that came back to its
    /// queue goes where it came from: whoever moved it expects more than that it is dropped.
    pub(crate) async fn abandon_claimed(
        &self,
        taken: Taken,
        claim: &Claim<DynamoDbStore>,
    ) -> Ended {
        if let Err(error) = claim.release_untried().await {
            tracing::warn!(%error, "the claim of an abandoned call was not released: its lease ends it");
        }
        if !taken.received.dead_letter {
            return self.abandon(taken).await;
        }
        let reason = "its workflow no longer waits: a dead letter needs a new execution \
                      (cargo xtask dead-letters restart)";
        match self.queues.dead_letter(&taken.received, reason).await {
            Ok(()) => self.delete(taken, How::Buried, Some(reason.to_owned())).await,
            Err(error) => self.put_off(taken, error.to_string()).await,
        }
    }

    /// Gives a call back to its queue, and rings for it when it is visible again.
    pub(crate) async fn give_back(&self, taken: Taken, after: Duration, how: How) -> Ended {
        let Taken { received, call, .. } = taken;
        match self.return_to_queue(&received, after).await {
            Ok(()) => Ended::of(received, Some(call), how, None),
            Err(unrung) => unrung.ended(received, Some(call), None),
        }
    }

    /// Makes a message that the slot took and cannot use visible at once. Nobody rings for
    /// it: the slot looks again before it lets its own ring go.
    pub(crate) async fn return_unread(&self, received: Received) -> Ended {
        match self.queues.hide(&received, Duration::ZERO).await {
            Ok(()) => Ended::of(received, None, How::GivenBack, None),
            Err(error) => self.put_off_message(received, None, error.to_string()).await,
        }
    }

    /// The same for a call that is claimed already.
    pub(crate) async fn give_back_ready(&self, ready: Ready) -> Ended {
        let Ready { taken, claimed } = ready;
        if let ReadyTo::Run(claim) = claimed
            && let Err(error) = claim.release_untried().await
        {
            return self.put_off(taken, error.to_string()).await;
        }
        let Taken { received, call, .. } = taken;
        Ended { call: Some(call), ..self.return_unread(received).await }
    }

    /// AWS could not be reached for a step of the call: it is tried again shortly.
    pub(crate) async fn put_off(&self, taken: Taken, why: String) -> Ended {
        self.put_off_message(taken.received, Some(taken.call), why).await
    }

    async fn put_off_message(
        &self,
        received: Received,
        call: Option<QueuedCall>,
        why: String,
    ) -> Ended {
        let after = put_off(received.receive_count, self.unit());
        match self.return_to_queue(&received, after).await {
            Ok(()) => Ended::of(received, call, How::PutOff, Some(why)),
            Err(unrung) => unrung.ended(received, call, Some(why)),
        }
    }

    /// Makes a message visible `after` so long, and has a ring come a little later.
    ///
    /// The ring is sent first: a worker that is killed between the two leaves a call that is
    /// visible again before its own ring comes back, and never one that is hidden for longer.
    async fn return_to_queue(&self, received: &Received, after: Duration) -> Result<(), Unrung> {
        let began = Instant::now();
        let unrung = |hidden_for| move |error| Unrung { hidden_for, error };
        let rung = self.queues.ring(after + RING_LATER).await;
        rung.map_err(unrung(self.config.call_visibility))?;
        // If SQS refuses, the message comes back at the end of its visibility time-out; if the
        // answer is lost, then or `after` so long.
        let visible_after = match self.queues.hide(received, after).await {
            Ok(()) if began.elapsed() < RING_LATER => return Ok(()),
            Ok(()) => after,
            Err(error) => {
                tracing::warn!(%error, "a call stays hidden until its visibility time-out");
                let hidden = self.config.call_visibility;
                if error.may_hide { hidden.max(after) } else { hidden }
            }
        };
        self.queues.ring(visible_after).await.map_err(unrung(visible_after))
    }

    async fn fail_with(&self, taken: Taken, name: FailureName, cause: Value, how: How) -> Ended {
        match self.callback.fail(&taken.call.task_token, name, &in_words(&cause)).await {
            Ok(Waiting::NotAToken) if how != How::Buried => {
                let reason = format!("{name}: {cause}; {NOT_A_TOKEN}");
                self.bury_unheard(taken, None, reason).await
            }
            Ok(_) => self.delete(taken, how, Some(format!("{name}: {cause}"))).await,
            Err(error) => self.put_off(taken, error.to_string()).await,
        }
    }

    async fn delete(&self, taken: Taken, how: How, why: Option<String>) -> Ended {
        let Taken { received, call, .. } = taken;
        if let Err(error) = self.queues.delete(&received).await {
            // It will come back, find its result stored or its workflow gone, and be deleted then.
            tracing::warn!(%error, "a finished call was not deleted");
        }
        Ended::of(received, Some(call), how, why)
    }
}

/// A call went back to its queue, and could not be rung for: the slot's own ring must come back
/// after the call is visible.
struct Unrung {
    hidden_for: Duration,
    error: receive::Error,
}

impl Unrung {
    fn ended(self, received: Received, call: Option<QueuedCall>, why: Option<String>) -> Ended {
        let Unrung { hidden_for, error } = self;
        let why = why.map_or_else(|| error.to_string(), |why| format!("{why}; {error}"));
        Ended { hidden_for, ..Ended::of(received, call, How::Failed, Some(why)) }
    }
}

/// How much later than a call that is given back its ring comes: as long as the two requests usually
/// take, and more.
const RING_LATER: Duration = Duration::from_secs(1);

/// Why nobody can be told.
pub(crate) const NOT_A_TOKEN: &str = "its task token is none that Step Functions has given out";

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
