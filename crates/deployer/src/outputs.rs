//! What a deployed stack hands out, by which it is known as one of ours.

use crate::Values;
use crate::stack::{self, Description};
use serde::Serialize;
use slowlane_message::Priority;
use std::fmt;

/// What the template hands out. Every field is there after a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the template's outputs, described there")]
pub struct Outputs {
    pub sales_order_sync_arn: String,
    pub throttled_call_arn: String,
    pub high_queue_url: String,
    pub normal_queue_url: String,
    pub batch_queue_url: String,
    /// Only with `Dispatch` = `doorbell`.
    pub doorbell_queue_url: Option<String>,
    pub dead_letter_queue_url: String,
    /// What a state that waits for a call adds to the deadline. Older templates do not say it.
    pub grace_seconds: Option<String>,
    pub idempotency_table_name: String,
    /// Only with `Metering` = `enabled`.
    pub usage_table_name: Option<String>,
    pub worker_function_name: String,
    pub enqueuer_function_name: String,
}

/// The stack has no output of this name.
#[derive(Debug, thiserror::Error)]
#[error("the stack has no output {0}: it was not deployed from this template")]
pub struct Missing(&'static str);

/// A stack of ours as it is deployed.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The stack's name.
    pub stack_name: String,
    /// What the template hands out.
    pub outputs: Outputs,
    /// The template's parameters, with defaults filled in.
    pub parameters: Values,
    /// The physical id of each resource.
    pub resources: Values,
}

/// One of our Lambdas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Puts calls on their queues.
    Enqueuer,
    /// Makes calls.
    Worker,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enqueuer => "enqueuer",
            Self::Worker => "worker",
        })
    }
}

/// Why there is nothing to tell of a deployed stack.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such stack.
    #[error("there is no stack {stack}: {}", advice(ours))]
    NoStack {
        /// The name that was asked for.
        stack: String,
        /// The stacks of Slowlane that are there.
        ours: Vec<String>,
    },
    /// CloudFormation could not be asked.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// It is not one of ours.
    #[error(transparent)]
    Missing(#[from] Missing),
}

fn advice(ours: &[String]) -> String {
    match ours {
        [] => "nor is there any other of Slowlane; look at --region, --profile and --endpoint-url"
            .to_owned(),
        [one] => format!("there is {one}; give --stack {one}"),
        several => format!("there are {}; give one of them by --stack", several.join(", ")),
    }
}

/// By this output a stack is known as one of ours.
const OURS: &str = "IdempotencyTableName";

impl Error {
    /// Says which stacks there are, where the one that was asked for is not.
    pub(crate) async fn explained(config: &aws_config::SdkConfig, error: stack::Error) -> Self {
        let stack::Error::Missing(stack) = error else { return error.into() };
        match stack::names_with_output(config, OURS).await {
            Ok(ours) => Self::NoStack { stack, ours },
            Err(_) => stack::Error::Missing(stack).into(),
        }
    }
}

impl Deployed {
    pub(crate) fn new(stack_name: &str, description: Description) -> Result<Self, Missing> {
        let Description { parameters, outputs, resources, .. } = description;
        let outputs = Outputs::from_map(&outputs)?;
        Ok(Self { stack_name: stack_name.into(), outputs, parameters, resources })
    }

    /// The log group of a Lambda; Lambda's default name, should the template have no such group.
    pub fn logs_of(&self, function: Function) -> String {
        let (logical_id, function) = match function {
            Function::Worker => ("WorkerLogs", &self.outputs.worker_function_name),
            Function::Enqueuer => ("EnqueuerLogs", &self.outputs.enqueuer_function_name),
        };
        let named = self.resources.get(logical_id);
        named.cloned().unwrap_or_else(|| format!("/aws/lambda/{function}"))
    }
}

impl Outputs {
    /// The queue of the calls of a priority.
    pub fn queue_url(&self, priority: Priority) -> &str {
        match priority {
            Priority::High => &self.high_queue_url,
            Priority::Normal => &self.normal_queue_url,
            Priority::Batch => &self.batch_queue_url,
        }
    }

    /// Each output under its name in the template.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let doorbell = self.doorbell_queue_url.as_deref();
        [
            ("SalesOrderSyncArn", Some(self.sales_order_sync_arn.as_str())),
            ("ThrottledCallArn", Some(&self.throttled_call_arn)),
            ("HighQueueUrl", Some(&self.high_queue_url)),
            ("NormalQueueUrl", Some(&self.normal_queue_url)),
            ("BatchQueueUrl", Some(&self.batch_queue_url)),
            ("DoorbellQueueUrl", doorbell),
            ("DeadLetterQueueUrl", Some(&self.dead_letter_queue_url)),
            ("GraceSeconds", self.grace_seconds.as_deref()),
            ("IdempotencyTableName", Some(&self.idempotency_table_name)),
            ("UsageTableName", self.usage_table_name.as_deref()),
            ("WorkerFunctionName", Some(&self.worker_function_name)),
            ("EnqueuerFunctionName", Some(&self.enqueuer_function_name)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    pub(crate) fn from_map(values: &Values) -> Result<Self, Missing> {
        let get = |name: &'static str| values.get(name).cloned().ok_or(Missing(name));
        Ok(Self {
            sales_order_sync_arn: get("SalesOrderSyncArn")?,
            throttled_call_arn: get("ThrottledCallArn")?,
            high_queue_url: get("HighQueueUrl")?,
            normal_queue_url: get("NormalQueueUrl")?,
            batch_queue_url: get("BatchQueueUrl")?,
            doorbell_queue_url: values.get("DoorbellQueueUrl").cloned(),
            dead_letter_queue_url: get("DeadLetterQueueUrl")?,
            grace_seconds: values.get("GraceSeconds").cloned(),
            idempotency_table_name: get("IdempotencyTableName")?,
            usage_table_name: values.get("UsageTableName").cloned(),
            worker_function_name: get("WorkerFunctionName")?,
            enqueuer_function_name: get("EnqueuerFunctionName")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_stack_is_answered_with_those_that_are_there() {
        let told = |ours: &[&str]| {
            let ours = ours.iter().map(|name| (*name).to_owned()).collect();
            Error::NoStack { stack: "slowlane".into(), ours }.to_string()
        };
        assert!(told(&["demo"]).ends_with("no stack slowlane: there is demo; give --stack demo"));
        assert!(told(&["a", "b"]).contains("there are a, b; give one"), "{}", told(&["a", "b"]));
        assert!(told(&[]).contains("--region"), "{}", told(&[]));
    }
}
