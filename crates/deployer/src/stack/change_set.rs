//! A change set: made, looked at, and then run or thrown away.

use super::changes::{Changes, ResourceChange, StaleDefault, given_parameters};
use super::error::Error;
use super::{Stack, message};
use crate::clock::now;
use crate::{Progress, Values, aws};
use aws_sdk_cloudformation::types::{
    Capability, Change, ChangeSetStatus, ChangeSetType, DeploymentMode, EventFilter, Parameter,
    ParameterDeclaration, RollbackConfiguration, RollbackTrigger, StackStatus, Tag,
};

/// What a stack is to become.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where the template lies in S3: there it may have 1 MB, in a request 51,200 bytes.
    pub template_url: &'a str,
    /// The parameters that are given. Another keeps its value; in a new stack it has the
    /// template's default.
    pub parameters: &'a Values,
    /// Tags for the stack and all that is in it, beside those that the stack has.
    pub tags: &'a Values,
    /// How CloudFormation goes about it.
    pub conduct: &'a Conduct,
}

/// How CloudFormation goes about the changes of a stack. What is said once stays with the stack: what is
/// left open is as it was for its last change, and its deletion is in the name of the same role (API
/// Reference, `CreateChangeSet`, `DeleteStack`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conduct {
    /// In whose name it acts; without one, in the name of whoever asks.
    pub role_arn: Option<String>,
    /// Topics of SNS that are told of each of the stack's events.
    pub notification_arns: Vec<String>,
    /// Alarms of CloudWatch that roll a change back: while it runs, and for as long after it as is said
    /// here.
    pub rollback_alarms: Vec<String>,
    /// For how many minutes after a change its alarms are watched, 180 at most.
    pub watched_minutes: u8,
    /// Whether what was changed by hand since is set back to what the template says. Otherwise
    /// CloudFormation compares templates and parameters only, and does not see it. It is said of one
    /// change, and does not stay.
    pub revert_drift: bool,
}

impl Conduct {
    fn rollback(&self) -> Option<RollbackConfiguration> {
        let alarms = self.rollback_alarms.iter().map(|arn| {
            RollbackTrigger::builder().arn(arn).r#type("AWS::CloudWatch::Alarm").build()
        });
        let alarms: Vec<_> = alarms.collect();
        (!alarms.is_empty()).then(|| {
            RollbackConfiguration::builder()
                .set_rollback_triggers(Some(alarms))
                .monitoring_time_in_minutes(self.watched_minutes.into())
                .build()
        })
    }

    /// A stack that is new has no drift.
    fn revert_drift_of(&self, is_new: bool) -> Option<DeploymentMode> {
        (self.revert_drift && !is_new).then_some(DeploymentMode::RevertDrift)
    }

    fn notifications(&self) -> Option<Vec<String>> {
        (!self.notification_arns.is_empty()).then(|| self.notification_arns.clone())
    }
}

/// A change set that can run.
#[derive(Debug)]
pub struct ChangeSet {
    name: String,
    stack_id: String,
    creates: bool,
    changes: Changes,
}

impl ChangeSet {
    /// What it would do.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }
}

impl Stack<'_> {
    /// Asks CloudFormation what it would do to make the stack what is wanted; `None` if that is
    /// nothing. A stack whose creation had failed is deleted first.
    ///
    /// # Errors
    /// See [`Error`]. A change set that is refused is gone afterwards.
    pub async fn prepare(
        &self,
        wanted: Wanted<'_>,
        progress: &Progress,
    ) -> Result<Option<ChangeSet>, Error> {
        let kind = self.kind_of_change(progress).await?;
        let creates = kind == ChangeSetType::Create;
        let mut parameters: Vec<_> = wanted
            .parameters
            .iter()
            .map(|(key, value)| {
                Parameter::builder().parameter_key(key).parameter_value(value).build()
            })
            .collect();
        let (mut tags, mut present, mut stale_defaults) =
            (Values::new(), Values::new(), Vec::new());
        if !creates {
            let description = self.describe().await?;
            let declared = self.declared_by(wanted.template_url).await?;
            let kept =
                declared.iter().filter_map(ParameterDeclaration::parameter_key).filter(|name| {
                    description.parameters.contains_key(*name)
                        && !wanted.parameters.contains_key(*name)
                });
            parameters.extend(kept.map(|name| {
                Parameter::builder().parameter_key(name).use_previous_value(true).build()
            }));
            stale_defaults =
                self.stale_defaults(&declared, &description.parameters, wanted.parameters).await?;
            (tags, present) = (description.tags, description.parameters);
        }
        tags.extend(wanted.tags.clone());
        let name = format!("slowlane-{}", now().as_millisecond());
        if !self.create_change_set(&name, kind, wanted, parameters, &tags).await? {
            return Ok(None);
        }
        let (stack_id, _) = self.status().await?.ok_or_else(|| Error::Missing(self.name.into()))?;
        let changes = Changes {
            stack: self.name.into(),
            creates,
            parameters: given_parameters(&present, wanted.parameters),
            stale_defaults,
            resources: self
                .changes(&name)
                .await?
                .iter()
                .filter_map(|change| change.resource_change().map(ResourceChange::from))
                .collect(),
        };
        Ok(Some(ChangeSet { name, stack_id, creates, changes }))
    }

    /// Runs a change set and follows it to its end.
    ///
    /// # Errors
    /// [`Error::Failed`] with the resources that failed; CloudFormation has then rolled back.
    pub async fn execute(&self, change_set: ChangeSet, progress: &Progress) -> Result<(), Error> {
        let ChangeSet { name, stack_id, changes, .. } = change_set;
        progress.begin(changes.resources.len());
        let before = self.newest_event(&stack_id).await?;
        self.client
            .execute_change_set()
            .stack_name(self.name)
            .change_set_name(name)
            .send()
            .await
            .map_err(aws::failed("cloudformation:ExecuteChangeSet", self.name))?;
        self.follow(&stack_id, before, progress).await.map(drop)
    }

    /// Throws a change set away, and with it the empty stack that AWS makes for the first one.
    ///
    /// # Errors
    /// If CloudFormation refuses.
    pub async fn discard(&self, change_set: ChangeSet) -> Result<(), Error> {
        self.discard_named(&change_set.name, change_set.creates).await
    }

    async fn discard_named(&self, change_set: &str, creates: bool) -> Result<(), Error> {
        self.client
            .delete_change_set()
            .stack_name(self.name)
            .change_set_name(change_set)
            .send()
            .await
            .map_err(aws::failed("cloudformation:DeleteChangeSet", self.name))?;
        if !creates {
            return Ok(());
        }
        if let Some((id, StackStatus::ReviewInProgress)) = self.status().await? {
            self.client
                .delete_stack()
                .stack_name(id)
                .send()
                .await
                .map_err(aws::failed("cloudformation:DeleteStack", self.name))?;
        }
        Ok(())
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

    /// The parameters of a template.
    async fn declared_by(
        &self,
        template_url: &str,
    ) -> Result<Vec<ParameterDeclaration>, aws::Error> {
        let summary = self.client.get_template_summary().template_url(template_url).send().await;
        let summary =
            summary.map_err(aws::failed("cloudformation:GetTemplateSummary", self.name))?;
        Ok(summary.parameters.unwrap_or_default())
    }

    /// Where the template has another default than the one that the stack was deployed with.
    async fn stale_defaults(
        &self,
        declared: &[ParameterDeclaration],
        present: &Values,
        given: &Values,
    ) -> Result<Vec<StaleDefault>, aws::Error> {
        let summary = self.client.get_template_summary().stack_name(self.name).send().await;
        let before =
            summary.map_err(aws::failed("cloudformation:GetTemplateSummary", self.name))?;
        Ok(declared
            .iter()
            .filter_map(|parameter| {
                let name = parameter.parameter_key()?;
                let default = parameter.default_value()?;
                let old =
                    before.parameters().iter().find(|old| old.parameter_key() == Some(name))?;
                let old_default = old.default_value()?;
                let kept = present.get(name).is_some_and(|value| value == old_default);
                let stale = kept && default != old_default && !given.contains_key(name);
                stale.then(|| StaleDefault {
                    name: name.into(),
                    kept: old_default.into(),
                    default: default.into(),
                })
            })
            .collect())
    }

    /// Creates the change set and waits until it can run. `false` if it holds no change: AWS says
    /// so by a failed change set, other servers refuse to create it.
    async fn create_change_set(
        &self,
        name: &str,
        kind: ChangeSetType,
        wanted: Wanted<'_>,
        parameters: Vec<Parameter>,
        tags: &Values,
    ) -> Result<bool, Error> {
        let creates = kind == ChangeSetType::Create;
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let created = self
            .client
            .create_change_set()
            .stack_name(self.name)
            .change_set_name(name)
            .change_set_type(kind)
            .template_url(wanted.template_url)
            .set_parameters(Some(parameters))
            .set_tags(Some(tags.collect()))
            .set_role_arn(wanted.conduct.role_arn.clone())
            .set_notification_arns(wanted.conduct.notifications())
            .set_rollback_configuration(wanted.conduct.rollback())
            .set_deployment_mode(wanted.conduct.revert_drift_of(creates))
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
                    self.discard_named(name, creates).await?;
                    return Ok(false);
                }
                Some(ChangeSetStatus::Failed) => {
                    let findings = self.findings(change_set.change_set_id().unwrap_or(name)).await;
                    // What is refused is more important than that it could not be tidied up.
                    let _ = self.discard_named(name, creates).await;
                    return Err(Error::Refused {
                        stack: self.name.into(),
                        reason: reason.into(),
                        findings,
                    });
                }
                _ => tokio::time::sleep(self.poll_interval).await,
            }
        }
    }

    /// What CloudFormation's validation before the deployment has found. The change set's own reason
    /// only says that it has found something.
    async fn findings(&self, change_set: &str) -> Vec<String> {
        let filter = EventFilter::builder().failed_events(true).build();
        let events =
            self.client.describe_events().change_set_name(change_set).filters(filter).send().await;
        // Not every server knows the request, and the refusal is told without it too.
        let events = events.ok().and_then(|answer| answer.operation_events).unwrap_or_default();
        events
            .iter()
            .filter_map(|event| {
                let why = event.validation_status_reason().or(event.resource_status_reason())?;
                let resource = event.logical_resource_id().unwrap_or("the template");
                let place = event.validation_path().unwrap_or(resource);
                Some(format!("{place}: {why}"))
            })
            .collect()
    }

    /// The changes of a change set, with the values before and after.
    async fn changes(&self, change_set: &str) -> Result<Vec<Change>, aws::Error> {
        let mut pages = self
            .client
            .describe_change_set()
            .stack_name(self.name)
            .change_set_name(change_set)
            .include_property_values(true)
            .into_paginator()
            .send();
        let mut changes = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws::failed("cloudformation:DescribeChangeSet", self.name))?;
            changes.extend(page.changes.unwrap_or_default());
        }
        Ok(changes)
    }
}

fn says_no_change(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}
