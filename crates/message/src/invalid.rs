//! Why a value was refused.

/// A value that does not fit: what was expected, and a description of what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct InvalidValue {
    /// What should have been there.
    pub expected: &'static str,
    /// What was there, described without repeating secrets or customer data.
    pub found: String,
}
