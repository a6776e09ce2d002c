//! The workflows behind the front door.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{ExecutionStatus, SyncExecutionStatus};
use serde_json::Value;
use uuid::Uuid;

/// The machines that calls go to.
#[derive(Debug, Clone)]
pub struct Machines {
    /// The ARN of `retry-cascade`, an Express machine.
    pub cascade: String,
    /// The ARN of `throttled-call`; without it no call can wait for its turn.
    pub throttled_call: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Workflows {
    sfn: Client,
    machines: Machines,
}

/// How a workflow ended, if it has.
#[derive(Debug)]
pub(super) enum Ended {
    Running,
    Succeeded(Value),
    Failed { error: String, cause: String },
}

/// Step Functions refused a request.
#[derive(Debug, thiserror::Error)]
#[error("{call} failed")]
pub(super) struct Refused {
    call: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Refused {
    fn of<E: std::error::Error + Send + Sync + 'static>(
        call: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { call, source: Box::new(source) }
    }
}

impl Workflows {
    pub(super) fn new(sfn: Client, machines: Machines) -> Self {
        Self { sfn, machines }
    }

    /// Runs the cascade to its end.
    pub(super) async fn try_now(&self, call: &Value) -> Result<Ended, Refused> {
        let run = self
            .sfn
            .start_sync_execution()
            .state_machine_arn(&self.machines.cascade)
            .input(call.to_string())
            .send()
            .await
            .map_err(Refused::of("states:StartSyncExecution"))?;
        Ok(match run.status {
            SyncExecutionStatus::Succeeded => Ended::Succeeded(json(run.output.as_deref())),
            SyncExecutionStatus::TimedOut => Ended::Failed {
                error: "States.Timeout".to_owned(),
                cause: run.cause.unwrap_or_default(),
            },
            _ => Ended::Failed {
                error: run.error.unwrap_or_default(),
                cause: run.cause.unwrap_or_default(),
            },
        })
    }

    /// Starts a call that waits for its turn. Answers whether there is a machine for such.
    pub(super) async fn start_later(&self, id: Uuid, call: &Value) -> Result<bool, Refused> {
        let Some(machine) = &self.machines.throttled_call else { return Ok(false) };
        self.sfn
            .start_execution()
            .state_machine_arn(machine)
            .name(name(id))
            .input(call.to_string())
            .send()
            .await
            .map_err(Refused::of("states:StartExecution"))?;
        Ok(true)
    }

    /// What became of a call that this front door took.
    pub(super) async fn later(&self, id: Uuid) -> Result<Option<Ended>, Refused> {
        let Some(machine) = &self.machines.throttled_call else { return Ok(None) };
        let arn = format!("{}:{}", machine.replace(":stateMachine:", ":execution:"), name(id));
        let run = match self.sfn.describe_execution().execution_arn(arn).send().await {
            Ok(run) => run,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_execution_does_not_exist()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Refused::of("states:DescribeExecution")(error)),
        };
        Ok(Some(match run.status {
            ExecutionStatus::Running | ExecutionStatus::PendingRedrive => Ended::Running,
            ExecutionStatus::Succeeded => Ended::Succeeded(json(run.output.as_deref())),
            status => Ended::Failed {
                error: run.error.unwrap_or_else(|| named(&status)),
                cause: run.cause.unwrap_or_default(),
            },
        }))
    }
}

/// The name of an execution. Those of others are not this front door's to tell of.
fn name(id: Uuid) -> String {
    format!("front-door-{id}")
}

fn named(status: &ExecutionStatus) -> String {
    match status {
        ExecutionStatus::TimedOut => "States.Timeout".to_owned(),
        status => status.to_string(),
    }
}

fn json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
