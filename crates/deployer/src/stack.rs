//! A CloudFormation stack: change set in, progress by resource, failures explained.

use crate::{Progress, Values, aws, now};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, Parameter, StackEvent, StackResource, StackStatus,
};
use std::fmt;
use std::time::Duration;

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
    #[error(
        "stack {stack} is {status}: continue or repair it in the CloudFormation console, or destroy it"
    )]
    Stuck {
        /// The stack.
        stack: String,
        /// The state.
        status: String,
    },
    /// CloudFormation looked at the change and will not run it.
    #[error("CloudFormation refuses the change of stack {stack}: {reason}")]
    Refused {
        /// The stack.
        stack: String,
        /// CloudFormation's words.
        reason: String,
    },
    /// The change ran and failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// There is no such stack.
    #[error("there is no stack {0}")]
    Missing(String),
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
    const KNOWN: [(&str, &str); 6] = [
        (
            "UnreservedConcurrentExecution",
            "The worker reserves ApiConcurrency of the account's Lambda concurrency, and at least 100 must stay \
             unreserved. A new account may have only 10 in all: ask for more under Service Quotas, AWS Lambda, \
             \"Concurrent executions\" (L-B99A9384), or deploy a smaller ApiConcurrency.",
        ),
        (
            "is not authorized to perform",
            "The credentials lack this permission. Deploying needs cloudformation, s3, iam (roles), lambda, sqs, \
             dynamodb, logs and states.",
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
        ("Rate exceeded", "AWS throttled the deploy: try again."),
    ];
    KNOWN.iter().find(|(mark, _)| reason.contains(mark)).map(|(_, advice)| *advice)
}

/// What [`Stack::apply`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The stack was created or changed.
    Changed,
    /// It already was what the template says.
    Unchanged,
}

/// A resource that a deleted stack has left behind, because its template says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name in the template.
    pub logical_id: String,
    /// For instance `AWS::DynamoDB::Table`.
    pub resource_type: String,
    /// A table's name, a queue's URL.
    pub physical_id: String,
}

/// A stack as it is deployed.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// The template's parameters, with defaults filled in.
    pub parameters: Values,
    /// The template's outputs.
    pub outputs: Values,
    /// The physical id of each resource.
    pub resources: Values,
}

/// One stack by name.
#[derive(Debug)]
pub struct Stack<'a> {
    client: Client,
    name: &'a str,
    poll_interval: Duration,
}

impl<'a> Stack<'a> {
    /// A handle; sends nothing.
    pub fn new(config: &SdkConfig, name: &'a str, poll_interval: Duration) -> Self {
        Self { client: Client::new(config), name, poll_interval }
    }

    /// Makes the stack what the template and the parameters say. A parameter that is not given
    /// keeps its value; in a new stack it has the template's default.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(
        &self,
        template: &str,
        parameters: &Values,
        progress: &Progress,
    ) -> Result<Applied, Error> {
        let kind = self.kind_of_change(progress).await?;
        let mut values: Vec<_> = parameters
            .iter()
            .map(|(key, value)| {
                Parameter::builder().parameter_key(key).parameter_value(value).build()
            })
            .collect();
        if kind == ChangeSetType::Update {
            values.extend(self.kept_parameters(template, parameters).await?);
        }
        let change_set = format!("slowlane-{}", now().as_millisecond());
        if !self.create_change_set(&change_set, kind, template, values).await? {
            progress.say(&format!("{}: nothing to change", self.name));
            return Ok(Applied::Unchanged);
        }
        progress.begin(self.changes(&change_set).await?);
        let (id, _) = self.status().await?.ok_or_else(|| Error::Missing(self.name.into()))?;
        let before = self.newest_event(&id).await?;
        self.client
            .execute_change_set()
            .stack_name(self.name)
            .change_set_name(&change_set)
            .send()
            .await
            .map_err(aws::failed("cloudformation:ExecuteChangeSet", self.name))?;
        self.follow(&id, before, progress).await?;
        Ok(Applied::Changed)
    }

    /// Whether the stack is to be created or changed. What a failed creation left is deleted.
    async fn kind_of_change(&self, progress: &Progress) -> Result<ChangeSetType, Error> {
        let Some((_, status)) = self.status().await? else { return Ok(ChangeSetType::Create) };
        match status {
            StackStatus::ReviewInProgress => Ok(ChangeSetType::Create),
            StackStatus::RollbackComplete
            | StackStatus::RollbackFailed
            | StackStatus::CreateFailed => {
                progress.say(&format!("{} is {status}: deleting what is left of it", self.name));
                self.delete(progress).await?;
                Ok(ChangeSetType::Create)
            }
            StackStatus::UpdateRollbackFailed | StackStatus::DeleteFailed => {
                Err(Error::Stuck { stack: self.name.into(), status: status.to_string() })
            }
            status if status.as_str().ends_with("_IN_PROGRESS") => {
                Err(Error::Busy { stack: self.name.into(), status: status.to_string() })
            }
            _ => Ok(ChangeSetType::Update),
        }
    }

    /// The stack's parameters that the template still has and that are not given anew.
    async fn kept_parameters(
        &self,
        template: &str,
        given: &Values,
    ) -> Result<Vec<Parameter>, Error> {
        let present = self.describe().await?.parameters;
        let template = self
            .client
            .validate_template()
            .template_body(template)
            .send()
            .await
            .map_err(aws::failed("cloudformation:ValidateTemplate", self.name))?;
        let names = template.parameters().iter().filter_map(|known| known.parameter_key());
        Ok(names
            .filter(|name| present.contains_key(*name) && !given.contains_key(*name))
            .map(|name| Parameter::builder().parameter_key(name).use_previous_value(true).build())
            .collect())
    }

    /// Deletes the stack and waits for its end. Answers what it has left behind; `None` if there
    /// was no stack.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, progress: &Progress) -> Result<Option<Vec<Kept>>, Error> {
        let Some((id, _)) = self.status().await? else { return Ok(None) };
        let before = self.newest_event(&id).await?;
        progress.begin(self.resources(&id).await?.len());
        self.client
            .delete_stack()
            .stack_name(&id)
            .send()
            .await
            .map_err(aws::failed("cloudformation:DeleteStack", self.name))?;
        Ok(Some(self.follow(&id, before, progress).await?))
    }

    /// The template that the stack was deployed from.
    ///
    /// # Errors
    /// If CloudFormation refuses.
    pub async fn template(&self) -> Result<String, Error> {
        let answer = self.client.get_template().stack_name(self.name).send().await;
        let answer = answer.map_err(aws::failed("cloudformation:GetTemplate", self.name))?;
        Ok(answer.template_body.unwrap_or_default())
    }

    /// The stack's parameters, outputs and resources.
    ///
    /// # Errors
    /// If there is no such stack, or CloudFormation refuses.
    pub async fn describe(&self) -> Result<Description, Error> {
        let answer = self.client.describe_stacks().stack_name(self.name).send().await;
        let stacks = match answer {
            Err(error) if message(&error).contains("does not exist") => {
                return Err(Error::Missing(self.name.into()));
            }
            answer => answer.map_err(aws::failed("cloudformation:DescribeStacks", self.name))?,
        };
        let mut description = Description::default();
        for stack in stacks.stacks() {
            for parameter in stack.parameters() {
                if let (Some(key), Some(value)) =
                    (parameter.parameter_key(), parameter.parameter_value())
                {
                    description.parameters.insert(key.into(), value.into());
                }
            }
            for output in stack.outputs() {
                if let (Some(key), Some(value)) = (output.output_key(), output.output_value()) {
                    description.outputs.insert(key.into(), value.into());
                }
            }
        }
        for resource in self.resources(self.name).await? {
            if let (Some(logical), Some(physical)) =
                (resource.logical_resource_id, resource.physical_resource_id)
            {
                description.resources.insert(logical, physical);
            }
        }
        Ok(description)
    }

    /// The first hundred resources, which are all that the template has.
    async fn resources(&self, stack: &str) -> Result<Vec<StackResource>, aws::Error> {
        let answer = self
            .client
            .describe_stack_resources()
            .stack_name(stack)
            .send()
            .await
            .map_err(aws::failed("cloudformation:DescribeStackResources", self.name))?;
        Ok(answer.stack_resources.unwrap_or_default())
    }

    /// The stack's id and state, or `None` if there is none (or no more).
    async fn status(&self) -> Result<Option<(String, StackStatus)>, aws::Error> {
        let answer = match self.client.describe_stacks().stack_name(self.name).send().await {
            Err(error) if message(&error).contains("does not exist") => return Ok(None),
            answer => answer.map_err(aws::failed("cloudformation:DescribeStacks", self.name))?,
        };
        Ok(answer.stacks().first().and_then(|stack| {
            let status = stack.stack_status()?.clone();
            let id = stack.stack_id()?.to_owned();
            (status != StackStatus::DeleteComplete).then_some((id, status))
        }))
    }

    /// Creates the change set and waits until it can run. `false` if it holds no change: AWS says
    /// so by a failed change set, other servers refuse to create it.
    async fn create_change_set(
        &self,
        name: &str,
        kind: ChangeSetType,
        template: &str,
        parameters: Vec<Parameter>,
    ) -> Result<bool, Error> {
        let created = self
            .client
            .create_change_set()
            .stack_name(self.name)
            .change_set_name(name)
            .change_set_type(kind)
            .template_body(template)
            .set_parameters(Some(parameters))
            .capabilities(Capability::CapabilityIam)
            .send()
            .await;
        match created {
            Err(error) if says_no_change(message(&error)) => return Ok(false),
            created => created.map_err(aws::failed("cloudformation:CreateChangeSet", self.name))?,
        };
        loop {
            let change_set = self
                .client
                .describe_change_set()
                .stack_name(self.name)
                .change_set_name(name)
                .send()
                .await
                .map_err(aws::failed("cloudformation:DescribeChangeSet", self.name))?;
            let reason = change_set.status_reason().unwrap_or_default();
            match change_set.status() {
                Some(ChangeSetStatus::CreateComplete) => return Ok(true),
                Some(ChangeSetStatus::Failed) if says_no_change(reason) => {
                    self.client
                        .delete_change_set()
                        .stack_name(self.name)
                        .change_set_name(name)
                        .send()
                        .await
                        .map_err(aws::failed("cloudformation:DeleteChangeSet", self.name))?;
                    return Ok(false);
                }
                Some(ChangeSetStatus::Failed) => {
                    return Err(Error::Refused { stack: self.name.into(), reason: reason.into() });
                }
                _ => tokio::time::sleep(self.poll_interval).await,
            }
        }
    }

    /// How many resources the change set touches.
    async fn changes(&self, change_set: &str) -> Result<usize, aws::Error> {
        let mut pages = self
            .client
            .describe_change_set()
            .stack_name(self.name)
            .change_set_name(change_set)
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += page
                .map_err(aws::failed("cloudformation:DescribeChangeSet", self.name))?
                .changes()
                .len();
        }
        Ok(count)
    }

    async fn newest_event(&self, id: &str) -> Result<Option<String>, aws::Error> {
        let page = self
            .client
            .describe_stack_events()
            .stack_name(id)
            .send()
            .await
            .map_err(aws::failed("cloudformation:DescribeStackEvents", self.name))?;
        Ok(page.stack_events().first().and_then(|event| event.event_id().map(str::to_owned)))
    }

    /// Reports each event after `seen` until the stack itself comes to rest, and answers which
    /// resources a deletion has passed over. Events are the authority: right after an execute,
    /// DescribeStacks can still show the state before it.
    async fn follow(
        &self,
        id: &str,
        mut seen: Option<String>,
        progress: &Progress,
    ) -> Result<Vec<Kept>, Error> {
        let (mut failed, mut kept) = (Vec::new(), Vec::new());
        loop {
            for event in self.events_since(id, seen.as_deref()).await? {
                seen = event.event_id().map(str::to_owned);
                let status =
                    event.resource_status().map(|status| status.as_str()).unwrap_or_default();
                let logical_id = event.logical_resource_id().unwrap_or_default();
                let reason = event.resource_status_reason();
                let is_stack = event.resource_type() == Some("AWS::CloudFormation::Stack")
                    && logical_id == self.name;
                if !is_stack {
                    progress.resource(logical_id, status, reason);
                    failed.extend(failed_resource(&event));
                    kept.extend(kept_resource(&event));
                } else if !status.ends_with("_IN_PROGRESS") {
                    progress.end();
                    return match status {
                        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "DELETE_COMPLETE" => Ok(kept),
                        status => Err(Failed {
                            stack: self.name.into(),
                            status: status.into(),
                            resources: failed,
                        }
                        .into()),
                    };
                }
            }
            tokio::time::sleep(self.poll_interval).await;
        }
    }

    /// The events after `seen`, oldest first.
    async fn events_since(
        &self,
        id: &str,
        seen: Option<&str>,
    ) -> Result<Vec<StackEvent>, aws::Error> {
        let mut pages = self.client.describe_stack_events().stack_name(id).into_paginator().send();
        let mut events = Vec::new();
        'pages: while let Some(page) = pages.next().await {
            let page =
                page.map_err(aws::failed("cloudformation:DescribeStackEvents", self.name))?;
            for event in page.stack_events.unwrap_or_default() {
                if event.event_id() == seen {
                    break 'pages;
                }
                events.push(event);
            }
        }
        events.reverse();
        Ok(events)
    }
}

fn says_no_change(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// A resource that failed by itself, not because another one did.
fn failed_resource(event: &StackEvent) -> Option<FailedResource> {
    let status = event.resource_status()?.as_str();
    let reason = event.resource_status_reason().unwrap_or("no reason given");
    (status.ends_with("_FAILED") && !reason.contains("cancelled")).then(|| FailedResource {
        logical_id: event.logical_resource_id().unwrap_or_default().into(),
        resource_type: event.resource_type().unwrap_or_default().into(),
        reason: reason.into(),
    })
}

fn kept_resource(event: &StackEvent) -> Option<Kept> {
    (event.resource_status()?.as_str() == "DELETE_SKIPPED").then(|| Kept {
        logical_id: event.logical_resource_id().unwrap_or_default().into(),
        resource_type: event.resource_type().unwrap_or_default().into(),
        physical_id: event.physical_resource_id().unwrap_or_default().into(),
    })
}

/// The names of the stacks that have an output of this name.
///
/// # Errors
/// If CloudFormation refuses.
pub async fn names_with_output(config: &SdkConfig, output: &str) -> Result<Vec<String>, Error> {
    let mut pages = Client::new(config).describe_stacks().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws::failed("cloudformation:DescribeStacks", "all stacks"))?;
        let has_it = |stack: &&aws_sdk_cloudformation::types::Stack| {
            stack.outputs().iter().any(|found| found.output_key() == Some(output))
        };
        names.extend(
            page.stacks().iter().filter(has_it).filter_map(|stack| stack.stack_name.clone()),
        );
    }
    Ok(names)
}

/// What the service said, or nothing if the request did not reach it.
fn message<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.message().unwrap_or_default()
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
    fn what_was_cancelled_because_of_another_resource_is_left_out() {
        assert_eq!(
            failed_resource(&event(ResourceStatus::CreateFailed, "Resource creation cancelled")),
            None
        );
        assert_eq!(failed_resource(&event(ResourceStatus::CreateComplete, "")), None);
    }
}
