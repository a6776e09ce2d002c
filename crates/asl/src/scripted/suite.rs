//! The file that says which cases are run.

use std::path::Path;

use serde_json::{Map, Value};

use super::error::Error;

/// One run of one machine.
#[derive(Debug)]
pub struct Case {
    /// The machine, as in `NAME.asl.json`.
    pub machine: String,
    /// The case.
    pub name: String,
    /// The machine's definition, with its substitutions made.
    pub definition: Value,
    /// The execution's input.
    pub input: Value,
    /// For each state, its answers by attempt: `{"0": {"Return": …}, "1-3": {"Throw": …}}`.
    pub answers: Value,
}

/// The cases of a file.
#[derive(Debug)]
pub struct Suite {
    /// In the order of the machines' and the cases' names.
    pub cases: Vec<Case>,
    /// The texts of objects in S3, by bucket and key.
    pub objects: Value,
}

impl Suite {
    /// Reads a suite. The machines lie beside it.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::NotJson`] for it and for each machine; [`Error::Suite`] where it
    /// names a state, an answer or an input that is not there.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let suite: Value = json(&read(file)?, file)?;
        let bad = |what: String| Error::Suite { file: file.display().to_string(), what };
        let machines = suite["StateMachines"]
            .as_object()
            .ok_or_else(|| bad("it has no StateMachines".to_owned()))?;
        let mut cases = Vec::new();
        for (machine, tests) in machines {
            let definition = definition(file, machine, &suite["Substitutions"])?;
            for (name, states) in tests["TestCases"].as_object().into_iter().flatten() {
                let at = format!("{machine}: {name}");
                let input = suite["Inputs"][machine]
                    .get(name)
                    .ok_or_else(|| bad(format!("Inputs has none for {at}")))?;
                cases.push(Case {
                    machine: machine.clone(),
                    name: name.clone(),
                    definition: definition.clone(),
                    input: input.clone(),
                    answers: answers(states, &definition, &suite["MockedResponses"])
                        .map_err(|what| bad(format!("{at}: {what}")))?,
                });
            }
        }
        let objects = suite.get("Objects").cloned().unwrap_or_else(|| Map::new().into());
        let is_text = |objects: &Value| {
            objects.as_object().is_some_and(|objects| objects.values().all(Value::is_string))
        };
        if !objects.as_object().is_some_and(|buckets| buckets.values().all(is_text)) {
            return Err(bad("Objects has texts by bucket and key".to_owned()));
        }
        Ok(Self { cases, objects })
    }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|source| Error::Read { file: file.display().to_string(), source })
}

fn json(text: &str, file: &Path) -> Result<Value, Error> {
    serde_json::from_str(text)
        .map_err(|source| Error::NotJson { file: file.display().to_string(), source })
}

fn definition(suite: &Path, machine: &str, substitutions: &Value) -> Result<Value, Error> {
    let file = suite.with_file_name(format!("{machine}.asl.json"));
    let mut text = read(&file)?;
    for (name, value) in substitutions.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text = text.replace(&format!("${{{name}}}"), &value);
    }
    json(&text, &file)
}

/// For each state that a case answers, what `MockedResponses` holds under the name that it gives.
fn answers(states: &Value, definition: &Value, responses: &Value) -> Result<Value, String> {
    let mut answers = Map::new();
    for (state, response) in states.as_object().into_iter().flatten() {
        if !has_task(definition, state) {
            return Err(format!("the machine has no Task {state}"));
        }
        let name = response.as_str().unwrap_or_default();
        let response = responses
            .get(name)
            .ok_or_else(|| format!("MockedResponses has no {name:?} for the state {state}"))?;
        for (attempts, answer) in response.as_object().into_iter().flatten() {
            check(attempts, answer).map_err(|what| format!("the response {name}: {what}"))?;
        }
        answers.insert(state.clone(), response.clone());
    }
    Ok(answers.into())
}

fn check(attempts: &str, answer: &Value) -> Result<(), String> {
    let (first, last) = attempts.split_once('-').unwrap_or((attempts, attempts));
    if first.parse::<u64>().is_err() || last.parse::<u64>().is_err() {
        return Err(format!("{attempts:?} is no attempt such as \"0\" or \"1-3\""));
    }
    let thrown = answer["Throw"]["Error"].is_string();
    if thrown == answer.get("Return").is_some() {
        return Err(format!("attempt {attempts} needs a Return, or a Throw with an Error"));
    }
    Ok(())
}

/// Whether a machine, or one within it, has this Task.
fn has_task(machine: &Value, name: &str) -> bool {
    let states = machine["States"].as_object();
    states.into_iter().flatten().any(|(key, state)| {
        let inner = crate::walk::processor(state).map(|(_, processor)| processor);
        let branches = state["Branches"].as_array().into_iter().flatten();
        (key == name && state["Type"] == "Task")
            || branches.chain(inner).any(|machine| has_task(machine, name))
    })
}
