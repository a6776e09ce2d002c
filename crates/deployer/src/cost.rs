//! What a month of calls costs: list prices of us-east-1, by what a call needs of each service.
//!
//! What a call needs is measured in the simulator, where the real enqueuer and worker run. A test holds
//! the figures to it: `cargo xtask test -E 'test(a_call_costs_what_the_cost_model_says)'`. Free tiers, data transfer, X-Ray, keys and secrets of your own and a
//! NAT gateway are not in it.

use crate::text;
use crate::watch::ALARMS;
use serde::Serialize;
use std::time::Duration;

/// A month as AWS's price pages have it: 30 days.
const MONTH_SECS: f64 = 30.0 * 86_400.0;
/// The memory of both Lambdas, in GB, as the template has it.
const MEMORY_GB: f64 = 0.25;
/// An idle event source mapping: five pollers, each of which asks every 20 s (AWS Lambda's developer
/// guide, SQS).
const IDLE_POLLS: f64 = 5.0 * MONTH_SECS / 20.0;
/// The worker's own metrics: eight of its invocations, and four of its calls by priority and by
/// priority and outcome. Two outcomes are usual, success and another try.
const METRICS: f64 = 8.0 + 4.0 * 3.0 * (1.0 + 2.0);
/// How long the guard keeps a record, in months.
const RECORD_MONTHS: f64 = 35.0 / 30.0;

/// List prices of us-east-1, 2026-11, in USD (AWS's price pages).
mod price {
    pub(super) const SQS_REQUEST: f64 = 0.40e-6;
    pub(super) const LAMBDA_REQUEST: f64 = 0.20e-6;
    pub(super) const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;
    pub(super) const STATE_TRANSITION: f64 = 25e-6;
    pub(super) const WRITE_UNIT: f64 = 0.625e-6;
    pub(super) const READ_UNIT: f64 = 0.125e-6;
    pub(super) const TABLE_GB_MONTH: f64 = 0.25;
    pub(super) const LOG_GB: f64 = 0.50;
    pub(super) const METRIC_MONTH: f64 = 0.30;
    pub(super) const ALARM_MONTH: f64 = 0.10;
    pub(super) const DASHBOARD_MONTH: f64 = 3.0;
}

/// What one call needs, beside the time that the API takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OfOneCall {
    /// Requests that SQS bills, those of an idle mapping left out.
    pub sqs_requests: f64,
    /// DynamoDB's write units.
    pub write_units: f64,
    /// DynamoDB's read units.
    pub read_units: f64,
    /// Invocations of the worker.
    pub worker_invocations: f64,
    /// Seconds of the worker beyond those in which the API works.
    pub worker_secs: f64,
    /// Seconds of the enqueuer.
    pub enqueuer_secs: f64,
}

/// A call of a flood: slots go from call to call.
pub const FLOOD: OfOneCall = OfOneCall {
    sqs_requests: 7.8,
    write_units: 2.5,
    read_units: 0.2,
    worker_invocations: 0.0025,
    worker_secs: 0.009,
    enqueuer_secs: 0.065,
};

/// A call that comes alone: it wakes a slot, which then looks for others in vain.
pub const SPARSE: OfOneCall = OfOneCall {
    sqs_requests: 14.2,
    write_units: 2.5,
    read_units: 1.1,
    worker_invocations: 1.0,
    worker_secs: 1.18,
    enqueuer_secs: 0.02,
};

impl OfOneCall {
    /// Each figure by its name.
    pub fn figures(&self) -> [(&'static str, f64); 6] {
        [
            ("SQS requests", self.sqs_requests),
            ("write units", self.write_units),
            ("read units", self.read_units),
            ("worker invocations", self.worker_invocations),
            ("worker seconds", self.worker_secs),
            ("enqueuer seconds", self.enqueuer_secs),
        ]
    }
}

/// The calls of a month, and what surrounds them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Calls a month.
    pub calls: u64,
    /// How long the API takes for one.
    pub latency: Duration,
    /// State transitions of STANDARD workflows for each call.
    pub transitions: f64,
    /// Bytes of log lines for each call.
    pub log_bytes: f64,
    /// Bytes of a call's record in the guard's table.
    pub record_bytes: f64,
    /// Whether there are alarms and a dashboard.
    pub watched: bool,
    /// What is counted of the calls' use of models, if it is.
    pub metering: Option<Metering>,
}

/// What is counted of calls' use of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Metering {
    /// How many models there are: each has metrics of its own.
    pub models: u32,
    /// Whether there are budgets of a day.
    pub of_days: bool,
    /// Whether there are budgets of a month.
    pub of_months: bool,
}

impl Metering {
    /// Units of one call: an answer is counted in its day, and in its month if a budget counts months.
    pub fn write_units(&self) -> f64 {
        if self.of_months { 2.0 } else { 1.0 }
    }

    /// Units of one call: before it, each span is read that has a budget. A call of no tenant has none.
    pub fn read_units(&self) -> f64 {
        f64::from(u8::from(self.of_days) + u8::from(self.of_months))
    }

    /// Tokens read, tokens written and the cost of each model, and `UsageUnreached`.
    fn metrics(&self) -> f64 {
        3.0 * f64::from(self.models) + 1.0
    }
}

/// A month's cost of one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// What is paid for.
    pub item: &'static str,
    /// How much of it.
    pub quantity: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What that costs, in USD.
    pub usd: f64,
}

/// What a month costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Calls a month.
    pub calls: u64,
    /// Each item where every call comes alone, which is the dearer way.
    pub items: Vec<Item>,
    /// In all, where every call comes alone.
    pub usd_sparse: f64,
    /// In all, where calls always wait for each other.
    pub usd_flood: f64,
    /// So many calls at once are needed at least for the month's calls.
    pub at_once: u64,
}

impl Load {
    /// What a month of it costs.
    pub fn cost(&self) -> Cost {
        let items = self.items(&SPARSE);
        let sum = |items: &[Item]| items.iter().map(|item| item.usd).sum();
        Cost {
            calls: self.calls,
            usd_sparse: sum(&items),
            usd_flood: sum(&self.items(&FLOOD)),
            items,
            at_once: (self.calls as f64 * self.latency.as_secs_f64() / MONTH_SECS).ceil() as u64,
        }
    }

    fn items(&self, of_one: &OfOneCall) -> Vec<Item> {
        let calls = self.calls as f64;
        let worker_secs = of_one.worker_secs + self.latency.as_secs_f64();
        let gb_secs = calls * (worker_secs + of_one.enqueuer_secs) * MEMORY_GB;
        let invocations = calls * (of_one.worker_invocations + 1.0);
        let gb = 1e9;
        let mut items = vec![
            item(
                "Step Functions",
                calls * self.transitions,
                "transitions",
                price::STATE_TRANSITION,
            ),
            item("SQS", calls * of_one.sqs_requests, "requests", price::SQS_REQUEST),
            item("SQS, the idle mapping", IDLE_POLLS, "requests", price::SQS_REQUEST),
            item("Lambda, time", gb_secs, "GB-s", price::LAMBDA_GB_SECOND),
            item("Lambda, invocations", invocations, "invocations", price::LAMBDA_REQUEST),
            item("DynamoDB, writes", calls * of_one.write_units, "units", price::WRITE_UNIT),
            item("DynamoDB, reads", calls * of_one.read_units, "units", price::READ_UNIT),
            item(
                "DynamoDB, records",
                calls * RECORD_MONTHS * self.record_bytes / gb,
                "GB",
                price::TABLE_GB_MONTH,
            ),
            item("CloudWatch, logs", calls * self.log_bytes / gb, "GB", price::LOG_GB),
            item("CloudWatch, metrics", METRICS, "metrics", price::METRIC_MONTH),
        ];
        if let Some(metering) = &self.metering {
            let (writes, reads) = (calls * metering.write_units(), calls * metering.read_units());
            items.push(item("DynamoDB, writes of usage", writes, "units", price::WRITE_UNIT));
            items.push(item("DynamoDB, reads of budgets", reads, "units", price::READ_UNIT));
            let metrics = metering.metrics();
            items.push(item("CloudWatch, models", metrics, "metrics", price::METRIC_MONTH));
        }
        if self.watched {
            let read: usize = ALARMS.iter().map(|alarm| alarm.metrics().count()).sum();
            items.push(item("CloudWatch, alarms", read as f64, "metrics", price::ALARM_MONTH));
            items.push(item("CloudWatch, dashboard", 1.0, "dashboard", price::DASHBOARD_MONTH));
        }
        items
    }
}

fn item(item: &'static str, quantity: f64, unit: &'static str, price: f64) -> Item {
    Item { item, quantity, unit, usd: quantity * price }
}

/// The costs of several loads, side by side.
pub fn table(costs: &[Cost]) -> String {
    let money = |usd: f64| format!("{usd:.2}");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let names = costs.first().map(|cost| cost.items.iter().map(|item| item.item));
    for (index, name) in names.into_iter().flatten().enumerate() {
        let cells = costs.iter().map(|cost| money(cost.items[index].usd));
        rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    let mut total = |name: &str, of: &dyn Fn(&Cost) -> String| {
        rows.push([name.to_owned()].into_iter().chain(costs.iter().map(of)).collect());
    };
    total("in all, calls that come alone", &|cost| money(cost.usd_sparse));
    total("in all, calls that come in floods", &|cost| money(cost.usd_flood));
    total("a million calls, in floods", &|cost| {
        money(cost.usd_flood * 1e6 / cost.calls.max(1) as f64)
    });
    total("calls at once, at least", &|cost| cost.at_once.max(1).to_string());
    let heading = costs.iter().map(|cost| format!("{} calls", grouped(cost.calls)));
    let heading = ["USD a month".to_owned()].into_iter().chain(heading).collect();
    text::wide_table(heading, rows)
}

/// `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(calls: u64) -> Load {
        Load {
            calls,
            latency: Duration::from_millis(200),
            transitions: 3.0,
            log_bytes: 1_500.0,
            record_bytes: 1_000.0,
            watched: true,
            metering: None,
        }
    }

    #[test]
    fn counting_what_models_use_costs_a_write_for_each_call_and_budgets_reads() {
        let metering = Metering { models: 2, of_days: true, of_months: false };
        for (metering, per_million, metrics) in [
            (metering, 0.625 + 0.125, 7.0),
            (Metering { of_days: false, ..metering }, 0.625, 7.0),
            (Metering { of_months: true, models: 1, ..metering }, 1.25 + 0.25, 4.0),
        ] {
            let metered = Load { metering: Some(metering), ..load(1_000_000) };
            let more = metered.cost().usd_flood - load(1_000_000).cost().usd_flood;
            assert!((more - per_million - 0.3 * metrics).abs() < 1e-9, "{metering:?}: {more}");
        }
    }

    #[test]
    fn a_call_that_comes_alone_costs_more() {
        let cost = load(1_000_000).cost();
        assert!(cost.usd_sparse > cost.usd_flood, "{cost:?}");
        let transitions = cost.items.iter().find(|item| item.item == "Step Functions").unwrap();
        assert!((transitions.usd - 75.0).abs() < 1e-9, "{transitions:?}");
        // By the simulator's own list a million calls of a flood of 200 ms cost 80.82 (urgent.toml):
        // without logs, records, metrics, alarms, dashboard and the idle mapping.
        let own = |item: &&Item| item.item.starts_with("CloudWatch") || item.item.contains("idle");
        let beside: f64 =
            load(1_000_000).items(&FLOOD).iter().filter(own).map(|item| item.usd).sum();
        let records = RECORD_MONTHS * price::TABLE_GB_MONTH;
        let calls = cost.usd_flood - beside - records;
        assert!((calls - 80.82).abs() < 1.0, "{calls}");
    }

    #[test]
    fn what_is_always_there_costs_the_same_for_any_number() {
        let unwatched = Load { watched: false, ..load(1) };
        let (little, much) = (unwatched.cost(), load(1).cost());
        let alarms: usize = ALARMS.iter().map(|alarm| alarm.metrics().count()).sum();
        let difference = much.usd_sparse - little.usd_sparse;
        assert!((difference - 3.0 - 0.1 * alarms as f64).abs() < 1e-9, "{difference}");
    }

    #[test]
    fn the_calls_at_once_are_those_that_the_month_needs() {
        assert_eq!(load(100_000_000).cost().at_once, 8);
        assert_eq!(load(10_000).cost().at_once, 1);
        let told = table(&[load(10_000).cost(), load(100_000_000).cost()]);
        assert!(told.contains("100,000,000 calls"), "{told}");
    }
}
