//! A demo of one target: calls of its API, from workflows to the sandbox that stands in for it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use slowlane_deployer::Progress;
use slowlane_message::Priority;

use crate::outage::Outage;
use crate::progress::Watched;
use crate::rate::Rate;
use crate::report::{Observed, Report};
use crate::run::{self, Item, Started};
use crate::sandbox::{self, Sample};
use crate::stack::{self, Target};
use crate::{Dispatch, MiniStack, OnHigher, Stack, Tools, ministack, progress};

/// How long the report waits for slots to end after the last workflow has.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How the keys of a demo's calls begin.
pub const KEY_PREFIX: &str = "demo-";

/// The calls that a demo makes.
#[derive(Clone, Debug)]
pub struct Calls {
    /// How many of each priority, most urgent first.
    pub of: [usize; 3],
    /// The time between two calls of HIGH.
    pub high_every: Duration,
    /// The call; the sandbox's own sample if there is none.
    pub sample: Option<Sample>,
}

/// What a demo shows beside its calls.
#[derive(Debug, Default)]
pub struct Shown {
    /// A rate that the target has and the worker was told.
    pub rate: Option<Rate>,
    /// An API that answers nobody for a while.
    pub outage: Option<Outage>,
}

/// A demo that has run to its end. The local AWS and the sandbox end with this.
#[derive(Debug)]
pub struct Finished {
    /// What came of it.
    pub report: Report,
    /// The stack, and the sandbox.
    pub stack: Stack,
    /// The local AWS.
    pub ministack: MiniStack,
}

/// Why a demo could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local AWS.
    #[error(transparent)]
    MiniStack(#[from] ministack::Error),
    /// The sandbox or the stack.
    #[error(transparent)]
    Stack(#[from] stack::Error),
    /// The executions.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The sandbox did not answer.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The sandbox knows no call that makes a record.
    #[error("the sandbox has no sample of a call")]
    NoSample,
}

/// Deploys a target as `name`, and makes calls of it until their workflows have ended. Logs lie in
/// `directory`.
///
/// # Errors
/// See [`Error`].
pub async fn demo(
    tools: &Tools,
    name: &str,
    target: &Target,
    calls: &Calls,
    directory: &Path,
) -> Result<Finished, Error> {
    demo_of(tools, name, target, calls, &Shown::default(), directory).await
}

/// The same, and what it shows beside its calls.
///
/// # Errors
/// See [`Error`].
pub async fn demo_of(
    tools: &Tools,
    name: &str,
    target: &Target,
    calls: &Calls,
    shown: &Shown,
    directory: &Path,
) -> Result<Finished, Error> {
    eprintln!("starting a local AWS and a sandbox of `{}`", target.sandbox.profile);
    let ministack = MiniStack::start(&tools.python, directory).await?;
    eprintln!("deploying the template");
    let progress = Progress::stderr();
    let mut stack =
        Stack::deploy_target(&ministack, tools, name, target, directory, &progress).await?;
    let own = stack.sandbox().sample().map(|(sample, _)| sample.clone());
    let sample = calls.sample.clone().or(own).ok_or(Error::NoSample)?;
    let items = calls.items(&sample);
    let priorities = items.iter().map(|item| (item.name.clone(), item.priority));
    stack.sandbox_mut().set_priorities(priorities.collect::<HashMap<_, _>>());
    eprintln!("starting {} workflows: {} {}", items.len(), sample.method, sample.resource);
    let started = Started::default();
    let machine = stack.outputs().throttled_call_arn.clone();
    let limit = target.sandbox.limit;
    let Shown { rate, outage } = shown;
    let (rate, outage) = (rate.as_ref(), outage.as_ref());
    let watched = Watched { totals: calls.of, limit, rate, outage };
    let executions = tokio::select! {
        ended = run::run_items(&stack, &machine, &items, calls.high_every, &started) => ended?,
        never = progress::watch(&stack, &watched, &started) => match never {},
        never = strike(outage, &stack, items.len()) => match never? {},
    };
    stack.settle(SETTLE_TIMEOUT).await?;
    let report = Report::new(&Observed {
        dispatch: Dispatch::Doorbell,
        on_higher: OnHigher::Swap,
        limit,
        latency_ms: target.sandbox.latency_ms,
        executions: &executions,
        sandbox: &stack.sandbox().report().await?,
        worker: stack.worker_counts()?,
        dead_letters: stack.depth(&stack.outputs().dead_letter_queue_url).await?.total(),
        rate,
        outage: outage.and_then(Outage::span),
    });
    Ok(Finished { report, stack, ministack })
}

/// Lets an outage happen, if there is to be one, and never ends.
///
/// # Errors
/// If the sandbox does not answer.
pub async fn strike(
    outage: Option<&Outage>,
    stack: &Stack,
    calls: usize,
) -> Result<Infallible, sandbox::Error> {
    match outage {
        Some(outage) => outage.strike(stack.sandbox(), calls).await,
        None => std::future::pending().await,
    }
}

impl Calls {
    /// The executions: each priority comes from the beginning to the end.
    fn items(&self, sample: &Sample) -> Vec<Item> {
        let lanes = Priority::ALL.into_iter().zip(self.of);
        let mut all: Vec<(Priority, usize, usize)> = lanes
            .flat_map(|(priority, number)| (1..=number).map(move |index| (priority, index, number)))
            .collect();
        all.sort_by(|(_, index, number), (_, other, others)| {
            (index * others).cmp(&(other * number))
        });
        all.into_iter().map(|(priority, index, _)| item(sample, priority, index)).collect()
    }
}

fn item(sample: &Sample, priority: Priority, index: usize) -> Item {
    let name = format!("{KEY_PREFIX}{}-{index:04}", priority.as_str().to_lowercase());
    let Sample { method, resource, headers, content, body, at_most_once } = sample;
    let mut request = json!({ "method": method, "resource": resource.replace("{key}", &name) });
    if !headers.is_empty() {
        request["headers"] = json!(headers);
    }
    if let Some(content) = content {
        request["content"] = content.as_str().into();
    }
    if let Some(body) = body {
        request["body"] = with_key(body, &name);
    }
    let mut input = json!({ "priority": priority, "idempotency_key": name, "request": request });
    if *at_most_once {
        input["at_most_once"] = true.into();
    }
    Item { name, priority, input: input.to_string() }
}

/// A body with the call's key in its texts.
fn with_key(body: &Value, key: &str) -> Value {
    match body {
        Value::String(text) => text.replace("{key}", key).into(),
        Value::Array(items) => items.iter().map(|item| with_key(item, key)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), with_key(value, key))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_samples_texts_get_the_calls_key() {
        let sample = json!({
            "method": "PUT", "resource": "orders/{key}",
            "body": { "key": "{key}", "lines": ["{key}/1", 2] },
        });
        let sample: Sample = serde_json::from_value(sample).unwrap();
        let calls = Calls { of: [1, 0, 2], high_every: Duration::ZERO, sample: None };
        let items = calls.items(&sample);
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["demo-batch-0001", "demo-high-0001", "demo-batch-0002"]);
        let input: Value = serde_json::from_str(&items[1].input).unwrap();
        let expected = json!({
            "priority": "HIGH",
            "idempotency_key": "demo-high-0001",
            "request": {
                "method": "PUT", "resource": "orders/demo-high-0001",
                "body": { "key": "demo-high-0001", "lines": ["demo-high-0001/1", 2] },
            },
        });
        assert_eq!(input, expected);
    }
}
