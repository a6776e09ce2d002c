//! A machine's text: the same for the same machine, in an order that reads well.

use serde_json::{Map, Value};

/// Keys in the order in which a state is thought of; all others follow by name.
const ORDER: &[&str] = &[
    "Comment",
    "QueryLanguage",
    "ProcessorConfig",
    "StartAt",
    "States",
    "Type",
    "Resource",
    "ErrorEquals",
    "Condition",
    "Arguments",
    "Items",
    "Label",
    "ItemReader",
    "ItemBatcher",
    "ItemSelector",
    "MaxConcurrency",
    "MaxConcurrencyPath",
    "ToleratedFailurePercentage",
    "ToleratedFailureCount",
    "ItemProcessor",
    "ResultWriter",
    "Assign",
    "Output",
    "Error",
    "Cause",
    "Seconds",
    "TimeoutSeconds",
    "HeartbeatSeconds",
    "IntervalSeconds",
    "BackoffRate",
    "MaxAttempts",
    "MaxDelaySeconds",
    "JitterStrategy",
    "Choices",
    "Default",
    "Branches",
    "Retry",
    "Catch",
    "Next",
    "End",
];

/// A machine as JSON: two spaces deep, short lists on one line.
#[must_use]
pub fn text(machine: &Value) -> String {
    let mut text = String::new();
    write(machine, None, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, order: Option<&[&str]>, depth: usize, text: &mut String) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            let mut entries: Vec<_> = object.iter().collect();
            let order = order.unwrap_or(ORDER);
            entries.sort_by_key(|(key, _)| {
                (order.iter().position(|known| known == key).unwrap_or(usize::MAX), *key)
            });
            let states = (object.get("StartAt").is_some()).then(|| reached(object));
            text.push_str("{\n");
            for (index, (key, value)) in entries.iter().enumerate() {
                separate(index, depth + 1, text);
                text.push_str(&format!("{}: ", Value::from(key.as_str())));
                let order = states.as_deref().filter(|_| key.as_str() == "States");
                write(value, order, depth + 1, text);
            }
            close('}', depth, text);
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                separate(index, depth + 1, text);
                write(item, None, depth + 1, text);
            }
            close(']', depth, text);
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(Value::to_string).collect();
            text.push_str(&format!("[{}]", items.join(", ")));
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

fn separate(index: usize, depth: usize, text: &mut String) {
    if index > 0 {
        text.push_str(",\n");
    }
    text.push_str(&"  ".repeat(depth));
}

fn close(bracket: char, depth: usize, text: &mut String) {
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(bracket);
}

/// The states in the order in which a reader meets them from the start.
pub(crate) fn reached(machine: &Map<String, Value>) -> Vec<&str> {
    let mut reached = Vec::new();
    let mut open: Vec<&str> = machine["StartAt"].as_str().into_iter().collect();
    while let Some(name) = open.pop() {
        if reached.contains(&name) {
            continue;
        }
        reached.push(name);
        let state = &machine["States"][name];
        let rules = |key: &str| {
            state[key].as_array().into_iter().flatten().filter_map(|rule| rule["Next"].as_str())
        };
        let mut next: Vec<&str> = rules("Choices").collect();
        next.extend(["Next", "Default"].iter().filter_map(|key| state[key].as_str()));
        next.extend(rules("Catch"));
        open.extend(next.into_iter().rev());
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_stand_in_the_order_they_are_reached_and_keys_in_theirs() {
        let text = text(&json!({
            "States": {
                "A": {"End": true, "Type": "Pass"},
                "Z": {"Next": "M", "Type": "Pass", "b": [1, 2], "a": []},
                "M": {"Type": "Task", "Catch": [{"Next": "A"}], "End": true},
            },
            "StartAt": "Z",
        }));
        insta::assert_snapshot!(text, @r#"
        {
          "StartAt": "Z",
          "States": {
            "Z": {
              "Type": "Pass",
              "Next": "M",
              "a": [],
              "b": [1, 2]
            },
            "M": {
              "Type": "Task",
              "Catch": [
                {
                  "Next": "A"
                }
              ],
              "End": true
            },
            "A": {
              "Type": "Pass",
              "End": true
            }
          }
        }
        "#);
    }
}
