//! Faults, as their victim sees them.

use std::time::{Duration, Instant};

use crate::client::{Served, open};

#[tokio::test]
async fn drop_after_commit_saves_the_record_and_closes_the_connection_without_a_byte() {
    let served = Served::start(open()).await;
    served.inject("drop-after-commit:1").await;
    let error = served.upsert("o-1").send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    let report = served.report().await;
    assert_eq!((report.records_created, report.calls.len()), (1, 1));
    assert_eq!(report.calls[0].fault.as_deref(), Some("drop-after-commit"));
    assert_eq!(report.calls[0].status, 204);

    // The fault is used up, and the connection pool's next connection is a good one.
    assert_eq!(served.upsert("o-2").send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn commit_late_hides_the_record_at_first_and_holds_its_permit_to_the_end() {
    let served = Served::start(open()).await;
    served.inject("commit-late:1,by=300ms").await;
    served.upsert("o-1").send().await.unwrap_err();
    let (records, in_flight) = {
        let stats = served.sandbox.lock().unwrap().stats();
        (stats.records_created, stats.in_flight)
    };
    assert_eq!((records, in_flight), (0, 1));
    let deadline = Instant::now() + Duration::from_secs(5);
    while served.sandbox.lock().unwrap().stats().records_created == 0 {
        assert!(Instant::now() < deadline, "the late write never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.sandbox.lock().unwrap().stats().in_flight, 0);
}

#[tokio::test]
async fn errors_slowness_and_bursts_befall_the_calls_they_were_asked_for() {
    let served = Served::start(open()).await;
    let status = async |id: &str| served.upsert(id).send().await.unwrap().status().as_u16();
    served.inject("500:1").await;
    assert_eq!(status("a").await, 500);
    assert_eq!(served.report().await.records_created, 0);
    served.inject("500-after-commit:1").await;
    assert_eq!(status("a").await, 500);
    assert_eq!(served.report().await.records_created, 1);
    served.inject("429-burst:2").await;
    assert_eq!([status("b").await, status("b").await, status("b").await], [429, 429, 204]);
    served.inject("slow:1,by=200ms").await;
    let started = Instant::now();
    assert_eq!(status("c").await, 204);
    assert!(started.elapsed() >= Duration::from_millis(200));
}
