//! What every [`Store`] must do, as a suite that any store can run (feature `conformance`).
//!
//! ```
//! # async fn on_my_store() -> Result<(), Box<dyn std::error::Error>> {
//! use slowlane_idempotency::{MemoryStore, conformance};
//!
//! // The namespace must be new to the store: every record's scope starts with it.
//! conformance::check(&MemoryStore::new(), "conformance-1").await?;
//! # Ok(())
//! # }
//! ```
//!
//! It takes about 500 requests. All times in it lie in the year 2100, so that a store's
//! own tidying does not reach them.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;

use fastrand::Rng;
use futures::future::join_all;
use uuid::Uuid;

use crate::clock::EpochMs;
use crate::guard::{Claimed, Guard};
use crate::key::{Key, RecordId, Scope};
use crate::memory::MemoryStore;
use crate::payload::PayloadHash;
use crate::record::{Holder, MaybeExecuted, Owner, Record, Status, StoredResult, When, Write};
use crate::request::Request;
use crate::store::{self, Store, Written};

/// What a store did wrong.
#[derive(Debug, thiserror::Error)]
#[error("{case}: {problem}")]
pub struct Broken {
    /// The name of the check.
    pub case: &'static str,
    /// What was expected and what happened.
    pub problem: String,
}

/// Runs every check. `namespace` must be new to the store and a valid [`Scope`] of at
/// most 64 bytes.
///
/// # Errors
/// What the store did wrong first, or that it failed.
pub async fn check<S: Store>(store: &S, namespace: &str) -> Result<(), Broken> {
    let suite = Suite { store, namespace };
    suite.named("rules", suite.rules()).await?;
    suite.named("walk", suite.walk()).await?;
    suite.named("unusual values", suite.unusual_values()).await?;
    suite.named("large result", suite.large_result()).await?;
    suite.named("unresolved", suite.unresolved()).await?;
    suite.named("concurrent claims", suite.concurrent_claims()).await?;
    suite.named("concurrent steps", suite.concurrent_steps()).await
}

/// Lets `claimants` claim one new key at the same time and checks that one runs and all
/// others are told that it is in progress. For stores behind a network, with clones of
/// one guard or with guards of several processes' making.
///
/// # Errors
/// More than one ran, or none, or a claim failed.
pub async fn one_claimant_wins<S: Store>(
    guard: &Guard<S>,
    scope: Scope,
    key: Key,
    claimants: usize,
) -> Result<(), Broken> {
    let broken = |problem| Broken { case: "one claimant wins", problem };
    let request =
        Request::new(scope, key, "the same payload").map_err(|e| broken(e.to_string()))?;
    let claims = join_all((0..claimants).map(|_| guard.claim(&request))).await;
    let (mut ran, mut waited) = (0, 0);
    for claim in claims {
        match claim {
            Ok(Claimed::Run(_)) => ran += 1,
            Ok(Claimed::InProgress(_)) => waited += 1,
            Ok(other) => return Err(broken(format!("a claimant was told {}", variant(&other)))),
            Err(error) => return Err(broken(format!("a claimant failed: {error:?}"))),
        }
    }
    if (ran, waited) != (1, claimants - 1) {
        return Err(broken(format!("{ran} ran and {waited} were told to wait")));
    }
    Ok(())
}

fn variant<S>(claimed: &Claimed<S>) -> &'static str {
    match claimed {
        Claimed::Run(_) => "Run",
        Claimed::Replay(_) => "Replay",
        Claimed::InProgress(_) => "InProgress",
        Claimed::Unknown(_) => "Unknown",
        Claimed::NeedsPerson(_) => "NeedsPerson",
    }
}

struct Suite<'a, S> {
    store: &'a S,
    namespace: &'a str,
}

/// 2100-01-01T00:00:00Z.
const EPOCH: EpochMs = EpochMs(4_102_444_800_000);

impl<S: Store> Suite<'_, S> {
    async fn named(
        &self,
        case: &'static str,
        check: impl Future<Output = Result<(), String>>,
    ) -> Result<(), Broken> {
        check.await.map_err(|problem| Broken { case, problem })
    }

    /// Every rule by itself: each write over a record of its own.
    async fn rules(&self) -> Result<(), String> {
        let cases = rule_cases(&self.id("rules", "0")?);
        let checks = cases.into_iter().enumerate().map(|(index, (mut current, mut write))| {
            let id = self.id("rules", &index.to_string());
            async move {
                current.id = id?;
                write.record.id = current.id.clone();
                let before = Write { record: current.clone(), when: free() };
                apply(self.store, &before).await?;
                let shown = Some(Box::new(current.clone()));
                let expected = match (write.permitted(Some(&current)), write.when) {
                    (false, _) => Written::Refused(shown),
                    (true, When::Free { .. }) => Written::Applied { replaced: shown },
                    (true, When::Held { .. }) => Written::Applied { replaced: None },
                };
                let at = format!("{write:?} over {current:?}");
                expect_eq(&at, &expected, &apply(self.store, &write).await?)
            }
        });
        join_all(checks).await.into_iter().collect()
    }

    /// Random writes on a few keys, each compared with what the rules say.
    async fn walk(&self) -> Result<(), String> {
        for seed in 0..2 {
            let mut rng = Rng::with_seed(seed);
            let model = MemoryStore::new();
            let ids: Vec<_> = (0..3)
                .map(|key| self.id("walk", &format!("{seed}-{key}")))
                .collect::<Result<_, _>>()?;
            for step in 0..50 {
                let id = &ids[rng.usize(..ids.len())];
                let current = read(&model, id).await?;
                let write = random_write(&mut rng, id, current.as_ref());
                let at = format!("seed {seed}, step {step}, {write:?} over {current:?}");
                let expected = apply(&model, &write).await?;
                let got = apply(self.store, &write).await.map_err(|e| format!("{at}: {e}"))?;
                expect_eq(&at, &expected, &got)?;
                expect_eq(&at, &read(&model, id).await?, &read(self.store, id).await?)?;
            }
        }
        Ok(())
    }

    async fn unusual_values(&self) -> Result<(), String> {
        let scope = Scope::new(format!("{}-é {}", self.namespace, "s".repeat(40)));
        let key = Key::new(format!("a#b/\u{1F600} {}", "k".repeat(850)));
        let (scope, key) = (scope.map_err(text)?, key.map_err(text)?);
        let mut record = sample(RecordId::new(&scope, &key), 1);
        record.status = Status::Completed;
        record.result = Some(StoredResult::Inline("{\"\u{0}\":\"\u{1F600} \\\"\"}".into()));
        record.why = Some("\u{1F600}".into());
        self.round_trip(record).await
    }

    /// Up to its limit a store keeps a result as it is; beyond, it refuses it by name
    /// and changes nothing.
    async fn large_result(&self) -> Result<(), String> {
        let mut record = sample(self.id("large", "300 KB")?, 1);
        record.status = Status::Completed;
        record.result = Some(StoredResult::Inline(format!("\"{}\"", "r".repeat(300 << 10))));
        self.round_trip(record.clone()).await?;

        record.id = self.id("large", "1 MB")?;
        record.result = Some(StoredResult::Inline(format!("\"{}\"", "r".repeat(1 << 20))));
        let write = Write { record: record.clone(), when: free() };
        let expected = match self.store.write(&write).await {
            Ok(_) => Some(record.clone()),
            Err(store::Error::TooLarge { bytes, limit }) if limit < bytes => None,
            Err(error) => return Err(format!("1 MB: {error:?}")),
        };
        expect_eq("1 MB", &expected, &read(self.store, &record.id).await?)
    }

    /// Listed and counted is what nobody knows about, page by page, and each record once. All
    /// counts are compared with those before, since others may use the store too.
    async fn unresolved(&self) -> Result<(), String> {
        let lease_until = sample(self.id("unresolved", "any")?, 1).lease_until;
        let lapsed = EpochMs(lease_until.0 + 1);
        let counted_before = self.count(lapsed).await?;
        for status in Status::ALL {
            for (repeatable, name) in [(false, ""), (true, "-REPEATABLE")] {
                let id = self.id("unresolved", &format!("{status}{name}"))?;
                let mut record = sample(id, 1);
                record.status = status;
                record.repeatable = repeatable;
                record.kept_until = (status == Status::Completed || repeatable).then_some(lapsed);
                apply(self.store, &Write { record, when: free() }).await?;
            }
        }
        let expired = EpochMs(lapsed.0 + 1);
        for (lapsed_before, expected) in [
            (lease_until, "NEEDS_PERSON NEEDS_PERSON-REPEATABLE UNKNOWN UNKNOWN-REPEATABLE"),
            (
                lapsed,
                "CLAIMED-REPEATABLE DISPATCHED DISPATCHED-REPEATABLE NEEDS_PERSON \
                 NEEDS_PERSON-REPEATABLE UNKNOWN UNKNOWN-REPEATABLE",
            ),
            (
                expired,
                "DISPATCHED DISPATCHED-REPEATABLE NEEDS_PERSON NEEDS_PERSON-REPEATABLE UNKNOWN",
            ),
        ] {
            let listed = self.listed(lapsed_before).await?.join(" ");
            expect_eq(&format!("at {lapsed_before}"), &expected.to_owned(), &listed)?;
        }
        let counted = self.count(lapsed).await?.saturating_sub(counted_before);
        expect_eq("counted", &7, &counted)
    }

    /// The keys of this suite's unresolved records, two at a time.
    async fn listed(&self, lapsed_before: EpochMs) -> Result<Vec<String>, String> {
        const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
        let scope = format!("{}-unresolved", self.namespace);
        let (mut listed, mut after) = (Vec::new(), None);
        // Far more than there can be, for a store that never comes to an end.
        for _ in 0..100_000 {
            let page = self.store.unresolved(lapsed_before, MOST, after.as_ref()).await;
            let page = page.map_err(text)?;
            if page.records.len() > MOST.get() {
                return Err(format!("a page of {MOST} has {} records", page.records.len()));
            }
            let ours = page.records.into_iter().filter(|record| record.id.scope() == scope);
            listed.extend(ours.map(|record| record.id.key().to_owned()));
            if listed.len() > 2 * Status::ALL.len() {
                return Err(format!("listed again and again: {listed:?}"));
            }
            after = page.next;
            if after.is_none() {
                listed.sort_unstable();
                return Ok(listed);
            }
        }
        Err("the listing does not end".into())
    }

    async fn count(&self, lapsed_before: EpochMs) -> Result<u64, String> {
        self.store.count_unresolved(lapsed_before).await.map_err(text)
    }

    async fn concurrent_claims(&self) -> Result<(), String> {
        let id = self.id("concurrent", "claims")?;
        let writes: Vec<_> = (1..=20)
            .map(|owner| Write { record: sample(id.clone(), owner), when: free() })
            .collect();
        let winner = self.one_is_applied(&writes).await?;
        let expected = Some(writes[winner].record.clone());
        expect_eq("the winner's record", &expected, &read(self.store, &id).await?)
    }

    async fn concurrent_steps(&self) -> Result<(), String> {
        let id = self.id("concurrent", "steps")?;
        let claimed = sample(id, 1);
        let holder = claimed.holder;
        self.round_trip(claimed.clone()).await?;
        let writes: Vec<_> = (0..20)
            .map(|result| {
                let mut record = claimed.clone();
                record.status = Status::Completed;
                record.result = Some(StoredResult::Inline(result.to_string()));
                let from = &[Status::Claimed];
                let when = When::Held { by: holder, from };
                Write { record, when }
            })
            .collect();
        self.one_is_applied(&writes).await.map(|_| ())
    }

    /// All at once; every other is refused by the one that was applied.
    async fn one_is_applied(&self, writes: &[Write]) -> Result<usize, String> {
        let answers = join_all(writes.iter().map(|write| apply(self.store, write))).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
        let mut applied = answers
            .iter()
            .enumerate()
            .filter(|(_, written)| matches!(written, Written::Applied { .. }));
        let (Some((winner, _)), None) = (applied.next(), applied.next()) else {
            return Err(format!("not exactly one was applied: {answers:?}"));
        };
        let refusal = Written::Refused(Some(Box::new(writes[winner].record.clone())));
        for (index, answer) in answers.iter().enumerate() {
            if index != winner {
                expect_eq("a refusal", &refusal, answer)?;
            }
        }
        Ok(winner)
    }

    async fn round_trip(&self, record: Record) -> Result<(), String> {
        let write = Write { record: record.clone(), when: free() };
        let at = format!("{} {}", record.id, record.status);
        let applied = Written::Applied { replaced: None };
        expect_eq(&at, &applied, &apply(self.store, &write).await?)?;
        let refused = Written::Refused(Some(Box::new(record.clone())));
        if record.status != Status::Released {
            expect_eq(&at, &refused, &apply(self.store, &write).await?)?;
        }
        let found = read(self.store, &record.id).await?.map(|mut found| {
            found.holder.attempt = 1;
            found
        });
        expect_eq(&at, &Some(record), &found)
    }

    fn id(&self, case: &str, key: &str) -> Result<RecordId, String> {
        let scope = Scope::new(format!("{}-{case}", self.namespace)).map_err(text)?;
        Ok(RecordId::new(&scope, &Key::new(key).map_err(text)?))
    }
}

async fn apply<S: Store>(store: &S, write: &Write) -> Result<Written, String> {
    store.write(write).await.map_err(|error| format!("{error:?}"))
}

async fn read<S: Store>(store: &S, id: &RecordId) -> Result<Option<Record>, String> {
    store.read(id).await.map_err(|error| format!("{error:?}"))
}

fn expect_eq<T: PartialEq + fmt::Debug>(at: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{at}: expected {expected:?}, got {got:?}"))
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Nothing has lapsed at this moment.
fn free() -> When {
    When::Free { lapsed_before: EPOCH, earlier_payload: None }
}

fn sample(id: RecordId, owner: u128) -> Record {
    Record {
        id,
        status: Status::Claimed,
        holder: Holder { owner: Owner(Uuid::from_u128(owner)), attempt: 1 },
        payload: PAYLOADS[0],
        repeatable: false,
        claimed_at: EPOCH,
        lease_until: EPOCH,
        dispatched_at: None,
        unknown_since: None,
        settles_at: None,
        completed_at: None,
        untried: 0,
        maybe_executed_before: MaybeExecuted::No,
        why: None,
        result: None,
        kept_until: Some(EPOCH),
    }
}

const PAYLOADS: [PayloadHash; 2] =
    [PayloadHash::from_bytes([1; 32]), PayloadHash::from_bytes([2; 32])];

/// Every status against every claim and every holder, with what the rules look at on
/// either side of its edge.
fn rule_cases(id: &RecordId) -> Vec<(Record, Write)> {
    let later = EpochMs(EPOCH.as_millis() + 1);
    let mut cases = Vec::new();
    for status in Status::ALL {
        let mut current = sample(id.clone(), 1);
        current.status = status;
        for bits in 0..32 {
            let bit = |bit: u8| bits & (1 << bit) != 0;
            current.repeatable = bit(0);
            let until = if bit(1) { EPOCH } else { later };
            (current.lease_until, current.kept_until) = (until, Some(until));
            let mut record = sample(id.clone(), 2);
            record.repeatable = bit(2);
            record.payload = PAYLOADS[usize::from(bit(3))];
            let lapsed_before = later;
            let earlier_payload = bit(4).then_some(PAYLOADS[0]);
            let when = When::Free { lapsed_before, earlier_payload };
            cases.push((current.clone(), Write { record, when }));
        }
        for (owner, attempt, from) in [
            (1, 1, Status::OPEN),
            (2, 1, Status::OPEN),
            (1, 2, Status::OPEN),
            (1, 1, &[Status::Completed][..]),
        ] {
            let record = sample(id.clone(), 1);
            let owner = Owner(Uuid::from_u128(owner));
            let by = Holder { owner, attempt };
            let when = When::Held { by, from };
            cases.push((current.clone(), Write { record, when }));
        }
    }
    cases
}

/// Moments and owners come from small sets, so that they often meet and often differ by
/// the one millisecond that matters.
fn random_write(rng: &mut Rng, id: &RecordId, current: Option<&Record>) -> Write {
    let mut record = sample(id.clone(), rng.u128(1..=3));
    record.status = Status::ALL[rng.usize(..Status::ALL.len())];
    record.holder.attempt = rng.u64(1..=4);
    record.payload = PAYLOADS[rng.usize(..2)];
    record.repeatable = rng.bool();
    record.claimed_at = moment(rng);
    record.lease_until = moment(rng);
    record.dispatched_at = rng.bool().then(|| moment(rng));
    record.unknown_since = rng.bool().then(|| moment(rng));
    record.settles_at = rng.bool().then(|| moment(rng));
    record.completed_at = rng.bool().then(|| moment(rng));
    record.untried = rng.u64(..3);
    record.maybe_executed_before = match rng.u8(..3) {
        0 => MaybeExecuted::No,
        1 => MaybeExecuted::With(PAYLOADS[rng.usize(..2)]),
        _ => MaybeExecuted::WithSeveral,
    };
    record.why = rng.bool().then(|| "why".into());
    record.result = rng.bool().then(|| StoredResult::Inline(rng.u8(..).to_string()));
    record.kept_until = rng.bool().then(|| moment(rng));
    let when = if rng.bool() {
        let earlier_payload = rng.bool().then(|| PAYLOADS[rng.usize(..2)]);
        When::Free { lapsed_before: moment(rng), earlier_payload }
    } else {
        let mut by = current.map_or(record.holder, |current| current.holder);
        match rng.u8(..6) {
            0 => by.attempt += 1,
            1 => by.owner = Owner(Uuid::from_u128(rng.u128(1..=3))),
            _ => {}
        }
        const OPEN_ENDED: &[Status] = &[Status::Dispatched, Status::Unknown, Status::NeedsPerson];
        let states = [Status::OPEN, OPEN_ENDED, &[Status::Claimed], &Status::ALL];
        let from = states[rng.usize(..states.len())];
        When::Held { by, from }
    };
    Write { record, when }
}

fn moment(rng: &mut Rng) -> EpochMs {
    EpochMs(EPOCH.as_millis() + rng.u64(..3))
}
