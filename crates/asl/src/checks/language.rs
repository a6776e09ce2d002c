//! Fields of the one query language in a state of the other.

use serde_json::Value;

use super::report::Report;
use crate::expression::{inner, texts};
use crate::source::child;
use crate::walk::{Language, State};

/// A field of JSONPath, and what stands for it in JSONata.
const JSONPATH: &[(&str, &str)] = &[
    ("InputPath", "write $states.input.… where it is used"),
    ("Parameters", "write Arguments"),
    ("ResultSelector", "write Output, with $states.result"),
    ("ResultPath", "write Output, with $states.result"),
    ("OutputPath", "write Output"),
    ("Result", "write Output"),
    ("ItemsPath", "write Items"),
    ("TimeoutSecondsPath", "write TimeoutSeconds with an expression"),
    ("HeartbeatSecondsPath", "write HeartbeatSeconds with an expression"),
    ("SecondsPath", "write Seconds with an expression"),
    ("TimestampPath", "write Timestamp with an expression"),
    ("ErrorPath", "write Error with an expression"),
    ("CausePath", "write Cause with an expression"),
    ("MaxConcurrencyPath", "write MaxConcurrency with an expression"),
    ("ToleratedFailurePercentagePath", "write ToleratedFailurePercentage with an expression"),
    ("ToleratedFailureCountPath", "write ToleratedFailureCount with an expression"),
    ("MaxItemsPath", "write MaxItems with an expression"),
    ("MaxItemsPerBatchPath", "write MaxItemsPerBatch with an expression"),
    ("MaxInputBytesPerBatchPath", "write MaxInputBytesPerBatch with an expression"),
    ("Variable", "write Condition"),
];

/// A field of JSONata, and what stands for it in JSONPath.
const JSONATA: &[(&str, &str)] = &[
    ("Arguments", "write Parameters"),
    ("Output", "write ResultSelector, ResultPath or OutputPath"),
    ("Items", "write ItemsPath"),
    ("Condition", "write Variable and a comparison"),
];

/// Objects within a state that have fields of a language too.
const PARTS: &[&str] = &["ItemReader", "ItemBatcher", "ResultWriter"];

pub(super) fn fields(state: &State<'_>, report: &mut Report<'_>) {
    let mut parts = vec![(state.pointer.clone(), state.value)];
    parts.extend(PARTS.iter().map(|key| (state.at(key), &state.value[*key])));
    parts.push((
        child(&state.at("ItemReader"), "ReaderConfig"),
        &state.value["ItemReader"]["ReaderConfig"],
    ));
    parts.extend(state.rules("Choices"));
    parts.extend(state.rules("Catch"));
    for (pointer, part) in parts {
        for key in part.as_object().into_iter().flat_map(serde_json::Map::keys) {
            field(state, &pointer, key, report);
        }
    }
    values(state, report);
}

fn field(state: &State<'_>, pointer: &str, key: &str, report: &mut Report<'_>) {
    let (check, foreign, is, other) = match state.language {
        Language::Jsonata => ("jsonpath-in-jsonata", JSONPATH, "JSONata", "JSONPath"),
        Language::JsonPath => ("jsonata-in-jsonpath", JSONATA, "JSONPath", "JSONata"),
    };
    if let Some((_, mend)) = foreign.iter().find(|(name, _)| *name == key) {
        let what = format!("{key} is a field of {other}, and this state is in {is}");
        report.say(check, state, &child(pointer, key), what, *mend);
    }
}

/// Keys that end in `.$` in JSONata, and `{% … %}` in JSONPath: both are taken as they stand.
fn values(state: &State<'_>, report: &mut Report<'_>) {
    let own = ["Arguments", "Parameters", "ItemSelector", "Assign", "Output", "ResultSelector"];
    for key in own {
        let value = &state.value[key];
        match state.language {
            Language::Jsonata => paths(state, value, &state.at(key), report),
            Language::JsonPath => {
                let mut found = Vec::new();
                texts(value, &state.at(key), &mut found);
                for (pointer, _) in found.iter().filter(|(_, text)| inner(text).is_some()) {
                    let what = "an expression in {% %} is plain text in JSONPath";
                    let mend =
                        "write \"QueryLanguage\": \"JSONata\" in the state or in the machine";
                    report.say("jsonata-in-jsonpath", state, pointer, what, mend);
                }
            }
        }
    }
}

fn paths(state: &State<'_>, value: &Value, pointer: &str, report: &mut Report<'_>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let pointer = child(pointer, key);
                if key.ends_with(".$") {
                    let what = format!("the key {key} is plain text in JSONata");
                    let mend = format!("write {:?} with {{% … %}}", key.trim_end_matches(".$"));
                    report.say("jsonpath-in-jsonata", state, &pointer, what, mend);
                }
                paths(state, inner, &pointer, report);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(state, item, &child(pointer, &index.to_string()), report);
            }
        }
        _ => {}
    }
}

/// A machine in JSONPath may have states in JSONata, but not the reverse (Developer Guide,
/// "Transforming data with JSONata", "QueryLanguage field").
pub(super) fn of_state(state: &State<'_>, report: &mut Report<'_>) {
    if state.machine_language == Language::Jsonata && state.value["QueryLanguage"] == "JSONPath" {
        let what = "a machine in JSONata cannot have a state in JSONPath";
        let mend = "let the machine be in JSONPath and each state of JSONata say so itself";
        report.say("language-mixed", state, &state.at("QueryLanguage"), what, mend);
    }
}
