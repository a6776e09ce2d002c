//! Starts executions, each with the moment of its StartExecution call, and waits
//! for their ends.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use futures::future::{try_join, try_join_all};
use futures::{StreamExt, TryStreamExt, stream};
use slowlane_message::Priority;

use crate::pace::{EnqueuerLog, Pace};
use crate::stack::Stack;
use crate::workload::{Order, Workload};

/// DescribeExecution calls under way at once.
const DESCRIBES_AT_ONCE: usize = 4;

/// How often is looked whether another order may be started.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often the running executions are listed while one waits for their ends.
const LIST_EVERY: Duration = Duration::from_secs(1);

/// Without any change for so long, the executions that still run count as lost. Longer than the
/// ring of a killed slot stays hidden (`RingVisibility` of the template) with an API that takes
/// half a minute a call.
const GIVE_UP_AFTER: Duration = Duration::from_secs(660);

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Step Functions did not do what it was asked for.
    #[error("{call} failed{}", about.as_ref().map(|about| format!(" for {about}")).unwrap_or_default())]
    StepFunctions {
        /// The request.
        call: &'static str,
        /// The order it was for.
        about: Option<String>,
        /// What the SDK said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An order could not be written as JSON.
    #[error("an order cannot be written as JSON")]
    Input(#[from] serde_json::Error),
    /// The enqueuer's log could not be read.
    #[error("cannot read {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What an execution is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The execution's name, and that of the record.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The execution's input, in JSON.
    pub input: String,
}

impl Item {
    fn of(order: &Order) -> Result<Self, Error> {
        let input = serde_json::to_string(order)?;
        Ok(Self { name: order.order_id.clone(), priority: order.priority, input })
    }
}

/// An execution, named after its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// The order, and the record's external id.
    pub order_id: String,
    /// How urgent it was.
    pub priority: Priority,
    /// The moment before the StartExecution call, in milliseconds since 1970.
    pub started_at_ms: f64,
    /// How it ended.
    pub ending: Ending,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a record's id.
    Succeeded,
    /// With an error.
    Failed {
        /// Its name, such as `Slowlane.Rejected`.
        error: String,
        /// Its cause, a JSON text if it came from the worker.
        cause: String,
    },
    /// With `States.Timeout`.
    TimedOut,
    /// Not in the time that it was given.
    NotEnded,
}

/// How many orders of each priority have been started so far.
#[derive(Debug, Default)]
pub struct Started([AtomicUsize; 3]);

impl Started {
    /// The number for one priority.
    #[must_use]
    pub fn of(&self, priority: Priority) -> usize {
        self.0[priority as usize].load(Ordering::Relaxed)
    }

    fn total(&self) -> usize {
        self.0.iter().map(|number| number.load(Ordering::Relaxed)).sum()
    }

    fn count(&self, priority: Priority) {
        self.0[priority as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts every order of the workload and waits until their executions have ended, or until
/// nothing has changed for eleven minutes. `started` is counted up on the way.
///
/// # Errors
/// When Step Functions refuses a request, after the SDK's own retries, or the enqueuer's log cannot
/// be read.
pub async fn run(
    stack: &Stack,
    workload: &Workload,
    started: &Started,
) -> Result<Vec<Execution>, Error> {
    let items = workload.orders.iter().map(Item::of).collect::<Result<Vec<_>, _>>()?;
    let machine = &stack.outputs().sales_order_sync_arn;
    run_items(stack, machine, &items, workload.high_every, started).await
}

/// The same with executions of any machine whose calls go through the stack. Those of HIGH are started
/// evenly, the others as fast as they are taken.
///
/// # Errors
/// See [`run`].
pub async fn run_items(
    stack: &Stack,
    machine: &str,
    items: &[Item],
    high_every: Duration,
    started: &Started,
) -> Result<Vec<Execution>, Error> {
    let sfn = Client::new(stack.sdk());
    let (urgent, others): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| item.priority == Priority::High);
    let (urgent, others) = try_join(
        start_evenly(&sfn, machine, &urgent, high_every, started),
        start_as_taken(&sfn, machine, &others, stack.enqueuer_log(), started),
    )
    .await?;
    let mut executions = [urgent, others].concat();
    wait_until_ended(&sfn, machine, stack).await?;
    let listed = list(&sfn, machine, None).await?;
    let endings = endings(&sfn, listed).await?;
    for execution in &mut executions {
        if let Some(ending) = endings.get(&execution.order_id) {
            execution.ending = ending.clone();
        }
    }
    Ok(executions)
}

/// Starts one every so often.
async fn start_evenly(
    sfn: &Client,
    machine: &str,
    items: &[&Item],
    every: Duration,
    started: &Started,
) -> Result<Vec<Execution>, Error> {
    let first = tokio::time::Instant::now();
    let paced = (0_u32..).zip(items).map(|(index, item)| async move {
        tokio::time::sleep_until(first + every * index).await;
        start(sfn, machine, item, started).await
    });
    try_join_all(paced).await
}

/// Starts them as fast as their calls reach their queues ([`pace`](crate::pace)).
async fn start_as_taken(
    sfn: &Client,
    machine: &str,
    items: &[&Item],
    log: PathBuf,
    started: &Started,
) -> Result<Vec<Execution>, Error> {
    let mut pace = Pace::new(Instant::now());
    let mut enqueuer = EnqueuerLog::new(log.clone());
    let mut executions = Vec::with_capacity(items.len());
    for item in items {
        let unread = |source| Error::Log { path: log.clone(), source };
        while !pace.may_start(started.total(), enqueuer.queued().map_err(unread)?, Instant::now()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        executions.push(start(sfn, machine, item, started).await?);
    }
    Ok(executions)
}

async fn start(
    sfn: &Client,
    machine: &str,
    item: &Item,
    started: &Started,
) -> Result<Execution, Error> {
    let started_at_ms = now_ms();
    sfn.start_execution()
        .state_machine_arn(machine)
        .name(&item.name)
        .input(&item.input)
        .send()
        .await
        .map_err(failed("StartExecution", Some(&item.name)))?;
    started.count(item.priority);
    Ok(Execution {
        order_id: item.name.clone(),
        priority: item.priority,
        started_at_ms,
        ending: Ending::NotEnded,
    })
}

/// Lists the running executions at a gentle pace until there is none, or nothing changes any
/// more: neither their number nor what the API has seen.
async fn wait_until_ended(sfn: &Client, machine: &str, stack: &Stack) -> Result<(), Error> {
    let mut last_seen = None;
    let mut last_change = Instant::now();
    loop {
        let running = list(sfn, machine, Some(ExecutionStatus::Running)).await?.len();
        if running == 0 {
            return Ok(());
        }
        let requests =
            stack.sandbox().stats().await.map(|stats| stats.requests).unwrap_or_default();
        if last_seen != Some((running, requests)) {
            last_seen = Some((running, requests));
            last_change = Instant::now();
        } else if last_change.elapsed() > GIVE_UP_AFTER {
            return Ok(());
        }
        tokio::time::sleep(LIST_EVERY).await;
    }
}

async fn list(
    sfn: &Client,
    machine: &str,
    status: Option<ExecutionStatus>,
) -> Result<Vec<ExecutionListItem>, Error> {
    sfn.list_executions()
        .state_machine_arn(machine)
        .set_status_filter(status)
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(failed("ListExecutions", None))
}

/// How each ended; what failed is asked for its error.
async fn endings(
    sfn: &Client,
    listed: Vec<ExecutionListItem>,
) -> Result<HashMap<String, Ending>, Error> {
    stream::iter(listed)
        .map(async |item| {
            let ending = match item.status {
                ExecutionStatus::Running => Ending::NotEnded,
                ExecutionStatus::Succeeded => Ending::Succeeded,
                ExecutionStatus::TimedOut => Ending::TimedOut,
                _ => describe_failure(sfn, &item).await?,
            };
            Ok((item.name, ending))
        })
        .buffer_unordered(DESCRIBES_AT_ONCE)
        .try_collect()
        .await
}

async fn describe_failure(sfn: &Client, item: &ExecutionListItem) -> Result<Ending, Error> {
    let described = sfn
        .describe_execution()
        .execution_arn(&item.execution_arn)
        .send()
        .await
        .map_err(failed("DescribeExecution", Some(&item.name)))?;
    let error = described.error.unwrap_or_else(|| item.status.to_string());
    if error == "States.Timeout" {
        return Ok(Ending::TimedOut);
    }
    Ok(Ending::Failed { error, cause: described.cause.unwrap_or_default() })
}

fn failed<E: std::error::Error + Send + Sync + 'static>(
    call: &'static str,
    about: Option<&str>,
) -> impl FnOnce(E) -> Error {
    let about = about.map(str::to_owned);
    move |source| Error::StepFunctions { call, about, source: Box::new(source) }
}

/// Milliseconds since 1970, as the sandbox reads them from the same machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: a demo compares its own moments with the sandbox's"
)]
pub(crate) fn now_ms() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1000.0
}
