//! The same load by BullMQ's limiter on Redis and through Slowlane, one after the other at the same API,
//! which takes so many calls in each window of ten seconds.

mod bullmq;
mod load;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use slowlane_local::report::{Distribution, broken_at_api};
use slowlane_local::run::{self, Ending, Execution, Item, Started};
use slowlane_local::sandbox::{ApiCall, VendorSettings};
use slowlane_local::target::KEY_PREFIX;
use slowlane_local::{Rate, Target};
use slowlane_message::Priority;

use self::bullmq::{BullMq, Limiter};
use self::load::{Load, ONE_HIGH_IN};
use super::scene::{Scene, Shown};

/// What the API takes, and what each of them is told.
const RATE: &str = "100/10s";
/// How the API counts it.
const WINDOW: &str = ",fixed";

/// A way that the calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Slowlane,
    BullMq(Limiter),
}

/// The whole rate in one span, as the API's page says it, and a tenth of it in a tenth of the span.
const WAYS: [Way; 3] = [
    Way::BullMq(Limiter { max: 100, duration: 10_000 }),
    Way::BullMq(Limiter { max: 10, duration: 1_000 }),
    Way::Slowlane,
];

/// What became of the load.
#[derive(Debug, Serialize)]
struct Run {
    way: String,
    #[serde(skip)]
    is_ours: bool,
    calls: usize,
    failed: usize,
    http_429: u64,
    /// The share of what the API would have taken in the whole windows of the run; absent if there was
    /// none.
    used: Option<f64>,
    /// From the moment at which a HIGH call was asked for to its arrival at the API, in milliseconds.
    high_wait_ms: Distribution,
}

#[derive(Debug, Serialize)]
struct Report {
    rate: String,
    latency_ms: u64,
    runs: Vec<Run>,
    max_concurrency: u32,
    written_twice: u64,
    #[serde(skip)]
    limit: u32,
}

/// An API that counts in windows that follow one another. It says when the next one begins.
pub(super) fn target(limit: u32, latency_ms: u64) -> Target {
    let mut target = Target::of_profile(VendorSettings {
        rates: vec![("--rate", format!("{RATE}{WINDOW}"))],
        open: true,
        named_by: Some(KEY_PREFIX.to_owned()),
        ..VendorSettings::new("http", limit, latency_ms)
    });
    let limits = json!([{ "rate": RATE }]).to_string();
    target.parameters.insert("Limits".to_owned(), limits);
    target
}

pub(super) async fn run(scene: &Scene<'_>, calls: usize) -> anyhow::Result<Shown> {
    let bullmq = BullMq::from_env()?;
    let rate: Rate = RATE.parse()?;
    let mut runs = Vec::new();
    for way in WAYS {
        eprintln!("{calls} calls by {way}");
        runs.push(load(scene, &bullmq, way, &rate, calls).await?);
        // What this run has used counts no more for the next one.
        tokio::time::sleep(Duration::from_secs_f64(rate.per_secs())).await;
    }
    let seen = scene.stack.sandbox().report().await?;
    let report = Report {
        rate: format!("{RATE}{WINDOW}"),
        latency_ms: scene.latency_ms,
        runs,
        max_concurrency: seen.max_concurrency,
        written_twice: seen.duplicate_effects,
        limit: scene.limit,
    };
    Ok(report.shown())
}

async fn load(
    scene: &Scene<'_>,
    bullmq: &BullMq,
    way: Way,
    rate: &Rate,
    calls: usize,
) -> anyhow::Result<Run> {
    let load = Load::of(&way.key(), rate, calls);
    let step = async {
        match way {
            Way::Slowlane => by_slowlane(scene, &load).await,
            Way::BullMq(limiter) => bullmq.run(scene, limiter, &load).await,
        }
    };
    let what = way.to_string();
    let (executions, at_api) = scene.measured(&what, calls, step).await?;
    Ok(Run {
        way: what,
        is_ours: way == Way::Slowlane,
        calls,
        failed: executions.iter().filter(|one| one.ending != Ending::Succeeded).count(),
        http_429: at_api.http_429,
        used: used(&at_api.calls, rate),
        high_wait_ms: Distribution::of(high_waits(&executions, &at_api.calls)),
    })
}

async fn by_slowlane(scene: &Scene<'_>, load: &Load) -> anyhow::Result<Vec<Execution>> {
    let item = |name: &String, priority: Priority| {
        let request = json!({ "method": "PUT", "resource": format!("orders/{name}"), "body": {} });
        let input = json!({ "priority": priority, "idempotency_key": name, "request": request });
        Item { name: name.clone(), priority, input: input.to_string() }
    };
    let batch = load.batch.iter().map(|name| item(name, Priority::Batch));
    let high = load.high.iter().map(|name| item(name, Priority::High));
    let items: Vec<Item> = batch.chain(high).collect();
    let machine = &scene.stack.outputs().throttled_call_arn;
    Ok(run::run_items(scene.stack, machine, &items, load.high_every, &Started::default()).await?)
}

/// The share of what the API would have taken in the windows that begin after the first call and end
/// before the last.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of a demo are small, and so are a window's numbers"
)]
fn used(calls: &[ApiCall], rate: &Rate) -> Option<f64> {
    let window = |call: &ApiCall| (call.start_ms / 1000.0 / rate.per_secs()).floor() as i64;
    let (first, last) = (calls.iter().map(window).min()?, calls.iter().map(window).max()?);
    let whole = first + 1..last;
    let taken = calls.iter().filter(|call| whole.contains(&window(call))).count();
    let permitted = (last - first - 1) as f64 * rate.calls() as f64;
    (permitted > 0.0).then(|| taken as f64 / permitted)
}

/// How long each HIGH call waited.
fn high_waits(executions: &[Execution], calls: &[ApiCall]) -> Vec<f64> {
    let mut arrived: HashMap<&str, f64> = HashMap::new();
    for call in calls {
        let Some(name) = call.external_id.as_deref() else { continue };
        let first = arrived.entry(name).or_insert(call.start_ms);
        *first = first.min(call.start_ms);
    }
    let high = executions.iter().filter(|execution| execution.priority == Priority::High);
    high.filter_map(|one| Some(arrived.get(one.order_id.as_str())? - one.started_at_ms)).collect()
}

impl Way {
    fn key(self) -> String {
        match self {
            Self::Slowlane => "slowlane".to_owned(),
            Self::BullMq(Limiter { duration, .. }) => format!("bullmq-{duration}"),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Slowlane => write!(f, "Slowlane, rate = \"{RATE}\""),
            Self::BullMq(Limiter { max, duration }) => {
                write!(f, "BullMQ, max: {max}, duration: {duration}")
            }
        }
    }
}

impl Report {
    fn shown(&self) -> Shown {
        let mut table = format!(
            "\nthe API takes {}, {} ms a call, {} at once; one call in {ONE_HIGH_IN} is HIGH\n\n\
             {:<34}{:>6}{:>8}{:>6}{:>8}{:>10}{:>8}{:>8}\n",
            self.rate,
            self.latency_ms,
            self.limit,
            "",
            "calls",
            "failed",
            "429",
            "used",
            "HIGH p50",
            "p95",
            "max"
        );
        for run in &self.runs {
            let used = run.used.map_or("-".to_owned(), |used| format!("{:.1} %", used * 100.0));
            let wait = |wait: Option<f64>| wait.map_or("-".to_owned(), |wait| format!("{wait:.0}"));
            let Distribution { p50, p95, max, .. } = run.high_wait_ms;
            let _ = writeln!(
                table,
                "{:<34}{:>6}{:>8}{:>6}{used:>8}{:>10}{:>8}{:>8}",
                run.way,
                run.calls,
                run.failed,
                run.http_429,
                wait(p50),
                wait(p95),
                wait(max)
            );
        }
        let _ = writeln!(
            table,
            "\nHIGH waits in ms, from being asked for to the API; most at once {} (limit {}), \
             written twice {}",
            self.max_concurrency, self.limit, self.written_twice
        );
        let report = serde_json::to_value(self).unwrap_or_default();
        Shown { table, report, broken_promises: self.broken_promises() }
    }

    /// Others' promises are theirs.
    fn broken_promises(&self) -> Vec<String> {
        let ours = self.runs.iter().filter(|run| run.is_ours);
        let broken = ours.filter(|run| run.failed > 0 || run.http_429 > 0).map(|run| {
            let Run { way, failed, http_429, .. } = run;
            format!("{way}: {failed} failed, {http_429} answered 429")
        });
        let mut broken: Vec<_> = broken.collect();
        broken.extend(broken_at_api(self.written_twice, self.max_concurrency, self.limit));
        broken
    }
}

#[cfg(test)]
mod tests;
