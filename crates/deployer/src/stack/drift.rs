//! What has been changed by hand since a stack was deployed.

use super::{Error, Stack};
use crate::aws;
use aws_sdk_cloudformation::types::{
    StackDriftDetectionStatus, StackResourceDrift, StackResourceDriftStatus,
};
use serde::Serialize;
use std::fmt;

/// What CloudFormation finds otherwise than it was deployed. It looks at properties only that the
/// template sets, and not at every type of resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Each resource that is otherwise, or gone.
    pub resources: Vec<Drifted>,
    /// Why it could not look at all of them, if so.
    pub incomplete: Option<String>,
}

/// A resource that is otherwise than it was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drifted {
    /// Its name in the template.
    pub logical_id: String,
    /// For instance `AWS::SQS::Queue`.
    pub resource_type: String,
    /// A table's name, a queue's URL.
    pub physical_id: String,
    /// Whether somebody has deleted it.
    pub is_gone: bool,
    /// What is otherwise in it.
    pub differences: Vec<Difference>,
}

/// A property that is otherwise than it was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which: `VisibilityTimeout`, `Environment.Variables.LOG_LEVEL`.
    pub path: String,
    /// Its value in the deployed template.
    pub deployed: Option<String>,
    /// Its value now.
    pub now: Option<String>,
}

impl Stack<'_> {
    /// Lets CloudFormation look at each resource, and waits for that: a minute or so.
    ///
    /// # Errors
    /// If there is no such stack, or CloudFormation refuses. One resource that cannot be looked at is
    /// no error: see [`Drift::incomplete`].
    pub async fn drift(&self) -> Result<Drift, Error> {
        let started = self.client.detect_stack_drift().stack_name(self.name).send().await;
        let started = started.map_err(aws::failed("cloudformation:DetectStackDrift", self.name))?;
        let detection = started.stack_drift_detection_id.unwrap_or_default();
        let incomplete = self.detected(&detection).await?;
        let mut pages = self
            .client
            .describe_stack_resource_drifts()
            .stack_name(self.name)
            .stack_resource_drift_status_filters(StackResourceDriftStatus::Modified)
            .stack_resource_drift_status_filters(StackResourceDriftStatus::Deleted)
            .into_paginator()
            .send();
        let mut resources = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(aws::failed("cloudformation:DescribeStackResourceDrifts", self.name))?;
            resources.extend(page.stack_resource_drifts.iter().flatten().map(Drifted::from));
        }
        Ok(Drift { resources, incomplete })
    }

    /// Waits for the end of a detection. Answers why it is not whole, if it is not.
    async fn detected(&self, detection: &str) -> Result<Option<String>, aws::Error> {
        loop {
            let status = self
                .client
                .describe_stack_drift_detection_status()
                .stack_drift_detection_id(detection)
                .send()
                .await
                .map_err(aws::failed(
                    "cloudformation:DescribeStackDriftDetectionStatus",
                    self.name,
                ))?;
            match status.detection_status() {
                Some(StackDriftDetectionStatus::DetectionComplete) => return Ok(None),
                Some(StackDriftDetectionStatus::DetectionFailed) => {
                    let why = status.detection_status_reason().unwrap_or("no reason given");
                    return Ok(Some(why.to_owned()));
                }
                _ => tokio::time::sleep(self.poll_interval).await,
            }
        }
    }
}

impl From<&StackResourceDrift> for Drifted {
    fn from(drift: &StackResourceDrift) -> Self {
        // The SDK has an empty text where the answer has none.
        let some = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let differences = drift.property_differences().iter().map(|difference| Difference {
            path: difference
                .property_path()
                .unwrap_or_default()
                .trim_start_matches('/')
                .replace('/', "."),
            deployed: difference.expected_value().and_then(some),
            now: difference.actual_value().and_then(some),
        });
        Self {
            logical_id: drift.logical_resource_id().unwrap_or_default().into(),
            resource_type: drift.resource_type().unwrap_or_default().into(),
            physical_id: drift.physical_resource_id().unwrap_or_default().into(),
            is_gone: drift.stack_resource_drift_status()
                == Some(&StackResourceDriftStatus::Deleted),
            differences: differences.collect(),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.incomplete {
            writeln!(f, "CloudFormation could not look at all of it: {why}")?;
        }
        if self.resources.is_empty() {
            return write!(f, "nothing was changed by hand");
        }
        for Drifted { logical_id, resource_type, is_gone, differences, .. } in &self.resources {
            let gone = if *is_gone { " is gone" } else { "" };
            writeln!(f, "{logical_id} ({resource_type}){gone}")?;
            for Difference { path, deployed, now } in differences {
                let shown = |value: &Option<String>| value.clone().unwrap_or("(none)".to_owned());
                writeln!(f, "    {path}: {}, deployed as {}", shown(now), shown(deployed))?;
            }
        }
        write!(f, "`slowlane deploy --revert-drift` sets it back; without that a deploy leaves it")
    }
}

#[cfg(test)]
mod tests {
    //! On answers in the format that AWS documents (API Reference, `DetectStackDrift` and what
    //! follows it), which the local servers do not give.

    use super::*;
    use crate::wire::Wire;
    use std::time::Duration;

    const STARTED: &str = "<DetectStackDriftResponse><DetectStackDriftResult>\
        <StackDriftDetectionId>b78ac9b0</StackDriftDetectionId></DetectStackDriftResult>\
        </DetectStackDriftResponse>";

    fn status(status: &str, reason: &str) -> String {
        format!(
            "<DescribeStackDriftDetectionStatusResponse><DescribeStackDriftDetectionStatusResult>\
             <StackId>arn:prod</StackId><StackDriftDetectionId>b78ac9b0</StackDriftDetectionId>\
             <DetectionStatus>{status}</DetectionStatus>\
             <DetectionStatusReason>{reason}</DetectionStatusReason>\
             <Timestamp>2026-11-30T00:00:00Z</Timestamp>\
             </DescribeStackDriftDetectionStatusResult>\
             </DescribeStackDriftDetectionStatusResponse>"
        )
    }

    fn drifts(members: &str) -> String {
        format!(
            "<DescribeStackResourceDriftsResponse><DescribeStackResourceDriftsResult>\
             <StackResourceDrifts>{members}</StackResourceDrifts>\
             </DescribeStackResourceDriftsResult></DescribeStackResourceDriftsResponse>"
        )
    }

    fn drifted(id: &str, resource_type: &str, status: &str, differences: &str) -> String {
        format!(
            "<member><StackId>arn:prod</StackId><LogicalResourceId>{id}</LogicalResourceId>\
             <PhysicalResourceId>prod-{id}</PhysicalResourceId>\
             <ResourceType>{resource_type}</ResourceType>\
             <StackResourceDriftStatus>{status}</StackResourceDriftStatus>\
             <PropertyDifferences>{differences}</PropertyDifferences>\
             <Timestamp>2026-11-30T00:00:00Z</Timestamp></member>"
        )
    }

    async fn told(end: &str, members: &str) -> (String, Vec<String>) {
        let (running, drifts) = (status("DETECTION_IN_PROGRESS", ""), drifts(members));
        let wire = Wire::answering([STARTED, &running, end, &drifts].map(|answer| (200, answer)));
        let config = wire.config();
        let drift = Stack::new(&config, "prod", Duration::ZERO).drift().await.unwrap();
        (drift.to_string(), wire.bodies())
    }

    #[tokio::test]
    async fn what_was_changed_by_hand_is_told_with_both_values() {
        let differences = "<member><PropertyPath>/ReservedConcurrentExecutions</PropertyPath>\
            <ExpectedValue>5</ExpectedValue><ActualValue>0</ActualValue>\
            <DifferenceType>NOT_EQUAL</DifferenceType></member><member>\
            <PropertyPath>/Environment/Variables/LOG_LEVEL</PropertyPath>\
            <ExpectedValue>info</ExpectedValue><DifferenceType>REMOVE</DifferenceType></member>";
        let members = [
            drifted("WorkerFunction", "AWS::Lambda::Function", "MODIFIED", differences),
            drifted("WakePolicy", "AWS::IAM::Policy", "DELETED", ""),
        ];
        let (told, asked) = told(&status("DETECTION_COMPLETE", ""), &members.concat()).await;
        insta::assert_snapshot!(told, @"
        WorkerFunction (AWS::Lambda::Function)
            ReservedConcurrentExecutions: 0, deployed as 5
            Environment.Variables.LOG_LEVEL: (none), deployed as info
        WakePolicy (AWS::IAM::Policy) is gone
        `slowlane deploy --revert-drift` sets it back; without that a deploy leaves it
        ");
        for status in ["MODIFIED", "DELETED"] {
            let asked_for = format!(
                "StackResourceDriftStatusFilters.member.{}={status}",
                if status == "MODIFIED" { 1 } else { 2 }
            );
            assert!(asked.iter().any(|body| body.contains(&asked_for)), "{asked_for}: {asked:?}");
        }
    }

    #[tokio::test]
    async fn a_stack_that_nobody_has_touched_is_said_to_be_so() {
        let (told, _) = told(&status("DETECTION_COMPLETE", ""), "").await;
        assert_eq!(told, "nothing was changed by hand");
    }

    /// AWS answers the resources that it could look at all the same.
    #[tokio::test]
    async fn what_could_not_be_looked_at_is_said() {
        let (told, _) = told(&status("DETECTION_FAILED", "HighQueue: AccessDenied"), "").await;
        assert!(
            told.starts_with("CloudFormation could not look at all of it: HighQueue"),
            "{told}"
        );
    }
}
