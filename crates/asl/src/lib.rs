#![doc = include_str!("../README.md")]

pub mod build;
mod checks;
pub mod directory;
pub mod draw;
mod expression;
mod problem;
pub mod scripted;
pub mod source;
mod walk;

pub use checks::{CHECKS, problems};
pub use problem::Problem;
pub use source::Source;
