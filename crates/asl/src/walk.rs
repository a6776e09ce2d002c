//! A machine taken apart: every state of it and of the machines within, with what surrounds it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::source::{Source, child};

/// How the fields of a state take values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Paths such as `$.order.id`, in keys that end in `.$`. The default.
    JsonPath,
    /// Expressions such as `{% $states.input.order.id %}`.
    Jsonata,
}

impl Language {
    /// What a `QueryLanguage` says, or the language around it.
    fn of(value: &Value, around: Self) -> Self {
        match value["QueryLanguage"].as_str() {
            Some("JSONata") => Self::Jsonata,
            Some("JSONPath") => Self::JsonPath,
            _ => around,
        }
    }
}

pub(crate) type Variables = BTreeSet<String>;

/// A machine, or the machine within a Map or a branch.
#[derive(Clone, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) value: &'a Value,
    pub(crate) pointer: String,
    /// The state around it, with those around that one.
    pub(crate) within: Option<String>,
    pub(crate) language: Language,
    /// Whether it runs as Express executions.
    pub(crate) express: bool,
    /// Whether something around it ends it in time.
    pub(crate) bounded: bool,
}

impl Scope<'_> {
    /// A state's name with those around it.
    pub(crate) fn name_of(&self, state: &str) -> String {
        match &self.within {
            Some(within) => format!("{within} > {state}"),
            None => state.to_owned(),
        }
    }
}

/// One state.
#[derive(Debug)]
pub(crate) struct State<'a> {
    /// Its name, with those around it: `Load > Write`.
    pub(crate) name: String,
    pub(crate) pointer: String,
    pub(crate) value: &'a Value,
    pub(crate) language: Language,
    /// The language of the machine that it is in.
    pub(crate) machine_language: Language,
    /// The variables that every way here has assigned. None if no way leads here.
    pub(crate) variables: Option<Variables>,
    pub(crate) express: bool,
    pub(crate) bounded: bool,
}

impl State<'_> {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.value["Type"] == kind
    }

    pub(crate) fn at(&self, key: &str) -> String {
        child(&self.pointer, key)
    }

    pub(crate) fn resource(&self) -> &str {
        self.value["Resource"].as_str().unwrap_or_default()
    }

    pub(crate) fn waits_for_token(&self) -> bool {
        self.is("Task") && self.resource().ends_with(".waitForTaskToken")
    }

    /// What the state hands to what it calls: `Arguments`, or in JSONPath `Parameters`.
    pub(crate) fn handed(&self) -> (&'static str, &Value) {
        match self.language {
            Language::Jsonata => ("Arguments", &self.value["Arguments"]),
            Language::JsonPath => ("Parameters", &self.value["Parameters"]),
        }
    }

    /// The items of a list field, with their pointers.
    pub(crate) fn rules(&self, key: &str) -> impl Iterator<Item = (String, &Value)> {
        let pointer = self.at(key);
        let items = self.value[key].as_array().into_iter().flatten().enumerate();
        items.map(move |(index, rule)| (child(&pointer, &index.to_string()), rule))
    }
}

/// The machine within a Map, under its present or its former name.
pub(crate) fn processor(state: &Value) -> Option<(&'static str, &Value)> {
    ["ItemProcessor", "Iterator"].into_iter().find_map(|key| Some((key, state.get(key)?)))
}

pub(crate) fn is_distributed(state: &Value) -> bool {
    processor(state)
        .is_some_and(|(_, processor)| processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED")
}

/// All machines and all states, in the order of the text.
pub(crate) fn all(source: &Source) -> (Vec<Scope<'_>>, Vec<State<'_>>) {
    let machine = Scope {
        value: &source.value,
        pointer: String::new(),
        within: None,
        language: Language::of(&source.value, Language::JsonPath),
        express: false,
        bounded: source.value.get("TimeoutSeconds").is_some(),
    };
    let (mut scopes, mut states) = (Vec::new(), Vec::new());
    enter(source, machine, &Variables::new(), &mut scopes, &mut states);
    (scopes, states)
}

fn enter<'a>(
    source: &Source,
    scope: Scope<'a>,
    inherited: &Variables,
    scopes: &mut Vec<Scope<'a>>,
    found: &mut Vec<State<'a>>,
) {
    scopes.push(scope.clone());
    let Some(states) = scope.value["States"].as_object() else { return };
    let assigned = assigned_before(scope.value, states, inherited);
    let pointer = child(&scope.pointer, "States");
    for name in source.keys(&pointer) {
        let Some(value) = states.get(name) else { continue };
        let state = State {
            name: scope.name_of(name),
            pointer: child(&pointer, name),
            value,
            language: Language::of(value, scope.language),
            machine_language: scope.language,
            variables: assigned.get(name.as_str()).cloned(),
            express: scope.express,
            bounded: scope.bounded,
        };
        let inner = inner_machines(&state, &scope);
        // The children of a distributed Map see no variables of the machine around them (Developer
        // Guide, "Passing data between states with variables").
        let seen = match &state.variables {
            Some(variables) if !is_distributed(value) => variables.clone(),
            _ => Variables::new(),
        };
        found.push(state);
        inner.into_iter().for_each(|scope| enter(source, scope, &seen, scopes, found));
    }
}

fn inner_machines<'a>(state: &State<'a>, around: &Scope<'_>) -> Vec<Scope<'a>> {
    let scope = |pointer: String, value: &'a Value| Scope {
        value,
        pointer,
        within: Some(state.name.clone()),
        // A state that says its own language does not say it for those within.
        language: Language::of(value, around.language),
        express: around.express || value["ProcessorConfig"]["ExecutionType"] == "EXPRESS",
        bounded: around.bounded || value["ProcessorConfig"]["ExecutionType"] == "EXPRESS",
    };
    let branches = state.value["Branches"].as_array().into_iter().flatten().enumerate();
    let branches = branches
        .map(|(index, branch)| scope(child(&state.at("Branches"), &index.to_string()), branch));
    let processor = processor(state.value).map(|(key, value)| scope(state.at(key), value));
    branches.chain(processor).collect()
}

/// For each state that can be reached, the variables that every path to it has assigned.
fn assigned_before<'a>(
    machine: &'a Value,
    states: &'a Map<String, Value>,
    inherited: &Variables,
) -> BTreeMap<&'a str, Variables> {
    let mut assigned: BTreeMap<&str, Variables> = BTreeMap::new();
    let mut open = vec![(machine["StartAt"].as_str().unwrap_or_default(), inherited.clone())];
    while let Some((name, variables)) = open.pop() {
        let Some((name, state)) = states.get_key_value(name) else { continue };
        let common: Variables = match assigned.get(name.as_str()) {
            Some(before) => before.intersection(&variables).cloned().collect(),
            None => variables,
        };
        if assigned.get(name.as_str()) == Some(&common) {
            continue;
        }
        for (_, next, assign) in ways_on(state) {
            // In JSONPath a variable is assigned under its name with `.$` behind it.
            let more = assign.as_object().into_iter().flat_map(Map::keys);
            let more = more.map(|name| name.strip_suffix(".$").unwrap_or(name).to_owned());
            open.push((next, common.iter().cloned().chain(more).collect()));
        }
        assigned.insert(name, common);
    }
    assigned
}

/// Each next state: the pointer within this one that names it, its name, and what is assigned on
/// the way there.
pub(crate) fn ways_on(state: &Value) -> Vec<(String, &str, &Value)> {
    let mut ways = Vec::new();
    for key in ["Choices", "Catch"] {
        for (index, rule) in state[key].as_array().into_iter().flatten().enumerate() {
            if let Some(next) = rule["Next"].as_str() {
                ways.push((format!("/{key}/{index}/Next"), next, &rule["Assign"]));
            }
        }
    }
    for key in ["Next", "Default"] {
        if let Some(next) = state[key].as_str() {
            ways.push((format!("/{key}"), next, &state["Assign"]));
        }
    }
    ways
}
