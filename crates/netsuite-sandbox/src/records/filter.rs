//! The query parameter `q` of a list of records: conditions on body fields.
//!
//! Source: Oracle help, "Record Collection Filtering". Understood are conditions joined by AND
//! and OR without parentheses, AND binding closer; another text is refused, not misread.

use serde_json::{Map, Value};

use crate::{problem::Problem, schema::RecordType};

/// A record passes if all conditions of one group hold.
#[derive(Debug)]
pub(crate) struct Filter {
    any_of: Vec<Vec<Condition>>,
}

#[derive(Debug)]
struct Condition {
    field: String,
    operator: Operator,
    negated: bool,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Is,
    Contain,
    StartWith,
    EndWith,
    Empty,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 10] = [
        ("IS", Self::Is),
        ("CONTAIN", Self::Contain),
        ("START_WITH", Self::StartWith),
        ("END_WITH", Self::EndWith),
        ("EMPTY", Self::Empty),
        ("EQUAL", Self::Equal),
        ("GREATER", Self::Greater),
        ("GREATER_OR_EQUAL", Self::GreaterOrEqual),
        ("LESS", Self::Less),
        ("LESS_OR_EQUAL", Self::LessOrEqual),
    ];

    fn parse(text: &str) -> Option<(Self, bool)> {
        let (name, negated) = match text.strip_suffix("_NOT") {
            Some(name) => (name, true),
            None => (text, false),
        };
        Self::ALL
            .iter()
            .find_map(|(known, operator)| (*known == name).then_some((*operator, negated)))
    }
}

impl Filter {
    pub(crate) fn parse(text: &str, record_type: &RecordType) -> Result<Self, Problem> {
        let refuse = |why: String| {
            Problem::invalid_parameter("q", format!("Invalid query '{text}': {why}."))
        };
        let mut words = words(text)
            .ok_or_else(|| refuse("a quotation mark is not closed".to_owned()))?
            .into_iter();
        let mut any_of = vec![Vec::new()];
        loop {
            let field = words.next().ok_or_else(|| refuse("a field name is missing".to_owned()))?;
            if !record_type.has_column(&field) {
                return Err(refuse(format!("there is no field '{field}'")));
            }
            let name = words.next().unwrap_or_default();
            let (operator, negated) = Operator::parse(&name.to_uppercase())
                .ok_or_else(|| refuse(format!("'{name}' is not an operator")))?;
            let value = match operator {
                Operator::Empty => String::new(),
                _ => words.next().ok_or_else(|| refuse(format!("{name} needs a value")))?,
            };
            if let Some(group) = any_of.last_mut() {
                group.push(Condition { field, operator, negated, value });
            }
            match words.next().map(|word| word.to_uppercase()).as_deref() {
                None => return Ok(Self { any_of }),
                Some("AND") => {}
                Some("OR") => any_of.push(Vec::new()),
                Some(other) => return Err(refuse(format!("'{other}' is neither AND nor OR"))),
            }
        }
    }

    pub(crate) fn passes(&self, record: &Map<String, Value>) -> bool {
        self.any_of.iter().any(|group| group.iter().all(|condition| condition.holds(record)))
    }
}

impl Condition {
    fn holds(&self, record: &Map<String, Value>) -> bool {
        let text = record.get(&self.field).and_then(comparable);
        let holds = match (self.operator, text) {
            (Operator::Empty, text) => text.is_none_or(|text| text.is_empty()),
            (_, None) => false,
            (Operator::Is | Operator::Equal, Some(text)) => text.eq_ignore_ascii_case(&self.value),
            (Operator::Contain, Some(text)) => {
                text.to_lowercase().contains(&self.value.to_lowercase())
            }
            (Operator::StartWith, Some(text)) => {
                text.to_lowercase().starts_with(&self.value.to_lowercase())
            }
            (Operator::EndWith, Some(text)) => {
                text.to_lowercase().ends_with(&self.value.to_lowercase())
            }
            (operator, Some(text)) => match (text.parse::<f64>(), self.value.parse::<f64>()) {
                (Ok(left), Ok(right)) => match operator {
                    Operator::Greater => left > right,
                    Operator::GreaterOrEqual => left >= right,
                    Operator::Less => left < right,
                    _ => left <= right,
                },
                _ => false,
            },
        };
        holds != self.negated
    }
}

/// A field's value as a text; a reference is its id.
fn comparable(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(reference) => reference.get("id").and_then(comparable),
        other => Some(other.to_string()),
    }
}

/// Splits at blanks outside of quotation marks; nothing if a mark is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest[1..].split_once(first)?,
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;
    use serde_json::json;

    #[test]
    fn conditions_hold_or_are_refused() {
        let (customer, _) = schema::find("customer").unwrap();
        let Value::Object(record) = json!({
            "email": "ann@acme.example", "creditLimit": 500, "isInactive": false, "terms": {"id": "4"}
        }) else {
            panic!("an object")
        };
        let table = [
            (r#"email IS "ann@acme.example""#, Some(true)),
            ("email START_WITH ann", Some(true)),
            ("email START_WITH_NOT ann", Some(false)),
            (r#"email CONTAIN 'ACME'"#, Some(true)),
            ("creditLimit GREATER 499 AND isInactive IS false", Some(true)),
            ("creditLimit LESS 500 OR terms EQUAL 4", Some(true)),
            ("creditLimit LESS 500 OR terms EQUAL 5 AND email EMPTY_NOT", Some(false)),
            ("phone EMPTY", Some(true)),
            ("phone IS 5", Some(false)),
            ("colour IS red", None),
            ("email LIKES ann", None),
            ("email IS", None),
            ("email EMPTY XOR phone EMPTY", None),
            ("email IS \"ann", None),
            ("", None),
        ];
        for (text, expected) in table {
            let filter = Filter::parse(text, customer);
            assert_eq!(filter.ok().map(|filter| filter.passes(&record)), expected, "{text}");
        }
    }
}
