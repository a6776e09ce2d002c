//! The figures of runs, as JSON rows and as a table.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use slowlane_aws_simulator::cloud::parameters::FACTS;
use slowlane_aws_simulator::cloud::requests::{Action, Requests};

use crate::figures::{Outages, Receives, Tenants, Wait};
use crate::run::Outcome;
use crate::scenario::Scenario;

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How calls reached the API.
    pub strategy: String,
    /// The scenario's name.
    pub load: String,
    /// What was assumed of the unconfirmed facts.
    pub facts: String,
    /// How often a short poll misses a message, as was assumed.
    pub short_poll_miss: f64,
    /// The API's limit.
    pub limit: u32,
    /// The median time of a call at the API.
    pub latency_ms: f64,
    /// Rules everything that is left to chance.
    pub seed: u64,
    /// Calls.
    pub calls: u64,
    /// Calls whose workflow succeeded.
    pub succeeded: u64,
    /// Time that the API worked, over the limit times the time from its first start to its last end.
    pub utilisation: f64,
    /// The most calls of live callers at the API at once.
    pub max_concurrency: u32,
    /// Calls that the API refused because of its limit.
    pub http_429: u64,
    /// The share of what the API would have taken, while more waited, that it was given; where it
    /// can be told.
    pub permitted_used: Option<f64>,
    /// Of the calls that the API refused, those that it would have refused also if nobody else had
    /// used its limit.
    pub own_429: u64,
    /// Workflows that failed or timed out.
    pub failed: u64,
    /// Writes to the limiter's items for each call, those that failed their condition included.
    pub limiter_writes_per_call: f64,
    /// Reads of them for each call.
    pub limiter_reads_per_call: f64,
    /// How often calls were received from their queues.
    pub receives_per_call: Receives,
    /// What the API's outages came to.
    pub outage: Option<Outages>,
    /// How long after the API began to take more at once it was in full use, at worst.
    pub full_use_after_rise_secs: Option<f64>,
    /// Requests to AWS while operators had paused the target, those of mappings included.
    pub pause_requests: u64,
    /// Waits beside a noisy tenant.
    pub tenants: Option<Tenants>,
    /// Deliveries that were refused for want of concurrency.
    pub throttled_deliveries: u64,
    /// Calls in the dead-letter queue that the API would have accepted.
    pub healthy_in_dlq: u64,
    /// Effects beyond the first of calls that must not be repeated.
    pub duplicates: u64,
    /// Waits by priority.
    pub wait_ms: Waits,
    /// The stated bound on the wait of the BATCH call that waited longest, where there is one.
    pub batch_bound_ms: Option<u64>,
    /// Requests to AWS for each call, those of mappings included.
    pub aws_requests_per_call: f64,
    /// The same by operation, those of mappings under `mappings`.
    pub aws_requests_by_operation: BTreeMap<String, f64>,
    /// List price of a million such calls.
    pub usd_per_million: f64,
    /// Invariants that were broken.
    pub violations: usize,
    /// The hash of the run's transcript.
    pub transcript: String,
}

/// Waits by priority.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waits {
    /// HIGH.
    pub high: Wait,
    /// NORMAL.
    pub normal: Wait,
    /// BATCH.
    pub batch: Wait,
}

impl Row {
    /// The figures of a run.
    pub fn of(scenario: &Scenario, outcome: &Outcome) -> Row {
        let measures = &outcome.measures;
        let calls = measures.calls.max(1) as f64;
        let [high, normal, batch] = measures.waits;
        Row {
            strategy: scenario.dispatch.name().to_owned(),
            load: scenario.name.clone(),
            facts: scenario.facts.clone(),
            short_poll_miss: short_poll_miss(scenario),
            limit: scenario.limit,
            latency_ms: scenario.api.median_ms,
            seed: scenario.seed,
            calls: measures.calls,
            succeeded: outcome.ends.get("Succeeded").copied().unwrap_or(0),
            utilisation: measures.utilisation,
            max_concurrency: measures.max_concurrency,
            http_429: measures.http_429,
            permitted_used: measures.permitted_used,
            own_429: measures.own_429,
            failed: measures.failed,
            limiter_writes_per_call: measures.limiter_writes as f64 / calls,
            limiter_reads_per_call: measures.limiter_reads as f64 / calls,
            receives_per_call: measures.receives,
            outage: measures.outages,
            full_use_after_rise_secs: measures.full_use_after_rise.map(|after| after.as_secs_f64()),
            pause_requests: measures.pause_requests,
            tenants: measures.tenants,
            throttled_deliveries: measures.throttled_deliveries,
            healthy_in_dlq: measures.healthy_in_dlq,
            duplicates: measures.duplicates,
            wait_ms: Waits { high, normal, batch },
            batch_bound_ms: measures.batch_bound.map(|bound| bound.as_millis() as u64),
            aws_requests_per_call: measures.aws_requests() as f64 / calls,
            aws_requests_by_operation: by_operation(&measures.requests, calls),
            usd_per_million: measures.price * 1e6 / calls,
            violations: outcome.violations.len(),
            transcript: format!("{:016x}", outcome.hash),
        }
    }
}

/// Requests for each call, by operation; those that were not sent are left out.
fn by_operation(requests: &Requests, calls: f64) -> BTreeMap<String, f64> {
    let sent =
        Action::ALL.into_iter().map(|(action, _)| (format!("{action:?}"), requests.of(action)));
    sent.chain([("mappings".to_owned(), requests.polls())])
        .filter(|(_, count)| *count > 0)
        .map(|(operation, count)| (operation, count as f64 / calls))
        .collect()
}

/// The rows as a table for people.
pub fn table<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "strategy",
        "API ms",
        "limit",
        "load",
        "succeeded",
        "used",
        "429",
        "throttled",
        "DLQ",
        "twice",
        "HIGH p50",
        "p99",
        "max",
        "NORMAL p50",
        "p99",
        "BATCH p50",
        "p99",
        "max",
        "bound",
        "req/call",
        "$/M",
    ]);
    for row in rows {
        let Waits { high, normal, batch } = row.wait_ms;
        table.add_row([
            row.strategy.clone(),
            format!("{:.0}", row.latency_ms),
            row.limit.to_string(),
            row.load.clone(),
            format!("{}/{}", row.succeeded, row.calls),
            format!("{:.3}", row.utilisation),
            row.http_429.to_string(),
            row.throttled_deliveries.to_string(),
            row.healthy_in_dlq.to_string(),
            row.duplicates.to_string(),
            secs(high.p50),
            secs(high.p99),
            secs(high.max),
            secs(normal.p50),
            secs(normal.p99),
            secs(batch.p50),
            secs(batch.p99),
            secs(batch.max),
            row.batch_bound_ms.map_or_else(String::new, secs),
            format!("{:.1}", row.aws_requests_per_call),
            format!("{:.2}", row.usd_per_million),
        ]);
    }
    right_from(&mut table, 4);
    table
}

/// What the unconfirmed facts do: for each of their values the default dispatch and the pattern as
/// first published, on the same flood.
pub fn facts_table<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "API ms",
        "limit",
        "unconfirmed facts",
        "strategy",
        "used",
        "HIGH p50",
        "p99",
        "max",
        "BATCH max",
        "429",
        "throttled",
        "DLQ",
        "req/call",
    ]);
    for row in rows {
        let Waits { high, batch, .. } = row.wait_ms;
        table.add_row([
            format!("{:.0}", row.latency_ms),
            row.limit.to_string(),
            row.facts.clone(),
            row.strategy.clone(),
            format!("{:.3}", row.utilisation),
            secs(high.p50),
            secs(high.p99),
            secs(high.max),
            secs(batch.max),
            row.http_429.to_string(),
            row.throttled_deliveries.to_string(),
            row.healthy_in_dlq.to_string(),
            format!("{:.1}", row.aws_requests_per_call),
        ]);
    }
    right_from(&mut table, 4);
    table
}

/// The value of the fact that rules how often a short poll misses.
fn short_poll_miss(scenario: &Scenario) -> f64 {
    const NAME: &str = "short_poll_miss";
    let assumed = FACTS.iter().find(|fact| fact.name == NAME).map_or(0.0, |fact| fact.default);
    scenario.parameters.get(NAME).copied().unwrap_or(assumed)
}

fn right_from(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Milliseconds as seconds.
fn secs(millis: u64) -> String {
    format!("{:.2}", millis as f64 / 1000.0)
}
