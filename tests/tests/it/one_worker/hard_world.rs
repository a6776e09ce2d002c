//! What a worker does where the world is less kind than one would have it. The real worker runs on the
//! simulated AWS, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use slowlane_aws_simulator::cloud::Waited;
use slowlane_aws_simulator::cloud::requests::Action;
use slowlane_aws_simulator::cloud::tokens::Ended;
use slowlane_aws_simulator::faults::Fault;
use slowlane_aws_simulator::time::{Moment, in_virtual_time};
use slowlane_limiter::Change;
use slowlane_message::Priority;

use super::rig::{MAX_ATTEMPTS, Rig, event, is_success, on};

/// The longest time between two questions, and their jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(151);

fn in_doorbell(test: impl AsyncFnOnce(Rig)) {
    in_virtual_time(async move { test(Rig::slot(&[])).await }).unwrap();
}

/// While a stack is switched, mappings of the wiring that was still bring calls, and nobody has rung
/// for those that wait beside them.
#[test]
fn a_call_that_a_mapping_of_the_other_wiring_brings_is_run_and_rung_for() {
    in_doorbell(async |rig: Rig| {
        let first = rig.put(Priority::Normal, "first").await;
        let second = rig.put(Priority::Normal, "second").await;
        let delivered = rig.deliver(Priority::Normal).await;
        assert!(!delivered.kept, "it ran here");
        assert_eq!(rig.called(), ["first"]);
        assert!(is_success(&rig.end_of(first).await));
        let rung = rig.receive("doorbell", Duration::ZERO).await.unwrap();
        let again = slowlane_message::Ring::parse(rung.body().unwrap());
        assert!(again.again_until.is_some(), "what is hidden now becomes visible later: {rung:?}");
        rig.wake_slot().await;
        assert_eq!(rig.called(), ["first", "second"]);
        assert!(is_success(&rig.end_of(second).await));
        let (visible, hidden) = rig.counts("doorbell").await;
        assert_eq!((visible, hidden), (0, 0), "the next ring is delayed");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.counts("doorbell").await, (1, 0), "it rings again");
    });
}

/// The same while the limit is paused: it goes back unmade, and is made after the pause.
#[test]
fn a_call_that_a_mapping_of_the_other_wiring_brings_waits_while_the_limit_is_paused() {
    in_doorbell(async |rig: Rig| {
        let task = rig.put(Priority::Normal, "first").await;
        rig.change_limit(&Change::Pause { until: None }).await;
        assert!(rig.deliver(Priority::Normal).await.kept, "it goes back");
        assert!(rig.called().is_empty(), "a call was made in a pause");
        rig.change_limit(&Change::Resume).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        rig.wake_slot().await;
        assert!(is_success(&rig.end_of(task).await));
    });
}

/// A token that Step Functions has not given out is somebody's mistake, who may wait for ever.
#[test]
fn a_call_with_a_token_of_nobodys_is_kept_with_its_reason() {
    on("swap", async |rig: Rig| {
        rig.put_for(Priority::High, "high", "not a token of this account").await;
        assert!(!rig.deliver(Priority::High).await.kept);
        assert!(rig.called().is_empty(), "it is not made");
        let letter = rig.receive("dead", Duration::ZERO).await.expect("it is not lost either");
        assert!(letter.body().unwrap().contains("not a token"), "{letter:?}");
    });
}

/// The answer was lost and the workflow stopped. What the API has done is written down all the same.
#[test]
fn a_lost_answer_of_a_workflow_that_was_stopped_is_cleared_up() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(1);
        let task = rig.put(Priority::High, "high").await;
        assert!(rig.deliver(Priority::High).await.kept, "it is asked about later");
        rig.cloud.abandon(&task);
        rig.api.has_record.set(true);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!rig.deliver(Priority::High).await.kept);
        assert_eq!((rig.called().len(), rig.api.asked.get()), (1, 1));
        // A new run of the workflow gets the answer, and makes no second record.
        let again = rig.put(Priority::High, "high").await;
        rig.deliver(Priority::High).await;
        assert!(is_success(&rig.end_of(again).await));
        assert_eq!(rig.called().len(), 1);
    });
}

/// "It is there" is believed at once, and costs a workflow seconds.
#[test]
fn a_lost_answer_costs_a_workflow_seconds() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(1);
        rig.api.has_record.set(true);
        let task = rig.put(Priority::High, "high").await;
        assert!(rig.deliver(Priority::High).await.kept);
        rig.deliver(Priority::High).await;
        assert!(is_success(&rig.end_of(task).await));
        assert!(rig.cloud.now() < Moment::from_millis(10_000), "{:?}", rig.cloud.now());
    });
}

/// "It is not there" is not believed while the API may still be at work.
#[test]
fn a_call_is_not_made_again_before_the_api_has_surely_finished() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(1);
        let task = rig.put(Priority::High, "high").await;
        while rig.called().len() < 2 {
            rig.deliver(Priority::High).await;
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
        assert!(rig.cloud.now() > Moment::from_millis(900_000), "{:?}", rig.cloud.now());
        assert!((5..=20).contains(&rig.api.asked.get()), "{} questions", rig.api.asked.get());
        assert!(is_success(&rig.end_of(task).await));
    });
}

/// A create that is made again and refused because the record exists is looked up.
#[test]
fn a_refusal_as_a_duplicate_is_no_rejection_of_a_call_that_was_made_before() {
    on("swap", async |rig: Rig| {
        rig.api.losses.set(1);
        rig.api.refuses_duplicates.set(true);
        let task = rig.put(Priority::High, "high").await;
        // The API's search does not find the record, for longer than it may work on.
        while rig.cloud.now() < Moment::from_millis(1_100_000) {
            rig.deliver(Priority::High).await;
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
        rig.api.has_record.set(true);
        rig.deliver(Priority::High).await;
        assert!(is_success(&rig.end_of(task).await));
        assert_eq!(rig.called().len(), 1);
    });
}

/// The same of a call that may be repeated: it is tried again, and its message stays for that.
#[test]
fn a_repeatable_call_that_is_refused_as_a_duplicate_is_not_lost() {
    on("swap", async |rig: Rig| {
        rig.api.repeatable.set(true);
        rig.api.losses.set(1);
        rig.api.refuses_duplicates.set(true);
        let task = rig.put(Priority::High, "high").await;
        for attempt in 1..MAX_ATTEMPTS {
            assert!(rig.deliver(Priority::High).await.kept, "after attempt {attempt}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(!rig.deliver(Priority::High).await.kept);
        let Waited::Ended(Ended::Failed { error, .. }) = rig.end_of(task).await else {
            panic!("it cannot have succeeded");
        };
        assert_eq!(&*error, "Slowlane.OutcomeUnknown");
    });
}

/// A slot that is killed at any moment leaves a ring that comes back after its calls are visible
/// again. It comes soon after the kill: within their visibility time-out and half a minute.
#[test]
fn a_killed_slots_calls_run_again_soon() {
    const VISIBILITY: Duration = Duration::from_secs(90);
    const CALLS: usize = 200;
    for life_ms in [20, 90, 150, 250, 1_000, 14_900, 15_003, 15_010, 25_000, 31_000] {
        in_doorbell(async |rig: Rig| {
            for call in 0..CALLS {
                rig.put(Priority::Batch, &format!("batch-{call}")).await;
            }
            rig.ring().await;
            rig.kill_slot_after(Duration::from_millis(life_ms)).await;
            let killed = rig.cloud.now();
            while rig.counts("doorbell").await.0 == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let after = rig.cloud.now().since(killed);
            assert!(after <= VISIBILITY + Duration::from_secs(30), "{life_ms} ms: {after:?}");
            assert_eq!(rig.counts("batch").await.1, 0, "{life_ms} ms: a call is hidden for longer");
        });
    }
}

/// The same for a process that stood still for a minute, at whichever step, and went on: seed 1668.
#[test]
fn a_slot_that_stands_still_and_is_killed_then_leaves_its_ring_behind_its_calls() {
    for life_ms in [7, 9, 13, 15, 19, 21, 25, 30, 40] {
        for rest_ms in [5, 9, 14, 20, 27, 40] {
            in_doorbell(async |rig: Rig| {
                for call in 0..10 {
                    rig.put(Priority::Batch, &format!("batch-{call}")).await;
                }
                rig.ring().await;
                let [life, rest] = [life_ms, rest_ms].map(Duration::from_millis);
                rig.kill_slot_that_stands_still(life, Duration::from_secs(60), rest).await;
                while rig.counts("doorbell").await.0 == 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let hidden = rig.counts("batch").await.1;
                assert_eq!(hidden, 0, "{life_ms} and {rest_ms} ms: a call is hidden for longer");
            });
        }
    }
}

/// A mistake in a policy must not cost a ring for each receive that it refuses.
#[test]
fn a_slot_that_may_not_receive_leaves_one_ring_ever_longer() {
    in_doorbell(async |rig: Rig| {
        let task = rig.put(Priority::High, "high").await;
        rig.ring().await;
        let message = rig.receive("doorbell", Duration::from_secs(300)).await.unwrap();
        rig.cloud.state().outages.insert(Fault::ReceiveRefused, Moment::from_millis(3_600_000));
        let sent = rig.cloud.state().requests.of(Action::SendMessage);
        let handled = rig
            .worker
            .handle(
                event("doorbell", &message),
                tokio::time::Instant::now() + Duration::from_secs(270),
            )
            .await;
        assert_eq!(handled.response.batch_item_failures.len(), 1, "its own ring stays");
        assert_eq!(
            rig.cloud.state().requests.of(Action::SendMessage),
            sent,
            "and no other is sent"
        );
        rig.cloud.state().outages.clear();
        tokio::time::sleep(Duration::from_secs(120)).await;
        rig.wake_slot().await;
        assert!(is_success(&rig.end_of(task).await));
    });
}

/// A dead letter that is moved back to its queue has no workflow that waits. It is not dropped as if
/// it were done.
#[test]
fn a_dead_letter_that_was_moved_back_returns_where_it_came_from() {
    on("swap", async |rig: Rig| {
        rig.api.refusals.set(MAX_ATTEMPTS);
        let task = rig.put(Priority::High, "high").await;
        for _ in 0..MAX_ATTEMPTS {
            rig.deliver(Priority::High).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(!is_success(&rig.end_of(task).await));
        assert_eq!(rig.counts("dead").await, (1, 0));
        rig.move_dead_letters_to("high");
        assert_eq!((rig.counts("dead").await, rig.counts("high").await), ((0, 0), (1, 0)));
        assert!(!rig.deliver(Priority::High).await.kept);
        assert_eq!((rig.counts("dead").await, rig.counts("high").await), ((1, 0), (0, 0)));
        assert!(rig.called().is_empty(), "nobody waits for it");
    });
}
