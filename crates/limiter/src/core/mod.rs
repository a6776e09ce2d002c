//! The rules. They read no clock, no randomness and no network: `now` and chance are arguments.

pub(crate) mod aimd;
pub(crate) mod breaker;
pub(crate) mod control;
pub(crate) mod form;
pub(crate) mod horizon;
pub(crate) mod ledger;
pub(crate) mod left;
pub(crate) mod meter;
pub mod overtake;
pub(crate) mod quota;
pub(crate) mod rate;
pub(crate) mod register;
pub(crate) mod units;
pub(crate) mod view;
