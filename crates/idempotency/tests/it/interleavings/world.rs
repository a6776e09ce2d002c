//! The world around the workers: true time, a store and a target with faults, and what
//! is checked after everything that happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use serde_json::{Value, json};
use slowlane_idempotency::{
    Cursor, EpochMs, Page, Record, RecordId, Settings, Status, Store, StoredResult, When, Write,
    Written, store,
};
use uuid::Uuid;

/// The most by which two clocks differ, and the margin that a sound guard is given for it.
pub(crate) const SKEW: Duration = Duration::from_secs(2);
/// The longest that the target works on a request, and the settle window that answers it.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// What kind of target the calls go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Not safe to repeat; can be asked whether it has a call.
    Asked,
    /// Not safe to repeat; cannot be asked.
    Silent,
    /// Safe to repeat.
    Repeatable,
}

/// A guard with one of its parts broken, to show that the checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Steps look at the record's status only.
    NoOwnerCheck,
    /// The dispatched mark is not written.
    NoDispatchedMark,
    /// Leases and settle windows end at once by whatever clock.
    NoMargin,
    /// A completion is written whatever the record says.
    UnconditionalComplete,
    /// A lapsed lease is taken over though the request may have left, as Powertools does.
    SilentTakeover,
    /// What a claim replaced is forgotten.
    ForgetsEarlierAttempts,
    /// Workers ask the target before they claim, and act on that answer afterwards.
    AsksTooEarly,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) property: &'static str,
    pub(crate) detail: String,
}

pub(crate) const ONE_EFFECT: &str = "at most one effect per key";
pub(crate) const RESULT_STAYS: &str = "a completed result never changes";
pub(crate) const NO_LATE_WRITER: &str = "a late writer never overwrites";
pub(crate) const TRUE_RESULT: &str = "a result is one that the target gave";
pub(crate) const TOLD_OF_EFFECTS: &str = "whoever claims is told what may have been executed";
pub(crate) const NOBODY_WAITS: &str = "nobody waits for ever";

/// A point at which a worker is suspended, and can therefore crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// Before it has any effect.
    Leaves(&'static str),
    /// After it had its effect, before the worker knows.
    Arrives(&'static str),
}

/// Everything that the workers of one run share. Clones are handles to the same world.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) target: Target,
    /// Whether the workers of this run use the wrapper around a closure.
    pub(crate) by_closure: bool,
    mutant: Option<Mutant>,
    /// Whether store and target misbehave.
    pub(crate) faults: bool,
    now: u64,
    records: BTreeMap<RecordId, Record>,
    /// Writes whose sender gave up on them, or that the network doubled.
    late_writes: Vec<Write>,
    requests: Vec<Sent>,
    effects: Vec<String>,
    completed: Option<String>,
    /// The attempts that the target executed.
    executed: Vec<u64>,
    /// The greatest attempt that was told that none before it can have been executed.
    told_of_none: u64,
    /// How many deliveries there were, and which one is at work now.
    pub(crate) deliveries: u32,
    pub(crate) at_work: u32,
    pub(crate) suspended_at: Option<Point>,
    pub(crate) crashed_at: BTreeSet<Point>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Option<Vec<String>>,
}

/// A request on its way to or in the target.
struct Sent {
    attempt: u64,
    /// The target has executed it before this moment, or never will.
    decided_by: u64,
    decided: bool,
    reply: Option<Reply>,
}

/// What the caller of the target sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Executed(Value),
    Rejected,
    /// Time-out or broken connection.
    Lost,
    /// The lease was over before it left.
    NotSent,
}

/// What the target says when it is asked for a call; `Err` if it says nothing.
pub(crate) type Answer = Result<Option<Value>, ()>;

impl World {
    pub(crate) fn new(seed: u64, target: Target, mutant: Option<Mutant>, traced: bool) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            target,
            by_closure: false,
            mutant,
            faults: true,
            now: 1_800_000_000_000,
            records: BTreeMap::new(),
            late_writes: Vec::new(),
            requests: Vec::new(),
            effects: Vec::new(),
            completed: None,
            executed: Vec::new(),
            told_of_none: 0,
            deliveries: 0,
            at_work: 0,
            suspended_at: None,
            crashed_at: BTreeSet::new(),
            counts: BTreeMap::new(),
            violations: Vec::new(),
            trace: traced.then(Vec::new),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the world")
    }

    /// The settings of a worker whose clock is off by `skew_ms`.
    pub(crate) fn settings(&self, skew_ms: i64) -> Settings {
        let (clock, owners) = (self.clone(), self.clone());
        let no_margin = self.state().is(Mutant::NoMargin);
        Settings {
            clock: Arc::new(move || clock.clock(skew_ms)),
            new_owner: Arc::new(move || Uuid::from_u128(owners.state().rng.u128(..))),
            skew_margin: if no_margin { Duration::ZERO } else { SKEW },
            lease: Duration::from_secs(8),
            settle_window: SETTLE,
            ..Settings::default()
        }
    }

    pub(crate) fn clock(&self, skew_ms: i64) -> SystemTime {
        EpochMs(self.state().now.saturating_add_signed(skew_ms)).into()
    }

    /// One of so many ways to go on.
    pub(crate) fn any_of(&self, ways: u8) -> u8 {
        self.state().rng.u8(..ways)
    }

    /// Suspends the worker once.
    pub(crate) async fn pause(&self, point: Point) {
        let mut suspended = false;
        std::future::poll_fn(|_| {
            if suspended {
                return Poll::Ready(());
            }
            suspended = true;
            self.state().suspended_at = Some(point);
            Poll::Pending
        })
        .await;
    }

    /// Sends the call and waits for the answer until `until` by the worker's clock.
    pub(crate) async fn call(&self, skew_ms: i64, attempt: u64, until: EpochMs) -> Reply {
        self.pause(Point::Leaves("CALL")).await;
        let over = || EpochMs::from(self.clock(skew_ms)) >= until;
        if over() {
            return Reply::NotSent;
        }
        let Some(number) = self.state().send(attempt) else {
            self.pause(Point::Arrives("CALL")).await;
            return Reply::Rejected;
        };
        loop {
            self.pause(Point::Arrives("CALL")).await;
            if let Some(reply) = self.state().requests[number].reply.take() {
                return reply;
            }
            if over() {
                return Reply::Lost;
            }
        }
    }

    /// Asks the target whether it has the call.
    pub(crate) async fn ask(&self) -> Answer {
        self.pause(Point::Leaves("ASK")).await;
        let answer = {
            let mut state = self.state();
            if state.faults && state.rng.u8(..10) == 0 {
                Err(())
            } else {
                let found = state.effects.first().cloned();
                Ok(found.map(|effect| json!({"effect": effect, "found": true})))
            }
        };
        self.state().note(|| format!("the target is asked: {answer:?}"));
        self.pause(Point::Arrives("ASK")).await;
        answer
    }
}

impl Store for World {
    async fn write(&self, write: &Write) -> Result<Written, store::Error> {
        let status = write.record.status.as_str();
        self.pause(Point::Leaves(status)).await;
        let fate = self.state().store_fate();
        let failed = || store::Error::Failed("the reply was lost".into());
        let answer = match fate {
            StoreFate::Fine => Ok(self.state().apply(write)),
            StoreFate::Throttled => Err(store::Error::Throttled("slow down".into())),
            StoreFate::LostBefore => Err(failed()),
            StoreFate::LostAfter => {
                self.state().apply(write);
                Err(failed())
            }
            StoreFate::Retried => {
                self.state().apply(write);
                self.pause(Point::Leaves(status)).await;
                Ok(self.state().apply(write))
            }
            StoreFate::Late => {
                self.state().late_writes.push(write.clone());
                Err(failed())
            }
            StoreFate::Doubled => {
                let mut state = self.state();
                state.late_writes.push(write.clone());
                Ok(state.apply(write))
            }
        };
        self.state().note(|| format!("store ({fate:?}): {} -> {answer:?}", write.record));
        self.pause(Point::Arrives(status)).await;
        answer
    }

    async fn read(&self, id: &RecordId) -> Result<Option<Record>, store::Error> {
        Ok(self.state().records.get(id).cloned())
    }

    async fn unresolved(
        &self,
        lapsed_before: EpochMs,
        _: NonZeroUsize,
        _: Option<&Cursor>,
    ) -> Result<Page, store::Error> {
        let state = self.state();
        let records = state.records.values();
        let unresolved = records.filter(|record| record.unresolved(lapsed_before));
        Ok(Page { records: unresolved.cloned().collect(), next: None })
    }
}

/// What happens to one write on its way.
#[derive(Clone, Copy, Debug)]
enum StoreFate {
    Fine,
    Throttled,
    LostBefore,
    LostAfter,
    /// Applied, the reply lost, sent again by the SDK.
    Retried,
    /// It arrives after its sender gave up on it.
    Late,
    /// Applied, and arrives once more later.
    Doubled,
}

impl State {
    pub(crate) fn note(&mut self, event: impl FnOnce() -> String) {
        let (now, worker) = (self.now % 1_000_000, self.at_work);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>6} ms  #{worker:<3} {}", event()));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.note(|| what.to_owned());
    }

    fn violate(&mut self, property: &'static str, detail: String) {
        self.note(|| format!("VIOLATION: {property}: {detail}"));
        self.violations.push(Violation { property, detail });
    }

    pub(crate) fn waited_for_ever(&mut self, detail: String) {
        self.violate(NOBODY_WAITS, detail);
    }

    fn store_fate(&mut self) -> StoreFate {
        if !self.faults {
            return StoreFate::Fine;
        }
        match self.rng.u8(..40) {
            0 => StoreFate::Throttled,
            1 => StoreFate::LostBefore,
            2 | 3 => StoreFate::LostAfter,
            4 | 5 => StoreFate::Retried,
            6 | 7 => StoreFate::Late,
            8 => StoreFate::Doubled,
            _ => StoreFate::Fine,
        }
    }

    /// What a sound store does with a write, or what the mutant makes of it.
    fn apply(&mut self, write: &Write) -> Written {
        let current = self.records.get(&write.record.id).cloned();
        let next = write.result(current.as_ref());
        if self.is(Mutant::NoDispatchedMark) && next.status == Status::Dispatched {
            return Written::Applied { replaced: None };
        }
        if !self.permitted(write, current.as_ref()) {
            return Written::Refused(current.map(Box::new));
        }
        if let Some(current) = current {
            self.check_replacement(write, &current, &next);
        }
        self.check_result(&next);
        let replaced = self.records.insert(next.id.clone(), next);
        let mut replaced = replaced.filter(|_| matches!(write.when, When::Free { .. }));
        if let Some(replaced) = &mut replaced
            && self.is(Mutant::ForgetsEarlierAttempts)
        {
            replaced.status = Status::Released;
        }
        Written::Applied { replaced: replaced.map(Box::new) }
    }

    fn permitted(&self, write: &Write, current: Option<&Record>) -> bool {
        let sound = write.permitted(current);
        let Some(current) = current else {
            return sound;
        };
        match (self.mutant, write.when) {
            (Some(Mutant::NoOwnerCheck), When::Held { from, .. }) => from.contains(&current.status),
            (Some(Mutant::UnconditionalComplete), When::Held { .. }) => {
                sound || write.record.status == Status::Completed
            }
            (Some(Mutant::SilentTakeover), When::Free { lapsed_before, .. }) => {
                let unsure = matches!(current.status, Status::Dispatched | Status::Unknown);
                sound || (unsure && current.lease_lapsed(lapsed_before))
            }
            _ => sound,
        }
    }

    fn check_replacement(&mut self, write: &Write, current: &Record, next: &Record) {
        let detail = || format!("{current} became {next}");
        if current.status == Status::Completed
            && (next.status != Status::Completed || next.result != current.result)
        {
            self.violate(RESULT_STAYS, detail());
        }
        let late = match write.when {
            When::Held { by, .. } => by != current.holder,
            When::Free { .. } => false,
        };
        if late || next.holder.attempt < current.holder.attempt {
            self.violate(NO_LATE_WRITER, detail());
        }
    }

    /// A stored result is the first one, and is about something that the target did.
    fn check_result(&mut self, next: &Record) {
        let (Status::Completed, Some(StoredResult::Inline(json))) = (next.status, &next.result)
        else {
            return;
        };
        let value: Value = serde_json::from_str(json).expect("the guard writes JSON");
        let about = value["effect"].as_str();
        if !self.effects.iter().any(|effect| Some(effect.as_str()) == about) {
            self.violate(TRUE_RESULT, format!("{json} is none of {:?}", self.effects));
        }
        let first = self.completed.get_or_insert_with(|| json.clone()).clone();
        if first != *json {
            self.violate(RESULT_STAYS, format!("{first} became {json}"));
        }
    }

    /// What a worker returns as the call's result is what is stored.
    pub(crate) fn check_returned(&mut self, value: &Value) {
        let returned = value.to_string();
        if self.completed.as_ref() != Some(&returned) {
            self.violate(RESULT_STAYS, format!("returned {returned}, stored {:?}", self.completed));
        }
    }

    /// A claimant is told whether an earlier attempt may have been executed.
    pub(crate) fn told(&mut self, attempt: u64, maybe_executed_before: bool) {
        if maybe_executed_before {
            self.count("told of earlier attempts");
            return;
        }
        self.told_of_none = self.told_of_none.max(attempt);
        if self.executed.iter().any(|&executed| executed < attempt) {
            self.violate(TOLD_OF_EFFECTS, format!("{attempt} was not told of {:?}", self.executed));
        }
    }

    /// `None` if the target rejects the request at once.
    fn send(&mut self, attempt: u64) -> Option<usize> {
        if self.faults && self.rng.u8(..8) == 0 {
            self.note(|| "the target rejects the request".into());
            return None;
        }
        let longest = u64::try_from(SETTLE.as_millis()).expect("a few seconds");
        let decided_by = self.now + longest;
        self.requests.push(Sent { attempt, decided_by, decided: false, reply: None });
        self.note(|| "the request is on its way".into());
        Some(self.requests.len() - 1)
    }

    /// The target decides one of the requests on their way.
    pub(crate) fn target_acts(&mut self) {
        self.at_work = 0;
        let Some(number) = self.open_request() else {
            return;
        };
        match self.rng.u8(..8) {
            _ if !self.faults => self.execute(number, true),
            0 => self.requests[number].decided = true,
            1 | 2 => self.execute(number, false),
            _ => self.execute(number, true),
        }
    }

    /// A caller is told that the connection broke while its request goes on.
    pub(crate) fn connection_breaks(&mut self) {
        self.at_work = 0;
        if let Some(number) = self.open_request() {
            self.note(|| format!("the connection of request {number} breaks"));
            self.requests[number].reply = Some(Reply::Lost);
        }
    }

    fn open_request(&mut self) -> Option<usize> {
        let open: Vec<_> =
            (0..self.requests.len()).filter(|&number| !self.requests[number].decided).collect();
        self.rng.choice(open)
    }

    fn execute(&mut self, number: usize, replies: bool) {
        let effect = format!("effect-{number}");
        self.note(|| format!("the target executes: {effect}, reply arrives: {replies}"));
        self.requests[number].decided = true;
        if replies {
            self.requests[number].reply = Some(Reply::Executed(json!({"effect": effect})));
        }
        let attempt = self.requests[number].attempt;
        self.executed.push(attempt);
        if attempt < self.told_of_none {
            self.violate(TOLD_OF_EFFECTS, format!("{} was told too early", self.told_of_none));
        }
        self.effects.push(effect);
        if self.effects.len() > 1 && self.target != Target::Repeatable {
            self.violate(ONE_EFFECT, format!("{:?}", self.effects));
        }
    }

    /// Lets time pass. Requests whose time at the target is over are decided on the way.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.at_work = 0;
        let until = self.now + u64::try_from(by.as_millis()).expect("a short time");
        for number in 0..self.requests.len() {
            let decided_by = self.requests[number].decided_by;
            if decided_by <= until && !self.requests[number].decided {
                self.now = self.now.max(decided_by - 1);
                if self.rng.bool() {
                    let replies = self.rng.bool();
                    self.execute(number, replies);
                }
                self.requests[number].decided = true;
            }
        }
        self.now = until;
        self.note(|| format!("{} ms have passed", by.as_millis()));
    }

    pub(crate) fn late_write_lands(&mut self) {
        self.at_work = 0;
        if self.late_writes.is_empty() {
            return;
        }
        let index = self.rng.usize(..self.late_writes.len());
        let write = self.late_writes.swap_remove(index);
        let written = self.apply(&write);
        self.count("late writes");
        self.note(|| format!("late: {} -> {written:?}", write.record));
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn has_late_writes(&self) -> bool {
        !self.late_writes.is_empty()
    }

    pub(crate) fn effects(&self) -> &[String] {
        &self.effects
    }
}

/// Polls a worker once.
pub(crate) fn step<T>(worker: &mut Pin<Box<dyn Future<Output = T>>>) -> Poll<T> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    worker.as_mut().poll(&mut context)
}
