//! Under what name a call runs once: a scope and a key, and the record that they name.

use std::fmt;
use std::sync::Arc;

/// The longest scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 128;
/// The longest key, in bytes: with its scope it fits a DynamoDB sort key (1,024 bytes),
/// so that one record fits either table layout.
pub const MAX_KEY_BYTES: usize = 895;

/// Why a scope, a key or a payload cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An empty key would make unrelated calls one.
    #[error("the {what} is empty")]
    Empty {
        /// "scope" or "key".
        what: &'static str,
    },
    /// Too long for the table's key.
    #[error("the {what} has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// "scope" or "key".
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A `#` in the scope would make the boundary between scope and key ambiguous.
    #[error("the scope {scope:?} contains '#', which separates scope and key")]
    Separator {
        /// The scope as given.
        scope: String,
    },
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON")]
    Payload(#[source] serde_json::Error),
}

/// Whose keys these are: usually one per operation of a target ("netsuite",
/// "billing.charge"). The same key in two scopes means two different calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// 1 to 128 bytes, without `#`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::TooLong`] or [`Error::Separator`].
    pub fn new(scope: impl Into<String>) -> Result<Self, Error> {
        let scope = scope.into();
        check_length("scope", &scope, MAX_SCOPE_BYTES)?;
        if scope.contains('#') {
            return Err(Error::Separator { scope });
        }
        Ok(Self(scope))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes two requests the same call: an order number, a message id, the value of
/// an `Idempotency-Key` header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// 1 to 895 bytes.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::TooLong`].
    pub fn new(key: impl Into<String>) -> Result<Self, Error> {
        let key = key.into();
        check_length("key", &key, MAX_KEY_BYTES)?;
        Ok(Self(key))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    match text.len() {
        0 => Err(Error::Empty { what }),
        bytes if bytes > limit => Err(Error::TooLong { what, bytes, limit }),
        _ => Ok(()),
    }
}

/// The name of a record: `{scope}#{key}`, at most 1,024 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// The record of this key in this scope.
    pub fn new(scope: &Scope, key: &Key) -> Self {
        Self(format!("{}#{}", scope.0, key.0).into())
    }

    /// Reads an id as a store holds it. `None` if it is no `{scope}#{key}`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scope, key) = text.split_once('#')?;
        let id = Self::new(&Scope::new(scope).ok()?, &Key::new(key).ok()?);
        Some(id)
    }

    /// `{scope}#{key}`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `#`.
    pub fn scope(&self) -> &str {
        self.0.split_once('#').map_or("", |(scope, _)| scope)
    }

    /// The part after the first `#`.
    pub fn key(&self) -> &str {
        self.0.split_once('#').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_keys_are_checked_by_name() {
        let error = |result: Result<Scope, Error>| result.unwrap_err().to_string();
        assert_eq!(error(Scope::new("")), "the scope is empty");
        assert_eq!(
            error(Scope::new("a#b")),
            "the scope \"a#b\" contains '#', which separates scope and key"
        );
        assert_eq!(
            Key::new("k".repeat(896)).unwrap_err().to_string(),
            "the key has 896 bytes, at most 895 are allowed"
        );
        let longest = RecordId::new(
            &Scope::new("s".repeat(MAX_SCOPE_BYTES)).unwrap(),
            &Key::new("k".repeat(MAX_KEY_BYTES)).unwrap(),
        );
        assert_eq!(longest.as_str().len(), 1024);
    }

    #[test]
    fn an_id_splits_at_its_first_separator() {
        let id = RecordId::parse("orders#a#b").unwrap();
        assert_eq!((id.scope(), id.key()), ("orders", "a#b"));
        assert_eq!(RecordId::parse("no separator"), None);
        assert_eq!(RecordId::parse("#key"), None);
        assert_eq!(RecordId::parse("scope#"), None);
    }
}
