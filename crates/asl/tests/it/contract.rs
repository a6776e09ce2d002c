//! Each call that a machine makes is a request that the enqueuer reads.

use std::path::Path;

use serde_json::{Value, json};
use slowlane_asl::directory;
use slowlane_message::EnqueueRequest;

use crate::evaluate::{Evaluator, Situation, TOKEN};

/// A call with all that it can have.
fn call() -> Value {
    json!({
        "priority": "NORMAL",
        "idempotency_key": "contact/7",
        "request": { "method": "PUT", "resource": "contact/eid:7", "body": { "a": 1 } },
        "deadline_secs": 600.5,
        "tenant": "acme",
        "at_most_once": true,
        "units": 1800,
    })
}

/// A field that is renamed in the enqueuer's request is refused there, since it knows no other.
#[test]
fn every_call_is_a_request_that_the_enqueuer_reads() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../state-machines");
    let mut evaluator = Evaluator::start();
    let mut calls = Vec::new();
    for directory in [directory.join("examples"), directory] {
        for machine in directory::machines(&directory).unwrap() {
            tasks(&machine.source.value, &machine.name, &mut calls);
        }
    }
    assert!(calls.len() >= 2, "{calls:?}");
    for (name, task) in calls {
        let payload = task["Arguments"]["Payload"].to_string();
        let payload = payload.replace("${DefaultDeadlineSeconds}", "600");
        let at = Situation { input: call(), ..Situation::default() };
        let payload = evaluator.value(&serde_json::from_str(&payload).unwrap(), &at).unwrap();
        let request = EnqueueRequest::from_json(&payload)
            .unwrap_or_else(|error| panic!("{name}: {error}: {payload:#}"));
        assert_eq!(request.idempotency_key.as_str(), "contact/7", "{name}");
        assert_eq!(request.task_token.as_str(), TOKEN, "{name}");
        assert_eq!(request.tenant.as_deref(), Some("acme"), "{name}");
        assert!(request.deadline.is_some() && request.at_most_once, "{name}");
        assert!(request.execution.is_some() && request.units.is_some(), "{name}");
    }
}

/// The Tasks that hand a call to the enqueuer, those within a Map or Parallel too.
fn tasks(machine: &Value, within: &str, found: &mut Vec<(String, Value)>) {
    for (name, state) in machine["States"].as_object().into_iter().flatten() {
        let function = state["Arguments"]["FunctionName"].as_str().unwrap_or_default();
        if function.ends_with("EnqueuerArn}") {
            found.push((format!("{within}: {name}"), state.clone()));
        }
        tasks(&state["ItemProcessor"], within, found);
        let branches = state["Branches"].as_array().into_iter().flatten();
        branches.for_each(|branch| tasks(branch, within, found));
    }
}
