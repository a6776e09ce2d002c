//! Definitions that others have published: the checks find in them what is wrong, and nothing else.
//!
//! `tests/public` says where each comes from, and keeps what the checks look at: states, what they call,
//! hand over, catch and lead to. Names and texts are not kept.

use std::path::Path;

use serde_json::Value;
use slowlane_asl::{Source, problems};

/// A definition.
struct Definition {
    /// `owner/repository@commit:path`.
    from: String,
    /// What is wrong with it, as somebody has judged it: `check: state`.
    wrong: Vec<String>,
    machine: Value,
}

fn definitions() -> Vec<Definition> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public/definitions.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let definition = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let wrong = line["wrong"].as_array().unwrap().iter();
        Definition {
            from: line["from"].as_str().unwrap().to_owned(),
            wrong: wrong.map(|told| told.as_str().unwrap().to_owned()).collect(),
            machine: line["machine"].take(),
        }
    };
    text.lines().map(definition).collect()
}

#[test]
fn public_definitions_raise_no_false_alarm() {
    let definitions = definitions();
    assert!(definitions.len() >= 60, "{}", definitions.len());
    let mut differ = Vec::new();
    for Definition { from, wrong, machine } in &definitions {
        // Pretty, so that no two states share a line.
        let source = Source::parse(&format!("{machine:#}")).unwrap();
        let found = problems(&source);
        let mut told: Vec<_> = found
            .iter()
            .map(|problem| {
                format!("{}: {}", problem.check, problem.state.as_deref().unwrap_or("the machine"))
            })
            .collect();
        told.sort();
        if told != *wrong {
            let lines = found.iter().map(|problem| problem.in_file(Path::new("")));
            differ.push(format!("{from}\n{}", lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}
