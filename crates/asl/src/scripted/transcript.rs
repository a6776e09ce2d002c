//! A history as people read it.

use std::fmt::Write as _;

use serde_json::Value;

/// The steps of a run, a line for each, indented by how deep in Maps and Parallels they are. What
/// comes over and over, as in many retries, is counted.
pub(super) fn text(input: &Value, steps: &[&Value]) -> String {
    let mut text = format!("input {input}\n");
    let mut last: Option<&Value> = None;
    let mut told: Vec<(String, usize)> = Vec::new();
    for step in steps {
        let line = if step["do"] == "call" && last == Some(*step) {
            "  calls the same again".to_owned()
        } else {
            line(step)
        };
        if step["do"] == "call" {
            last = Some(*step);
        }
        let depth = usize::try_from(step["depth"].as_u64().unwrap_or_default()).unwrap_or_default();
        let indented = line.lines().map(|line| format!("{}{line}\n", "  ".repeat(depth))).collect();
        told.push((indented, 1));
        count_pairs(&mut told);
    }
    for (line, times) in &told {
        match times {
            1 => text.push_str(line),
            _ => {
                let _ = writeln!(text, "{} ({times} times)", line.trim_end());
            }
        }
    }
    text
}

/// A retry and the call after it, when they were just told, become one line with a count.
fn count_pairs(told: &mut Vec<(String, usize)>) {
    if let [.., (retry, 1), (again, 1)] = &**told
        && again.ends_with("calls the same again\n")
    {
        let both = format!("{}, and {}", retry.trim_end(), again.trim_start());
        told.truncate(told.len() - 2);
        match told.last_mut() {
            Some((line, times)) if *line == both => *times += 1,
            _ => told.push((both, 1)),
        }
    }
}

fn line(step: &Value) -> String {
    let said = |key: &str| step[key].as_str().unwrap_or_default();
    match said("do") {
        "enter" => format!("{} ({})", said("state"), said("kind")),
        "call" => {
            let timeout = match &step["timeout"] {
                Value::Null => String::new(),
                secs => format!(", for {secs} s at most"),
            };
            let arguments = shown(&step["arguments"]);
            format!("  calls {}{timeout}\n{arguments}", said("resource"))
        }
        "answer" => format!("  is answered {}", step["value"]),
        "error" => {
            let then = if step["retried"] == true { "is retried after" } else { "fails with" };
            format!("  {then} {}", said("error"))
        }
        "exit" => match &step["next"] {
            Value::String(next) => format!("  hands {} on to {next}", step["output"]),
            _ => format!("  ends with {}", step["output"]),
        },
        "fail" => format!("  ends the machine with {}: {}", said("error"), said("cause")),
        "wrote" => match serde_json::from_str(said("content")) {
            Ok(content) => format!("wrote {}\n{}", said("place"), shown(&content)),
            Err(_) => format!("wrote {}", said("place")),
        },
        "end" if step["error"].is_null() => format!("{} {}", said("status"), step["output"]),
        "end" => format!("{} {}: {}", said("status"), said("error"), said("cause")),
        other => other.to_owned(),
    }
}

/// Arguments over several lines, since they are what a reader looks for.
fn shown(arguments: &Value) -> String {
    let text = format!("{arguments:#}");
    text.lines().map(|line| format!("    {line}\n")).collect()
}
