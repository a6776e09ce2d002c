//! JSONata expressions: found in a state, read by a library, and asked what they use.

pub(crate) mod names;
pub(crate) mod token;

use jsonata_core::ast::{AstNode, Stage};
use jsonata_core::parser;
use serde_json::Value;

use crate::source::child;

/// The expression between `{%` and `%}`, if the text is one.
pub(crate) fn inner(text: &str) -> Option<&str> {
    text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
}

/// Reads an expression.
pub(crate) fn parse(expression: &str) -> Result<AstNode, String> {
    parser::parse(expression).map_err(|error| error.to_string())
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
pub(crate) fn children(node: &AstNode) -> Vec<&AstNode> {
    match node {
        AstNode::Path { steps } => steps
            .iter()
            .flat_map(|step| {
                let filters = step.stages.iter().filter_map(|stage| match stage {
                    Stage::Filter(filter) => Some(&**filter),
                    Stage::KeepArray | Stage::Index(_) => None,
                });
                std::iter::once(&step.node).chain(filters)
            })
            .collect(),
        AstNode::Binary { lhs, rhs, .. } => vec![lhs, rhs],
        AstNode::Unary { operand, .. } => vec![operand],
        AstNode::Function { args, .. } => args.iter().collect(),
        AstNode::Call { procedure, args } => {
            std::iter::once(&**procedure).chain(args.iter()).collect()
        }
        AstNode::Lambda { body, .. } => vec![body],
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => {
            items.iter().collect()
        }
        AstNode::Object(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        AstNode::ObjectTransform { input, pattern } => {
            let pairs = pattern.iter().flat_map(|(key, value)| [key, value]);
            std::iter::once(&**input).chain(pairs).collect()
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            let branches = [&**condition, &**then_branch].into_iter();
            branches.chain(else_branch.as_deref()).collect()
        }
        AstNode::FunctionApplication(inner) => vec![inner],
        AstNode::Sort { input, terms } => {
            std::iter::once(&**input).chain(terms.iter().map(|(term, _)| term)).collect()
        }
        AstNode::Transform { location, update, delete } => {
            [&**location, &**update].into_iter().chain(delete.as_deref()).collect()
        }
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => Vec::new(),
    }
}

/// The fields that follow `$states`: `["context", "Task"]` for `$states.context.Task`. None if the
/// expression is another one.
pub(crate) fn states_path(node: &AstNode) -> Option<Vec<&str>> {
    match node {
        AstNode::Variable(name) if name == "states" => Some(Vec::new()),
        AstNode::Path { steps } => {
            let (first, rest) = steps.split_first()?;
            let inner = states_path(&first.node)?;
            let names = rest.iter().map_while(|step| match &step.node {
                AstNode::Name(name) | AstNode::String(name) => Some(name.as_str()),
                _ => None,
            });
            Some(inner.into_iter().chain(names).collect())
        }
        _ => None,
    }
}
