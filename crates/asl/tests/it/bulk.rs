//! A dataset of some hundred items: each becomes one call, and none is lost.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use slowlane_asl::scripted::{Suite, run};

use crate::evaluate::python;

const ITEMS: usize = 300;

fn suite() -> Suite {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../state-machines/examples/tests.json");
    let mut suite = Suite::read(&file).unwrap();
    suite.cases.retain(|case| case.machine == "bulk-load" && case.name == "Success");
    let items = (0..ITEMS).map(|n| {
        let request = json!({ "method": "PUT", "resource": format!("contact/eid:{n}") });
        json!({ "idempotency_key": key(n), "request": request }).to_string()
    });
    suite.objects["loads"]["many.jsonl"] = items.collect::<Vec<_>>().join("\n").into();
    suite.cases[0].input["key"] = json!("many.jsonl");
    suite
}

fn key(n: usize) -> String {
    format!("contact/{n:03}")
}

/// The lines of a history that say what a call hands over under this name.
fn handed<'a>(history: &'a str, name: &str) -> Vec<&'a str> {
    let name = format!("\"{name}\": ");
    let lines = history.lines().filter_map(|line| line.trim().strip_prefix(&name));
    lines.map(|value| value.trim_matches(['"', ','])).collect()
}

#[test]
fn every_item_becomes_one_batch_call() {
    let history = &run(&suite(), &python()).unwrap()[0].text;
    let keys = handed(history, "idempotency_key");
    assert_eq!(keys.len(), ITEMS);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), ITEMS, "each once");
    assert_eq!(handed(history, "priority"), vec!["BATCH"; ITEMS]);
    assert!(history.contains("SUCCEEDED"), "{history:.2000}");
}

/// What AWS bills, and what the README and the demo say: a transition for each state that is entered.
#[test]
fn an_item_costs_little_more_than_two_transitions() {
    let history = &run(&suite(), &python()).unwrap()[0].text;
    let kinds = ["(Map)", "(Pass)", "(Task)", "(Choice)"];
    let entered = history.lines().filter(|line| kinds.iter().any(|kind| line.ends_with(kind)));
    assert_eq!(entered.count(), 1 + 3 * (ITEMS / 10) + 2 * ITEMS);
}

#[test]
fn the_items_that_fail_are_listed_and_all_others_are_made() {
    let mut suite = suite();
    // The tenth, and those from the hundredth on to the hundred-and-second, counted from 0.
    let answer = suite.cases[0].answers["Call"]["0-999"].clone();
    let rejected = json!({ "Throw": { "Error": "Slowlane.Rejected", "Cause": "{}" } });
    suite.cases[0].answers["Call"] = json!({
        "10": rejected, "100-102": rejected, "0-999": answer,
    });
    let history = &run(&suite, &python()).unwrap()[0].text;
    assert_eq!(handed(history, "idempotency_key").len(), ITEMS);
    let listed: BTreeSet<String> = handed(history, "Cause")
        .iter()
        .flat_map(|cause| {
            let cause: Value = serde_json::from_str(&cause.replace("\\\"", "\"")).unwrap();
            cause["failed"].as_array().unwrap().clone()
        })
        .map(|item| item["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, [10, 100, 101, 102].into_iter().map(key).collect());
    assert!(history.contains("FAILED_0.json"), "{history:.2000}");
}
