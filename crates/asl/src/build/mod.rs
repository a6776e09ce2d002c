//! Puts a machine together from sources that people read.
//!
//! A source is ASL in JSON, in which an object may be
//!
//! - `{"$include": "FILE.json", …}`: that file's object, with the other keys laid over it;
//! - `{"$jsonata": "FILE.jsonata"}`: the string `{% … %}` of that expression, its comments and
//!   line breaks taken out. In an expression `$include('FILE.jsonata')` stands for another one.
//!
//! The result has a fixed order of keys, states in the order in which they are reached.

mod files;
mod include;
mod jsonata;
mod write;

pub use files::Error;
pub use include::file;
pub use write::text;
