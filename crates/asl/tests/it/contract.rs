//! Each call that a machine makes is a request that the enqueuer reads.
//!
//! The expressions are evaluated by another library than in the other tests, so that a request does
//! not hang on one reading of JSONata.

use std::path::Path;

use jsonata_core::evaluator::{Context, Evaluator};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Value, json};
use slowlane_asl::directory;
use slowlane_message::EnqueueRequest;

/// What each state that calls is given: all that a call can have, as the state before it makes it.
fn inputs() -> Vec<(&'static str, Value)> {
    let call = json!({
        "priority": "NORMAL",
        "idempotency_key": "contact/7",
        "request": { "method": "PUT", "resource": "contact/eid:7", "body": { "a": 1 } },
        "deadline_secs": 600.5,
        "tenant": "acme",
        "at_most_once": true,
    });
    vec![("throttled-call: Call", call.clone()), ("sales-order-sync: WriteOrder", call)]
}

#[test]
fn every_call_is_a_request_that_the_enqueuer_reads() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../state-machines");
    let mut inputs = inputs();
    for machine in directory::machines(&directory).unwrap() {
        let mut calls = Vec::new();
        tasks(&machine.source.value, &mut calls);
        for (state, task) in calls {
            let name = format!("{}: {state}", machine.name);
            let at = inputs.iter().position(|(known, _)| *known == name);
            let (_, input) = inputs.remove(at.unwrap_or_else(|| panic!("{name} needs an input")));
            let payload = template(&task["Arguments"]["Payload"], &input);
            let request = EnqueueRequest::from_json(&payload)
                .unwrap_or_else(|error| panic!("{name}: {error}: {payload:#}"));
            assert_eq!(request.idempotency_key.as_str(), input["idempotency_key"], "{name}");
            assert_eq!(request.task_token.as_str(), TOKEN, "{name}");
            assert!(request.deadline.is_some(), "{name}");
        }
    }
    assert!(inputs.is_empty(), "no machine has {inputs:?}");
}

const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAAAAAAeQ";

/// The Tasks that hand a call to the enqueuer, those within a Map or Parallel too.
fn tasks(machine: &Value, found: &mut Vec<(String, Value)>) {
    for (name, state) in machine["States"].as_object().into_iter().flatten() {
        if state["Arguments"]["FunctionName"] == "${EnqueuerArn}" {
            found.push((name.clone(), state.clone()));
        }
        tasks(&state["ItemProcessor"], found);
        state["Branches"].as_array().into_iter().flatten().for_each(|branch| tasks(branch, found));
    }
}

fn template(value: &Value, input: &Value) -> Value {
    match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), template(value, input))).collect()
        }
        Value::Array(items) => items.iter().map(|item| template(item, input)).collect(),
        Value::String(text) => {
            match text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}")) {
                Some(expression) => evaluate(expression, input),
                None => value.clone(),
            }
        }
        leaf => leaf.clone(),
    }
}

fn evaluate(expression: &str, input: &Value) -> Value {
    let expression = expression.replace("${DefaultDeadlineSeconds}", "600");
    let states = json!({ "input": input, "context": { "Task": { "Token": TOKEN } } });
    let mut context = Context::new();
    context.bind("states".to_owned(), JValue::from_json_str(&states.to_string()).unwrap());
    let node = parser::parse(&expression).unwrap();
    let value = Evaluator::with_context(context).evaluate(&node, &JValue::Null).unwrap();
    serde_json::from_str(&value.to_json_string().unwrap()).unwrap()
}
