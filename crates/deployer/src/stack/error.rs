//! Why a stack is not what it should be, and what to do about it.

use crate::aws;
use aws_sdk_cloudformation::types::StackEvent;
use std::fmt;

/// Why a stack is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed; a template that does not parse and a bad parameter are told here.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// Another operation on the stack is running.
    #[error("stack {stack} is {status}: another change is running; wait for its end and try again")]
    Busy {
        /// The stack.
        stack: String,
        /// What it is doing.
        status: String,
    },
    /// The stack is in a state that only a person can lead it out of.
    #[error("stack {stack} is {status}: {}", way_out(status))]
    Stuck {
        /// The stack.
        stack: String,
        /// The state.
        status: String,
    },
    /// CloudFormation looked at the change and will not run it.
    #[error("CloudFormation refuses the change of stack {stack}: {reason}{}", listed(findings))]
    Refused {
        /// The stack.
        stack: String,
        /// CloudFormation's words.
        reason: String,
        /// What its validation has found, by resource.
        findings: Vec<String>,
    },
    /// The change ran and failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// There is no such stack.
    #[error("there is no stack {0}")]
    Missing(String),
}

fn listed(findings: &[String]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

fn way_out(status: &str) -> &'static str {
    match status {
        "UPDATE_ROLLBACK_FAILED" => {
            "a resource could not be made what it was before. Mend it (its reason stands in the stack's \
             events), then run `aws cloudformation continue-update-rollback --stack-name ...`, and \
             deploy again"
        }
        _ => {
            "a resource could not be deleted. Mend it (its reason stands in the stack's events), then \
             destroy the stack again"
        }
    }
}

/// A change that ran and failed: where the stack ended, and which resources failed first.
#[derive(Debug, thiserror::Error)]
pub struct Failed {
    /// The stack.
    pub stack: String,
    /// Its final state, such as `ROLLBACK_COMPLETE`.
    pub status: String,
    /// The resources that failed by themselves, in order; those cancelled because of another are
    /// left out.
    pub resources: Vec<FailedResource>,
}

/// A resource that could not be created, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedResource {
    /// Its name in the template.
    pub logical_id: String,
    /// For instance `AWS::Lambda::Function`.
    pub resource_type: String,
    /// CloudFormation's words.
    pub reason: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stack {} ended {}", self.stack, self.status)?;
        for FailedResource { logical_id, resource_type, reason } in &self.resources {
            write!(f, "\n  {logical_id} ({resource_type}): {reason}")?;
            if let Some(advice) = advice(reason) {
                write!(f, "\n    -> {advice}")?;
            }
        }
        Ok(())
    }
}

/// What to do about a reason that CloudFormation gives, where we know it.
fn advice(reason: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 9] = [
        (
            "UnreservedConcurrentExecution",
            "The worker reserves ApiConcurrency of the account's Lambda concurrency, and at least 100 must stay \
             unreserved. A new account may have only 10 in all: ask for more under Service Quotas, AWS Lambda, \
             \"Concurrent executions\" (L-B99A9384), or deploy a smaller ApiConcurrency.",
        ),
        (
            "is not authorized to perform",
            "The credentials lack this permission. Deploying needs cloudformation, s3, iam (roles), lambda, sqs, \
             dynamodb, logs, cloudwatch and states.",
        ),
        (
            "already exists",
            "Something else owns this name: deploy under another --stack, or delete it.",
        ),
        ("NoSuchKey", "The artifact is gone from the bucket: deploy again, which uploads it."),
        (
            "less than Function timeout",
            "A queue's visibility must be at least the function's timeout: the template drifted.",
        ),
        (
            "not allowed to be used with",
            "The policy of the key KmsKeyArn must let logs.REGION.amazonaws.com use it for the stack's log groups.",
        ),
        (
            "not authorized to access the Log Destination",
            "IAM had not yet spread the new role: deploy again.",
        ),
        (
            "CreateNetworkInterface",
            "The role that is given is not ready for WorkerSubnetIds yet, or no address is free in them: deploy again.",
        ),
        ("Rate exceeded", "AWS throttled the deploy: try again."),
    ];
    KNOWN.iter().find(|(mark, _)| reason.contains(mark)).map(|(_, advice)| *advice)
}

/// A resource that failed by itself, not because another one did.
pub(super) fn failed_resource(event: &StackEvent) -> Option<FailedResource> {
    let status = event.resource_status()?.as_str();
    let reason = event.resource_status_reason().unwrap_or("no reason given");
    (status.ends_with("_FAILED") && !reason.contains("cancelled")).then(|| FailedResource {
        logical_id: event.logical_resource_id().unwrap_or_default().into(),
        resource_type: event.resource_type().unwrap_or_default().into(),
        reason: reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudformation::types::ResourceStatus;

    fn event(status: ResourceStatus, reason: &str) -> StackEvent {
        StackEvent::builder()
            .stack_id("id")
            .event_id("event")
            .stack_name("slowlane")
            .logical_resource_id("WorkerFunction")
            .resource_type("AWS::Lambda::Function")
            .resource_status(status)
            .resource_status_reason(reason)
            .timestamp(aws_sdk_cloudformation::primitives::DateTime::from_secs(0))
            .build()
    }

    #[test]
    fn a_failure_names_resource_reason_and_what_to_do() {
        let reason = "Specified ReservedConcurrentExecutions for function decreases account's \
                      UnreservedConcurrentExecution below its minimum value of [100].";
        let failed = Failed {
            stack: "slowlane".into(),
            status: "ROLLBACK_COMPLETE".into(),
            resources: failed_resource(&event(ResourceStatus::CreateFailed, reason))
                .into_iter()
                .collect(),
        };
        let text = failed.to_string();
        assert!(text.starts_with(
            "stack slowlane ended ROLLBACK_COMPLETE\n  WorkerFunction (AWS::Lambda::Function): "
        ));
        assert!(text.contains("-> The worker reserves ApiConcurrency"), "{text}");
    }

    #[test]
    fn a_key_that_logs_may_not_use_is_known() {
        let reason = "The specified KMS key does not exist or is not allowed to be used with LogGroup \
                      'arn:aws:logs:eu-north-1:123456789012:log-group:/aws/lambda/slowlane-worker'";
        assert!(advice(reason).unwrap().contains("KmsKeyArn"));
        assert_eq!(advice("something else"), None);
    }

    #[test]
    fn a_state_that_only_a_person_ends_is_told_with_the_way_out() {
        let told =
            |status: &str| Error::Stuck { stack: "prod".into(), status: status.into() }.to_string();
        assert!(told("UPDATE_ROLLBACK_FAILED").contains("continue-update-rollback"));
        assert!(told("DELETE_FAILED").contains("destroy the stack again"));
    }

    #[test]
    fn what_was_cancelled_because_of_another_resource_is_left_out() {
        assert_eq!(
            failed_resource(&event(ResourceStatus::CreateFailed, "Resource creation cancelled")),
            None
        );
        assert_eq!(failed_resource(&event(ResourceStatus::CreateComplete, "")), None);
    }
}
