//! An API that asks to wait, or answers nobody: the one slot heeds it, and no call fails for it.

use std::time::Duration;

use slowlane_aws_simulator::cloud::requests::Action;
use slowlane_aws_simulator::time::in_virtual_time;
use slowlane_limiter::Change;
use slowlane_message::Priority;
use tokio::time::{Instant, sleep};

use super::rig::{MAX_ATTEMPTS, Rig, is_success, on};

const CALLS: usize = 5;

/// Puts calls on a queue and wakes the slot until all are made; says how long that took.
async fn run_all(rig: &Rig) -> Duration {
    let mut tasks = Vec::new();
    for call in 0..CALLS {
        tasks.push(rig.put(Priority::Batch, &format!("call-{call}")).await);
        rig.ring().await;
    }
    let began = Instant::now();
    while rig.called().len() < CALLS {
        wake_or_wait(rig).await;
        assert!(began.elapsed() < Duration::from_secs(1_800), "{:?}", rig.called());
    }
    for task in tasks {
        let end = rig.end_of(task).await;
        assert!(is_success(&end), "{end:?}");
    }
    began.elapsed()
}

/// Wakes the slot if a ring waits for it.
async fn wake_or_wait(rig: &Rig) {
    if rig.rings().await {
        rig.wake_slot().await;
    } else {
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_retry_after_holds_for_every_call_and_none_is_made_meanwhile() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        rig.api.throttles.set(1);
        rig.api.retry_after.set(Some(Duration::from_secs(20)));
        let took = run_all(&rig).await;
        assert!(took >= Duration::from_secs(20), "a call was made after {took:?}");
        assert!(took < Duration::from_secs(60), "{took:?}");
    })
    .unwrap();
}

/// Far more refusals than the attempts of all calls.
#[test]
fn refused_credentials_fail_no_call_and_are_read_anew_before_each_probe() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        let refusals = 10 * MAX_ATTEMPTS;
        rig.api.refused_credentials.set(refusals);
        run_all(&rig).await;
        // Two different calls open the breaker, and each later refusal is that of a probe.
        let probes = rig.api.renewals.get();
        assert!((refusals - 4..=refusals + 1).contains(&probes), "{probes} probes");
    })
    .unwrap();
}

#[test]
fn an_api_that_cannot_be_reached_uses_up_no_attempt() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        rig.api.refusals.set(10 * MAX_ATTEMPTS);
        run_all(&rig).await;
    })
    .unwrap();
}

/// One call says nothing of the API: its own permission may be missing.
#[test]
fn a_lone_call_whose_credentials_are_refused_fails_after_its_attempts() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        rig.api.refused_credentials.set(u32::MAX);
        let task = rig.put(Priority::High, "lone").await;
        rig.ring().await;
        while rig.api.refused_credentials.get() > u32::MAX - MAX_ATTEMPTS {
            wake_or_wait(&rig).await;
        }
        let end = format!("{:?}", rig.end_of(task).await);
        assert!(end.contains("Slowlane.Unauthorized"), "{end}");
        assert_eq!(rig.api.refused_credentials.get(), u32::MAX - MAX_ATTEMPTS);
    })
    .unwrap();
}

/// New calls ring through a pause. The ring that sleeps is enough to wake the one slot; each of the
/// others costs a read of the record.
#[test]
fn a_ring_that_wakes_nobody_sooner_is_let_go_in_front_of_a_shut_gate() {
    const RINGS: u64 = 20;
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        rig.change_limit(&Change::Pause { until: None }).await;
        let first = rig.put(Priority::Batch, "first").await;
        rig.ring().await;
        assert!(rig.wake_slot().await.kept, "the first ring sleeps");
        let requests = |action| rig.cloud.state().requests.of(action);
        let (reads, hidden) =
            (requests(Action::GetItem), requests(Action::ChangeMessageVisibility));
        for _ in 0..RINGS {
            rig.ring().await;
            assert!(!rig.wake_slot().await.kept, "nobody needs this one");
        }
        assert_eq!(requests(Action::GetItem) - reads, RINGS);
        assert_eq!(requests(Action::ChangeMessageVisibility), hidden);
        assert_eq!(rig.counts("doorbell").await, (0, 1));
        // The one that sleeps finds the call without another.
        rig.change_limit(&Change::Resume).await;
        while rig.called().is_empty() {
            wake_or_wait(&rig).await;
        }
        assert!(is_success(&rig.end_of(first).await));
    })
    .unwrap();
}

/// The ring of whoever resumes is heeded at once, however many sleep.
#[test]
fn the_ring_of_a_resume_is_not_spared() {
    in_virtual_time(async {
        let rig = Rig::slot(&[]);
        rig.change_limit(&Change::Pause { until: None }).await;
        let task = rig.put(Priority::Batch, "first").await;
        for _ in 0..3 {
            rig.ring().await;
            rig.wake_slot().await;
        }
        rig.change_limit(&Change::Resume).await;
        rig.ring().await;
        rig.wake_slot().await;
        assert_eq!(rig.called(), ["first"]);
        assert!(is_success(&rig.end_of(task).await));
    })
    .unwrap();
}

/// In the deferral wiring every waiting call is handed out again and again. SQS moves one to the
/// dead-letter queue after 437 receives.
#[test]
fn an_outage_of_hours_hands_a_call_of_the_deferral_wiring_out_a_few_hundred_times_at_most() {
    const HOURS: u64 = 4;
    on("swap", async |rig| {
        rig.api.refusals.set(u32::MAX);
        let mut tasks = Vec::new();
        for call in 0..CALLS {
            tasks.push(rig.put(Priority::Batch, &format!("call-{call}")).await);
        }
        let began = Instant::now();
        let mut deliveries = 0;
        while began.elapsed() < Duration::from_secs(HOURS * 3_600) {
            match rig.counts("batch").await.0 {
                0 => sleep(Duration::from_secs(1)).await,
                _ => {
                    assert!(rig.deliver(Priority::Batch).await.kept, "a call has ended");
                    deliveries += 1;
                }
            }
        }
        assert!((20..=500).contains(&deliveries), "{deliveries} deliveries of five calls");
        rig.api.refusals.set(0);
        while rig.counts("batch").await != (0, 0) {
            match rig.counts("batch").await.0 {
                0 => sleep(Duration::from_secs(1)).await,
                _ => {
                    rig.deliver(Priority::Batch).await;
                }
            }
        }
        for task in tasks {
            let end = rig.end_of(task).await;
            assert!(is_success(&end), "{end:?}");
        }
    });
}

/// The slot stops in the second half of five minutes, and its rings are to come back after the next ones.
#[test]
fn rings_in_front_of_a_shut_gate_come_back_no_sooner_than_they_count() {
    in_virtual_time(async {
        let rig = Rig::slot(&[("API_CONCURRENCY", "3")]);
        rig.change_limit(&Change::Pause { until: None }).await;
        sleep(Duration::from_secs(160)).await;
        for _ in 0..10 {
            rig.ring().await;
        }
        rig.wake_slot().await;
        assert_eq!(rig.counts("doorbell").await, (0, 3), "as many as there are slots");
        sleep(Duration::from_secs(400)).await;
        assert_eq!(rig.counts("doorbell").await, (0, 3));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.counts("doorbell").await, (3, 0));
    })
    .unwrap();
}

/// A call that has been found waits for its units, and somebody pauses meanwhile: it is not made.
#[test]
fn a_pause_holds_for_a_call_that_waits_for_its_units() {
    in_virtual_time(async {
        // A call of which nothing is known counts for all that the rate lets through.
        let rig = Rig::slot(&[("LIMITS", r#"[{"rate":"100/10s","largest":100}]"#)]);
        for call in ["first", "second"] {
            rig.put(Priority::Batch, call).await;
        }
        rig.ring().await;
        let operator = async {
            sleep(Duration::from_secs(5)).await;
            assert_eq!(rig.called().len(), 1, "the second waits for its units");
            rig.change_limit(&Change::Pause { until: None }).await;
            sleep(Duration::from_secs(20)).await;
            assert_eq!(rig.called().len(), 1, "it was made in the pause");
            rig.change_limit(&Change::Resume).await;
        };
        tokio::join!(operator, rig.wake_slot());
        rig.ring().await;
        rig.wake_slot().await;
        assert_eq!(rig.called().len(), 2);
    })
    .unwrap();
}
