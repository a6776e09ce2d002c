//! The figures of runs, as JSON rows and as a table.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::run::{Outcome, Wait};
use crate::scenario::Scenario;

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How calls reached the API.
    pub strategy: String,
    /// The scenario's name.
    pub load: String,
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
    /// Deliveries that were refused for want of concurrency.
    pub throttled_deliveries: u64,
    /// Calls in the dead-letter queue that the API would have accepted.
    pub healthy_in_dlq: u64,
    /// Effects beyond the first of calls that must not be repeated.
    pub duplicates: u64,
    /// Waits by priority.
    pub wait_ms: Waits,
    /// Requests to AWS for each call, those of mappings included.
    pub aws_requests_per_call: f64,
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
    /// The figures of a run under this strategy.
    pub fn of(strategy: &str, scenario: &Scenario, outcome: &Outcome) -> Row {
        let measures = &outcome.measures;
        let calls = measures.calls.max(1) as f64;
        let [high, normal, batch] = measures.waits;
        Row {
            strategy: strategy.to_owned(),
            load: scenario.name.clone(),
            limit: scenario.limit,
            latency_ms: scenario.api.median_ms,
            seed: scenario.seed,
            calls: measures.calls,
            succeeded: outcome.ends.get("Succeeded").copied().unwrap_or(0),
            utilisation: measures.utilisation,
            max_concurrency: measures.max_concurrency,
            http_429: measures.http_429,
            throttled_deliveries: measures.throttled_deliveries,
            healthy_in_dlq: measures.healthy_in_dlq,
            duplicates: measures.duplicates,
            wait_ms: Waits { high, normal, batch },
            aws_requests_per_call: measures.aws_requests as f64 / calls,
            usd_per_million: measures.price * 1e6 / calls,
            violations: outcome.violations.len(),
            transcript: format!("{:016x}", outcome.hash),
        }
    }
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "strategy",
        "load",
        "limit",
        "API ms",
        "used",
        "429",
        "throttled",
        "DLQ",
        "twice",
        "HIGH p50",
        "p99",
        "max",
        "BATCH p50",
        "max",
        "req/call",
        "$/M",
    ]);
    for row in rows {
        let Waits { high, batch, .. } = row.wait_ms;
        table.add_row([
            row.strategy.clone(),
            row.load.clone(),
            row.limit.to_string(),
            format!("{:.0}", row.latency_ms),
            format!("{:.3}", row.utilisation),
            row.http_429.to_string(),
            row.throttled_deliveries.to_string(),
            row.healthy_in_dlq.to_string(),
            row.duplicates.to_string(),
            high.p50.to_string(),
            high.p99.to_string(),
            high.max.to_string(),
            batch.p50.to_string(),
            batch.max.to_string(),
            format!("{:.1}", row.aws_requests_per_call),
            format!("{:.2}", row.usd_per_million),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the ends of the unconfirmed facts' ranges do to each strategy: the least use and the
/// longest HIGH wait over all of `swept`, and the facts that cause them.
pub fn extremes(swept: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["strategy", "API ms", "least used", "by", "HIGH p99 at most", "by", "DLQ"]);
    let mut groups: Vec<(&str, f64)> =
        swept.iter().map(|row| (&*row.strategy, row.latency_ms)).collect();
    groups.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(b.0)));
    groups.dedup();
    for (strategy, latency_ms) in groups {
        let rows = || {
            swept.iter().filter(move |row| row.strategy == strategy && row.latency_ms == latency_ms)
        };
        let least = rows().min_by(|a, b| a.utilisation.total_cmp(&b.utilisation));
        let longest = rows().max_by_key(|row| row.wait_ms.high.p99);
        let (Some(least), Some(longest)) = (least, longest) else { continue };
        let in_dlq: u64 = rows().map(|row| row.healthy_in_dlq).sum();
        table.add_row([
            strategy.to_owned(),
            format!("{latency_ms:.0}"),
            format!("{:.3}", least.utilisation),
            least.load.clone(),
            longest.wait_ms.high.p99.to_string(),
            longest.load.clone(),
            in_dlq.to_string(),
        ]);
    }
    table
}
