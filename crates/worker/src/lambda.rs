//! The frame of `main`: the environment, the clients, and Lambda's loop.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_lambda_events::event::sqs::SqsEvent;
use aws_smithy_types::timeout::TimeoutConfig;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Deserialize;
use slowlane_lambda::logs;

use crate::aws::clients::Clients;
use crate::config::Config;
use crate::doorbell::wake::HandedRing;
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
/// A bad environment (every bad variable is named), or a target that could not be made.
pub async fn run<T, E>(
    connect: impl AsyncFnOnce(&SdkConfig) -> Result<T, E>,
) -> Result<(), lambda_runtime::Error>
where
    T: Target,
    E: Into<lambda_runtime::Error>,
{
    let lookup = |name: &str| std::env::var(name).ok();
    logs::init(&lookup("LOG_LEVEL").unwrap_or_default());
    let config = Config::from_vars(lookup)?;
    // A request that hangs would hold a slot. A long poll of a second is the slowest of ours.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let target = connect(&sdk).await.map_err(Into::into)?;
    let worker = Worker::new(config, Clients::new(&sdk), target, fastrand::u64(..))?;
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
