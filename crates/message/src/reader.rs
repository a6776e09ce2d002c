//! Reads an object field by field and keeps the path, so that every refusal says where.
//!
//! The envelope is read by hand, because derived deserializers do not know the path. Nor do they
//! know our rule for unknown fields: an error in our own version, ignored in a newer minor one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::text::{MAX_HEADERS, TextRule};
use crate::{Error, InvalidValue, SchemaVersion};

/// One object of the envelope. It may have only the fields that it was opened with, unless the
/// message is of a newer minor version.
pub(crate) struct Fields<'a> {
    path: &'static str,
    map: &'a Map<String, Value>,
    newer: bool,
}

const EXPECTED_OBJECT: &str = "a JSON object";
const EXPECTED_COUNT: &str = "a whole number from 1 to 4294967295";
const EXPECTED_TIME: &str = "an RFC 3339 time such as 2026-11-21T12:00:00.000Z";

impl<'a> Fields<'a> {
    /// Opens a whole message. The version is checked first: for a message of another major
    /// version, no other complaint would make sense.
    pub(crate) fn versioned(value: &'a Value, known: &[&str]) -> Result<Fields<'a>, Error> {
        let mut fields = Fields {
            path: "",
            map: value.as_object().ok_or_else(|| Error::NotAnObject { found: type_name(value) })?,
            newer: false,
        };
        let version: SchemaVersion =
            fields.required("version", SchemaVersion::EXPECTED, str::parse)?;
        fields.newer = is_newer_minor(version)?;
        fields.refuse_unknown(known)?;
        Ok(fields)
    }

    /// Opens the object in the required field `name` of a whole message.
    pub(crate) fn object(&self, name: &'static str, known: &[&str]) -> Result<Fields<'a>, Error> {
        let value = self.get(name).ok_or_else(|| Error::Missing {
            path: self.path_of(name),
            expected: EXPECTED_OBJECT,
        })?;
        let fields = Fields {
            path: name,
            map: value.as_object().ok_or_else(|| Error::Invalid {
                path: self.path_of(name),
                reason: mismatch(EXPECTED_OBJECT, value),
            })?,
            newer: self.newer,
        };
        fields.refuse_unknown(known)?;
        Ok(fields)
    }

    /// The field's value; `null` counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A field that must be there, written as a JSON string.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Result<T, Error> {
        self.optional(name, expected, parse)?
            .ok_or_else(|| Error::Missing { path: self.path_of(name), expected })
    }

    /// A field that may be absent, written as a JSON string.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) => parse(text),
            None => Err(mismatch(expected, value)),
        }
        .map(Some)
        .map_err(|reason| Error::Invalid { path: self.path_of(name), reason })
    }

    pub(crate) fn required_time(&self, name: &str) -> Result<Timestamp, Error> {
        self.required(name, EXPECTED_TIME, parse_time)
    }

    pub(crate) fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        self.optional(name, EXPECTED_TIME, parse_time)
    }

    /// A field that may be absent, and is `false` then.
    pub(crate) fn optional_bool(&self, name: &str) -> Result<bool, Error> {
        let Some(value) = self.get(name) else {
            return Ok(false);
        };
        value.as_bool().ok_or_else(|| Error::Invalid {
            path: self.path_of(name),
            reason: mismatch("true or false", value),
        })
    }

    /// A whole number of 1 or more that may be absent. As in JSON Schema, `7.0` is one.
    pub(crate) fn optional_count(&self, name: &str) -> Result<Option<NonZeroU32>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let whole = value.as_f64().filter(|number| number.fract() == 0.0);
        let whole = value.as_u64().or_else(|| whole.map(|number| number as u64));
        let count = whole.and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?));
        count.map(Some).ok_or_else(|| {
            let reason = match value {
                Value::Number(_) => {
                    InvalidValue { expected: EXPECTED_COUNT, found: "another number".to_owned() }
                }
                _ => mismatch(EXPECTED_COUNT, value),
            };
            Error::Invalid { path: self.path_of(name), reason }
        })
    }

    /// An object of texts that may be absent, which is an empty one. No refusal repeats a value.
    pub(crate) fn optional_texts(
        &self,
        name: &'static str,
        names: &TextRule,
        values: &TextRule,
    ) -> Result<BTreeMap<String, String>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(BTreeMap::new());
        };
        let refused = |path: String, reason| Error::Invalid { path, reason };
        let path = self.path_of(name);
        let Some(texts) = value.as_object() else {
            return Err(refused(path, mismatch("an object of texts", value)));
        };
        if texts.len() > MAX_HEADERS {
            let found = format!("{} of them", texts.len());
            return Err(refused(path, InvalidValue { expected: names.expected, found }));
        }
        let texts = texts.iter().map(|(key, value)| {
            let key = names.check(key).map_err(|reason| refused(path.clone(), reason))?;
            let text = match value.as_str() {
                Some(text) => values.check(text),
                None => Err(mismatch(values.expected, value)),
            };
            let text = text.map_err(|reason| refused(format!("{path}.{key}"), reason))?;
            Ok((key, text))
        });
        texts.collect()
    }

    fn refuse_unknown(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self.map.keys().find(|name| !known.contains(&name.as_str()));
        match unknown {
            Some(name) if !self.newer => Err(Error::UnknownField { path: self.path_of(name) }),
            _ => Ok(()),
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Whether a message of this version may hold fields that this crate does not know.
fn is_newer_minor(version: SchemaVersion) -> Result<bool, Error> {
    let known = SchemaVersion::CURRENT;
    if version.major != known.major {
        return Err(Error::UnsupportedVersion { found: version, known });
    }
    Ok(version.minor > known.minor)
}

fn parse_time(text: &str) -> Result<Timestamp, InvalidValue> {
    text.parse()
        .map_err(|_| InvalidValue { expected: EXPECTED_TIME, found: "other text".to_owned() })
}

fn mismatch(expected: &'static str, found: &Value) -> InvalidValue {
    InvalidValue { expected, found: type_name(found).to_owned() }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
