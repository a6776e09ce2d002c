//! Evaluates a machine's expressions, for tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Map, Value, json};

/// A Python process that answers one expression after the other.
pub(crate) struct Evaluator {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What an expression can ask for.
#[derive(Default)]
pub(crate) struct Situation {
    /// `$states.input`.
    pub(crate) input: Value,
    /// `$states.errorOutput`.
    pub(crate) error_output: Value,
    /// The machine's variables.
    pub(crate) variables: Map<String, Value>,
}

/// The task token in every situation.
pub(crate) const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAAAAAAeQ";

/// A Python with the local AWS server.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("SLOWLANE_PYTHON").expect(
        "SLOWLANE_PYTHON is a Python with the local AWS server: `cargo xtask test` sets it",
    );
    python.into()
}

impl Evaluator {
    pub(crate) fn start() -> Evaluator {
        let mut process = Command::new(python())
            .args(["-c", include_str!("evaluate.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Evaluator { process, requests, answers }
    }

    /// The value with every `{% … %}` in it replaced by what it evaluates to.
    pub(crate) fn value(&mut self, value: &Value, at: &Situation) -> Result<Value, String> {
        match value {
            Value::Object(object) => {
                let entries =
                    object.iter().map(|(key, value)| Ok((key.clone(), self.value(value, at)?)));
                Ok(Value::Object(entries.collect::<Result<_, String>>()?))
            }
            Value::Array(items) => items.iter().map(|item| self.value(item, at)).collect(),
            Value::String(text) => {
                match text.strip_prefix("{%").and_then(|rest| rest.strip_suffix("%}")) {
                    Some(expression) => self.expression(expression, at),
                    None => Ok(value.clone()),
                }
            }
            leaf => Ok(leaf.clone()),
        }
    }

    fn expression(&mut self, expression: &str, at: &Situation) -> Result<Value, String> {
        let request = json!({
            "expression": expression.trim(),
            "input": at.input,
            "errorOutput": at.error_output,
            "context": {
                "Execution": { "Id": "arn:aws:states:us-east-1:123456789012:execution:test:1" },
                "Task": { "Token": TOKEN },
                "variables": at.variables,
            },
        });
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).expect("the evaluator answers in JSON");
        match (answer.get("Ok"), answer.get("Err")) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(error)) => Err(error.to_string()),
            (None, None) => panic!("{answer} is no answer"),
        }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
