//! Deletes of finished calls are held back for a moment, so that one request does for several.

use std::time::Duration;

use slowlane_aws_simulator::cloud::requests::Action;
use slowlane_aws_simulator::time::in_virtual_time;
use slowlane_message::Priority;
use tokio::time::{Instant, sleep};

use super::rig::Rig;

async fn put(rig: &Rig, name: &str, calls: usize) {
    for call in 0..calls {
        rig.put(Priority::Batch, &format!("{name}-{call}")).await;
    }
    rig.ring().await;
}

#[test]
fn calls_that_end_within_a_second_are_deleted_by_one_request() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        put(&rig, "batch", 25).await;
        rig.wake_slot().await;
        assert_eq!(rig.called().len(), 25);
        assert_eq!(rig.counts("batch").await, (0, 0));
        let requests = rig.cloud.state().requests;
        assert_eq!(requests.of(Action::DeleteMessage), 1, "the ring, by its mapping");
        // Calls of 200 ms: four or five end within a second.
        let batches = requests.of(Action::DeleteMessageBatch);
        assert!((5..=7).contains(&batches), "{batches}");
    })
    .unwrap();
}

#[test]
fn ten_calls_that_end_sooner_are_deleted_at_once() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        put(&rig, "quick", 20).await;
        rig.wake_slot().await;
        assert_eq!(rig.called().len(), 20);
        assert_eq!(rig.counts("batch").await, (0, 0));
        let batches = rig.cloud.state().requests.of(Action::DeleteMessageBatch);
        assert!((2..=3).contains(&batches), "{batches}");
    })
    .unwrap();
}

/// A slot looks for the next call when the last one has ended, also where the API was not asked.
#[test]
fn no_slot_waits_for_the_delete_of_a_call_that_was_not_made() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        for call in 0..20 {
            let task = rig.put(Priority::Batch, &format!("batch-{call}")).await;
            let now = rig.cloud.now();
            assert!(rig.cloud.state().stop(task.token(), now));
        }
        rig.ring().await;
        let began = Instant::now();
        rig.wake_slot().await;
        assert_eq!(rig.counts("batch").await, (0, 0));
        assert!(rig.called().is_empty());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
    })
    .unwrap();
}

#[test]
fn a_slot_that_is_killed_before_its_deletes_has_no_call_made_twice() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        put(&rig, "batch", 3).await;
        rig.kill_slot_after(Duration::from_millis(850)).await;
        assert_eq!(rig.called().len(), 3);
        assert_eq!(rig.counts("batch").await, (0, 3), "no delete was sent");
        // Longer than the slot's ring was hidden.
        sleep(Duration::from_secs(200)).await;
        rig.wake_slot().await;
        assert_eq!(rig.called().len(), 3, "{:?}", rig.called());
        assert_eq!(rig.counts("batch").await, (0, 0));
    })
    .unwrap();
}
