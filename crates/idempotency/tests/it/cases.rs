//! The cases of `docs/cases.md`, one test each, by their names there.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use slowlane_idempotency::{
    Claim, Claimed, Cursor, Dispatched, Done, EpochMs, Failure, Found, Guard, Held, How, Key,
    MemoryStore, NotDispatched, NotRunAgain, Page, Record, RecordId, Request, Settings, Status,
    Store, Unknown, Write, Written, complete, dispatch, give_up, resolve, run, store,
};

use crate::{Stopwatch, key, order, scope, seconds};

type TestGuard = Guard<MemoryStore>;

fn guard() -> (TestGuard, Stopwatch) {
    let time = Stopwatch::new();
    (Guard::new(MemoryStore::new(), time.settings()), time)
}

async fn claim_of<S: Store>(guard: &Guard<S>, request: &Request) -> Claim<S> {
    match guard.claim(request).await.unwrap() {
        Claimed::Run(claim) => claim,
        other => panic!("expected to run, got {}", name(&other)),
    }
}

async fn run_of<S: Store>(guard: &Guard<S>) -> Claim<S> {
    claim_of(guard, &order(1)).await
}

async fn dispatched_of<S: Store>(guard: &Guard<S>) -> Dispatched<S> {
    run_of(guard).await.dispatched().await.unwrap()
}

async fn replay_of<S: Store>(guard: &Guard<S>) -> Value {
    match guard.claim(&order(1)).await.unwrap() {
        Claimed::Replay(value) => value,
        other => panic!("expected a replay, got {}", name(&other)),
    }
}

async fn held_of<S: Store>(guard: &Guard<S>) -> Held {
    match guard.claim(&order(1)).await.unwrap() {
        Claimed::InProgress(held) => held,
        other => panic!("expected it in progress, got {}", name(&other)),
    }
}

async fn unknown_of<S: Store>(guard: &Guard<S>) -> Unknown<S> {
    match guard.claim(&order(1)).await.unwrap() {
        Claimed::Unknown(unknown) => unknown,
        other => panic!("expected it unknown, got {}", name(&other)),
    }
}

fn name<S>(claimed: &Claimed<S>) -> &'static str {
    match claimed {
        Claimed::Run(_) => "Run",
        Claimed::Replay(_) => "Replay",
        Claimed::InProgress(_) => "InProgress",
        Claimed::Unknown(_) => "Unknown",
        Claimed::NeedsPerson(_) => "NeedsPerson",
    }
}

#[tokio::test]
async fn redelivery() {
    let (guard, time) = guard();
    let claim = dispatched_of(&guard).await;
    claim.complete(&json!({"id": "1001"})).await.unwrap();
    time.passes(seconds(23 * 3600));
    assert_eq!(replay_of(&guard).await, json!({"id": "1001"}));

    // Kept for 24 h, and then the margin for a slow clock.
    time.passes(seconds(3600 + 2));
    assert_eq!(replay_of(&guard).await, json!({"id": "1001"}));
    time.passes(seconds(1));
    assert_eq!(run_of(&guard).await.attempt(), 2);
}

#[tokio::test]
async fn crash_before_dispatch() {
    let (guard, time) = guard();
    drop(run_of(&guard).await);
    time.passes(seconds(62));
    held_of(&guard).await;
    time.passes(seconds(1));
    assert_eq!(run_of(&guard).await.attempt(), 2);
}

#[tokio::test]
async fn crash_after_dispatch() {
    let (guard, time) = guard();
    dispatched_of(&guard).await;
    time.passes(seconds(62));
    held_of(&guard).await;

    // The lease is over: nobody knows, and for a while nobody can know.
    time.passes(seconds(1));
    let unknown = unknown_of(&guard).await;
    assert_eq!(unknown.since(), Stopwatch::START);
    assert_eq!(unknown.settles_at(), Stopwatch::START.plus(seconds(60 + 30 + 2)));
    assert_eq!(unknown.wait(), seconds(29));
    let NotRunAgain { unknown, error } = unknown.run_again().await.unwrap_err();
    assert!(matches!(error, resolve::Error::NotSettled { .. }), "{error}");

    // A handle from before stays too old, whatever the time: the target was asked too early.
    time.passes(unknown.wait());
    let error = unknown.run_again().await.unwrap_err().error;
    assert!(matches!(error, resolve::Error::NotSettled { .. }), "{error}");

    let claim = unknown_of(&guard).await.run_again().await.unwrap();
    assert_eq!(claim.attempt(), 2);
    assert_eq!(held_of(&guard).await.wait, seconds(62));
    let claim = claim.dispatched().await.unwrap();
    claim.complete(&2).await.unwrap();
    assert_eq!(replay_of(&guard).await, 2);
}

#[tokio::test]
async fn time_out() {
    let (guard, time) = guard();
    let claim = dispatched_of(&guard).await;
    time.passes(seconds(10));
    claim.unknown("no answer within 10 s").await.unwrap();

    // Before it settles the target's "yes" counts already.
    let unknown = unknown_of(&guard).await;
    assert_eq!(unknown.why(), Some("no answer within 10 s"));
    assert_eq!(unknown.settles_at(), Stopwatch::START.plus(seconds(10 + 30 + 2)));
    unknown.adopt(&json!("found")).await.unwrap();
    assert_eq!(replay_of(&guard).await, "found");

    // Who asked at the same time is told that it was decided.
    let error = unknown.needs_person("?").await.unwrap_err();
    assert!(matches!(error, resolve::Error::Superseded { .. }), "{error}");
}

#[tokio::test]
async fn late_writer() {
    let (guard, time) = guard();
    let late = dispatched_of(&guard).await;
    time.passes(seconds(100));
    let claim = unknown_of(&guard).await.run_again().await.unwrap();
    let claim = claim.dispatched().await.unwrap();

    for error in [late.release().await.unwrap_err(), late.unknown("?").await.unwrap_err()] {
        assert!(matches!(error, give_up::Error::LostOwnership(_)), "{error}");
    }
    let error = late.complete(&"late").await.unwrap_err();
    let complete::Error::LostOwnership(lost) = error else {
        panic!("{error}");
    };
    assert_eq!(lost.claim.attempt, 1);
    assert_eq!(lost.found.unwrap().holder.attempt, 2);

    claim.complete(&"in time").await.unwrap();
    assert!(late.complete(&"late").await.is_err());
    assert_eq!(replay_of(&guard).await, "in time");
}

/// Nobody has taken the call over yet, so the truth may still come in.
#[tokio::test]
async fn late_writer_before_anybody_decided() {
    let (guard, time) = guard();
    let late = dispatched_of(&guard).await;
    time.passes(seconds(100));
    let unknown = unknown_of(&guard).await;
    late.complete(&"the truth").await.unwrap();
    let error = unknown.run_again().await.unwrap_err().error;
    assert!(matches!(error, resolve::Error::Superseded { .. }), "{error}");
    assert_eq!(replay_of(&guard).await, "the truth");
}

#[tokio::test]
async fn lease_lapse() {
    let (guard, time) = guard();
    let claim = run_of(&guard).await;
    time.passes(seconds(60));
    let NotDispatched { claim, error } = claim.dispatched().await.unwrap_err();
    assert!(matches!(error, dispatch::Error::LeaseOver { .. }), "{error}");
    claim.release().await.unwrap();
    assert_eq!(run_of(&guard).await.attempt(), 2);
}

#[tokio::test]
async fn lease_lapse_of_somebody_who_comes_back() {
    let (guard, time) = guard();
    let slow = run_of(&guard).await;
    time.passes(seconds(63));
    let quick = run_of(&guard).await;
    let NotDispatched { claim: slow, error } = slow.dispatched().await.unwrap_err();
    assert!(matches!(error, dispatch::Error::LeaseOver { .. }), "{error}");
    assert!(matches!(slow.release().await, Err(give_up::Error::LostOwnership(_))));
    quick.dispatched().await.unwrap();
}

#[tokio::test]
async fn concurrent_duplicate() {
    let (guard, time) = guard();
    let claim = run_of(&guard).await;
    let held = held_of(&guard).await;
    assert_eq!(held.record.holder.owner, claim.owner());
    assert_eq!(held.until, claim.lease_until().plus(seconds(2)));
    assert_eq!(held.wait, seconds(62));
    claim.dispatched().await.unwrap();
    time.passes(seconds(2));
    assert_eq!(held_of(&guard).await.wait, seconds(60));
}

#[tokio::test]
async fn definite_failure() {
    let (guard, _) = guard();
    let claim = dispatched_of(&guard).await;
    claim.release().await.unwrap();
    claim.release().await.unwrap();
    let claim = dispatched_of(&guard).await;
    assert_eq!(claim.attempt(), 2);

    // One that must not be tried again is a result.
    claim.complete(&json!({"rejected": "no such customer"})).await.unwrap();
    assert_eq!(replay_of(&guard).await["rejected"], "no such customer");
}

#[tokio::test]
async fn a_person_decides() {
    for done in [true, false] {
        let (guard, time) = guard();
        let claim = dispatched_of(&guard).await;
        claim.unknown("reset").await.unwrap();
        unknown_of(&guard).await.needs_person("no lookup").await.unwrap();

        let claimed = guard.claim(&order(1)).await.unwrap();
        let Claimed::NeedsPerson(unknown) = claimed else {
            panic!("{}", name(&claimed));
        };
        assert_eq!(unknown.why(), Some("no lookup"));

        // Nothing that may have been executed is forgotten by the passing of time.
        time.passes(seconds(365 * 24 * 3600));
        let listed = guard.list_unresolved(10).await.unwrap();
        assert_eq!(listed[0].status, Status::NeedsPerson);
        assert_eq!(listed[0].kept_until, None);

        let unknown = guard.find_unresolved(&scope(), &key()).await.unwrap().unwrap();
        if done {
            unknown.adopt(&"it is there").await.unwrap();
            assert_eq!(replay_of(&guard).await, "it is there");
        } else {
            unknown.release().await.unwrap();
            assert_eq!(run_of(&guard).await.attempt(), 2);
        }
        assert!(guard.list_unresolved(10).await.unwrap().is_empty());
        assert!(guard.find_unresolved(&scope(), &key()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_asked() {
    let (guard, _) = guard();
    let claim = dispatched_of(&guard).await;
    claim.needs_person("no answer, and nobody to ask").await.unwrap();
    let claimed = guard.claim(&order(1)).await.unwrap();
    let Claimed::NeedsPerson(unknown) = claimed else {
        panic!("{}", name(&claimed));
    };
    assert_eq!(unknown.since(), Stopwatch::START);
    let error = unknown.release().await.unwrap_err();
    assert!(matches!(error, resolve::Error::NotSettled { .. }), "{error}");

    // The holder may still come back with the truth, as long as nobody has decided.
    claim.complete(&"answered late").await.unwrap();
    assert_eq!(replay_of(&guard).await, "answered late");
}

/// Only what its holder has left is anybody else's to decide.
#[tokio::test]
async fn a_running_call_is_not_listed() {
    let (guard, time) = guard();
    dispatched_of(&guard).await;
    assert!(guard.list_unresolved(10).await.unwrap().is_empty());
    assert!(guard.find_unresolved(&scope(), &key()).await.unwrap().is_none());
    time.passes(seconds(63));
    assert_eq!(guard.list_unresolved(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn repeatable() {
    let (guard, time) = guard();
    let request = order(1).repeatable(true);
    let first = claim_of(&guard, &request).await.dispatched().await.unwrap();
    let record = guard.read(&scope(), &key()).await.unwrap().unwrap();
    assert_eq!(record.status, Status::Claimed, "no mark is written");

    // A crash and an unknown outcome are simply run again.
    time.passes(seconds(63));
    let second = claim_of(&guard, &request).await.dispatched().await.unwrap();
    assert!(first.complete(&1).await.is_err());
    second.unknown("time-out").await.unwrap();
    assert_eq!(claim_of(&guard, &request).await.attempt(), 3);

    // But not by a version of the caller that no longer thinks it safe.
    time.passes(seconds(63));
    assert!(unknown_of(&guard).await.wait() > seconds(0));
}

#[tokio::test]
async fn another_payload_may_use_a_key_that_is_free() {
    let (guard, _) = guard();
    run_of(&guard).await.release().await.unwrap();
    let claimed = guard.claim(&order(2)).await.unwrap();
    assert!(matches!(claimed, Claimed::Run(_)), "{}", name(&claimed));
    assert!(guard.claim(&order(1)).await.is_err());
}

/// Counts the writes that reach the store.
#[derive(Clone, Default)]
struct Counting {
    store: MemoryStore,
    writes: Arc<AtomicUsize>,
}

impl Counting {
    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

impl Store for Counting {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.write(write).await
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        self.store.read(id).await
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        self.store.unresolved(lapsed_before, most, after).await
    }
}

#[tokio::test]
async fn cached_results_are_replayed_without_the_store() {
    let (time, store) = (Stopwatch::new(), Counting::default());
    let settings = Settings { cached_results: NonZeroUsize::new(2), ..time.settings() };
    let guard = Guard::new(store.clone(), settings);
    let claim = dispatched_of(&guard).await;
    held_of(&guard).await;
    held_of(&guard).await;
    assert_eq!(store.writes(), 4, "what is in progress is never cached");
    claim.complete(&"kept").await.unwrap();
    assert_eq!(replay_of(&guard).await, "kept");
    assert_eq!(store.writes(), 5);

    // Another payload is for the store to refuse.
    assert!(guard.claim(&order(2)).await.is_err());
    assert_eq!(store.writes(), 6);

    // Two others push it out, the first of them having been used last.
    for name in ["a", "b"] {
        let request = Request::new(scope(), Key::new(name).unwrap(), &()).unwrap();
        let call = async |_| Ok::<u32, Failure<Api>>(1);
        guard.run(&request, call).await.unwrap();
    }
    assert_eq!(store.writes(), 12);
    assert_eq!(replay_of(&guard).await, "kept");
    assert_eq!(store.writes(), 13);

    time.passes(seconds(24 * 3600 + 3));
    assert_eq!(run_of(&guard).await.attempt(), 2, "an expired one is not used");
}

/// A store whose every write is applied, and whose every first reply is lost, so that the
/// SDK sends it again.
struct Echoing(MemoryStore);

impl Store for Echoing {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        self.0.write(write).await?;
        self.0.write(write).await
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        self.0.read(id).await
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        self.0.unresolved(lapsed_before, most, after).await
    }
}

#[tokio::test]
async fn our_own_repeated_writes_are_recognised() {
    let time = Stopwatch::new();
    let guard = Guard::new(Echoing(MemoryStore::new()), time.settings());
    let claim = dispatched_of(&guard).await;
    claim.unknown("reset").await.unwrap();
    unknown_of(&guard).await.needs_person("?").await.unwrap();
    time.passes(seconds(32));
    let found = guard.find_unresolved(&scope(), &key()).await.unwrap();
    let claim = found.unwrap().run_again().await.unwrap();
    assert_eq!(claim.attempt(), 2);
    claim.release().await.unwrap();
    let claim = dispatched_of(&guard).await;
    claim.unknown("reset").await.unwrap();
    unknown_of(&guard).await.adopt(&"found").await.unwrap();
    assert_eq!(replay_of(&guard).await, "found");
    time.passes(seconds(24 * 3600 + 3));
    let claim = dispatched_of(&guard).await;
    claim.complete(&"done").await.unwrap();
    claim.complete(&"done").await.unwrap();
    let error = claim.complete(&"something else").await.unwrap_err();
    assert!(matches!(error, complete::Error::LostOwnership(_)), "{error}");
    assert_eq!(replay_of(&guard).await, "done");
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Api(&'static str);

#[tokio::test]
async fn the_wrapper_runs_once() {
    let (guard, _) = guard();
    let done = |value: u32, how| Done { value, how };
    let request = order(1);
    let ran = guard.run(&request, async |turn| {
        assert_eq!((turn.attempt, turn.remaining()), (1, seconds(60)));
        Ok::<_, Failure<Api>>(7)
    });
    assert_eq!(ran.await.unwrap(), done(7, How::Ran));
    let replayed = guard.run(&request, async |_| Err::<u32, _>(Api("never runs").into()));
    assert_eq!(replayed.await.unwrap(), done(7, How::Replayed));
    let unreadable = guard.run(&request, async |_| Ok::<_, Failure<Api>>(String::new()));
    let error = unreadable.await.unwrap_err();
    assert!(matches!(error, run::Error::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn the_wrapper_classifies() {
    let (guard, _) = guard();
    let request = order(1);
    let call = async |_| Err::<u32, _>(Failure::NotExecuted(Api("no permit")));
    let error = guard.run(&request, call).await.unwrap_err();
    assert!(matches!(&error, run::Error::NotExecuted { error: Api("no permit"), .. }), "{error}");

    // `?` is the careful reading.
    let call = async |_| {
        Err(Api("time-out"))?;
        Ok::<u32, Failure<Api>>(1)
    };
    let error = guard.run(&request, call).await.unwrap_err();
    assert!(matches!(&error, run::Error::MaybeExecuted { error: Api("time-out"), .. }), "{error}");

    let call = async |_| -> Result<u32, Failure<Api>> { panic!("must not run") };
    let error = guard.run(&request, call).await.unwrap_err();
    let run::Error::Undecided { wait, record, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((wait, record.status), (seconds(32), Status::Unknown));
}

#[tokio::test]
async fn the_wrapper_asks() {
    for (found, settled, expected) in [
        (Found::Executed(5), false, Ok((5, How::Adopted))),
        (Found::NotExecuted, false, Err(Status::Unknown)),
        (Found::NotExecuted, true, Ok((6, How::Ran))),
        (Found::CannotTell, true, Err(Status::NeedsPerson)),
    ] {
        let (guard, time) = guard();
        dispatched_of(&guard).await.unknown("reset").await.unwrap();
        if settled {
            time.passes(seconds(32));
        }
        let call = async |_| Ok::<u32, Failure<Api>>(6);
        let result = guard.run_or_ask(&order(1), call, async || Ok(found)).await;
        let status = guard.read(&scope(), &key()).await.unwrap().unwrap().status;
        match (result, expected) {
            (Ok(done), Ok(expected)) => assert_eq!((done.value, done.how), expected),
            (Err(_), Err(expected)) => assert_eq!(status, expected),
            (result, _) => panic!("{found:?}, settled {settled}: {result:?}"),
        }
    }
}

/// The wrapper's future must be usable where a runtime asks for `Send`.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let (guard, _) = guard();
    let request = order(1);
    is_send(guard.claim(&request));
    is_send(guard.run(&request, |_| async { Ok::<u32, Failure<Api>>(1) }));
    let ask = || async { Ok(Found::NotExecuted) };
    is_send(guard.run_or_ask(&request, |_| async { Ok::<u32, Failure<Api>>(1) }, ask));
    is_send(async move {
        let claim = dispatched_of(&guard).await;
        claim.complete(&1).await.unwrap();
    });
}
