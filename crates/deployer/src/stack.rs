//! A CloudFormation stack: change set in, progress by resource, failures explained.

mod change_set;
pub mod changes;
mod drift;
mod error;
mod events;

pub use change_set::{ChangeSet, Conduct, Wanted};
pub use changes::Changes;
pub use drift::{Difference, Drift, Drifted};
pub use error::{Error, Failed, FailedResource};

use crate::{Progress, aws};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::{StackResource, StackStatus};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Names and values, as CloudFormation's parameters and outputs are.
pub type Values = BTreeMap<String, String>;

/// A resource that a deleted stack has left behind, because its template says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// The stack's tags, which its resources have too.
    pub tags: Values,
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
            for tag in stack.tags() {
                if let (Some(key), Some(value)) = (tag.key(), tag.value()) {
                    description.tags.insert(key.into(), value.into());
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
