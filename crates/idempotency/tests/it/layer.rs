//! The layer for services.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use slowlane_idempotency::tower::{Error, GuardLayer};
use slowlane_idempotency::{
    BoxStore, Failure, Guard, How, Key, MemoryStore, Request, RequestError, Status, Turn, run,
};
use tower::{Layer, ServiceExt, service_fn};

use crate::{Stopwatch, key, scope, seconds};

fn name(order: &String) -> Result<Request, RequestError> {
    Request::new(scope(), Key::new(order.clone())?, order)
}

/// Each request reaches the inner service once, with the time that it has.
#[tokio::test]
async fn a_request_runs_once() {
    let guard = Guard::new(BoxStore::new(MemoryStore::new()), Stopwatch::new().settings());
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let inner = service_fn(move |(order, turn): (String, Turn)| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!((turn.attempt, turn.remaining()), (1, seconds(60)));
            Ok::<_, Failure<&str>>(format!("record of {order}"))
        }
    });
    let service = GuardLayer::new(guard, name).layer(inner);
    for how in [How::Ran, How::Replayed] {
        let done = service.clone().oneshot("order-123".to_owned()).await.unwrap();
        assert_eq!((done.value.as_str(), done.how), ("record of order-123", how));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let error = service.oneshot(String::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the key is empty");
}

/// What the inner service says of its failure decides what becomes of the record.
#[tokio::test]
async fn a_failure_says_whether_it_may_have_been_executed() {
    for (failure, status) in [
        (Failure::NotExecuted("429"), Status::Released),
        (Failure::Unknown("no answer"), Status::Unknown),
    ] {
        let guard = Guard::new(MemoryStore::new(), Stopwatch::new().settings());
        let inner = service_fn(move |_: (String, Turn)| async move { Err::<String, _>(failure) });
        let service = GuardLayer::new(guard.clone(), name).layer(inner);
        let error = service.oneshot(key().to_string()).await.unwrap_err();
        let expected = match status {
            Status::Released => matches!(error, Error::Run(run::Error::NotExecuted { .. })),
            _ => matches!(error, Error::Run(run::Error::MaybeExecuted { .. })),
        };
        assert!(expected, "{error}");
        assert_eq!(guard.read(&scope(), &key()).await.unwrap().unwrap().status, status);
    }
}
