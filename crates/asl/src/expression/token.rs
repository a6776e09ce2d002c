//! Whether an expression's value holds the task token.

use std::collections::BTreeMap;

use super::{Node, children, states_path};

/// On which paths through an expression its value holds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passed {
    /// On none.
    Never,
    /// On some and not on others.
    Sometimes,
    /// On all.
    Always,
}

impl Passed {
    /// One of two values, each possible.
    fn either(self, other: Self) -> Self {
        if self == other { self } else { Self::Sometimes }
    }
}

/// How the value of an expression holds the token. What cannot be followed counts as passed, so
/// that nothing is said that is not certain.
pub(crate) fn passed(node: &Node) -> Passed {
    follow(node, &mut BTreeMap::new())
}

/// The variables of the expression that hold the token.
type Holders = BTreeMap<String, Passed>;

fn follow(node: &Node, holders: &mut Holders) -> Passed {
    if let Some(path) = states_path(node) {
        let holds = ["context", "Task", "Token"].iter().zip(&path).all(|(want, is)| want == is);
        return if holds { Passed::Always } else { Passed::Never };
    }
    match node {
        Node::Variable(name) => holders.get(name).copied().unwrap_or(Passed::Never),
        // A variable that holds the token has not handed it over yet.
        Node::Binary { op, left, right } if op == ":=" => {
            let held = follow(right, holders);
            if let Node::Variable(name) = &**left {
                holders.insert(name.clone(), held);
            }
            held
        }
        Node::Block(lines) => {
            lines.iter().map(|line| follow(line, holders)).last().unwrap_or(Passed::Never)
        }
        Node::Conditional { condition: _, then, otherwise } => {
            let otherwise =
                otherwise.as_deref().map_or(Passed::Never, |node| follow(node, holders));
            follow(then, holders).either(otherwise)
        }
        _ => children(node)
            .into_iter()
            .map(|inner| follow(inner, holders))
            .max()
            .unwrap_or(Passed::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::parse;

    #[test]
    fn a_token_is_followed_to_the_value() {
        use Passed::{Always, Never, Sometimes};
        for (expression, expected) in [
            ("$states.context.Task.Token", Always),
            ("$states.context.Task", Always),
            ("$states", Always),
            ("{'a': {'token': $states.context.Task.Token}}", Always),
            ("$states.context.Execution.Id", Never),
            ("$states.input.Task.Token", Never),
            ("'$states.context.Task.Token'", Never),
            ("/* $states.context.Task.Token */ 1", Never),
            ("$states.input.x ? {'t': $states.context.Task.Token} : {}", Sometimes),
            ("$states.input.x ? {'t': $states.context.Task.Token}", Sometimes),
            ("$states.context.Task.Token ? 1 : 2", Never),
            ("{'t': $states.context.Task.Token, 'x': $states.input.x ? 1 : 2}", Always),
            ("($t := $states.context.Task.Token; {'t': $t})", Always),
            ("($t := $states.context.Task.Token; {'t': 1})", Never),
            ("($t := $states.input.x ? $states.context.Task.Token; {'t': $t})", Sometimes),
            ("$merge([$states.input, {'t': $states.context.Task.Token}])", Always),
            ("($f := function() { $states.context.Task.Token }; {'t': $f()})", Always),
            ("$states.context.Task.Token ~> $string", Always),
        ] {
            assert_eq!(passed(&parse(expression).unwrap()), expected, "{expression}");
        }
    }
}
