//! What a run showed, worked out from what the sandbox saw and how the executions ended.
//!
//! Pure: everything is an argument. Nothing here trusts the worker's own account, except for
//! the counts under [`Report::worker`], which nobody else can know.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;
use slowlane_message::Priority;

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
        distribution(waits.filter_map(&wait_ms).collect())
    };
    ByPriority {
        high: of(Priority::High),
        normal: of(Priority::Normal),
        batch: of(Priority::Batch),
    }
}

fn distribution(mut waits: Vec<f64>) -> Distribution {
    waits.sort_by(f64::total_cmp);
    let nearest_rank = |percent: usize| {
        let rank = (waits.len() * percent).div_ceil(100);
        rank.checked_sub(1).and_then(|index| waits.get(index)).map(|wait| rounded(*wait, 1))
    };
    Distribution {
        n: waits.len(),
        p50: nearest_rank(50),
        p95: nearest_rank(95),
        p99: nearest_rank(99),
        max: nearest_rank(100),
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
mod tests {
    use super::*;

    fn execution(
        order_id: &str,
        priority: Priority,
        started_at_ms: f64,
        ending: Ending,
    ) -> Execution {
        Execution { order_id: order_id.to_owned(), priority, started_at_ms, ending }
    }

    fn call(external_id: &str, status: u16, start_ms: f64, end_ms: f64) -> ApiCall {
        ApiCall {
            method: "PUT".to_owned(),
            external_id: Some(external_id.to_owned()),
            status,
            start_ms,
            end_ms,
            enqueued_at_ms: Some(start_ms - 30.0),
            priority: None,
            fault: None,
        }
    }

    fn report(executions: &[Execution], calls: Vec<ApiCall>) -> Report {
        let sandbox = SandboxReport { max_concurrency: 2, calls, ..SandboxReport::default() };
        Report::new(&Observed {
            dispatch: Dispatch::Doorbell,
            on_higher: OnHigher::Swap,
            limit: 2,
            latency_ms: 200,
            executions,
            sandbox: &sandbox,
            worker: WorkerCounts::default(),
            dead_letters: 0,
        })
    }

    #[test]
    fn waits_run_from_the_start_and_from_the_send_to_the_first_arrival() {
        let executions = [
            execution("o-1", Priority::High, 1_000.0, Ending::Succeeded),
            execution("o-2", Priority::Batch, 1_000.0, Ending::Succeeded),
        ];
        // o-1 was refused first and repeated: its wait ended at its first arrival.
        let calls = vec![
            call("o-1", 204, 1_900.0, 2_100.0),
            call("o-1", 429, 1_050.0, 1_051.0),
            call("o-2", 204, 1_400.0, 1_600.0),
        ];
        let report = report(&executions, calls);
        assert_eq!(report.wait_ms.high.max, Some(50.0));
        assert_eq!(report.queue_wait_ms.high.max, Some(30.0));
        assert_eq!(report.wait_ms.batch.max, Some(400.0));
        assert_eq!(report.wait_ms.normal, Distribution::default());
    }

    #[test]
    fn utilisation_is_busy_slot_time_over_what_the_limit_allows() {
        // 3 x 200 ms of work in 500 ms on 2 slots; the refused call held none.
        let calls = vec![
            call("o-1", 204, 1_000.0, 1_200.0),
            call("o-2", 204, 1_000.0, 1_200.0),
            call("o-4", 429, 900.0, 901.0),
            call("o-3", 500, 1_300.0, 1_500.0),
        ];
        let report = report(&[], calls);
        assert_eq!((report.makespan_s, report.utilisation), (0.5, 0.6));
        assert_eq!(report.calls, 4);
    }

    #[test]
    fn without_calls_there_is_nothing_to_divide() {
        let report = report(&[], Vec::new());
        assert_eq!((report.makespan_s, report.utilisation), (0.0, 0.0));
        assert!(report.broken_promises().is_empty());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let waits: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let twenty = distribution(waits);
        assert_eq!(
            twenty,
            Distribution {
                n: 20,
                p50: Some(10.0),
                p95: Some(19.0),
                p99: Some(20.0),
                max: Some(20.0)
            }
        );
        let one = distribution(vec![7.25]);
        assert_eq!((one.p50, one.p95, one.max), (Some(7.3), Some(7.3), Some(7.3)));
    }

    #[test]
    fn lost_is_what_has_neither_an_answer_nor_a_record() {
        let failed =
            Ending::Failed { error: "Slowlane.Rejected".to_owned(), cause: "{}".to_owned() };
        let executions = [
            execution("with-record", Priority::Batch, 0.0, Ending::Succeeded),
            execution("without-record", Priority::Batch, 0.0, Ending::Succeeded),
            execution("only-refused", Priority::Batch, 0.0, Ending::Succeeded),
            execution("committed-and-dropped", Priority::Batch, 0.0, Ending::Succeeded),
            execution("rejected", Priority::Batch, 0.0, failed),
            execution("never-ended", Priority::Batch, 0.0, Ending::NotEnded),
            execution("late-but-there", Priority::Batch, 0.0, Ending::TimedOut),
            execution("late-and-gone", Priority::Batch, 0.0, Ending::TimedOut),
        ];
        let mut dropped = call("committed-and-dropped", 0, 1.0, 2.0);
        dropped.fault = Some("drop-after-commit".to_owned());
        let calls = vec![
            call("with-record", 204, 1.0, 2.0),
            call("only-refused", 429, 1.0, 2.0),
            dropped,
            call("never-ended", 204, 1.0, 2.0),
            call("late-but-there", 204, 1.0, 2.0),
        ];
        let report = report(&executions, calls);
        assert_eq!(
            report.executions,
            ExecutionCounts { started: 8, succeeded: 4, failed: 1, timed_out: 2 }
        );
        assert_eq!(report.lost, 4);
    }

    #[test]
    fn failures_are_told_by_name_with_the_first_cause() {
        let failed = |error: &str, cause: &str| Ending::Failed {
            error: error.to_owned(),
            cause: cause.to_owned(),
        };
        let executions = [
            execution("o-1", Priority::High, 0.0, failed("Slowlane.Rejected", "no such item")),
            execution("o-2", Priority::High, 0.0, failed("Slowlane.DeadlineExceeded", "late")),
            execution("o-3", Priority::High, 0.0, failed("Slowlane.Rejected", "no customer")),
        ];
        let table = report(&executions, Vec::new()).table();
        let told: Vec<&str> = table.lines().filter(|line| line.contains(" failed with ")).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        1 failed with Slowlane.DeadlineExceeded, first o-2: late
        2 failed with Slowlane.Rejected, first o-1: no such item
        ");
    }

    #[test]
    fn broken_promises_are_told_one_by_one() {
        let mut report = report(&[], Vec::new());
        report.executions.started = 3;
        report.lost = 1;
        report.duplicate_effects = 2;
        report.max_concurrency = 3;
        assert_eq!(
            report.broken_promises(),
            [
                "1 of 3 workflows were lost",
                "2 effects were written twice",
                "3 calls were in flight at once, the limit is 2",
            ]
        );
    }

    #[test]
    fn the_json_has_the_documented_form() {
        let executions = [execution("o-1", Priority::High, 1_000.0, Ending::Succeeded)];
        let report = report(&executions, vec![call("o-1", 204, 1_100.0, 1_300.0)]);
        let none = serde_json::json!({"n": 0, "p50": null, "p95": null, "p99": null, "max": null});
        let one = |ms: f64| serde_json::json!({"n": 1, "p50": ms, "p95": ms, "p99": ms, "max": ms});
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "dispatch": "doorbell", "limit": 2, "latency_ms": 200,
                "executions": {"started": 1, "succeeded": 1, "failed": 0, "timed_out": 0},
                "calls": 1, "makespan_s": 0.2, "utilisation": 0.5, "max_concurrency": 2,
                "http_429": 0, "duplicate_effects": 0, "lost": 0,
                "wait_ms": {"high": one(100.0), "normal": none, "batch": none},
                "queue_wait_ms": {"high": one(30.0), "normal": none, "batch": none},
                "worker": {
                    "invocations": 0, "deferrals": 0, "swaps": 0, "empty_rings": 0,
                    "slots_woken": 0,
                },
                "dead_letters": 0,
            })
        );
    }

    #[test]
    fn the_table_lines_up() {
        let executions = [execution("o-1", Priority::High, 1_000.0, Ending::Succeeded)];
        let report = report(&executions, vec![call("o-1", 204, 1_100.0, 1_300.0)]);
        insta::assert_snapshot!(report.table(), @r"

        1 workflows: 1 succeeded, 0 failed, 0 timed out, 0 lost

        waited (ms)                n     p50     p95     p99     max
        from start   HIGH          1     100     100     100     100
        from start   NORMAL        0       -       -       -       -
        from start   BATCH         0       -       -       -       -
        in queue     HIGH          1      30      30      30      30
        in queue     NORMAL        0       -       -       -       -
        in queue     BATCH         0       -       -       -       -

        dispatch          doorbell
        calls at the API  1 in 0.2 s, 200 ms each
        slots used        50.0 % of 2
        most at once      2 (limit 2)
        answered 429      0
        written twice     0
        dead letters      0
        worker            0 invocations, 0 deferrals, 0 swaps, 0 empty rings
        ");
    }
}
