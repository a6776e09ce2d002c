#![doc = include_str!("../README.md")]

mod answer;
mod asked;
mod dialect;
mod keys;
mod records;
mod service;
mod services;
mod signature;
mod span;
mod tokens;
mod vendor;

pub use dialect::{Dialect, Sample};
pub use slowlane_sandbox::{
    Clock, Fault, Latency, Measure, Rate, Report, Request, Response, Settings, Stats, serve,
};
pub use vendor::Vendor;

/// A vendor's API behind its limits, without a clock and without a socket.
pub type Sandbox = slowlane_sandbox::Sandbox<Vendor>;
