//! What a run showed, worked out from what the sandbox saw and how the executions ended.
//!
//! Pure: everything is an argument. Nothing here trusts the worker's own account, except for
//! the counts under [`Report::worker`], which nobody else can know.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;
use slowlane_message::Priority;

use crate::outage::{Outlasted, Span};
use crate::rate::{Rate, RateUsed};
use crate::run::{Ending, Execution};
use crate::sandbox::{ApiCall, SandboxReport};
use crate::stack::{Dispatch, OnHigher};
use crate::worker_log::WorkerCounts;

/// The account of one run; its JSON form is the demo's `--report` file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How slots found their calls.
    pub dispatch: Dispatch,
    /// The API's limit: calls in flight at once.
    pub limit: u32,
    /// How long the API took for a call, in milliseconds.
    pub latency_ms: u64,
    /// How the workflows ended.
    pub executions: ExecutionCounts,
    /// Those that failed, by the name of their error.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, Failures>,
    /// Calls that the API took up, repeats included. Those it refused are `http_429`.
    pub calls: usize,
    /// From the first call's arrival to the last call's end, in seconds.
    pub makespan_s: f64,
    /// Busy slot-seconds at the API / (limit x makespan).
    pub utilisation: f64,
    /// The greatest number of calls in flight at once.
    pub max_concurrency: u32,
    /// Calls answered 429.
    pub http_429: u64,
    /// Effects beyond the first of a call.
    pub duplicate_effects: u64,
    /// Workflows that did not end, and workflows that ended well or by a time-out without a
    /// record at the API. One that failed by name is an answer, and is not lost.
    pub lost: usize,
    /// From the StartExecution call to the arrival of the order's first call at the API.
    pub wait_ms: ByPriority,
    /// From the enqueuer's send to the arrival of the order's first call at the API.
    pub queue_wait_ms: ByPriority,
    /// What the worker counted until the report was made.
    pub worker: WorkerCounts,
    /// What a slot did with a lower call while a higher one waited (`deferral` only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_higher: Option<OnHigher>,
    /// Messages in the dead-letter queue at the end.
    pub dead_letters: u64,
    /// What was used of the API's rate, where it has one that the worker was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateUsed>,
    /// What became of an outage, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outlasted>,
}

/// How the workflows ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExecutionCounts {
    /// All that were started.
    pub started: usize,
    /// Ended with a record's id.
    pub succeeded: usize,
    /// Ended with a named error, time-outs apart.
    pub failed: usize,
    /// Ended with `States.Timeout`.
    pub timed_out: usize,
}

/// The workflows that failed by one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// How many.
    pub n: usize,
    /// The order of the first of them.
    pub first_order: String,
    /// That one's cause.
    pub first_cause: String,
}

/// One distribution for each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ByPriority {
    /// HIGH.
    pub high: Distribution,
    /// NORMAL.
    pub normal: Distribution,
    /// BATCH.
    pub batch: Distribution,
}

/// Waits in milliseconds; the percentiles are values that occurred (nearest rank), and absent
/// when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// How many.
    pub n: usize,
    /// The median.
    pub p50: Option<f64>,
    /// 95 of 100 are no longer than this.
    pub p95: Option<f64>,
    /// 99 of 100 are no longer than this.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// What a report is worked out from.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// How slots found their calls.
    pub dispatch: Dispatch,
    /// What a slot did with a lower call while a higher one waited.
    pub on_higher: OnHigher,
    /// The API's limit.
    pub limit: u32,
    /// The API's latency in milliseconds.
    pub latency_ms: u64,
    /// Every execution started, and how it ended.
    pub executions: &'a [Execution],
    /// What the API saw.
    pub sandbox: &'a SandboxReport,
    /// What the worker counted.
    pub worker: WorkerCounts,
    /// Messages in the dead-letter queue.
    pub dead_letters: u64,
    /// The API's rate, if the worker was told one.
    pub rate: Option<&'a Rate>,
    /// When the API answered nobody.
    pub outage: Option<Span>,
}

impl Report {
    /// Works the report out.
    #[must_use]
    pub fn new(observed: &Observed<'_>) -> Self {
        let Observed { executions, sandbox, limit, .. } = *observed;
        let first_calls = first_calls(&sandbox.calls);
        let (makespan_s, utilisation) = use_of_slots(&sandbox.calls, limit);
        let first_call_of =
            |execution: &Execution| first_calls.get(execution.order_id.as_str()).copied();
        Self {
            dispatch: observed.dispatch,
            limit,
            latency_ms: observed.latency_ms,
            executions: count(executions),
            failures: failures(executions),
            calls: sandbox.calls.len(),
            makespan_s,
            utilisation,
            max_concurrency: sandbox.max_concurrency,
            http_429: sandbox.http_429,
            duplicate_effects: sandbox.duplicate_effects,
            lost: lost(executions, &sandbox.calls),
            wait_ms: by_priority(executions, |execution| {
                Some(first_call_of(execution)?.start_ms - execution.started_at_ms)
            }),
            queue_wait_ms: by_priority(executions, |execution| {
                let call = first_call_of(execution)?;
                Some(call.start_ms - call.enqueued_at_ms?)
            }),
            worker: observed.worker,
            on_higher: (observed.dispatch == Dispatch::Deferral).then_some(observed.on_higher),
            dead_letters: observed.dead_letters,
            rate: observed.rate.map(|rate| rate.used_by(&sandbox.calls)),
            outage: observed.outage.map(|span| span.outlasted(&sandbox.calls)),
        }
    }

    /// What must never happen and did, in words; empty for a good run.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.lost > 0 {
            broken
                .push(format!("{} of {} workflows were lost", self.lost, self.executions.started));
        }
        broken.extend(broken_at_api(self.duplicate_effects, self.max_concurrency, self.limit));
        broken.extend(self.broken_limits());
        broken
    }

    fn broken_limits(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(RateUsed { rate, .. }) = &self.rate
            && self.http_429 > 0
        {
            broken.push(format!("{} calls came too early for {rate}", self.http_429));
        }
        if self.outage.is_some() && self.executions.failed + self.executions.timed_out > 0 {
            let ExecutionCounts { failed, timed_out, .. } = self.executions;
            broken.push(format!("in the outage {failed} workflows failed, {timed_out} timed out"));
        }
        broken
    }

    /// The report as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let ExecutionCounts { started, succeeded, failed, timed_out } = self.executions;
        let mut out = format!(
            "\n{} workflows: {succeeded} succeeded, {failed} failed, {timed_out} timed out, {} lost\n\n",
            started, self.lost
        );
        for (error, Failures { n, first_order, first_cause }) in &self.failures {
            let _ = writeln!(out, "{n} failed with {error}, first {first_order}: {first_cause}");
        }
        if !self.failures.is_empty() {
            out.push('\n');
        }
        let header = ["", "n", "p50", "p95", "p99", "max"];
        row(&mut out, "waited (ms)", &header.map(str::to_owned));
        for (what, waits) in [("from start", &self.wait_ms), ("in queue", &self.queue_wait_ms)] {
            // Not every API is told when a call was sent.
            if waits.each().iter().all(|(_, waits)| waits.n == 0) {
                continue;
            }
            for (priority, waits) in waits.each() {
                let numbers = [waits.p50, waits.p95, waits.p99, waits.max]
                    .map(|value| value.map_or("-".to_owned(), |value| format!("{value:.0}")));
                let [p50, p95, p99, max] = numbers;
                row(
                    &mut out,
                    what,
                    &[priority.to_string(), waits.n.to_string(), p50, p95, p99, max],
                );
            }
        }
        out.push('\n');
        let dispatch = match self.on_higher {
            None => self.dispatch.to_string(),
            Some(on_higher) => format!("{} ({on_higher})", self.dispatch),
        };
        let worker = &self.worker;
        for (name, value) in [
            ("dispatch", dispatch),
            (
                "calls at the API",
                format!("{} in {:.1} s, {} ms each", self.calls, self.makespan_s, self.latency_ms),
            ),
            ("slots used", format!("{:.1} % of {}", self.utilisation * 100.0, self.limit)),
            ("most at once", format!("{} (limit {})", self.max_concurrency, self.limit)),
            ("answered 429", self.http_429.to_string()),
            ("written twice", self.duplicate_effects.to_string()),
            ("dead letters", self.dead_letters.to_string()),
            (
                "worker",
                format!(
                    "{} invocations, {} deferrals, {} swaps, {} empty rings",
                    worker.invocations, worker.deferrals, worker.swaps, worker.empty_rings
                ),
            ),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name:<17} {value}");
        }
        if let Some(RateUsed { rate, most, used }) = &self.rate {
            let used = used * 100.0;
            let _ = writeln!(
                out,
                "{:<17} {used:.1} % of {rate}, {most} at most in that time",
                "rate used"
            );
        }
        if let Some(outage) = &self.outage {
            let _ = writeln!(out, "{:<17} {}", "outage", outage.told());
        }
        out
    }
}

impl ByPriority {
    fn each(&self) -> [(Priority, &Distribution); 3] {
        [
            (Priority::High, &self.high),
            (Priority::Normal, &self.normal),
            (Priority::Batch, &self.batch),
        ]
    }
}

fn row(out: &mut String, what: &str, cells: &[String; 6]) {
    let [priority, numbers @ ..] = cells;
    let _ = write!(out, "{what:<12} {priority:<7}");
    for number in numbers {
        let _ = write!(out, " {number:>7}");
    }
    out.push('\n');
}

fn count(executions: &[Execution]) -> ExecutionCounts {
    let mut counts = ExecutionCounts { started: executions.len(), ..ExecutionCounts::default() };
    for execution in executions {
        match &execution.ending {
            Ending::Succeeded => counts.succeeded += 1,
            Ending::TimedOut => counts.timed_out += 1,
            Ending::Failed { .. } => counts.failed += 1,
            Ending::NotEnded => {}
        }
    }
    counts
}

fn failures(executions: &[Execution]) -> BTreeMap<String, Failures> {
    let mut by_error = BTreeMap::new();
    for execution in executions {
        if let Ending::Failed { error, cause } = &execution.ending {
            let failures = by_error.entry(error.clone()).or_insert_with(|| Failures {
                n: 0,
                first_order: execution.order_id.clone(),
                first_cause: cause.clone(),
            });
            failures.n += 1;
        }
    }
    by_error
}

fn lost(executions: &[Execution], calls: &[ApiCall]) -> usize {
    let with_record: HashSet<&str> = calls
        .iter()
        .filter(|call| call.has_effect())
        .filter_map(|call| call.external_id.as_deref())
        .collect();
    let is_lost = |execution: &&Execution| match execution.ending {
        Ending::NotEnded => true,
        Ending::Succeeded | Ending::TimedOut => !with_record.contains(execution.order_id.as_str()),
        Ending::Failed { .. } => false,
    };
    executions.iter().filter(is_lost).count()
}

/// The first call of each external id.
fn first_calls(calls: &[ApiCall]) -> HashMap<&str, &ApiCall> {
    let mut first: HashMap<&str, &ApiCall> = HashMap::new();
    for call in calls {
        let Some(id) = call.external_id.as_deref() else { continue };
        first
            .entry(id)
            .and_modify(|known| {
                if call.start_ms < known.start_ms {
                    *known = call;
                }
            })
            .or_insert(call);
    }
    first
}

/// Makespan in seconds and utilisation. A call refused with 429 held no slot of the API.
fn use_of_slots(calls: &[ApiCall], limit: u32) -> (f64, f64) {
    let admitted = || calls.iter().filter(|call| call.status != 429);
    let first_start = admitted().map(|call| call.start_ms).fold(f64::INFINITY, f64::min);
    let last_end = admitted().map(|call| call.end_ms).fold(f64::NEG_INFINITY, f64::max);
    let makespan_ms = last_end - first_start;
    if makespan_ms.is_nan() || makespan_ms <= 0.0 {
        return (0.0, 0.0);
    }
    let busy_ms: f64 = admitted().map(|call| call.end_ms - call.start_ms).sum();
    let utilisation = busy_ms / (f64::from(limit) * makespan_ms);
    (rounded(makespan_ms / 1000.0, 3), rounded(utilisation, 4))
}

fn by_priority(
    executions: &[Execution],
    wait_ms: impl Fn(&Execution) -> Option<f64>,
) -> ByPriority {
    let of = |priority: Priority| {
        let waits = executions.iter().filter(|execution| execution.priority == priority);
        Distribution::of(waits.filter_map(&wait_ms).collect())
    };
    ByPriority {
        high: of(Priority::High),
        normal: of(Priority::Normal),
        batch: of(Priority::Batch),
    }
}

impl Distribution {
    /// That of these waits.
    #[must_use]
    pub fn of(mut waits: Vec<f64>) -> Self {
        waits.sort_by(f64::total_cmp);
        let nearest_rank = |percent: usize| {
            let rank = (waits.len() * percent).div_ceil(100);
            rank.checked_sub(1).and_then(|index| waits.get(index)).map(|wait| rounded(*wait, 1))
        };
        Self {
            n: waits.len(),
            p50: nearest_rank(50),
            p95: nearest_rank(95),
            p99: nearest_rank(99),
            max: nearest_rank(100),
        }
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// What the API saw and must never see, in words.
#[must_use]
pub fn broken_at_api(written_twice: u64, max_concurrency: u32, limit: u32) -> Vec<String> {
    let mut broken = Vec::new();
    if written_twice > 0 {
        broken.push(format!("{written_twice} effects were written twice"));
    }
    if max_concurrency > limit {
        broken
            .push(format!("{max_concurrency} calls were in flight at once, the limit is {limit}"));
    }
    broken
}

#[cfg(test)]
mod tests;
