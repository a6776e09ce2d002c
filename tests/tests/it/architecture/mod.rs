//! What the documents say of the code, compared with it.

mod arrows;
mod error_pages;
mod manifests;
pub(crate) mod tables;
