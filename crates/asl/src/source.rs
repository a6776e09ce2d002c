//! A definition as it was written: its JSON, and where each value stands.

use std::collections::BTreeMap;

use jsonc_parser::ast::Value as Node;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

/// Why a text is no definition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not JSON.
    #[error("line {line}: this is not JSON: {what}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// What the reader found.
        what: String,
    },
    /// JSON, but without the two fields that make a state machine.
    #[error("this is no state machine: it has no StartAt, or no object of States")]
    NoMachine,
}

/// A state machine's JSON with the line of each value.
///
/// Values are named by their JSON pointer, as in `/States/Call/Retry/0`.
#[derive(Debug)]
pub struct Source {
    /// The definition.
    pub value: Value,
    /// The line of each value, from 1.
    lines: BTreeMap<String, usize>,
    /// Keys that stand twice in one object, of which JSON readers keep the last.
    pub(crate) repeated: Vec<String>,
    /// The keys of each object as they stand in the text.
    order: BTreeMap<String, Vec<String>>,
}

impl Source {
    /// Reads a state machine.
    ///
    /// # Errors
    /// [`Error::NotJson`] with the line, or [`Error::NoMachine`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (collect, strict) = (CollectOptions::default(), strict());
        let not_json = |line, what: String| Error::NotJson { line, what };
        let parsed = parse_to_ast(text, &collect, &strict)
            .map_err(|error| not_json(error.line_display(), error.kind().to_string()))?;
        // The values themselves come from serde_json, which keeps numbers to the last digit.
        let value: Value = serde_json::from_str(text)
            .map_err(|error| not_json(error.line(), error.to_string()))?;
        if !value["StartAt"].is_string() || !value["States"].is_object() {
            return Err(Error::NoMachine);
        }
        let mut source =
            Self { value, lines: BTreeMap::new(), repeated: Vec::new(), order: BTreeMap::new() };
        if let Some(root) = &parsed.value {
            source.note(root, String::new(), &Lines::of(text));
        }
        Ok(source)
    }

    /// The line on which a value begins, or the nearest value around it.
    #[must_use]
    pub fn line(&self, pointer: &str) -> usize {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return *line;
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => return 1,
            }
        }
    }

    /// The keys of an object in the order of the text.
    #[must_use]
    pub fn keys(&self, pointer: &str) -> &[String] {
        self.order.get(pointer).map_or(&[], Vec::as_slice)
    }

    fn note(&mut self, node: &Node<'_>, pointer: String, lines: &Lines) {
        self.lines.entry(pointer.clone()).or_insert_with(|| lines.number(node.start()));
        match node {
            Node::Object(object) => {
                let mut keys: Vec<String> = Vec::new();
                for property in &object.properties {
                    let key = property.name.as_str();
                    let inner = child(&pointer, key);
                    if keys.iter().any(|known| known == key) {
                        self.repeated.push(inner.clone());
                    }
                    keys.push(key.to_owned());
                    // A key is where its value is looked for.
                    self.lines.insert(inner.clone(), lines.number(property.start()));
                    self.note(&property.value, inner, lines);
                }
                self.order.insert(pointer, keys);
            }
            Node::Array(array) => {
                for (index, element) in array.elements.iter().enumerate() {
                    self.note(element, child(&pointer, &index.to_string()), lines);
                }
            }
            _ => {}
        }
    }
}

/// JSON and nothing beyond it.
fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The pointer to a value within another.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Where each line of a text begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect())
    }

    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n \"StartAt\": \"A\",\n \"States\": {\n  \"A\": {\n   \"Type\": \"Pass\",\n   \"x\": [1,\n 2]\n  },\n  \"A\": {}\n }\n}";

    #[test]
    fn a_value_has_its_line_and_a_repeated_key_is_known() {
        let source = Source::parse(TEXT).unwrap();
        assert_eq!(source.line("/States/A/Type"), 5);
        assert_eq!(source.line("/States/A/x/1"), 7);
        assert_eq!(source.line("/States/A/missing/deeper"), 9);
        assert_eq!(source.repeated, ["/States/A"]);
        assert_eq!(source.keys(""), ["StartAt", "States"]);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for text in ["{\n\"a\": 1,\n}", "{\n\"a\": 'x'\n}", "{\n\"a\": // x\n 1}", "{\n\"a\" 1}"] {
            let Err(Error::NotJson { line, .. }) = Source::parse(text) else { panic!("{text}") };
            assert!((2..=3).contains(&line), "{text}: line {line}");
        }
        assert!(matches!(Source::parse("{\"StartAt\": \"A\"}"), Err(Error::NoMachine)));
    }
}
