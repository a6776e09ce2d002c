//! The cost model's figures of one call are those of the simulator.

use slowlane_deployer::cost::{FLOOD, Metering, OfOneCall, SPARSE};
use slowlane_simulator::run::{Onlooker, run};
use slowlane_simulator::scenario::Scenario;

/// Calls that always wait for each other, and calls each of which wakes a slot.
const SCENARIOS: [(&str, OfOneCall); 2] = [
    (
        "name = \"flood\"\nlimit = 5\napi = { median_ms = 200 }\n[[load]]\npriority = \"BATCH\"\ncalls = 2000",
        FLOOD,
    ),
    (
        "name = \"sparse\"\nlimit = 5\napi = { median_ms = 200 }\n[[load]]\npriority = \"NORMAL\"\n\
         calls = 300\nevery_ms = 60000\nrandom = true",
        SPARSE,
    ),
];

#[test]
fn a_call_costs_what_the_cost_model_says() {
    let mut wrong = Vec::new();
    for (text, expected) in SCENARIOS {
        let scenario = Scenario::parse(text).unwrap();
        let latency = 0.2;
        let measures = run(&scenario, Onlooker::nobody()).unwrap().measures;
        let calls = measures.calls as f64;
        let worker = measures.worker_bill;
        let enqueuer = measures.enqueuer_bill;
        let found = OfOneCall {
            sqs_requests: (measures.requests.billed_by_sqs() - measures.requests.polls()) as f64
                / calls,
            write_units: measures.units.write as f64 / calls,
            read_units: measures.units.half_reads as f64 / 2.0 / calls,
            worker_invocations: worker.invocations as f64 / calls,
            worker_secs: worker.gigabyte_seconds / 0.25 / calls - latency,
            enqueuer_secs: enqueuer.gigabyte_seconds / 0.25 / calls,
        };
        let near = |a: f64, b: f64| (a - b).abs() <= 0.1 * a.abs().max(b.abs()) + 0.02;
        let all = found.figures().into_iter().zip(expected.figures());
        if !all.clone().all(|((_, found), (_, expected))| near(found, expected)) {
            wrong.push((scenario.name, found));
        }
    }
    assert!(wrong.is_empty(), "the figures of crates/deployer/src/cost.rs are now: {wrong:#?}");
}

/// Of a flood of calls of tenants with tokens.
const METERED: &str = "limit = 5\napi = { median_ms = 200 }\n[[load]]\npriority = \"BATCH\"\ncalls = 500\n\
                       tenants = 2\nunits = { median = 20, p99 = 60 }";

#[test]
fn counting_what_calls_use_costs_what_the_cost_model_says() {
    let units = |metering: &str| {
        let scenario = Scenario::parse(&format!("{metering}\n{METERED}")).unwrap();
        let measures = run(&scenario, Onlooker::nobody()).unwrap().measures;
        let calls = measures.calls as f64;
        let reads = measures.units.half_reads as f64 / 2.0;
        [measures.units.write as f64 / calls, reads / calls]
    };
    let uncounted = units("");
    for (metering, of_days) in
        [("metering = {}", false), ("metering = { units_a_day = 1000000 }", true)]
    {
        let model = Metering { models: 1, of_days, of_months: false };
        let [writes, reads] = units(metering);
        let more = [writes - uncounted[0], reads - uncounted[1]];
        let expected = [model.write_units(), model.read_units()];
        let near = more.iter().zip(expected).all(|(found, told)| (found - told).abs() < 0.1);
        assert!(near, "{metering}: {more:?}, not {expected:?}");
    }
}
