//! JSON pointers (RFC 6901), with `*` for every member of an object or item of an array.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use serde_json::value::RawValue;

/// A place, or several, in a JSON document: `/error/code`, `/compositeResponse/*/httpStatusCode`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Name(String),
    Any,
}

/// Why a text is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer begins with a slash; write `/error/code`")]
pub(crate) struct Error;

impl Pointer {
    /// Every value that the pointer names, in the document's order. Each value is visited once at
    /// most, so the time is bounded by the document's size.
    pub(crate) fn find<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![document];
        for token in &self.tokens {
            found = found.into_iter().flat_map(|value| step(value, token)).collect();
        }
        found
    }

    /// The value as it stands in the text, so that no digit of a long number is lost. It is found
    /// also where the end of the document is missing.
    ///
    /// `None` for a pointer with `*`.
    pub(crate) fn raw<'a>(&self, document: &'a [u8]) -> Option<&'a RawValue> {
        let names = self.tokens.iter().map(|token| match token {
            Token::Name(name) => Some(name.as_str()),
            Token::Any => None,
        });
        raw::find(document, &names.collect::<Option<Vec<_>>>()?)
    }
}

fn step<'a>(value: &'a Value, token: &Token) -> Vec<&'a Value> {
    match (value, token) {
        (Value::Object(members), Token::Name(name)) => members.get(name).into_iter().collect(),
        (Value::Object(members), Token::Any) => members.values().collect(),
        (Value::Array(items), Token::Name(index)) => {
            index.parse().ok().and_then(|index: usize| items.get(index)).into_iter().collect()
        }
        (Value::Array(items), Token::Any) => items.iter().collect(),
        _ => Vec::new(),
    }
}

impl FromStr for Pointer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(Error);
        }
        let tokens = text.split('/').skip(1).map(|token| match token {
            "*" => Token::Any,
            name => Token::Name(name.replace("~1", "/").replace("~0", "~")),
        });
        Ok(Pointer { text: text.to_owned(), tokens: tokens.collect() })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Finds a value in a document's text without building the rest of it.
mod raw {
    use std::borrow::Cow;
    use std::fmt;

    use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
    use serde_json::value::RawValue;

    pub(super) fn find<'a>(document: &'a [u8], names: &[&str]) -> Option<&'a RawValue> {
        let mut found = None;
        let seek = Seek { names, found: &mut found };
        // Where the document breaks off, the value has been seen or there is none.
        let _ = seek.deserialize(&mut serde_json::Deserializer::from_slice(document));
        found
    }

    struct Seek<'n, 'f, 'de> {
        names: &'n [&'n str],
        found: &'f mut Option<&'de RawValue>,
    }

    impl<'de> DeserializeSeed<'de> for Seek<'_, '_, 'de> {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            if self.names.is_empty() {
                *self.found = Some(serde::Deserialize::deserialize(deserializer)?);
                return Ok(());
            }
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Seek<'_, '_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON document")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let Some((first, rest)) = self.names.split_first() else { return Ok(()) };
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == *first {
                    map.next_value_seed(Seek { names: rest, found: self.found })?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            let Some((first, rest)) = self.names.split_first() else { return Ok(()) };
            let wanted: Option<usize> = first.parse().ok();
            let mut index = 0;
            loop {
                if Some(index) == wanted {
                    let seek = Seek { names: rest, found: self.found };
                    if items.next_element_seed(seek)?.is_none() {
                        return Ok(());
                    }
                } else if items.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
                index += 1;
            }
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_names_every_member_and_item() {
        let document =
            json!({"data": {"a": {"userErrors": [{"f": 1}]}, "b": {"userErrors": [{"f": 2}]}}});
        let found = pointer("/data/*/userErrors/*/f").find(&document);
        assert_eq!(found, [&json!(1), &json!(2)]);
        assert_eq!(pointer("").find(&document), [&document]);
        assert!(pointer("/data/0").find(&document).is_empty());
        assert_eq!(pointer("/a~1b/~0").find(&json!({"a/b": {"~": 1}})), [&json!(1)]);
        assert_eq!("error".parse::<Pointer>(), Err(Error));
    }

    #[test]
    fn a_value_is_found_as_it_is_written_also_where_the_end_is_missing() {
        let document =
            br#"{"x": [1, {"id": 12345678901234567890123}], "y": {"id": "a"}, "z": "bro"#;
        let raw = |text: &str| pointer(text).raw(document).map(RawValue::get);
        assert_eq!(raw("/x/1/id"), Some("12345678901234567890123"));
        assert_eq!(raw("/y/id"), Some("\"a\""));
        assert_eq!(raw("/z"), None);
        assert_eq!(raw("/x/5"), None);
        assert_eq!(raw("/x/0/deeper"), None);
        assert_eq!(raw("/*/id"), None);
    }
}
