//! What a picture shows: a machine as boxes and arrows.

use serde_json::Value;

use crate::source::{Source, child};
use crate::walk::processor;

/// Longer texts on an arrow are cut.
const LABEL_CHARS: usize = 34;
/// More lines on an arrow are left out.
const LABEL_LINES: usize = 4;

/// How a box looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    End,
    Choice,
    Task,
    /// A Task that pauses until its token comes back.
    Pause,
    Wait,
    Pass,
    Succeed,
    Fail,
    /// A Map or a Parallel, with machines within.
    Group,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// What it calls, or how many at once.
    pub(super) detail: Option<String>,
    pub(super) inner: Vec<Graph>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Vec<String>,
    pub(super) catch: bool,
}

/// One machine; its first node is its start.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

impl Graph {
    pub(super) fn of(source: &Source) -> Self {
        machine(source, &source.value, "")
    }
}

fn machine(source: &Source, value: &Value, pointer: &str) -> Graph {
    let pointer = child(pointer, "States");
    let names = source.keys(&pointer);
    let node = |kind, name: &str| Node { kind, name: name.into(), detail: None, inner: Vec::new() };
    let mut graph = Graph { nodes: vec![node(Kind::Start, "")], edges: Vec::new() };
    for name in names {
        let state = &value["States"][name];
        graph.nodes.push(Node {
            kind: kind(state),
            name: name.clone(),
            detail: detail(state),
            inner: inner(source, state, &child(&pointer, name)),
        });
    }
    let end = graph.nodes.len();
    // A state's node stands one behind its name, after the start.
    let find = |name: &str| names.iter().position(|known| known == name).map(|at| at + 1);
    let mut link = |from, to: Option<usize>, label: Vec<String>, catch| {
        if let Some(to) = to {
            add(&mut graph.edges, Edge { from, to, label, catch });
        }
    };
    link(0, value["StartAt"].as_str().and_then(find), Vec::new(), false);
    for (at, name) in names.iter().enumerate() {
        let (from, state) = (at + 1, &value["States"][name]);
        for rule in state["Choices"].as_array().into_iter().flatten() {
            link(from, rule["Next"].as_str().and_then(find), vec![condition(rule)], false);
        }
        link(from, state["Next"].as_str().and_then(find), Vec::new(), false);
        link(from, state["Default"].as_str().and_then(find), vec!["otherwise".to_owned()], false);
        if state["End"] == true || state["Type"] == "Succeed" {
            link(from, Some(end), Vec::new(), false);
        }
        for rule in state["Catch"].as_array().into_iter().flatten() {
            let errors = rule["ErrorEquals"].as_array().into_iter().flatten();
            let errors = errors.filter_map(Value::as_str).map(str::to_owned).collect();
            link(from, rule["Next"].as_str().and_then(find), errors, true);
        }
    }
    if graph.edges.iter().any(|edge| edge.to == end) {
        graph.nodes.push(node(Kind::End, ""));
    }
    graph
}

/// Arrows of one kind between the same two boxes are one, with all their labels.
fn add(edges: &mut Vec<Edge>, edge: Edge) {
    let same = |known: &&mut Edge| {
        (known.from, known.to, known.catch) == (edge.from, edge.to, edge.catch)
            && !known.label.is_empty()
            && !edge.label.is_empty()
    };
    match edges.iter_mut().find(same) {
        Some(known) => known.label.extend(edge.label),
        None => edges.push(edge),
    }
}

fn kind(state: &Value) -> Kind {
    let waits = state["Resource"].as_str().is_some_and(|name| name.ends_with(".waitForTaskToken"));
    match state["Type"].as_str().unwrap_or_default() {
        "Task" if waits => Kind::Pause,
        "Choice" => Kind::Choice,
        "Wait" => Kind::Wait,
        "Pass" => Kind::Pass,
        "Succeed" => Kind::Succeed,
        "Fail" => Kind::Fail,
        "Map" | "Parallel" => Kind::Group,
        _ => Kind::Task,
    }
}

fn detail(state: &Value) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) if text.starts_with("{%") => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match state["Type"].as_str()? {
        "Task" => {
            let resource = state["Resource"].as_str()?;
            let called = resource.split_once(":states:::").map_or_else(
                || if resource.contains(":lambda:") { "lambda" } else { resource },
                |(_, called)| called,
            );
            let called = called.strip_prefix("aws-sdk:").unwrap_or(called);
            let called = called.split('.').next().unwrap_or_default().to_owned();
            let retried = if state.get("Retry").is_some() { ", retried" } else { "" };
            Some(format!("{called}{retried}"))
        }
        "Wait" => text(&state["Seconds"]).map(|secs| format!("{secs} s")),
        "Fail" => text(&state["Error"]),
        "Map" => {
            let distributed = crate::walk::is_distributed(state);
            let mode = if distributed { "distributed Map" } else { "Map" };
            let most = text(&state["MaxConcurrency"]).map(|most| format!(", {most} at once"));
            Some(format!("{mode}{}", most.unwrap_or_default()))
        }
        "Parallel" => Some("Parallel".to_owned()),
        _ => None,
    }
}

fn inner(source: &Source, state: &Value, pointer: &str) -> Vec<Graph> {
    let branches = state["Branches"].as_array().into_iter().flatten().enumerate();
    let branches = branches.map(|(index, branch)| {
        machine(source, branch, &child(&child(pointer, "Branches"), &index.to_string()))
    });
    let processor =
        processor(state).map(|(key, value)| machine(source, value, &child(pointer, key)));
    branches.chain(processor).collect()
}

/// What a rule asks, in its author's words if there are any.
fn condition(rule: &Value) -> String {
    if let Some(comment) = rule["Comment"].as_str() {
        return comment.to_owned();
    }
    if let Some(condition) = rule["Condition"].as_str() {
        return condition.trim_start_matches("{%").trim_end_matches("%}").trim().to_owned();
    }
    let Some(rule) = rule.as_object() else { return String::new() };
    let other = |key: &str| !["Variable", "Next", "Comment", "Assign"].contains(&key);
    let asked = rule.iter().find(|(key, _)| other(key)).map(|(key, value)| match value {
        Value::Array(_) | Value::Object(_) => key.clone(),
        value => format!("{key} {value}"),
    });
    let variable = rule.get("Variable").and_then(Value::as_str).unwrap_or_default();
    format!("{variable} {}", asked.unwrap_or_default()).trim().to_owned()
}

/// A label's lines as they are shown.
pub(super) fn lines(label: &[String]) -> Vec<String> {
    let cut = |text: &String| {
        let mut chars = text.chars();
        let start: String = chars.by_ref().take(LABEL_CHARS).collect();
        if chars.next().is_some() { format!("{start}…") } else { start }
    };
    let mut lines: Vec<_> = label.iter().take(LABEL_LINES).map(cut).collect();
    if label.len() > LABEL_LINES {
        lines.push(format!("and {} more", label.len() - LABEL_LINES));
    }
    lines
}
