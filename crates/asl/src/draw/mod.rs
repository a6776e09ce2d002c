//! Pictures of a machine: its states, choices and catches, and where it pauses on a token.

mod graph;
mod layout;
mod mermaid;
mod svg;

pub use mermaid::mermaid;
pub use svg::svg;
