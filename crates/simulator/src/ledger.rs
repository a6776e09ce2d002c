//! What is known of every call, and what must always hold. It sees the API's side and the
//! workflows' side of a call, and trusts neither the worker nor its records.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slowlane_aws_simulator::faults::{Fault as AwsFault, Rates};
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Unhashed, Watch};
use slowlane_message::{Priority, QueuedCall};
use slowlane_policy::dispatch::longest_wait;
use slowlane_policy::settle::FailureName;

use crate::api::limits::{Refused, Request};
use crate::figures::Figures;
pub use crate::invariant::{End, Invariant, Violation};
use crate::metered::Metered;
use crate::promises::{Broken, Promises};
use crate::scenario::{Drawn, Scenario};

/// Faults by which a message tells a wrong time.
const WRONG_CLOCKS: [AwsFault; 2] = [AwsFault::ClockSkew, AwsFault::ClockSteps];

/// A run stops listing violations after so many: the first ones tell enough.
const MOST_VIOLATIONS: usize = 20;

/// One call: a workflow that asks for it, and what the API did.
#[derive(Clone, Copy, Debug)]
struct Call {
    priority: Priority,
    repeatable: bool,
    nature: Nature,
    /// Its tenant and its units.
    drawn: Drawn,
    /// When its message was put on a queue, where the message itself may say it wrongly.
    sent_at: Option<Moment>,
    effects: u8,
    started: bool,
    ended: bool,
    reopened: bool,
    /// When a workflow was told, by a name that says so, that the call was not executed.
    denied: Option<Moment>,
    /// The API has said that it does not have what it has: nobody who asks it can tell the truth.
    misled: bool,
    /// Nothing will be asked of it any more.
    forgotten: bool,
    /// How many calls of its priority had started when it was asked for.
    started_before: u32,
}

/// How the API takes a call, whenever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It carries it out.
    Good,
    /// It rejects it.
    Bad,
    /// It carries it out, and answers with so many bytes.
    Wordy(usize),
}

/// The bound on the wait that the doorbell wiring states, for a run without faults.
#[derive(Clone, Copy, Debug)]
pub struct WaitBound {
    /// Slots that are sure to be there.
    pub slots: NonZeroU32,
    /// The k of "every k-th turn".
    pub share_every: NonZeroU32,
    /// What a slot spends on a call beside the API's own time, at most.
    pub overhead: Duration,
    /// What waking a slot may take.
    pub slack: Duration,
}

/// The books of a run; clones are the same books.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Books>>);

/// All that is written down.
#[derive(Debug)]
pub struct Books {
    calls: VecDeque<Call>,
    /// How many calls are no longer in `calls`: the oldest ones.
    dropped: u64,
    /// Whether anything may go wrong at all: if not, every call must succeed.
    faultless: bool,
    /// Whether clocks may be wrong: then no message is believed about its own time.
    wrong_clocks: bool,
    /// Whether the API is a vendor's, whose records and ids the books do not know.
    is_vendors: bool,
    limit: u32,
    /// Limits that were lowered, and until when invocations may run that were admitted before.
    lowered: Vec<(Moment, u32)>,
    bound: Option<WaitBound>,
    promises: Promises,
    metered: Metered,
    /// Whether tenants have budgets, beyond which calls fail.
    has_budgets: bool,
    /// By priority: the longest wait that has a bound, and that bound.
    longest_waits: [Option<(Duration, Duration)>; 3],
    started_by_priority: [u32; 3],
    longest_call: Duration,
    overruns_expected: bool,
    at_api: u32,
    most_at_api: u32,
    waiting: u64,
    figures: Figures,
    ends: BTreeMap<Arc<str>, u64>,
    violations: Vec<Violation>,
    duplicates: u64,
}

impl Ledger {
    /// Empty books for a run of this scenario with these faults.
    pub fn new(scenario: &Scenario, rates: &Rates) -> Ledger {
        let noisy = scenario.noisy_tenant();
        Ledger(Arc::new(Mutex::new(Books {
            calls: VecDeque::new(),
            dropped: 0,
            faultless: rates.is_faultless()
                && scenario.api.outages.is_empty()
                && scenario.api.faults.is_empty(),
            wrong_clocks: WRONG_CLOCKS.iter().any(|fault| rates.of(*fault) > 0.0),
            is_vendors: scenario.api.profile.is_some(),
            limit: scenario.limit,
            lowered: Vec::new(),
            bound: None,
            promises: Promises::default(),
            metered: Metered::default(),
            has_budgets: scenario.metering.is_some_and(|metering| metering.units_a_day.is_some()),
            longest_waits: [None; 3],
            started_by_priority: [0; 3],
            longest_call: Duration::ZERO,
            overruns_expected: false,
            at_api: 0,
            most_at_api: 0,
            waiting: 0,
            figures: Figures::new(noisy),
            ends: BTreeMap::new(),
            violations: Vec::new(),
            duplicates: 0,
        })))
    }

    /// The books, for as long as nothing is awaited.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// A workflow is about to ask for a call; returns the call's number.
    pub fn open(
        &mut self,
        priority: Priority,
        repeatable: bool,
        nature: Nature,
        drawn: Drawn,
    ) -> u64 {
        self.waiting += 1;
        self.calls.push_back(Call {
            priority,
            repeatable,
            nature,
            drawn,
            sent_at: None,
            effects: 0,
            started: false,
            ended: false,
            reopened: false,
            denied: None,
            misled: false,
            forgotten: false,
            started_before: self.started_by_priority[priority as usize],
        });
        self.opened() - 1
    }

    /// Somebody starts the workflow of a call anew.
    pub fn reopen(&mut self, call: u64) {
        self.waiting += 1;
        let entry = self.call(call);
        entry.ended = false;
        entry.reopened = true;
    }

    /// Whether this is not the first workflow of a call.
    pub fn was_reopened(&mut self, call: u64) -> bool {
        self.call(call).reopened
    }

    /// Whether the workflow of a call has ended.
    pub fn has_ended(&mut self, call: u64) -> bool {
        self.call(call).ended
    }

    /// What kind of call this is: its priority, and whether it may be repeated.
    pub fn kind(&mut self, call: u64) -> (Priority, bool) {
        let entry = self.call(call);
        (entry.priority, entry.repeatable)
    }

    /// Its tenant, its units and their estimate.
    pub fn drawn(&mut self, call: u64) -> Drawn {
        self.call(call).drawn
    }

    /// The request of a call, as the API's limits see it.
    pub fn request_of(&mut self, call: u64) -> Request {
        let Drawn { tenant, units, .. } = self.drawn(call);
        Request { tenant, units }
    }

    /// Nothing will be asked of a call any more: the books need room for what is in flight only.
    pub fn forget(&mut self, call: u64) {
        self.call(call).forgotten = true;
        while self.calls.pop_front_if(|call| call.forgotten).is_some() {
            self.dropped += 1;
        }
    }

    /// # Panics
    /// If the call was forgotten: then it was not over.
    fn call(&mut self, call: u64) -> &mut Call {
        &mut self.calls[(call - self.dropped) as usize]
    }

    /// From now on the limit is the API's alone to keep: the strategy does not claim to.
    pub fn expect_overruns(&mut self) {
        self.overruns_expected = true;
    }

    /// The limit changes. Invocations that run when it is lowered end by `until` at the latest.
    pub fn set_limit(&mut self, limit: u32, until: Moment) {
        if limit < self.limit {
            self.lowered.push((until, self.limit));
        }
        self.limit = limit;
    }

    fn limit_at(&self, now: Moment) -> u32 {
        let before = self.lowered.iter().filter(|(until, _)| now <= *until);
        before.map(|(_, limit)| *limit).fold(self.limit, u32::max)
    }

    /// From now on no call may wait longer than `bound`.
    pub fn expect_waits_within(&mut self, bound: WaitBound) {
        self.bound = Some(bound);
    }

    /// From now on these promises hold.
    pub fn expect(&mut self, promises: Promises) {
        self.promises = promises;
    }

    fn check(&mut self, now: Moment, broken: Option<Broken>) {
        if let Some((invariant, what)) = broken {
            self.violated(now, invariant, what);
        }
    }

    /// The API refuses a call because of its limit.
    pub fn throttled(&mut self, refused: Refused, now: Moment) {
        self.figures.throttled(refused);
        self.check(now, self.promises.on_refusal(refused));
    }

    /// A live invocation asks the API.
    pub fn asks(&mut self, now: Moment) {
        self.at_api += 1;
        self.most_at_api = self.most_at_api.max(self.at_api);
        let limit = self.limit_at(now);
        if self.at_api > limit && !self.overruns_expected {
            let what = format!("{} calls at an API of limit {limit}", self.at_api);
            self.violated(now, Invariant::Limit, what);
        }
        self.check(now, self.promises.on_request(now, self.longest_call));
        self.check(now, self.promises.on_calls(now, self.at_api, self.longest_call));
    }

    /// It has its answer, gave up, or died.
    pub fn asked(&mut self) {
        self.at_api -= 1;
    }

    /// An invocation asks the API while it waits for an earlier answer.
    pub fn asks_twice(&mut self, now: Moment, call: u64) {
        let what = format!("an invocation asks for call {call} beside another");
        self.violated(now, Invariant::Limit, what);
    }

    /// A message was put on a queue. A call says when that was by the enqueuer's clock.
    fn sent(&mut self, body: &str, now: Moment) {
        if self.wrong_clocks
            && let Some(call) = call_in(body).filter(|call| *call >= self.dropped)
        {
            self.call(call).sent_at = Some(now);
        }
    }

    /// The API starts to work on a call which was queued at `enqueued_at`.
    pub fn starts(&mut self, call: u64, enqueued_at: Option<Moment>, now: Moment) {
        self.figures.starts(now);
        let entry = self.call(call);
        if entry.started {
            return;
        }
        entry.started = true;
        let Call { priority, started_before, drawn, sent_at, .. } = *entry;
        let ahead = self.started_by_priority[priority as usize] - started_before;
        self.started_by_priority[priority as usize] += 1;
        if let Some(enqueued_at) = sent_at.or(enqueued_at) {
            let wait = now.since(enqueued_at);
            self.figures.waited(priority, drawn.tenant, wait);
            self.check_wait(call, priority, ahead, wait, now);
            self.check(now, self.promises.on_start(call, drawn.tenant, wait));
        }
    }

    fn check_wait(
        &mut self,
        call: u64,
        priority: Priority,
        ahead: u32,
        wait: Duration,
        now: Moment,
    ) {
        let Some(bound) = self.bound else { return };
        let service = self.longest_call + bound.overhead;
        let longest = longest_wait(priority, ahead, bound.slots, service, bound.share_every)
            + service
            + bound.slack;
        let known = &mut self.longest_waits[priority as usize];
        if known.is_none_or(|(known, _)| wait > known) {
            *known = Some((wait, longest));
        }
        if wait > longest {
            let what =
                format!("{priority} call {call}, {ahead} ahead, waited {wait:?} > {longest:?}");
            self.violated(now, Invariant::BoundedWait, what);
        }
    }

    /// The API has worked on something for so long, until now.
    pub fn worked(&mut self, worked: Duration, now: Moment) {
        self.longest_call = self.longest_call.max(worked);
        self.figures.worked(worked, now);
    }

    /// What was told of usage so far.
    pub fn metered(&mut self) -> &mut Metered {
        &mut self.metered
    }

    /// The figures so far.
    pub fn figures(&mut self) -> &mut Figures {
        &mut self.figures
    }

    /// How the API takes a call.
    pub fn nature(&mut self, call: u64) -> Nature {
        self.call(call).nature
    }

    /// Whether the API has a record of a call that makes a new one each time.
    pub fn has_record(&mut self, call: u64) -> bool {
        let entry = self.call(call);
        entry.effects > 0 && !entry.repeatable
    }

    /// The API says that it does not have a record that it has.
    pub fn misleads(&mut self, call: u64) {
        self.call(call).misled = true;
    }

    /// The API carries out a call that it was asked for at `asked_at`. Returns the record's id.
    pub fn takes_effect(&mut self, call: u64, asked_at: Moment, now: Moment) -> String {
        let entry = self.call(call);
        entry.effects = entry.effects.saturating_add(1);
        let (effects, repeatable) = (entry.effects, entry.repeatable);
        if let Some(at) = entry.denied.filter(|at| asked_at <= *at && !entry.misled) {
            let what =
                format!("call {call} is executed, its workflow was told otherwise at {at:?}");
            self.violated(now, Invariant::TruthfulName, what);
        }
        if effects > 1 && !repeatable {
            self.duplicates += 1;
            let what = format!("call {call} has had {effects} effects");
            self.violated(now, Invariant::OneEffect, what);
        }
        record_id(call, effects, repeatable)
    }

    /// A vendor's API has seen so many effects beyond the first of each call.
    pub fn saw_duplicates(&mut self, duplicates: u64, now: Moment) {
        self.duplicates += duplicates;
        if duplicates > 0 {
            let what = format!("calls have had {duplicates} effects beyond their first");
            self.violated(now, Invariant::OneEffect, what);
        }
    }

    /// The record that a call has made at the API, if it has.
    pub fn record_of(&mut self, call: u64) -> Option<String> {
        let entry = self.call(call);
        (entry.effects > 0).then(|| record_id(call, entry.effects, entry.repeatable))
    }

    /// The workflow of a call ended.
    pub fn closes(&mut self, call: u64, end: &End, now: Moment) {
        self.waiting -= 1;
        let entry = self.call(call);
        entry.ended = true;
        let Call { effects, repeatable, nature, misled, .. } = *entry;
        let name: Arc<str> = match end {
            End::Succeeded(_) => "Succeeded".into(),
            End::Failed(name) => name.clone(),
            End::TimedOut => "TimedOut".into(),
            End::Stopped => "Stopped".into(),
        };
        *self.ends.entry(name.clone()).or_default() += 1;
        match end {
            End::Succeeded(output) => {
                let expected = record_id(call, 1, repeatable);
                let is_its = effects > 0 && id_in(output).as_deref() == Some(&*expected);
                if !is_its && !self.is_vendors {
                    let what = format!("call {call}, record {expected}, was told {output}");
                    self.violated(now, Invariant::TrueResult, what);
                }
            }
            End::Failed(name) => {
                if says_not_executed(name) {
                    self.call(call).denied = Some(now);
                    if effects > 0 && !misled {
                        let what =
                            format!("call {call} was executed, its workflow failed as {name}");
                        self.violated(now, Invariant::TruthfulName, what);
                    }
                }
                if nature == Nature::Good {
                    self.check(now, self.promises.on_end(now, call, end));
                }
                let is_beyond = self.has_budgets && is_budgets(name);
                let is_expected = self.overruns_expected || is_beyond;
                if self.faultless && nature == Nature::Good && !is_expected {
                    let what = format!("call {call} failed as {name}, and nothing went wrong");
                    self.violated(now, Invariant::Success, what);
                }
            }
            End::TimedOut => {
                let what = format!("the workflow of call {call} was told nothing");
                self.violated(now, Invariant::EveryExecutionEnds, what);
            }
            End::Stopped => {}
        }
    }

    /// The workflow of a call timed out while nobody could tell it anything.
    pub fn could_not_be_told(&mut self, call: u64) {
        self.waiting -= 1;
        self.call(call).ended = true;
        *self.ends.entry("TimedOut".into()).or_default() += 1;
    }

    /// Something was broken.
    pub fn violated(&mut self, at: Moment, invariant: Invariant, what: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(Violation { at, invariant, what });
        }
    }

    /// What was broken, the first first.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether nothing can go wrong.
    pub fn is_faultless(&self) -> bool {
        self.faultless
    }

    /// How many workflows wait.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// How many calls there were so far.
    pub fn opened(&self) -> u64 {
        self.dropped + self.calls.len() as u64
    }

    /// How many executions ended in each way.
    pub fn ends(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.ends
    }

    /// The stated bound on the wait of the call of this priority that waited longest, if bounds are
    /// kept.
    pub fn bound_of_longest(&self, priority: Priority) -> Option<Duration> {
        self.longest_waits[priority as usize].map(|(_, bound)| bound)
    }

    /// The most calls of live invocations at the API at once.
    pub fn most_at_api(&self) -> u32 {
        self.most_at_api
    }

    /// How many workflows failed or timed out.
    pub fn failed(&self) -> u64 {
        let (ended, mut fine) = (self.ends.values().sum::<u64>(), 0);
        for name in ["Succeeded", "Stopped"] {
            fine += self.ends.get(name).copied().unwrap_or(0);
        }
        ended - fine
    }

    /// Effects beyond the first of calls that must not be repeated.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Whether a message is a call that the API would have accepted.
    pub fn is_healthy(&self, body: &str) -> bool {
        let position = call_in(body).and_then(|call| call.checked_sub(self.dropped));
        let call = position.and_then(|position| self.calls.get(position as usize));
        call.is_some_and(|call| call.nature != Nature::Bad)
    }

    fn buried(&mut self, body: &str, now: Moment) {
        let Some(call) = call_in(body) else { return };
        if !self.call(call).ended {
            let what = format!("SQS moved call {call} to the dead-letter queue");
            self.violated(now, Invariant::NoHealthyCallInDeadLetters, what);
        }
    }
}

impl Watch for Ledger {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        match event {
            Event::Buried { body, .. } => self.books().buried(body, now),
            Event::Received { .. } => self.books().figures.saw(event),
            Event::Sent { body: Unhashed(body), .. } => self.books().sent(body, now),
            _ => {}
        }
    }
}

/// The idempotency key of a call.
pub fn key_of(call: u64) -> String {
    format!("c-{call}")
}

/// The name of a tenant.
pub fn tenant_name(tenant: u32) -> String {
    format!("t-{tenant}")
}

/// The call that an idempotency key stands for.
pub fn call_of(key: &str) -> Option<u64> {
    key.strip_prefix("c-")?.parse().ok()
}

/// The call in the body of a message, if it is one of this run.
pub fn call_in(body: &str) -> Option<u64> {
    call_of(QueuedCall::parse(body).ok()?.idempotency_key.as_str())
}

/// A repeatable call makes one record however often it is made; another makes a new one each time.
fn record_id(call: u64, effects: u8, repeatable: bool) -> String {
    let effect = if repeatable { 1 } else { effects };
    format!("{call}.{effect}")
}

fn id_in(output: &str) -> Option<String> {
    let output: serde_json::Value = serde_json::from_str(output).ok()?;
    output["id"].as_str().map(str::to_owned)
}

fn is_budgets(name: &str) -> bool {
    name == FailureName::BudgetExceeded.as_str()
}

/// Whether a workflow concludes from this error that its call was not executed.
fn says_not_executed(name: &str) -> bool {
    let known = FailureName::ALL.into_iter().find(|known| known.as_str() == name);
    known.is_some_and(FailureName::says_not_executed)
}
