use super::*;

fn call(name: &str, start_ms: f64) -> ApiCall {
    ApiCall {
        method: "PUT".to_owned(),
        external_id: Some(name.to_owned()),
        status: 200,
        start_ms,
        end_ms: start_ms + 200.0,
        enqueued_at_ms: None,
        priority: None,
        fault: None,
    }
}

fn execution(name: &str, priority: Priority, started_at_ms: f64) -> Execution {
    Execution { order_id: name.to_owned(), priority, started_at_ms, ending: Ending::Succeeded }
}

#[test]
fn only_windows_that_are_whole_tell_what_was_used() {
    let rate: Rate = "4/10s".parse().unwrap();
    let at = |starts: &[f64]| -> Vec<ApiCall> {
        starts.iter().map(|start| call("x", start * 1000.0)).collect()
    };
    // From 10 to 30 it would have taken eight. What is before and after may be cut.
    let calls = at(&[9.0, 10.0, 11.0, 19.9, 20.0, 21.0, 30.0, 31.0]);
    assert_eq!(used(&calls, &rate), Some(0.625));
    assert_eq!(used(&at(&[9.0, 10.0]), &rate), None);
    assert_eq!(used(&[], &rate), None);
}

#[test]
fn a_wait_ends_with_the_first_arrival() {
    let executions = [
        execution("a", Priority::High, 1_000.0),
        execution("b", Priority::High, 2_000.0),
        execution("c", Priority::Batch, 0.0),
    ];
    let calls = [call("b", 2_700.0), call("b", 2_500.0), call("a", 1_100.0), call("c", 9_000.0)];
    let waits = high_waits(&executions, &calls);
    assert_eq!(waits, [100.0, 500.0]);
}

#[test]
fn a_tenth_of_the_calls_and_of_the_rate_is_high() {
    let load = Load::of("slowlane", &RATE.parse().unwrap(), 600);
    assert_eq!((load.high.len(), load.batch.len()), (60, 540));
    assert_eq!(load.high_every, Duration::from_secs(1));
    assert_eq!(load.high[0], "demo-slowlane-high-0001");
}

#[test]
fn only_our_own_promises_are_judged() {
    let run = |way: Way, http_429| Run {
        way: way.to_string(),
        is_ours: way == Way::Slowlane,
        calls: 600,
        failed: 0,
        http_429,
        used: Some(0.97),
        high_wait_ms: Distribution { n: 1, p95: Some(321.0), ..Distribution::default() },
    };
    let report = |runs| Report {
        rate: RATE.to_owned(),
        latency_ms: 200,
        runs,
        max_concurrency: 5,
        written_twice: 0,
        limit: 5,
    };
    let shown = report(vec![run(WAYS[0], 12), run(Way::Slowlane, 0)]).shown();
    assert_eq!(shown.broken_promises, Vec::<String>::new());
    assert!(shown.table.contains("97.0 %         -     321       -"), "{}", shown.table);
    let broken = report(vec![run(Way::Slowlane, 1)]).shown().broken_promises;
    assert_eq!(broken, ["Slowlane, rate = \"100/10s\": 0 failed, 1 answered 429"]);
}
