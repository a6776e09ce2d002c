//! Permits, pace and retries, in paused time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use slowlane_netsuite::{Class, Client, Method, Request, Retry, TransportError};
use tokio::time::Instant;

use crate::support::{HttpAnswer, empty, refusal, scripted};

fn get() -> Request {
    Request::new(Method::GET, "salesOrder/1").unwrap()
}

fn put() -> Request {
    Request::new(Method::PUT, "salesOrder/eid:o-1").unwrap()
}

fn retry() -> Retry {
    Retry { max_attempts: 4, ..Retry::default() }
}

/// What to answer the n-th call, from 0.
type Script = fn(usize) -> HttpAnswer;

fn answering(script: Script) -> (slowlane_netsuite::ClientBuilder, crate::support::Log) {
    let calls = Arc::new(AtomicUsize::new(0));
    scripted(move |_| {
        let answer = script(calls.fetch_add(1, Ordering::Relaxed));
        async { answer }
    })
}

#[tokio::test(start_paused = true)]
async fn what_was_not_executed_is_repeated_and_what_was_refused_is_not() {
    let throttled_twice =
        |n| Ok(if n < 2 { refusal(429, &["CONCURRENCY_LIMIT_EXCEEDED"]) } else { empty(204) });
    let (builder, log) = answering(throttled_twice);
    let start = Instant::now();
    builder.retry(retry()).build().unwrap().send(put()).await.unwrap();
    assert_eq!(log.calls().len(), 3);
    let waited = start.elapsed().as_secs_f64();
    assert!((0.75..=1.5).contains(&waited), "0.25 to 0.5, then 0.5 to 1 second: {waited}");

    let cases: [(Script, Request, usize, Class); 8] = [
        (|_| Ok(empty(429)), put(), 4, Class::Throttled),
        (|_| Err(TransportError::NotSent("no route".into())), put(), 4, Class::NotSent),
        (|_| Err(TransportError::MaybeSent("reset".into())), put(), 1, Class::Unknown),
        (|_| Ok(empty(503)), put(), 1, Class::Unknown),
        (|_| Ok(empty(503)), put().repeatable(), 4, Class::Unknown),
        (|_| Ok(empty(503)), get(), 4, Class::Unknown),
        (|_| Ok(refusal(400, &["INVALID_CONTENT"])), get(), 1, Class::Rejected),
        (|_| Ok(refusal(400, &["RCRD_HAS_BEEN_CHANGED"])), get(), 1, Class::ChangedUnderUs),
    ];
    for (script, request, attempts, class) in cases {
        let (builder, log) = answering(script);
        let error = builder.retry(retry()).build().unwrap().send(request).await.unwrap_err();
        assert_eq!((log.calls().len(), error.class()), (attempts, class), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_nothing_is_repeated() {
    let (builder, log) = answering(|_| Ok(empty(429)));
    builder.build().unwrap().send(get()).await.unwrap_err();
    assert_eq!(log.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_not_tried_again() {
    let (builder, log) = answering(|_| Ok(refusal(401, &["INVALID_LOGIN"])));
    let error = builder.retry(retry()).build().unwrap().send(get()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unauthorized);
    assert_eq!(log.calls().len(), 2, "once, and once with a new token");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_miss_the_deadline_is_not_waited_for() {
    let (builder, log) = answering(|_| {
        let mut answer = empty(429);
        answer.headers_mut().insert("retry-after", "20".parse().unwrap());
        Ok(answer)
    });
    let client = builder.retry(retry()).build().unwrap();
    let start = Instant::now();
    let error = client.send(get().deadline(start + Duration::from_secs(10))).await.unwrap_err();
    assert_eq!(
        (error.class(), start.elapsed(), log.calls().len()),
        (Class::Throttled, Duration::ZERO, 1)
    );
    let error = client.send(get().deadline(start + Duration::from_secs(30))).await.unwrap_err();
    assert_eq!(
        (error.class(), start.elapsed(), log.calls().len()),
        (Class::Throttled, Duration::from_secs(20), 3)
    );
}

/// Sends `count` calls of one second each at once and tells the most that ran together, and how
/// long all took.
async fn crowd(
    client: &Client,
    running: &AtomicUsize,
    most: &AtomicUsize,
    count: usize,
) -> (usize, Duration) {
    let start = Instant::now();
    for outcome in join_all((0..count).map(|_| async { client.clone().send(get()).await })).await {
        outcome.unwrap();
    }
    assert_eq!(running.load(Ordering::Relaxed), 0);
    (most.load(Ordering::Relaxed), start.elapsed())
}

fn one_second_calls() -> (slowlane_netsuite::ClientBuilder, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (run, high) = (running.clone(), most.clone());
    let (builder, _) = scripted(move |_| {
        let (run, high) = (run.clone(), high.clone());
        async move {
            high.fetch_max(run.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            run.fetch_sub(1, Ordering::Relaxed);
            Ok(empty(204))
        }
    });
    (builder, running, most)
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_permits() {
    let (builder, running, most) = one_second_calls();
    let client = builder.max_in_flight(5).build().unwrap();
    assert_eq!(crowd(&client, &running, &most, 23).await, (5, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_pace() {
    let (builder, running, most) = one_second_calls();
    let client = builder.pace(4, Duration::from_secs(10)).build().unwrap();
    assert_eq!(crowd(&client, &running, &most, 12).await, (4, Duration::from_secs(21)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_to_be_repeated_holds_no_permit() {
    let (builder, log) = answering(|n| Ok(empty(if n == 0 { 429 } else { 204 })));
    let client = builder
        .max_in_flight(1)
        .retry(Retry { first_wait: Duration::from_secs(8), ..retry() })
        .build()
        .unwrap();
    let start = Instant::now();
    let (first, second) = tokio::join!(client.send(put()), async {
        let outcome = client.send(get()).await;
        (outcome, start.elapsed())
    });
    first.unwrap();
    second.0.unwrap();
    assert_eq!(second.1, Duration::ZERO);
    assert_eq!(log.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_permit_ends_at_the_deadline() {
    let (builder, _) = scripted(|_| std::future::pending());
    let client = builder.max_in_flight(1).build().unwrap();
    let start = Instant::now();
    let deadline = start + Duration::from_secs(3);
    let (one, two) =
        tokio::join!(client.send(put().deadline(deadline)), client.send(put().deadline(deadline)));
    let mut classes = [one.unwrap_err().class().as_str(), two.unwrap_err().class().as_str()];
    classes.sort();
    assert_eq!((classes, start.elapsed()), (["not_sent", "unknown"], Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_for_all_requests_of_a_client_ends_typed_calls_and_streams_too() {
    use futures::TryStreamExt as _;
    let (builder, _) = scripted(|_| std::future::pending());
    let start = Instant::now();
    let client = builder.build().unwrap().with_deadline(start + Duration::from_secs(3));
    let error = client.records("salesOrder").unwrap().get::<()>(1).await.unwrap_err();
    assert_eq!((error.class(), start.elapsed()), (Class::Unknown, Duration::from_secs(3)));
    let error = client.suiteql("q").rows::<()>().try_next().await.unwrap_err();
    assert_eq!((error.class(), start.elapsed()), (Class::NotSent, Duration::from_secs(3)));
}

#[test]
fn a_limit_of_nothing_is_refused_and_so_is_a_pace_without_a_runtime() {
    let build =
        |change: fn(slowlane_netsuite::ClientBuilder) -> slowlane_netsuite::ClientBuilder| {
            change(answering(|_| Ok(empty(204))).0).build()
        };
    assert!(build(|b| b.max_in_flight(0)).is_err());
    assert!(build(|b| b.pace(0, Duration::from_secs(1))).is_err());
    assert!(build(|b| b.pace(1, Duration::ZERO)).is_err());
    let error = build(|b| b.pace(1, Duration::from_secs(1))).unwrap_err();
    assert!(error.to_string().contains("inside a tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_waits_the_same() {
    let mut elapsed = Vec::new();
    for seed in [7, 7, 8] {
        let (builder, _) = answering(|_| Ok(empty(429)));
        let client = builder.retry(retry()).seed(seed).build().unwrap();
        let start = Instant::now();
        client.send(get()).await.unwrap_err();
        elapsed.push(start.elapsed());
    }
    assert_eq!(elapsed[0], elapsed[1]);
    assert_ne!(elapsed[0], elapsed[2]);
}
