#![doc = include_str!("../README.md")]

mod api;
mod fault;
mod latency;
pub mod process;
mod rate;
mod report;
mod sandbox;
mod server;

pub use api::{Api, Created, Effect, LateEffect, Refusal, Subject};
pub use fault::{Fault, FaultKind, ParseFaultError, Which, parse_time};
pub use latency::{Latency, ParseLatencyError};
pub use rate::{Measure, ParseRateError, Rate, Remaining, Window};
pub use report::{CallReport, Report, Stats};
pub use sandbox::{Admitted, Begun, Finished, Sandbox, Settings, Setup};
pub use server::{Clock, in_json, serve};

/// A request as the core takes it: the whole body is there.
pub type Request = http::Request<bytes::Bytes>;

/// An answer as the core gives it.
pub type Response = http::Response<bytes::Bytes>;
