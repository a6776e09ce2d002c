//! What a workflow is told where a call ends in an unusual way: whether it was executed, and that it was
//! not made once more than anybody allowed.

use std::time::Duration;

use slowlane_message::Priority;

use super::rig::{MAX_ATTEMPTS, Rig, on};

/// How long the API may work on after a lost answer.
const SETTLES_AFTER: Duration = Duration::from_secs(900);
/// From which receive on the worker ends a call. SQS would after four more, in which the worker can try
/// again if the workflow could not be told.
const ENDS_FROM: u32 = 433;

/// The API says that it does not have it. That comes too late for another attempt.
#[test]
fn a_call_whose_deadline_has_passed_is_not_made_again_after_its_answer_was_lost() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(1);
        let task =
            rig.put_until(Priority::High, "high", SETTLES_AFTER + Duration::from_secs(60)).await;
        assert!(rig.deliver(Priority::High).await.kept, "it is asked about later");
        tokio::time::sleep(SETTLES_AFTER + Duration::from_secs(180)).await;
        while rig.deliver(Priority::High).await.kept {}
        assert_eq!(rig.called().len(), 1, "it was made after its deadline");
        assert_eq!(rig.failure_of(task).await, "Slowlane.DeadlineExceeded");
    });
}

#[test]
fn a_call_whose_answers_are_all_lost_is_made_as_often_as_is_allowed_and_no_more() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(u32::MAX);
        let task = rig.put(Priority::High, "high").await;
        while rig.deliver(Priority::High).await.kept {
            tokio::time::sleep(Duration::from_secs(151)).await;
        }
        assert_eq!(rig.called().len(), MAX_ATTEMPTS as usize);
        assert_eq!(rig.failure_of(task).await, "Slowlane.AttemptsExhausted");
        assert_eq!(rig.counts("dead").await, (1, 0));
    });
}

/// A key that is in use may be this call's own: "not executed" cannot be said of it any more.
#[test]
fn a_call_whose_key_was_in_use_at_the_api_may_have_been_executed() {
    on("swap", async |rig: Rig| {
        rig.api.repeatable.set(true);
        rig.api.in_flight.set(1);
        let task = rig.put_until(Priority::High, "high", Duration::from_secs(60)).await;
        assert!(rig.deliver(Priority::High).await.kept, "it is tried again");
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert!(!rig.deliver(Priority::High).await.kept);
        assert_eq!(rig.failure_of(task).await, "Slowlane.OutcomeUnknown");
    });
}

/// A few receives later SQS would move it to the dead-letter queue, and its workflow would hang.
#[test]
fn a_call_that_another_worker_has_at_its_last_receives_is_told_of() {
    for (repeatable, name) in [(true, "Slowlane.OutcomeUnknown"), (false, "Slowlane.NeedsPerson")] {
        on("swap", async |rig: Rig| {
            rig.api.repeatable.set(repeatable);
            let task = rig.put(Priority::Batch, "twice").await;
            for _ in 1..ENDS_FROM {
                rig.receive("batch", Duration::ZERO).await.unwrap();
            }
            rig.put(Priority::High, "twice").await;
            let second = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                rig.deliver(Priority::Batch).await
            };
            let (first, second) = tokio::join!(rig.deliver(Priority::High), second);
            assert_eq!((first.kept, second.kept), (false, false));
            assert_eq!(rig.failure_of(task).await, name);
            assert_eq!((rig.called().len(), rig.counts("dead").await), (1, (1, 0)));
        });
    }
}
