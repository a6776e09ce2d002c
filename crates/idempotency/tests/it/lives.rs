//! What a key remembers from one attempt, one life and one version of this crate to the next.

use std::num::NonZeroUsize;

use serde_json::json;
use slowlane_idempotency::{
    Claim, Claimed, Cursor, Dispatched, EpochMs, Guard, MaybeExecuted, MemoryStore, Page, Record,
    RecordId, Request, Settings, Status, Store, Unknown, Write, Written, claim, resolve, run,
    store,
};
use slowlane_idempotency::{Failure, NotRunAgain};

use crate::{Stopwatch, key, order, scope, seconds};

const DAY: u64 = 24 * 3600;

fn guard() -> (Guard<MemoryStore>, Stopwatch) {
    let time = Stopwatch::new();
    (Guard::new(MemoryStore::new(), time.settings()), time)
}

/// An order that is safe to send again.
fn repeatable(total: u32) -> Request {
    order(total).repeatable(true)
}

async fn claimed<S: Store>(guard: &Guard<S>, request: &Request) -> Claim<S> {
    match guard.claim(request).await.unwrap() {
        Claimed::Run(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn sent<S: Store>(guard: &Guard<S>, request: &Request) -> Dispatched<S> {
    claimed(guard, request).await.dispatched().await.unwrap()
}

async fn unknown<S: Store>(guard: &Guard<S>, request: &Request) -> Unknown<S> {
    match guard.claim(request).await.unwrap() {
        Claimed::Unknown(unknown) => unknown,
        other => panic!("{other:?}"),
    }
}

async fn record(guard: &Guard<impl Store>) -> Record {
    guard.read(&scope(), &key()).await.unwrap().unwrap()
}

mod tries {
    use super::*;

    /// Five failed attempts, and then an end: a call a day later has all its tries.
    #[tokio::test]
    async fn belong_to_one_life() {
        for (name, end) in [
            ("complete", 0),
            ("close before anything was sent", 1),
            ("close", 2),
            ("close_unknown", 3),
            ("adopt", 4),
            ("released by a person", 5),
        ] {
            let (guard, time) = guard();
            for _ in 0..4 {
                claimed(&guard, &order(1)).await.release().await.unwrap();
            }
            assert_eq!(claimed(&guard, &order(1)).await.tries(), 5);
            time.passes(seconds(63));
            match end {
                0 => sent(&guard, &order(1)).await.complete(&1).await.unwrap(),
                1 => claimed(&guard, &order(1)).await.close().await.unwrap(),
                2 => sent(&guard, &order(1)).await.close().await.unwrap(),
                3 => {
                    sent(&guard, &order(1)).await.close_unknown("reset").await.unwrap();
                    time.passes(seconds(32));
                    let again = unknown(&guard, &order(1)).await.run_again().await.unwrap();
                    assert_eq!((again.tries(), again.attempt()), (1, 7), "{name}");
                    continue;
                }
                4 => {
                    sent(&guard, &order(1)).await.unknown("reset").await.unwrap();
                    unknown(&guard, &order(1)).await.adopt(&1).await.unwrap();
                }
                _ => {
                    sent(&guard, &order(1)).await.needs_person("reset").await.unwrap();
                    time.passes(seconds(32));
                    let found = guard.find_unresolved(&scope(), &key()).await.unwrap();
                    found.unwrap().release().await.unwrap();
                }
            }
            time.passes(seconds(DAY + 3));
            let claim = claimed(&guard, &order(1)).await;
            assert_eq!((claim.tries(), claim.attempt()), (1, 7), "{name}");
        }
    }

    #[tokio::test]
    async fn count_on_where_the_call_goes_on() {
        let (guard, time) = guard();
        sent(&guard, &order(1)).await.unknown("reset").await.unwrap();
        time.passes(seconds(32));
        let again = unknown(&guard, &order(1)).await.run_again().await.unwrap();
        assert_eq!(again.tries(), 2);
        again.release().await.unwrap();
        drop(claimed(&guard, &order(1)).await);
        time.passes(seconds(63));
        assert_eq!(claimed(&guard, &order(1)).await.tries(), 4);
    }

    #[tokio::test]
    async fn are_not_used_up_by_what_was_not_tried() {
        let (guard, _) = guard();
        for attempt in 1..=3 {
            let claim = claimed(&guard, &order(1)).await;
            assert_eq!((claim.attempt(), claim.tries()), (attempt, 1));
            claim.release_untried().await.unwrap();
            // Again, as after a lost reply: it is given back once.
            claim.release_untried().await.unwrap();
        }
        sent(&guard, &order(1)).await.release().await.unwrap();
        assert_eq!(claimed(&guard, &order(1)).await.tries(), 2);
    }

    /// Released for another try that nobody made while the record was kept.
    #[tokio::test]
    async fn are_forgotten_with_the_record() {
        let (guard, time) = guard();
        sent(&guard, &order(1)).await.release().await.unwrap();
        time.passes(seconds(DAY + 3));
        assert_eq!(claimed(&guard, &order(1)).await.tries(), 1);
    }

    #[tokio::test]
    async fn of_a_corrected_call_are_its_own() {
        let (guard, _) = guard();
        for _ in 0..3 {
            claimed(&guard, &order(1)).await.release().await.unwrap();
        }
        let corrected = claimed(&guard, &order(2)).await;
        assert_eq!((corrected.tries(), corrected.attempt()), (1, 4));
        corrected.release().await.unwrap();
        assert_eq!(claimed(&guard, &order(2)).await.tries(), 2);
    }

    #[tokio::test]
    async fn of_our_own_repeated_claim_are_the_same() {
        let time = Stopwatch::new();
        let guard = Guard::new(Echoing(MemoryStore::new()), time.settings());
        claimed(&guard, &order(1)).await.release_untried().await.unwrap();
        claimed(&guard, &order(1)).await.release().await.unwrap();
        let claim = claimed(&guard, &order(1)).await;
        assert_eq!((claim.tries(), claim.attempt()), (2, 3));
        claim.close().await.unwrap();
        assert_eq!(claimed(&guard, &order(1)).await.tries(), 1);
    }
}

mod a_word_for_the_next_attempt {
    use super::*;

    #[tokio::test]
    async fn is_told_once_and_uses_up_no_try() {
        let (guard, _) = guard();
        let first = claimed(&guard, &order(1)).await;
        assert_eq!(first.released_because(), None);
        first.release_untried_because("its turn comes at noon").await.unwrap();
        assert_eq!(record(&guard).await.why.as_deref(), Some("its turn comes at noon"));
        let second = claimed(&guard, &order(1)).await;
        assert_eq!(
            (second.released_because(), second.tries()),
            (Some("its turn comes at noon"), 1)
        );
        let sent = second.dispatched().await.unwrap();
        assert_eq!(sent.released_because(), Some("its turn comes at noon"));
        sent.release().await.unwrap();
        assert_eq!(record(&guard).await.why, None);
        assert_eq!(claimed(&guard, &order(1)).await.released_because(), None);
    }

    #[tokio::test]
    async fn is_for_the_same_payload() {
        let (guard, _) = guard();
        let claim = claimed(&guard, &order(1)).await;
        claim.release_untried_because("its turn comes at noon").await.unwrap();
        assert_eq!(claimed(&guard, &order(2)).await.released_because(), None);
    }

    /// A lost attempt may have been executed: its `why` is of another kind.
    #[tokio::test]
    async fn is_left_by_a_release_only() {
        let (guard, _) = guard();
        sent(&guard, &repeatable(1)).await.unknown("no answer").await.unwrap();
        assert_eq!(claimed(&guard, &repeatable(1)).await.released_because(), None);
    }
}

mod earlier_attempts {
    use super::*;

    async fn told(guard: &Guard<impl Store>, request: &Request) -> bool {
        let claim = claimed(guard, request).await;
        let told = claim.maybe_executed_before();
        claim.release().await.unwrap();
        told
    }

    #[tokio::test]
    async fn are_suspected_once_one_ended_as_unknown() {
        for close in [false, true] {
            let (guard, _) = guard();
            let first = sent(&guard, &repeatable(1)).await;
            assert!(!first.maybe_executed_before());
            match close {
                false => first.unknown("reset").await.unwrap(),
                true => first.close_unknown("reset").await.unwrap(),
            }
            // It survives whatever ends the attempts after it, but a result.
            assert!(told(&guard, &repeatable(1)).await);
            claimed(&guard, &repeatable(1)).await.release_untried().await.unwrap();
            sent(&guard, &repeatable(1)).await.close().await.unwrap();
            assert!(told(&guard, &repeatable(1)).await);
            assert!(told(&guard, &order(1)).await, "also to one that is not repeatable");
        }
    }

    #[tokio::test]
    async fn are_suspected_once_one_did_not_come_back() {
        let (guard, time) = guard();
        drop(claimed(&guard, &repeatable(1)).await);
        time.passes(seconds(63));
        assert!(told(&guard, &repeatable(1)).await);
        assert!(told(&guard, &repeatable(1)).await);
    }

    #[tokio::test]
    async fn are_not_suspected_where_nothing_was_executed() {
        let (guard, time) = guard();
        assert!(!told(&guard, &repeatable(1)).await);
        sent(&guard, &repeatable(1)).await.close().await.unwrap();
        assert!(!told(&guard, &repeatable(1)).await);

        // A call that is not repeatable left a mark before it could be executed.
        drop(claimed(&guard, &order(1)).await);
        time.passes(seconds(63));
        assert!(!told(&guard, &order(1)).await);
        sent(&guard, &order(1)).await.unknown("reset").await.unwrap();
        time.passes(seconds(32));
        let again = unknown(&guard, &order(1)).await.run_again().await.unwrap();
        assert!(!again.maybe_executed_before(), "the target said that it has not");
    }

    #[tokio::test]
    async fn are_forgotten_with_the_result() {
        let (guard, time) = guard();
        sent(&guard, &repeatable(1)).await.unknown("reset").await.unwrap();
        sent(&guard, &repeatable(1)).await.complete(&1).await.unwrap();
        time.passes(seconds(DAY + 3));
        assert!(!told(&guard, &repeatable(1)).await);
    }

    #[tokio::test]
    async fn are_told_apart_by_payload() {
        let (guard, _) = guard();
        sent(&guard, &repeatable(1)).await.unknown("reset").await.unwrap();
        sent(&guard, &repeatable(1)).await.close().await.unwrap();
        assert!(!told(&guard, &repeatable(2)).await, "this one was never sent");
        assert!(told(&guard, &repeatable(1)).await);

        sent(&guard, &repeatable(2)).await.unknown("reset").await.unwrap();
        sent(&guard, &repeatable(2)).await.close().await.unwrap();
        assert!(told(&guard, &repeatable(1)).await);
        assert!(told(&guard, &repeatable(2)).await);
    }

    /// The reply to the claim was lost, and with it what the claim replaced.
    #[tokio::test]
    async fn are_suspected_where_it_is_not_known() {
        let time = Stopwatch::new();
        let guard = Guard::new(Echoing(MemoryStore::new()), time.settings());
        assert!(!told(&guard, &order(1)).await, "this one would have left a mark");
        assert!(told(&guard, &repeatable(1)).await);
    }

    #[tokio::test]
    async fn are_told_to_the_closure() {
        let (guard, _) = guard();
        for (told, tries) in [(false, 1), (true, 2)] {
            let request = repeatable(1);
            let failed = guard.run(&request, async |turn| {
                assert_eq!((turn.maybe_executed_before, turn.tries), (told, tries));
                Err::<u32, _>(Failure::Unknown("no answer"))
            });
            let error = failed.await.unwrap_err();
            assert!(matches!(error, run::Error::MaybeExecuted { .. }), "{error}");
        }
    }
}

mod settling {
    use super::*;

    /// Whoever finds the call later, with whatever settings.
    fn short_settings(time: &Stopwatch) -> Settings {
        let new_owner = Settings::default().new_owner;
        Settings { settle_window: seconds(1), new_owner, ..time.settings() }
    }

    #[tokio::test]
    async fn takes_as_long_as_the_request_said() {
        let time = Stopwatch::new();
        let store = MemoryStore::new();
        let guard = Guard::new(store.clone(), time.settings());
        let others = Guard::new(store, short_settings(&time));
        let slow = order(1).settles_after(seconds(900));

        drop(sent(&guard, &slow).await);
        time.passes(seconds(100));
        let after_lease = Stopwatch::START.plus(seconds(60 + 900 + 2));
        assert_eq!(unknown(&others, &order(1)).await.settles_at(), after_lease);
        let found = others.find_unresolved(&scope(), &key()).await.unwrap().unwrap();
        assert_eq!(found.settles_at(), after_lease);

        // Early and often: "it is not there" counts only once it has settled.
        let NotRunAgain { unknown, error } = found.run_again().await.unwrap_err();
        assert!(matches!(error, resolve::Error::NotSettled { .. }), "{error}");
        let error = unknown.release().await.unwrap_err();
        assert!(matches!(error, resolve::Error::NotSettled { .. }), "{error}");
        time.passes(unknown.wait());
        let found = others.find_unresolved(&scope(), &key()).await.unwrap().unwrap();
        let again = found.run_again().await.unwrap().dispatched().await.unwrap();

        // The window stays with the call.
        again.unknown("reset").await.unwrap();
        let settles_at = record(&others).await.settles_at.unwrap();
        assert_eq!(settles_at, Stopwatch::START.plus(seconds(962 + 900)));
    }

    #[tokio::test]
    async fn is_not_waited_for_to_say_that_it_is_there() {
        let (guard, time) = guard();
        drop(sent(&guard, &order(1).settles_after(seconds(900))).await);
        time.passes(seconds(63));
        let unknown = unknown(&guard, &order(1)).await;
        assert_eq!(unknown.wait(), seconds(60 + 900 + 2 - 63));
        unknown.adopt(&"found").await.unwrap();
        assert_eq!(record(&guard).await.status, Status::Completed);
    }

    #[tokio::test]
    async fn takes_as_long_as_the_settings_said_for_a_request_that_did_not() {
        let time = Stopwatch::new();
        let store = MemoryStore::new();
        let guard = Guard::new(store.clone(), time.settings());
        drop(sent(&guard, &order(1)).await);
        time.passes(seconds(63));
        let others = Guard::new(store, short_settings(&time));
        let settles_at = unknown(&others, &order(1)).await.settles_at();
        assert_eq!(settles_at, Stopwatch::START.plus(seconds(60 + 30 + 2)));
    }

    /// Nothing is forgotten before it has settled.
    #[tokio::test]
    async fn comes_before_expiry() {
        let (guard, _) = guard();
        let request = repeatable(1).expiry(seconds(10)).settles_after(seconds(900));
        let claim = sent(&guard, &request).await;
        let kept_until = record(&guard).await.kept_until;
        assert_eq!(kept_until, Some(Stopwatch::START.plus(seconds(960))));
        claim.unknown("reset").await.unwrap();
        let kept_until = record(&guard).await.kept_until;
        assert_eq!(kept_until, Some(Stopwatch::START.plus(seconds(900))));
    }
}

mod expiry {
    use super::*;

    #[tokio::test]
    async fn frees_what_may_be_repeated_and_was_left() {
        for ended in [false, true] {
            let (guard, time) = guard();
            let first = sent(&guard, &repeatable(1)).await;
            if ended {
                first.close_unknown("reset").await.unwrap();
            }
            time.passes(seconds(63));

            // Until then: run again with the same payload, refused with another, and listed.
            let error = guard.claim(&repeatable(2)).await.unwrap_err();
            assert!(matches!(error, claim::Error::PayloadMismatch { .. }), "{error}");
            let listed = guard.list_unresolved(10).await.unwrap();
            assert!(listed.len() == 1 && listed[0].repeatable, "{listed:?}");

            time.passes(seconds(DAY + 3));
            assert!(guard.list_unresolved(10).await.unwrap().is_empty());
            assert!(guard.find_unresolved(&scope(), &key()).await.unwrap().is_none());
            let second = claimed(&guard, &repeatable(2)).await;
            assert_eq!((second.attempt(), second.tries()), (2, 1));
            assert!(!second.maybe_executed_before());
        }
    }

    #[tokio::test]
    async fn need_not_be_waited_for() {
        let (guard, time) = guard();
        drop(sent(&guard, &repeatable(1)).await);
        time.passes(seconds(60 + 30 + 2));
        let found = guard.find_unresolved(&scope(), &key()).await.unwrap().unwrap();
        found.release().await.unwrap();
        claimed(&guard, &repeatable(2)).await;
    }

    #[tokio::test]
    async fn never_comes_for_what_may_not_be_repeated() {
        for end in 0..4 {
            let (guard, time) = guard();
            match end {
                0 => drop(sent(&guard, &order(1)).await),
                1 => sent(&guard, &order(1)).await.unknown("reset").await.unwrap(),
                2 => sent(&guard, &order(1)).await.close_unknown("reset").await.unwrap(),
                _ => sent(&guard, &repeatable(1)).await.needs_person("?").await.unwrap(),
            }
            time.passes(seconds(365 * DAY));
            assert_eq!(record(&guard).await.kept_until, None);
            assert_eq!(guard.list_unresolved(10).await.unwrap().len(), 1);
            let error = guard.claim(&order(2)).await.unwrap_err();
            assert!(matches!(error, claim::Error::PayloadMismatch { .. }), "{error}");
        }
    }
}

/// Records of the first format, and its hashes.
mod first_format {
    use super::*;
    use slowlane_idempotency::{Holder, Owner, PayloadHash};
    use uuid::Uuid;

    fn wide() -> Request {
        let payload = json!({ "id": 9_007_199_254_740_993_u64 });
        Request::new(scope(), key(), &payload).unwrap()
    }

    /// `wide()` as that hashed it.
    fn hash() -> PayloadHash {
        let hex = "379c3c261310b93aedb504a467c47b9494b0c2e0205c0130684079a029e3da34";
        PayloadHash::parse(hex).unwrap()
    }

    /// A store with one such record.
    async fn left(change: impl FnOnce(&mut Record)) -> (Guard<MemoryStore>, Stopwatch) {
        let time = Stopwatch::new();
        let mut record = Record {
            id: RecordId::new(&scope(), &key()),
            status: Status::Dispatched,
            holder: Holder { owner: Owner(Uuid::from_u128(99)), attempt: 1 },
            payload: hash(),
            repeatable: false,
            claimed_at: Stopwatch::START,
            lease_until: Stopwatch::START.plus(seconds(60)),
            dispatched_at: None,
            unknown_since: None,
            settles_at: None,
            completed_at: None,
            untried: 0,
            maybe_executed_before: MaybeExecuted::No,
            why: None,
            result: None,
            kept_until: None,
        };
        change(&mut record);
        let store = MemoryStore::new();
        let when =
            slowlane_idempotency::When::Free { lapsed_before: EpochMs(0), earlier_payload: None };
        store.write(&Write { record, when }).await.unwrap();
        (Guard::new(store, time.settings()), time)
    }

    #[tokio::test]
    async fn payloads_are_recognised() {
        assert_ne!(wide().payload(), hash());
        let (guard, time) = left(|_| {}).await;
        time.passes(seconds(63));
        unknown(&guard, &wide()).await;

        let (guard, time) = left(|record| {
            record.status = Status::Unknown;
            record.repeatable = true;
        })
        .await;
        let claim = claimed(&guard, &wide().repeatable(true)).await;
        assert_eq!((claim.attempt(), claim.tries()), (2, 2), "the same call goes on");
        assert!(claim.maybe_executed_before());
        claim.release().await.unwrap();
        assert_eq!(record(&guard).await.payload, wide().payload());
        time.passes(seconds(1));
        assert!(claimed(&guard, &wide()).await.maybe_executed_before());
    }

    /// Of a holder that never came back it said nothing, so the settings must.
    #[tokio::test]
    async fn windows_are_those_of_the_settings() {
        let (guard, time) = left(|_| {}).await;
        time.passes(seconds(63));
        let settles_at = unknown(&guard, &wide()).await.settles_at();
        assert_eq!(settles_at, Stopwatch::START.plus(seconds(60 + 30 + 2)));
    }

    /// It did not start the count anew when it completed a call.
    #[tokio::test]
    async fn completions_end_a_life() {
        let (guard, time) = left(|record| {
            record.status = Status::Completed;
            record.kept_until = Some(Stopwatch::START);
            record.maybe_executed_before = MaybeExecuted::WithSeveral;
        })
        .await;
        time.passes(seconds(3));
        let claim = claimed(&guard, &wide()).await;
        assert_eq!((claim.tries(), claim.attempt()), (1, 2));
        assert!(!claim.maybe_executed_before());
    }
}

mod names {
    use super::*;
    use slowlane_idempotency::Owner;
    use uuid::Uuid;

    /// The claim was stored, the answer lost, and the caller comes again under its own name.
    #[tokio::test]
    async fn get_their_claim_back() {
        let (guard, time) = guard();
        let (ours, theirs) = (Owner(Uuid::from_u128(7)), Owner(Uuid::from_u128(8)));
        guard.claim_as(&order(1), ours).await.unwrap();
        time.passes(seconds(20));
        let other = guard.claim_as(&order(1), theirs).await.unwrap();
        assert!(matches!(other, Claimed::InProgress(_)), "{other:?}");
        let Claimed::Run(claim) = guard.claim_as(&order(1), ours).await.unwrap() else {
            panic!("it is ours");
        };
        assert_eq!((claim.owner(), claim.attempt()), (ours, 1));
        assert_eq!(claim.remaining(), seconds(40), "the lease that others see");

        let error = guard.claim_as(&order(2), ours).await.unwrap_err();
        assert!(matches!(error, claim::Error::PayloadMismatch { .. }), "{error}");

        // What may have left is not given out again.
        claim.dispatched().await.unwrap();
        let again = guard.claim_as(&order(1), ours).await.unwrap();
        assert!(matches!(again, Claimed::InProgress(_)), "{again:?}");
    }
}

/// A closure is not even called once the lease is over.
#[tokio::test]
async fn a_closure_does_not_start_after_its_lease() {
    let time = Stopwatch::new();
    let guard = Guard::new(SlowToMark(MemoryStore::new(), time.clone()), time.settings());
    let call = async |_| -> Result<u32, Failure<&str>> { panic!("must not start") };
    let error = guard.run(&order(1), call).await.unwrap_err();
    assert!(matches!(error, run::Error::NotDispatched(_)), "{error}");
    assert_eq!(record(&guard).await.status, Status::Released, "nothing was sent");
}

/// A moment, and not a length of time that begins when it is read.
#[tokio::test]
async fn what_remains_is_read_from_the_clock() {
    let (guard, time) = guard();
    let (clock, request) = (time.clone(), order(1));
    let claim = sent(&guard, &order(9).lease(seconds(10))).await;
    clock.passes(seconds(7));
    assert_eq!(claim.remaining(), seconds(3));
    claim.release().await.unwrap();
    let call = async |turn: run::Turn| {
        clock.passes(seconds(59));
        assert_eq!(turn.remaining(), seconds(1));
        clock.passes(seconds(5));
        assert_eq!(turn.remaining(), seconds(0));
        Err::<u32, _>(Failure::NotExecuted("the lease is over"))
    };
    guard.run(&request, call).await.unwrap_err();
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
        at: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        self.0.unresolved(at, most, after).await
    }
}

/// A store that takes a minute for a dispatched mark.
struct SlowToMark(MemoryStore, Stopwatch);

impl Store for SlowToMark {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        if write.record.status == Status::Dispatched {
            self.1.passes(seconds(60));
        }
        self.0.write(write).await
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        self.0.read(id).await
    }

    async fn unresolved(
        &self,
        at: EpochMs,
        most: NonZeroUsize,
        after: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        self.0.unresolved(at, most, after).await
    }
}
