//! The ten traps of "look at the higher queue, put the lower call back, run it anyway after a
//! while". Each is a way in which the pattern, as it is usually written, loses, delays or repeats
//! work. The real worker runs on the simulated AWS, in virtual time.
//!
//! | | Trap | What the worker does | Test |
//! |---|---|---|---|
//! | 1 | HIGH's own mapping takes a HIGH call and is throttled: the call is hidden, its queue looks empty | neither loses it nor waits for it | [`a_throttled_high_call_is_not_lost_and_not_waited_for`] |
//! | 2 | hidden messages of a higher queue are counted as waiting, and may be deferred themselves | counts only what is visible | [`nobody_steps_back_for_a_call_that_nobody_may_run_yet`] |
//! | 3 | the receive count is taken for a count of deferrals | a count that is reached early lets a call run early, and does nothing worse | [`after_enough_receives_a_call_runs_whatever_waits_above`] |
//! | 4 | deferrals and throttles use up the receives that failures need | counts attempts in the guard's record | [`a_call_that_is_throttled_for_long_still_succeeds`] |
//! | 5 | a receive is taken for a peek, and hides the higher call | runs what it has received; looks without receiving | [`a_higher_call_that_was_received_runs_in_this_slot`], [`yielding_looks_without_receiving`] |
//! | 6 | a reported failure hides the deferred call for the queue's whole visibility time-out | makes it visible within seconds | [`a_deferred_call_is_back_within_seconds`] |
//! | 7 | a bad message makes the handler fail, and its mapping polls less | keeps it with its reason, and answers as ever | [`no_message_makes_the_handler_fail`] |
//! | 8 | calls that were deferred together come back together | spreads their return | [`deferred_calls_come_back_spread_out`] |
//! | 9 | a worker is killed between the API's answer and the delete, and the call is made twice | stores the result first, and gives it to the workflow later | [`a_worker_killed_at_any_moment_repeats_nothing`] |
//! | 10 | a call is made for an execution that was stopped | drops it without making it | [`a_call_that_nobody_waits_for_is_not_made`] |

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::{Value, json};
use slowlane_aws_simulator::cloud::Waited;
use slowlane_aws_simulator::cloud::tokens::Ended;
use slowlane_message::Priority;
use tokio::time::Instant;

use super::rig::{MAX_ATTEMPTS, MAX_DEFERRALS, QUEUE_VISIBILITY, Rig, event, is_success, on};

/// Trap 1. With a mapping on each queue, HIGH's own mapping takes a HIGH call at once. While it is
/// throttled the call is hidden and its queue looks empty. Nothing that a worker does can mend
/// that; the doorbell wiring has no such mapping. What the deferral wiring owes is that the hidden
/// call is neither lost nor waited for.
#[test]
fn a_throttled_high_call_is_not_lost_and_not_waited_for() {
    on("swap", async |rig: Rig| {
        let high = rig.put(Priority::High, "high").await;
        rig.receive("high", Duration::from_secs(10)).await.expect("the mapping takes it");
        rig.put(Priority::Batch, "batch").await;
        rig.deliver(Priority::Batch).await;
        assert_eq!(rig.called(), ["batch"], "an idle slot helps nobody");
        tokio::time::sleep(Duration::from_secs(10)).await;
        rig.deliver(Priority::High).await;
        assert!(is_success(&rig.end_of(high).await));
    });
}

/// Trap 2. Hidden messages of a higher queue may be deferred themselves.
#[test]
fn nobody_steps_back_for_a_call_that_nobody_may_run_yet() {
    for on_higher in ["swap", "yield"] {
        on(on_higher, async |rig: Rig| {
            rig.put(Priority::Normal, "normal").await;
            rig.receive("normal", Duration::from_secs(60)).await.expect("hidden now");
            rig.put(Priority::Batch, "batch").await;
            let delivered = rig.deliver(Priority::Batch).await;
            assert_eq!((delivered.kept, delivered.counts.deferrals), (false, 0));
            assert_eq!(rig.called(), ["batch"]);
        });
    }
}

/// Trap 3. Receives are not deferrals: a count that is reached early lets a call run early, and
/// must do nothing worse.
#[test]
fn after_enough_receives_a_call_runs_whatever_waits_above() {
    on("yield", async |rig: Rig| {
        rig.put(Priority::High, "high").await;
        let batch = rig.put(Priority::Batch, "batch").await;
        for deferral in 1..=MAX_DEFERRALS {
            let delivered = rig.deliver(Priority::Batch).await;
            assert!(delivered.kept, "deferral {deferral} keeps the message");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert!(rig.called().is_empty());
        assert!(!rig.deliver(Priority::Batch).await.kept);
        assert_eq!(rig.called(), ["batch"]);
        assert!(is_success(&rig.end_of(batch).await));
    });
}

/// Trap 3 and 4. An API at its limit costs receives, and neither attempts nor the call: the
/// failures that do count are counted from the first.
#[test]
fn a_call_that_is_throttled_for_long_still_succeeds() {
    on("swap", async |rig: Rig| {
        let task = rig.put(Priority::Normal, "normal").await;
        rig.api.throttles.set(20);
        rig.api.refusals.set(MAX_ATTEMPTS - 1);
        for _ in 0..20 + MAX_ATTEMPTS - 1 {
            assert!(rig.deliver(Priority::Normal).await.kept);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(!rig.deliver(Priority::Normal).await.kept);
        assert!(is_success(&rig.end_of(task).await));
        assert_eq!(rig.counts("dead").await, (0, 0));
    });
}

/// Trap 5. A receive is no peek: what was received is run here, in the very slot.
#[test]
fn a_higher_call_that_was_received_runs_in_this_slot() {
    on("swap", async |rig: Rig| {
        let high = rig.put(Priority::High, "high").await;
        rig.put(Priority::Batch, "batch").await;
        let delivered = rig.deliver(Priority::Batch).await;
        assert_eq!((delivered.counts.deferrals, delivered.counts.swaps), (1, 1));
        assert_eq!(rig.called(), ["high"]);
        assert!(is_success(&rig.end_of(high).await));
        assert_eq!(rig.counts("high").await, (0, 0), "done and deleted");
    });
}

/// Trap 5, for the wiring that does not swap: looking must hide nothing.
#[test]
fn yielding_looks_without_receiving() {
    on("yield", async |rig: Rig| {
        rig.put(Priority::High, "high").await;
        rig.put(Priority::Batch, "batch").await;
        assert!(rig.deliver(Priority::Batch).await.kept);
        assert_eq!(rig.counts("high").await, (1, 0));
        let message = rig.receive("high", Duration::ZERO).await.unwrap();
        let received =
            &message.attributes.unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
        assert_eq!(received, "1", "only this test has received it");
    });
}

/// Trap 6. A reported failure alone would hide the call for the queue's whole visibility.
#[test]
fn a_deferred_call_is_back_within_seconds() {
    for on_higher in ["swap", "yield"] {
        on(on_higher, async |rig: Rig| {
            rig.put(Priority::High, "high").await;
            rig.put(Priority::Batch, "batch").await;
            assert!(rig.deliver(Priority::Batch).await.kept, "it is reported as a failure");
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(rig.counts("batch").await, (1, 0));
        });
    }
}

/// Trap 7. A handler that fails as a whole makes its mapping poll less: whatever the message
/// says, the answer is an ordinary one.
#[test]
fn no_message_makes_the_handler_fail() {
    on("swap", async |rig: Rig| {
        for body in ["", "{", "[]", r#"{"version":"9.0"}"#, r#"{"version":"1.0","a":1}"#] {
            rig.put_body(Priority::Batch, if body.is_empty() { " " } else { body }).await;
            assert!(!rig.deliver(Priority::Batch).await.kept, "{body:?} is dealt with");
        }
        assert_eq!(rig.counts("dead").await, (5, 0), "and nothing of it is lost");
        assert!(rig.called().is_empty());
    });
}

/// The same for one so long that SQS would not take it with a reason beside it.
#[test]
fn a_message_that_leaves_no_room_for_a_reason_is_kept_without() {
    on("swap", async |rig: Rig| {
        rig.put_body(Priority::Batch, &"x".repeat(1024 * 1024 - 10)).await;
        assert!(!rig.deliver(Priority::Batch).await.kept, "it is dealt with");
        assert_eq!(rig.counts("dead").await, (1, 0), "and not lost");
    });
}

/// An answer too large for a workflow's state, or even for the guard's record, is an answer. The
/// call is not made again, now or by a later run. The workflow learns the record's id.
#[test]
fn an_answer_that_is_too_large_fails_its_workflow_and_is_not_asked_for_again() {
    for bytes in [300_000, 500_000] {
        on("swap", async |rig: Rig| {
            rig.api.answer_bytes.set(bytes);
            for run in 1..=2 {
                let task = rig.put(Priority::High, "large").await;
                assert!(!rig.deliver(Priority::High).await.kept, "run {run} with {bytes} bytes");
                match rig.end_of(task).await {
                    Waited::Ended(Ended::Failed { error, cause }) => {
                        assert_eq!(&*error, "Slowlane.ResultTooLarge");
                        let cause: Value = serde_json::from_str(&cause).unwrap();
                        assert_eq!(cause["id"], "1", "{cause}");
                    }
                    other => panic!("run {run} with {bytes} bytes: {other:?}"),
                }
            }
            assert_eq!(rig.called(), ["large"]);
        });
    }
}

/// Trap 8. Calls that were deferred together must not come back together.
#[test]
fn deferred_calls_come_back_spread_out() {
    on("yield", async |rig: Rig| {
        rig.put(Priority::High, "high").await;
        for call in 0..12 {
            rig.put(Priority::Batch, &format!("batch-{call}")).await;
        }
        for _ in 0..12 {
            rig.deliver(Priority::Batch).await;
        }
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(rig.counts("batch").await.0);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(seen.last(), Some(&12), "all are back after some seconds: {seen:?}");
        let mut returned = seen.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(returned.all(|at_once| at_once < 8), "{seen:?}");
    });
}

/// Trap 9. A worker that is killed at any of its requests: the call has one effect, and its
/// workflow gets the stored result when the message comes back.
#[test]
fn a_worker_killed_at_any_moment_repeats_nothing() {
    let mut killed_after_the_call = 0;
    for millis in (0..280).step_by(3) {
        let results = Rc::new(RefCell::new((Vec::new(), None)));
        let seen = results.clone();
        on("swap", async move |rig: Rig| {
            let task = rig.put(Priority::High, "high").await;
            let message = rig.receive("high", QUEUE_VISIBILITY).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(270);
            let handling = rig.worker.handle(event("high", &message), deadline);
            // A dropped future is a killed process: nothing of it runs any more.
            let killed = tokio::time::timeout(Duration::from_millis(millis), handling).await;
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(200)).await;
                if rig.counts("high").await.0 > 0 {
                    rig.deliver(Priority::High).await;
                }
            }
            tokio::time::sleep(QUEUE_VISIBILITY).await;
            if rig.counts("high").await.0 > 0 {
                rig.deliver(Priority::High).await;
            }
            let end = rig.end_of(task).await;
            *seen.borrow_mut() = (rig.called(), Some((killed.is_err(), end)));
        });
        let (called, end) = results.take();
        let (killed, end) = end.unwrap();
        assert!(is_success(&end), "killed after {millis} ms: {end:?}");
        // Killed while the API was at it: this one says that it did nothing, and is asked again.
        let during = killed && called.len() == 2;
        assert!(called.len() == 1 || during, "killed after {millis} ms: {called:?}");
        killed_after_the_call += u32::from(killed && called.len() == 1);
    }
    assert!(killed_after_the_call > 0, "no kill fell between the answer and the end");
}

/// Trap 10. Nobody waits for a stopped execution's call: it is dropped without being made.
#[test]
fn a_call_that_nobody_waits_for_is_not_made() {
    on("swap", async |rig: Rig| {
        let task = rig.put(Priority::Normal, "normal").await;
        let now = rig.cloud.now();
        assert!(rig.cloud.state().stop(task.token(), now));
        assert!(!rig.deliver(Priority::Normal).await.kept);
        assert!(rig.called().is_empty());
        assert_eq!((rig.counts("normal").await, rig.counts("dead").await), ((0, 0), (0, 0)));

        // Its claim was given up as well: the same call of another execution runs.
        let again = rig.put(Priority::Normal, "normal").await;
        rig.deliver(Priority::Normal).await;
        let Waited::Ended(Ended::Succeeded(output)) = rig.end_of(again).await else {
            panic!("the second execution gets the answer")
        };
        let output: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(output, json!({ "status": 204, "id": "1", "replayed": false }));
    });
}
