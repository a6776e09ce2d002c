//! The account a client speaks for: one id, written in two ways.

use crate::{
    Invalid,
    ids::{checked_text, read_from_text},
};

/// A NetSuite account id, for instance `1234567` or, for its first sandbox, `1234567_SB1`.
///
/// NetSuite writes the same id in two forms, and mixing them up is a common cause of "invalid
/// login". Host names take it in lower case with `-` ([`host_form`](Self::host_form)), the OAuth
/// 1.0a realm takes it in upper case with `_` ([`realm_form`](Self::realm_form)). Either form may
/// be given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// Takes an account id in either form.
    ///
    /// # Errors
    /// When it is empty, longer than 60 characters, starts or ends with a separator, or has a
    /// character outside `A-Z a-z 0-9 _ -`. The id becomes part of a host name, so nothing else is
    /// let through.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Invalid> {
        let id = id.as_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let separator = ['_', '-'];
        if id.is_empty() || id.len() > 60 || !id.chars().all(fits) {
            return Err(Invalid::new("account id", id, "1 to 60 letters, digits, `_` or `-`"));
        }
        if id.starts_with(separator) || id.ends_with(separator) {
            return Err(Invalid::new("account id", id, "a letter or digit at both ends"));
        }
        Ok(Self(id.to_ascii_uppercase().replace('-', "_")))
    }

    /// The form in host names: `1234567-sb1`.
    #[must_use]
    pub fn host_form(&self) -> String {
        self.0.to_ascii_lowercase().replace('_', "-")
    }

    /// The same as [`realm_form`](Self::realm_form).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in the OAuth 1.0a realm and on NetSuite's own pages: `1234567_SB1`.
    #[must_use]
    pub fn realm_form(&self) -> &str {
        &self.0
    }
}

checked_text!(AccountId);
read_from_text!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_from_either() {
        for given in ["123_SB1", "123-sb1", "123_sb1"] {
            let account = AccountId::new(given).unwrap();
            assert_eq!(
                (account.host_form().as_str(), account.realm_form()),
                ("123-sb1", "123_SB1")
            );
        }
    }

    #[test]
    fn nothing_that_could_change_the_host_is_taken() {
        for given in
            ["", "1/..", "1.evil.example", "1@evil", "a b", "é", "-1", "1_", &"1".repeat(61)]
        {
            assert!(AccountId::new(given).is_err(), "{given:?} was taken");
        }
    }
}
