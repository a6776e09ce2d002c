//! Variables are followed over every path, loop and inner machine.

use serde_json::{Value, json};
use slowlane_asl::{Source, problems};

fn found(machine: &Value) -> Vec<String> {
    let source = Source::parse(&machine.to_string()).unwrap();
    problems(&source).iter().map(|problem| format!("{}: {}", problem.check, problem.what)).collect()
}

/// A machine that assigns `id` before a Map, whose children use it.
fn with_map(config: Option<Value>) -> Value {
    let mut inner = json!({
        "StartAt": "In",
        "States": { "In": { "Type": "Pass", "Output": "{% $id %}", "End": true } },
    });
    if let Some(config) = config {
        inner["ProcessorConfig"] = config;
    }
    json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Read",
        "States": {
            "Read": { "Type": "Pass", "Assign": { "id": 1 }, "Next": "Each" },
            "Each": { "Type": "Map", "ItemProcessor": inner, "Next": "Again" },
            "Again": {
                "Type": "Choice",
                "Choices": [{ "Condition": "{% $id < 9 %}", "Next": "Each" }],
                "Default": "Done",
            },
            "Done": { "Type": "Succeed" },
        },
    })
}

#[test]
fn an_inner_machine_sees_the_variables_around_it_and_a_distributed_one_does_not() {
    assert_eq!(found(&with_map(None)), [""; 0]);
    let distributed = json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    assert_eq!(
        found(&with_map(Some(distributed))),
        ["name-unknown: Output uses the variable $id, which not every path here has assigned"],
    );
}

#[test]
fn a_loop_that_skips_the_assignment_is_seen() {
    let mut machine = with_map(None);
    machine["StartAt"] = json!("Start");
    machine["States"]["Start"] = json!({
        "Type": "Choice",
        "Choices": [{ "Condition": "{% $states.input.x %}", "Next": "Read" }],
        "Default": "Again",
    });
    let found = found(&machine);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|problem| problem.contains("the variable $id")), "{found:?}");
}
