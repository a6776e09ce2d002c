//! The names of record types, records and requests, each checked before it becomes part of an
//! address.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// The record type's name in the record API, for instance `salesOrder` or `customrecord_ship`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(String);

/// A record's internal id: NetSuite's own, mostly a number. It is read from JSON texts and numbers,
/// as NetSuite sends both, and written as a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(String);

/// A record's external id: ours, unique among the records of its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId(String);

/// Either id of a record; as a text `17` or `eid:web-1001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// By internal id.
    Id(RecordId),
    /// By external id, written `eid:…` in paths.
    External(ExternalId),
}

fn checked(
    what: &'static str,
    text: &str,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
    wanted: &str,
) -> Result<String, Invalid> {
    let mut chars = text.chars();
    if chars.next().is_some_and(first) && chars.all(rest) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(what, text, wanted))
    }
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word_or_dash(c: char) -> bool {
    word(c) || c == '-'
}

impl RecordType {
    /// Checks a record type's name.
    ///
    /// # Errors
    /// When it is not a letter followed by letters, digits and `_`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Invalid> {
        let name = checked(
            "record type",
            name.as_ref(),
            |c| c.is_ascii_alphabetic(),
            word,
            "a letter, then letters, digits or `_`",
        )?;
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RecordId {
    /// Checks an internal id. Predefined records have negative ones (`-5`), a few types have names.
    ///
    /// # Errors
    /// When it is empty or has other characters than letters, digits, `_` and `-`.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Invalid> {
        checked("record id", id.as_ref(), word_or_dash, word_or_dash, "letters, digits, `_` or `-`")
            .map(Self)
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ExternalId {
    /// Checks an external id.
    ///
    /// # Errors
    /// When it is empty or has other characters than letters, digits, `_` and `-`, which is all
    /// that NetSuite allows.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Invalid> {
        checked(
            "external id",
            id.as_ref(),
            word_or_dash,
            word_or_dash,
            "letters, digits, `_` or `-`",
        )
        .map(Self)
    }

    /// The id, without `eid:`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What every checked text can: be parsed and shown, be read and written by serde.
macro_rules! checked_text {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::Invalid;

            fn from_str(text: &str) -> Result<Self, crate::Invalid> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )*};
}
pub(crate) use checked_text;

/// Reads a checked text from a text.
macro_rules! read_from_text {
    ($($name:ident),*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                let text = String::deserialize(reader)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use read_from_text;

checked_text!(RecordType, RecordId, ExternalId);
read_from_text!(RecordType, ExternalId);

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl de::Visitor<'_> for TextOrNumber {
            type Value = RecordId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record's internal id, as a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordId, E> {
                RecordId::new(text).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RecordId, E> {
                Ok(number.into())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RecordId, E> {
                self.visit_str(&number.to_string())
            }
        }

        reader.deserialize_any(TextOrNumber)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordKey::Id(id) => f.write_str(&id.0),
            RecordKey::External(id) => write!(f, "eid:{}", id.0),
        }
    }
}

impl FromStr for RecordKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix("eid:") {
            Some(id) => ExternalId::new(id).map(Self::External),
            None => RecordId::new(text).map(Self::Id),
        }
    }
}

impl Serialize for RecordKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordKey {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader)?.parse().map_err(de::Error::custom)
    }
}

impl From<u64> for RecordId {
    fn from(id: u64) -> Self {
        Self(id.to_string())
    }
}

impl From<u64> for RecordKey {
    fn from(id: u64) -> Self {
        Self::Id(id.into())
    }
}

impl From<RecordId> for RecordKey {
    fn from(id: RecordId) -> Self {
        Self::Id(id)
    }
}

impl From<&RecordId> for RecordKey {
    fn from(id: &RecordId) -> Self {
        Self::Id(id.clone())
    }
}

impl From<ExternalId> for RecordKey {
    fn from(id: ExternalId) -> Self {
        Self::External(id)
    }
}

impl From<&ExternalId> for RecordKey {
    fn from(id: &ExternalId) -> Self {
        Self::External(id.clone())
    }
}

impl From<&RecordKey> for RecordKey {
    fn from(key: &RecordKey) -> Self {
        key.clone()
    }
}
