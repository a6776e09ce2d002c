//! Bodies that do not fit the way in which they are to be written.

/// Why a body cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A form is made of names and values.
    #[error("its body is sent as a form, so it must be an object")]
    NoForm,
    /// GraphQL needs its document.
    #[error("its body is sent as GraphQL, so it must be an object with the text `query`")]
    NoGraphQl,
    /// Plain text is a text.
    #[error("its body is sent as text, so it must be a text")]
    NoText,
    /// A batch is a list of calls.
    #[error("its body is sent as multipart, so it must be an object with `requests`, a list")]
    NoBatch,
    /// One of the calls of a batch.
    #[error("its body is sent as multipart, and requests[{index}] {why}")]
    NoPart {
        /// Its place in the list.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The bytes are not there.
    #[error("its body is sent as it is, so it must be the pointer to a file: `s3` and `etag`")]
    NoFile,
    /// serde could not write it.
    #[error("its body cannot be written")]
    Unwritable,
}
