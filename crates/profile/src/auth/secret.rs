//! A secret: texts by their names, which become headers and are never shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::template::Template;

/// The fields of a secret. They are never shown.
#[derive(Debug, Clone, Default)]
pub struct Secret(BTreeMap<String, SecretString>);

/// Why a secret cannot be used. No message holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is no JSON object of texts.
    #[error("the secret must be a JSON object of texts")]
    Shape,
    /// A field is missing or empty.
    #[error("the secret has no field `{0}`")]
    Missing(String),
    /// A field has a character that no header can have.
    #[error("the secret's `{0}` has a character that no header can have")]
    NoHeader(String),
    /// A private key that cannot be read, or does not fit the algorithm.
    #[error("the secret's `{0}` is no private key in PEM for {1}")]
    NoKey(String, &'static str),
    /// The token URL that its fields make.
    #[error("the token URL {0}")]
    TokenUrl(crate::address::BaseError),
    /// The request could not be signed.
    #[error("the request cannot be signed")]
    Signing,
}

impl Secret {
    /// Reads a secret as Secrets Manager has it.
    ///
    /// # Errors
    /// It is no JSON object of texts.
    pub fn from_json(text: &str) -> Result<Self, SecretError> {
        let fields: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| SecretError::Shape)?;
        Ok(Secret(fields.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }

    /// Whether it has a field, and that is not empty.
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_ok()
    }

    pub(crate) fn field(&self, name: &str) -> Result<&str, SecretError> {
        let value = self.0.get(name).map(ExposeSecret::expose_secret);
        value.filter(|value| !value.is_empty()).ok_or_else(|| SecretError::Missing(name.to_owned()))
    }

    pub(crate) fn fill(&self, template: &Template) -> Result<String, SecretError> {
        let filled = template.fill(|gap| self.field(gap).ok().map(Cow::Borrowed));
        filled.map_err(|unfilled| SecretError::Missing(unfilled.0))
    }
}

/// One header, marked as secret.
pub(crate) fn one(name: HeaderName, value: &str) -> Result<HeaderMap, SecretError> {
    let value = HeaderValue::from_str(value);
    let mut value = value.map_err(|_| SecretError::NoHeader(name.as_str().to_owned()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}
