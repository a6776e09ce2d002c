//! The variables and functions that an expression takes from outside itself.

use std::collections::BTreeSet;

use super::{Node, children, states_path};

/// The functions of JSONata 2.0 without `$eval`, and the six that Step Functions adds (Developer
/// Guide, "Transforming data with JSONata in Step Functions").
pub(crate) const FUNCTIONS: &str = "abs append assert average base64decode base64encode boolean ceil \
    contains count decodeUrl decodeUrlComponent distinct each encodeUrl encodeUrlComponent error exists \
    filter floor formatBase formatInteger formatNumber fromMillis join keys length lookup lowercase map \
    match max merge millis min not now number pad parseInteger power reduce replace reverse round shuffle \
    sift single sort split spread sqrt string substring substringAfter substringBefore sum toMillis trim \
    type uppercase zip hash parse partition random range uuid";

/// What an expression takes from outside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Variables that it reads and does not bind.
    pub(crate) variables: BTreeSet<String>,
    /// Functions that it calls with a `$` and does not bind.
    pub(crate) functions: BTreeSet<String>,
    /// Functions that it calls without a `$`.
    pub(crate) bare_functions: BTreeSet<String>,
    /// The first field after each `$states`; empty where all of it is taken.
    pub(crate) states: BTreeSet<String>,
}

impl Names {
    pub(crate) fn of(node: &Node) -> Self {
        let mut names = Self::default();
        names.walk(node, &mut vec![bound(node)]);
        names
    }

    fn walk(&mut self, node: &Node, scopes: &mut Vec<BTreeSet<String>>) {
        if let Some(path) = states_path(node) {
            self.states.insert(path.first().copied().unwrap_or_default().to_owned());
        }
        let depth = scopes.len();
        match node {
            Node::Block(lines) => scopes.push(lines.iter().flat_map(bound).collect()),
            Node::Lambda { parameters, body } => {
                scopes.push(parameters.iter().cloned().chain(bound(body)).collect());
            }
            _ => {}
        }
        let known = |name: &str| scopes.iter().any(|scope| scope.contains(name));
        match node {
            Node::Variable(name)
                if !["", "$", "states"].contains(&name.as_str()) && !known(name) =>
            {
                self.variables.insert(name.clone());
            }
            Node::Call { function, arguments } => {
                match &**function {
                    Node::Variable(name) if !name.is_empty() && !known(name) => {
                        self.functions.insert(name.clone());
                    }
                    Node::Variable(_) => {}
                    Node::Name(name) => {
                        self.bare_functions.insert(name.clone());
                    }
                    other => self.walk(other, scopes),
                }
                arguments.iter().for_each(|argument| self.walk(argument, scopes));
                return scopes.truncate(depth);
            }
            _ => {}
        }
        // What follows `$states` is not the whole of it.
        let skipped = usize::from(
            matches!(node, Node::Path(steps) if steps.first().is_some_and(|first| states_path(first).is_some())),
        );
        children(node).into_iter().skip(skipped).for_each(|inner| self.walk(inner, scopes));
        scopes.truncate(depth);
    }
}

/// The names bound in a node's own scope: by `:=`, `@$x` and `#$x`, but not those within an inner
/// block or function. All of them count from the scope's start, since a function may use what is
/// bound after it.
fn bound(node: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    gather(node, &mut names);
    names
}

fn gather(node: &Node, names: &mut BTreeSet<String>) {
    match node {
        Node::Block(_) | Node::Lambda { .. } => return,
        Node::Binary { op, left, .. } if op == ":=" => {
            if let Node::Variable(name) = &**left {
                names.insert(name.clone());
            }
        }
        Node::Named { variable, .. } => {
            names.insert(variable.clone());
        }
        _ => {}
    }
    children(node).into_iter().for_each(|inner| gather(inner, names));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::parse;

    fn free(expression: &str) -> Vec<String> {
        let names = Names::of(&parse(expression).unwrap());
        let functions = names.functions.into_iter().map(|name| format!("{name}()"));
        let bare = names.bare_functions.into_iter().map(|name| format!("bare {name}()"));
        names.variables.into_iter().chain(functions).chain(bare).collect()
    }

    #[test]
    fn what_an_expression_binds_itself_is_not_taken_from_outside() {
        for (expression, expected) in [
            ("$x", &["x"][..]),
            ("($x := 1; $x + $y)", &["y"]),
            ("($x := 1; $x) + $x", &["x"]),
            ("function($a) { $a + $b }", &["b"]),
            (
                "($f := function($a) { $a = 0 ? 1 : $g($a) }; $g := function($a) { $f($a - 1) }; $f(2))",
                &[],
            ),
            ("$map([1], function($v, $i) { $v + $i })", &["map()"]),
            ("a@$b#$i.c[$x = $b]{$i: $y}", &["x", "y"]),
            ("'$text' & /* $comment */ $match('x', /$r/)[0].$z", &["z", "match()"]),
            ("count($x)", &["x", "bare count()"]),
            ("$$.a & $", &[]),
        ] {
            assert_eq!(free(expression), expected, "{expression}");
        }
    }

    #[test]
    fn the_fields_of_states_are_named() {
        let names =
            Names::of(&parse("$states.input.a & $states.`result`.b & $string($states)").unwrap());
        assert_eq!(names.states.into_iter().collect::<Vec<_>>(), ["", "input", "result"]);
    }
}
