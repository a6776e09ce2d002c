//! The targets that come with the worker.

pub mod configured;
pub mod netsuite;
pub mod profile;
