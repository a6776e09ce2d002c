//! The targets that come with the worker.

pub mod http;
pub mod netsuite;
