//! The worker Lambda. It receives the most urgent call, guards it so that it has one effect, makes
//! it, and resumes the workflow that waits for it.
//!
//! One running invocation is one *slot* of the API's limit, because the function's reserved
//! concurrency is that limit. The way of a call through the files:
//!
//! 1. An SQS event arrives at [`Worker::handle`] (`invocation`), or a ring that another slot has
//!    handed on. How the deployment is wired says what that is: a ring (`doorbell`), which wakes a
//!    slot that receives the most urgent call by itself, or a call (`deferral`).
//! 2. The call is prepared, made and settled (`call`), each way to end it in a place of its own.
//! 3. What happened goes into the log and the metrics (`metrics`). All that the worker knows of
//!    AWS's services is in `aws`.
//!
//! The API behind it is a [`Target`]. A team with its own writes a `main` of three lines:
//!
//! ```no_run
//! # use slowlane_worker::{AfterLoss, Outcome, QueuedCall, Target, TargetResponse};
//! # use slowlane_worker::{aws_config, lambda_runtime};
//! # struct Crm;
//! # impl Crm { async fn connect(_: &aws_config::SdkConfig) -> Result<Crm, std::io::Error> { Ok(Crm) } }
//! # impl Target for Crm {
//! #     async fn call(&self, _: &QueuedCall) -> Outcome<TargetResponse> {
//! #         Outcome::Succeeded(TargetResponse::new(200))
//! #     }
//! #     fn after_loss(&self, _: &QueuedCall) -> AfterLoss { AfterLoss::Repeat }
//! # }
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), lambda_runtime::Error> {
//!     slowlane_worker::run(Crm::connect).await
//! }
//! ```

mod aws;
mod call;
mod config;
mod deferral;
mod doorbell;
mod invocation;
mod lambda;
mod limits;
mod metering;
mod metrics;
mod package;
mod spans;
mod target;
pub mod targets;

// What a worker of your own needs beside this crate, each in the version that fits it.
pub use aws_config;
pub use jiff;
pub use lambda_runtime;
pub use reqwest;
pub use slowlane_profile as profile;

pub use aws::clients::Clients;
pub use aws::files::{FilesPlace, NoFilesPlace};
pub use aws::function::HandedRing;
pub use aws::secret::SecretAccessError;
pub use config::{Config, Dispatch, QueueUrls};
pub use invocation::{Handled, Worker};
pub use lambda::{Wake, run};
pub use limits::{Error as LimitsError, keeps};
pub use metrics::Counts;
pub use slowlane_lambda::env;
pub use slowlane_message::{
    AnswerFile, Content, Counted, Left, Method, Part, PartOutcome, QueuedCall, Usage,
};
pub use slowlane_policy::deferral::OnHigher;
pub use slowlane_policy::settle::{Outcome, Why};
pub use target::{AfterLoss, Reconciled, Target, TargetResponse};
