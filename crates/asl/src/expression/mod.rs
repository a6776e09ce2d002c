//! JSONata expressions: found in a state, read, and asked what they use.

pub(crate) mod names;
mod parse;
pub(crate) mod token;
pub(crate) mod tokens;

use serde_json::Value;

pub(crate) use parse::{Node, parse};

use crate::source::child;

/// The expression between `{%` and `%}`, if the text is one.
pub(crate) fn inner(text: &str) -> Option<&str> {
    text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
}

/// Every text below a value, with its pointer.
pub(crate) fn texts(value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, inner)| texts(inner, &child(pointer, key), found));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(index, item)| {
                texts(item, &child(pointer, &index.to_string()), found);
            });
        }
        Value::String(text) => found.push((pointer.to_owned(), text.clone())),
        _ => {}
    }
}

/// The expressions directly within one.
pub(crate) fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::Text(_) | Node::Name(_) | Node::Number(_) | Node::Leaf | Node::Variable(_) => {
            Vec::new()
        }
        Node::Path(nodes) | Node::Array(nodes) | Node::Block(nodes) | Node::Transform(nodes) => {
            nodes.iter().collect()
        }
        Node::Binary { left, right, .. } => vec![left, right],
        Node::Negate(inner)
        | Node::Lambda { body: inner, .. }
        | Node::Named { base: inner, .. } => {
            vec![inner]
        }
        Node::Call { function, arguments } => {
            std::iter::once(&**function).chain(arguments).collect()
        }
        Node::Object { base, pairs } => {
            let pairs = pairs.iter().flat_map(|(key, value)| [key, value]);
            base.as_deref().into_iter().chain(pairs).collect()
        }
        Node::Filter { base, predicate } => {
            std::iter::once(&**base).chain(predicate.as_deref()).collect()
        }
        Node::Sort { base, terms } => std::iter::once(&**base).chain(terms).collect(),
        Node::Conditional { condition, then, otherwise } => {
            [&**condition, &**then].into_iter().chain(otherwise.as_deref()).collect()
        }
    }
}

/// The fields that follow `$states`: `["context", "Task"]` for `$states.context.Task`. None if the
/// expression is another one.
pub(crate) fn states_path(node: &Node) -> Option<Vec<&str>> {
    match node {
        Node::Variable(name) if name == "states" => Some(Vec::new()),
        Node::Filter { base, .. } => states_path(base),
        Node::Path(steps) => {
            let (first, rest) = steps.split_first()?;
            let inner = states_path(first)?;
            let names = rest.iter().map_while(|step| match step {
                Node::Name(name) => Some(name.as_str()),
                _ => None,
            });
            Some(inner.into_iter().chain(names).collect())
        }
        _ => None,
    }
}
