//! The frame of `main`: the environment, the clients, and Lambda's loop.

use std::fmt;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_lambda_events::event::sqs::SqsEvent;
use aws_smithy_types::timeout::TimeoutConfig;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Deserialize;
use slowlane_lambda::logs::chain;
use slowlane_lambda::spans::Exporter;
use slowlane_lambda::{env, logs};

use crate::aws::clients::Clients;
use crate::aws::function::HandedRing;
use crate::config::Config;
use crate::invocation::Worker;
use crate::target::Target;

/// What the worker is invoked with.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Wake {
    /// Messages, by a mapping.
    Mapping(SqsEvent),
    /// A ring, by another slot.
    Slot(HandedRing),
}

/// Runs the worker as a Lambda function until Lambda stops it. `connect` makes the target;
/// it is given the SDK configuration to read secrets with.
///
/// # Errors
/// A bad environment (every bad variable is named), or a target that could not be made. It is logged,
/// and said in words where `main` returns it.
pub async fn run<T, E>(
    connect: impl AsyncFnOnce(&SdkConfig) -> Result<T, E>,
) -> Result<(), lambda_runtime::Error>
where
    T: Target,
    E: Into<lambda_runtime::Error>,
{
    logs::init(&env::process("LOG_LEVEL").unwrap_or_default());
    let worker = start(connect).await.map_err(|error| {
        let start_failed = chain(&*error);
        // Calls only wait meanwhile: `slowlane status` looks for this field to say for what.
        tracing::error!(target: "slowlane::start", start_failed, "the worker does not start");
        InWords(start_failed)
    })?;
    serve(worker).await
}

/// An error of the start. `main` prints it by `Debug`, where a person reads it.
#[derive(thiserror::Error)]
#[error("{0}")]
struct InWords(String);

impl fmt::Debug for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

async fn start<T, E>(
    connect: impl AsyncFnOnce(&SdkConfig) -> Result<T, E>,
) -> Result<Worker<T>, lambda_runtime::Error>
where
    T: Target,
    E: Into<lambda_runtime::Error>,
{
    let config = Config::from_vars(env::process)?;
    let spans = Exporter::from_vars(env::process)?;
    // A request that hangs would hold a slot. A long poll of a second is the slowest of ours.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let target = connect(&sdk).await.map_err(Into::into)?;
    let worker = Worker::new(config, Clients::new(&sdk), target, fastrand::u64(..))?;
    Ok(worker.with_spans(spans))
}

async fn serve<T: Target>(worker: Worker<T>) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Wake>| {
        let deadline = worker.moment_of(event.context.deadline);
        // Boxed: the SDK's futures nest so deep that a team's `main` would have to raise its
        // `recursion_limit`.
        let handled = match event.payload {
            Wake::Mapping(event) => Box::pin(worker.handle(event, deadline)).await,
            Wake::Slot(handed) => Box::pin(worker.handle_ring(handed, deadline)).await,
        };
        Ok::<_, lambda_runtime::Error>(handled.response)
    }))
    .await
}
