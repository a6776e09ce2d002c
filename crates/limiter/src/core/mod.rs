//! The rules. They read no clock, no randomness and no network: `now` and chance are arguments.

pub(crate) mod form;
pub(crate) mod meter;
pub(crate) mod rate;
