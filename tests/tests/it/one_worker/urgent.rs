//! One slot of the doorbell wiring, by hand: which call it runs next.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use futures::future::join;
use slowlane_aws_simulator::time::in_virtual_time;
use slowlane_message::Priority;
use tokio::time::sleep;

use super::rig::Rig;

/// Calls before the late one: the slot must know how long calls take to fetch early.
const BEFORE: usize = 8;

/// What the slot runs next when a HIGH call comes so long after the late call has begun, which
/// takes 260 ms where all others take 200.
fn next_after_the_late_call(arrival: Duration) -> String {
    let mut called = Vec::new();
    let seen = &mut called;
    in_virtual_time(async move {
        let rig = Rig::slot(&[]);
        for call in 0..BEFORE {
            rig.put(Priority::Batch, &format!("batch-{call}")).await;
        }
        rig.put(Priority::Batch, "late").await;
        rig.put(Priority::Batch, "lower").await;
        rig.ring().await;
        let urgent = async {
            while rig.called().last().is_none_or(|key| key != "late") {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(arrival).await;
            rig.put(Priority::High, "high").await;
        };
        join(rig.wake_slot(), urgent).await;
        *seen = rig.called();
    })
    .unwrap();
    assert_eq!(called.len(), BEFORE + 3, "{called:?}");
    called.remove(BEFORE + 1)
}

/// The slot fetches the next call for the 200th millisecond. While that waits for the late one, the
/// slot goes on looking for something more urgent.
#[test]
fn a_high_call_goes_before_a_lower_one_that_was_fetched_and_waits() {
    for arrival in (0..=190).step_by(5) {
        let next = next_after_the_late_call(Duration::from_millis(arrival));
        assert_eq!(next, "high", "it came {arrival} ms after the late call had begun");
    }
    // It looks a few times, not for ever.
    assert_eq!(next_after_the_late_call(Duration::from_millis(240)), "lower");
}

/// A receive that fails may have hidden a call: the slot's ring must come back for it.
#[test]
fn a_slot_that_cannot_poll_keeps_its_ring() {
    in_virtual_time(async {
        let gone = "https://sqs.us-east-1.amazonaws.com/000000000000/gone";
        let rig = Rig::slot(&[("NORMAL_QUEUE_URL", gone)]);
        rig.put(Priority::High, "high").await;
        rig.ring().await;
        assert!(rig.wake_slot().await.kept);
        assert_eq!(rig.called(), ["high"]);
    })
    .unwrap();
}
