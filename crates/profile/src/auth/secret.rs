//! A secret: texts by their names, which become headers and are never shown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::template::Template;
use crate::words::moment;

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
    /// A field that should say a time does not.
    #[error("the secret's `{0}` says no time, such as 2027-06-30 or 2027-06-30T12:00:00Z")]
    NoTime(String),
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

    /// When it ends, if whoever put it there has written it beside: the field `expires_at`, such as
    /// `2027-06-30` or `2027-06-30T12:00:00Z`.
    ///
    /// # Errors
    /// The field is there and says no time.
    pub fn ends(&self) -> Result<Option<Timestamp>, SecretError> {
        const FIELD: &str = "expires_at";
        let Ok(text) = self.field(FIELD) else { return Ok(None) };
        moment(text).map(Some).ok_or_else(|| SecretError::NoTime(FIELD.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_say_when_it_ends() {
        let ends = |text: &str| Secret::from_json(text).unwrap().ends();
        let end = "2027-06-30T00:00:00Z".parse().unwrap();
        assert_eq!(ends(r#"{"api_key":"k","expires_at":"2027-06-30"}"#), Ok(Some(end)));
        assert_eq!(ends(r#"{"api_key":"k"}"#), Ok(None));
        assert_eq!(ends(r#"{"expires_at":""}"#), Ok(None));
        let error = ends(r#"{"expires_at":"in June"}"#).unwrap_err().to_string();
        assert!(error.contains("`expires_at`") && !error.contains("June"), "{error}");
    }
}
