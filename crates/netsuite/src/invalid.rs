//! What is wrong with something the caller gave, found before anything is sent.

/// Something that was given to the client and cannot be used.
///
/// The offending text is quoted (cut to 80 characters), except where it could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}{}: {wanted}", self.quoted())]
pub struct Invalid {
    what: &'static str,
    given: Option<String>,
    wanted: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, given: &str, wanted: impl Into<String>) -> Self {
        Self { what, given: Some(given.chars().take(80).collect()), wanted: wanted.into() }
    }

    /// For what must not be quoted: keys, and bodies that may hold a customer's data.
    pub(crate) fn unquoted(what: &'static str, wanted: impl Into<String>) -> Self {
        Self { what, given: None, wanted: wanted.into() }
    }

    fn quoted(&self) -> String {
        self.given.as_ref().map(|given| format!(" {given:?}")).unwrap_or_default()
    }
}
