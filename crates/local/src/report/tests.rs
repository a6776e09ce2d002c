use super::*;

fn execution(order_id: &str, priority: Priority, started_at_ms: f64, ending: Ending) -> Execution {
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
        rate: None,
        outage: None,
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
    let twenty = Distribution::of(waits);
    assert_eq!(
        twenty,
        Distribution { n: 20, p50: Some(10.0), p95: Some(19.0), p99: Some(20.0), max: Some(20.0) }
    );
    let one = Distribution::of(vec![7.25]);
    assert_eq!((one.p50, one.p95, one.max), (Some(7.3), Some(7.3), Some(7.3)));
}

#[test]
fn lost_is_what_has_neither_an_answer_nor_a_record() {
    let failed = Ending::Failed { error: "Slowlane.Rejected".to_owned(), cause: "{}".to_owned() };
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
fn a_rate_that_was_passed_and_a_workflow_that_an_outage_failed_are_broken_promises() {
    let outlasted = Outlasted { secs: 30.0, refused: 7, full_again_s: Some(4.5) };
    let rate = "20/s".parse::<Rate>().unwrap().used_by(&[]);
    let kept = Report { rate: Some(rate), outage: Some(outlasted), ..report(&[], Vec::new()) };
    assert!(kept.broken_promises().is_empty());
    let table = kept.table();
    let (_, told) = table.split_once("empty rings\n").unwrap();
    insta::assert_snapshot!(told, @r"
    rate used         0.0 % of 20/s, 0 at most in that time
    outage            30 s, 7 requests refused in it, as busy as before 4.5 s after it
    ");
    let executions = ExecutionCounts { failed: 1, ..kept.executions };
    let broken = Report { http_429: 2, executions, ..kept }.broken_promises();
    assert_eq!(
        broken,
        ["2 calls came too early for 20/s", "in the outage 1 workflows failed, 0 timed out",]
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
