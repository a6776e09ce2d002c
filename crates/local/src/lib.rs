//! The whole of Slowlane on one machine, without an AWS account and without Docker.
//!
//! A limited API, an AWS and the real binaries between them come up in a few seconds, take
//! real workflows, and are gone without a trace:
//!
//! 1. [`MiniStack`] is the AWS: one Python server on a loopback port. It runs the Lambda
//!    binaries as processes.
//! 2. [`SandboxProcess`] is the API: a NetSuite, or another vendor's, with a limit, a latency and faults
//!    on demand, which reports what it saw.
//! 3. [`Stack`] deploys the repository's CloudFormation template between the two, with the
//!    code that deploys it to AWS (`slowlane-deployer`).
//! 4. [`Workload`] is a list of orders, made up or read from a file; [`workload`] documents
//!    their form.
//! 5. [`run`](run::run) starts one `sales-order-sync` execution for each order and waits for
//!    its end, while [`progress`] shows what happens.
//! 6. [`Report`] is what came of it, by the sandbox's account.
//!
//! The program `slowlane-local demo` puts them together, and [`target::demo`] does so for a target of
//! `slowlane.toml`; the whole-path tests put them
//! together in other ways. Whatever is started here runs as a [`ProcessGroup`] and ends with
//! its owner, whichever way that ends.

pub mod ministack;
pub mod outage;
mod pace;
pub mod process;
pub mod progress;
pub mod rate;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod stack;
pub mod target;
pub mod worker_log;
pub mod workload;

pub use ministack::MiniStack;
pub use outage::Outage;
pub use process::ProcessGroup;
pub use rate::Rate;
pub use report::Report;
pub use sandbox::SandboxProcess;
pub use stack::{Dispatch, OnHigher, Settings, Stack, Target, Tools};
pub use workload::{Order, Workload};

/// A client for servers on this machine: an HTTP proxy of the environment is not for them.
#[expect(
    clippy::expect_used,
    reason = "without proxy or certificates there is nothing to set up that could fail"
)]
fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client for loopback")
}
