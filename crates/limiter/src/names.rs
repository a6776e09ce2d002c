//! Names of limits and of slots.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most bytes of a [`LimitKey`].
pub const MAX_KEY_BYTES: usize = 512;

/// The name of a limit: of a target (`crm`), of a tenant of it (`crm/acme`), or one that several
/// stacks share. Everybody who uses the same name in the same store shares the limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LimitKey(String);

/// The name of one running invocation or process, new for each: a request id, or a random one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(String);

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has no character.
    #[error("a limit's or a slot's name is not empty")]
    Empty,
    /// It is longer than a store's key may be.
    #[error("{0:?} is longer than {MAX_KEY_BYTES} bytes")]
    TooLong(String),
    /// It has a `#`, which separates the parts of a stored key, or a control character.
    #[error("{0:?} has a '#' or a control character")]
    BadCharacter(String),
}

impl LimitKey {
    /// A limit of this name.
    ///
    /// # Errors
    /// It is empty, longer than [`MAX_KEY_BYTES`], or has a `#` or a control character.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        checked(name.into()).map(Self)
    }

    /// The limit of one tenant of this target: `crm/acme`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tenant(&self, tenant: &str) -> Result<Self, Error> {
        Self::new(format!("{}/{tenant}", self.0))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LimitKey {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl From<u64> for SlotId {
    /// The slot with this number, for instance a random one.
    fn from(number: u64) -> Self {
        Self(format!("{number:016x}"))
    }
}

impl SlotId {
    /// A slot of this name.
    ///
    /// # Errors
    /// It is empty, longer than [`MAX_KEY_BYTES`], or has a `#` or a control character.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        checked(name.into()).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked(name: String) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::Empty);
    }
    if name.len() > MAX_KEY_BYTES {
        return Err(Error::TooLong(name));
    }
    if name.contains(|c: char| c == '#' || c.is_control()) {
        return Err(Error::BadCharacter(name));
    }
    Ok(name)
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
