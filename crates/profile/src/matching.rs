//! What a rule asks of one header or one place in the body.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::source::find_ignoring_case;
use crate::words::described;

/// A condition on the values at one place. It holds if it holds for any of them.
///
/// `"THROTTLED"`, `429`, `true` and lists of these ask for equality. A table asks for more: `{
/// contains = "..." }`, `{ present = true }`, `{ empty = false }`, `{ from = 400, to = 599 }`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Match {
    /// Equal to one of these. Numbers and truth values are compared as they are written.
    Is(Vec<String>),
    /// A text that holds one of these; ASCII letters may differ in case.
    Contains(Vec<String>),
    /// The place is there and not null, or is not.
    Present(bool),
    /// An array, object or text that is there and empty, or not empty.
    Empty(bool),
    /// A number between these, both included.
    Between(f64, f64),
}

impl Match {
    pub(crate) fn holds_for_values(&self, values: &[&Value]) -> bool {
        match self {
            Match::Present(wanted) => values.iter().any(|value| !value.is_null()) == *wanted,
            _ => values.iter().any(|value| self.holds_for(value)),
        }
    }

    /// A header's value is compared without regard to the case of ASCII letters.
    pub(crate) fn holds_for_header(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Match::Present(wanted), value) => value.is_some() == *wanted,
            (Match::Is(all), Some(value)) => all.iter().any(|one| one.eq_ignore_ascii_case(value)),
            (Match::Between(..), Some(value)) => {
                value.parse().is_ok_and(|number: f64| self.holds_for(&number.into()))
            }
            (_, Some(value)) => self.holds_for(&value.into()),
            (_, None) => false,
        }
    }

    fn holds_for(&self, value: &Value) -> bool {
        match (self, value) {
            (Match::Is(all), Value::String(text)) => all.contains(text),
            (Match::Is(all), Value::Number(number)) => all.contains(&number.to_string()),
            (Match::Is(all), Value::Bool(truth)) => all.contains(&truth.to_string()),
            (Match::Contains(all), Value::String(text)) => {
                all.iter().any(|part| find_ignoring_case(text, part).is_some())
            }
            (Match::Empty(wanted), Value::Array(items)) => items.is_empty() == *wanted,
            (Match::Empty(wanted), Value::Object(members)) => members.is_empty() == *wanted,
            (Match::Empty(wanted), Value::String(text)) => text.is_empty() == *wanted,
            (Match::Between(from, to), value) => {
                let text = value.as_str().and_then(|text| text.parse().ok());
                value.as_f64().or(text).is_some_and(|number| (*from..=*to).contains(&number))
            }
            _ => false,
        }
    }
}

/// The form with words.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// A text that holds this, or one of these. ASCII letters may differ in case.
    contains: Option<Texts>,
    /// The place is there and not null.
    present: Option<bool>,
    /// An array, object or text is empty.
    empty: Option<bool>,
    /// The least number.
    from: Option<f64>,
    /// The greatest number.
    to: Option<f64>,
}

impl Fields {
    fn into_match(self) -> Result<Match, String> {
        let range = (self.from, self.to);
        match (self.contains, self.present, self.empty, range) {
            (Some(Texts(parts)), None, None, (None, None)) => Ok(Match::Contains(parts)),
            (None, Some(present), None, (None, None)) => Ok(Match::Present(present)),
            (None, None, Some(empty), (None, None)) => Ok(Match::Empty(empty)),
            (None, None, None, (Some(from), Some(to))) => Ok(Match::Between(from, to)),
            _ => {
                Err("a condition asks one thing; write one of `contains`, `present`, `empty`, or \
                      `from` with `to`"
                    .to_owned())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Match;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number or truth value, a list of these, or a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Match, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
                fields.into_match().map_err(de::Error::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Match, A::Error> {
                TextsReader.visit_seq(items).map(|Texts(all)| Match::Is(all))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Match, E> {
                Ok(Match::Is(vec![text.to_owned()]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Match, E> {
                Ok(Match::Is(vec![number.to_string()]))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Match, E> {
                Ok(Match::Is(vec![truth.to_string()]))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// One text, number or truth value, or several.
struct Texts(Vec<String>);

struct TextsReader;

impl<'de> Visitor<'de> for TextsReader {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, or a list of these")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let mut all = Vec::new();
        while let Some(Texts(one)) = items.next_element()? {
            all.extend(one);
        }
        Ok(Texts(all))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![text.to_owned()]))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Texts, E> {
        Ok(Texts(vec![number.to_string()]))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Texts, E> {
        Ok(Texts(vec![truth.to_string()]))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsReader)
    }
}

described! {
    Texts: {
        "description": "One text or number, or a list of them.",
        "anyOf": [
            {"type": ["string", "integer", "boolean"]},
            {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
        ],
    };
}

impl JsonSchema for Match {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Match".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let texts = generator.subschema_for::<Texts>();
        let table = generator.subschema_for::<Fields>();
        schemars::json_schema!({
            "description": "What a header or a place in the body must say.",
            "anyOf": [texts, table],
        })
    }
}
