//! What a change of a stack does, event by event.

use super::error::{Error, Failed, failed_resource};
use super::{Kept, Stack};
use crate::{Progress, aws};
use aws_sdk_cloudformation::primitives::DateTime;
use aws_sdk_cloudformation::types::StackEvent;
use std::collections::BTreeMap;
use std::time::Duration;

impl Stack<'_> {
    pub(super) async fn newest_event(&self, id: &str) -> Result<Option<String>, aws::Error> {
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
    pub(super) async fn follow(
        &self,
        id: &str,
        mut seen: Option<String>,
        progress: &Progress,
    ) -> Result<Vec<Kept>, Error> {
        let (mut failed, mut kept) = (Vec::new(), Vec::new());
        let mut began = BTreeMap::new();
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
                    let took = elapsed(&mut began, &event);
                    progress.resource(logical_id, status, took, reason);
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

/// How long the resource has been at it, by CloudFormation's clock: since the first of its events.
fn elapsed(began: &mut BTreeMap<String, DateTime>, event: &StackEvent) -> Duration {
    let Some(at) = event.timestamp() else { return Duration::ZERO };
    let resource = event.logical_resource_id().unwrap_or_default().to_owned();
    let first = began.entry(resource).or_insert(*at);
    Duration::from_secs_f64((at.as_secs_f64() - first.as_secs_f64()).max(0.0))
}

fn kept_resource(event: &StackEvent) -> Option<Kept> {
    (event.resource_status()?.as_str() == "DELETE_SKIPPED").then(|| Kept {
        logical_id: event.logical_resource_id().unwrap_or_default().into(),
        resource_type: event.resource_type().unwrap_or_default().into(),
        physical_id: event.physical_resource_id().unwrap_or_default().into(),
    })
}
