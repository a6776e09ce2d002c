//! CloudWatch beside a run: metrics by the minute, and alarms that look at them as they would.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde_json::Value;
use slowlane_aws_simulator::cloud::lambda::FunctionId;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::{Event, Watch};
use slowlane_deployer::watch::metrics::{self, Metric, Namespace};
use slowlane_deployer::watch::{Alarm, Threshold};
use slowlane_simulator::monitor::{Gauge, Monitor};
use slowlane_simulator::names::{FUNCTION_NAMES, QUEUE_NAMES};

use super::repository;

const MINUTE_MS: u64 = 60_000;

/// A metric with its dimensions, by the names that a run has for what the template makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the minute, all values of each series.
    minutes: BTreeMap<u64, BTreeMap<Series, Vec<f64>>>,
    /// When the invocations that run began, by function and environment.
    began: HashMap<(FunctionId, u32), Moment>,
}

/// What was seen of a run; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct CloudWatch(Arc<Mutex<Seen>>);

/// What the alarms are deployed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deployed {
    pub(crate) doorbell: bool,
    pub(crate) high_wait_secs: u32,
    pub(crate) wait_secs: u32,
    pub(crate) api_timeout_secs: u64,
}

impl CloudWatch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The minute in whose course the alarm would have begun, if it would.
    pub(crate) fn begins(&self, alarm: &Alarm, deployed: Deployed) -> anyhow::Result<Option<u64>> {
        let seen = self.seen();
        let last = seen.minutes.keys().next_back().copied().unwrap_or_default();
        let length = u64::from(alarm.period_secs / 60);
        let threshold = threshold(alarm, deployed)?;
        let mut in_a_row = 0;
        // Only a whole period is looked at.
        for period in 0..(last + 1) / length {
            let (from, to) = (period * length, (period + 1) * length);
            let value = alarm.value(|metric| seen.value(metric, deployed, from..to))?;
            in_a_row = if value.is_some_and(|value| value >= threshold) { in_a_row + 1 } else { 0 };
            if in_a_row == alarm.periods {
                return Ok(Some(to));
            }
        }
        Ok(None)
    }

    /// The values of a metric, each with its minute.
    pub(crate) fn line(&self, metric: &Metric, deployed: Deployed) -> Vec<(u64, f64)> {
        let seen = self.seen();
        let minutes = seen.minutes.keys();
        let values = minutes.filter_map(|minute| {
            Some((*minute, seen.value(metric, deployed, *minute..minute + 1)?))
        });
        values.collect()
    }

    /// How many calls had each outcome, by priority and outcome, each with its minute.
    pub(crate) fn calls_by_outcome(&self) -> BTreeMap<String, Vec<(u64, f64)>> {
        let mut lines = BTreeMap::<String, Vec<_>>::new();
        for (minute, all) in &self.seen().minutes {
            for (Series { name, dimensions, .. }, values) in all {
                if let (true, Some(outcome)) = (name == "Calls", dimensions.get("Outcome")) {
                    let label = format!("{} {outcome}", dimensions["Priority"]);
                    lines.entry(label).or_default().push((*minute, values.iter().sum()));
                }
            }
        }
        lines
    }

    /// How many minutes were seen.
    pub(crate) fn minutes(&self) -> u64 {
        self.seen().minutes.keys().next_back().map_or(0, |last| last + 1)
    }
}

fn threshold(alarm: &Alarm, deployed: Deployed) -> anyhow::Result<f64> {
    Ok(match alarm.at_least {
        Threshold::Number(number) => number.into(),
        Threshold::Parameter("HighWaitAlarmSeconds") => deployed.high_wait_secs.into(),
        Threshold::Parameter("WaitAlarmSeconds") => deployed.wait_secs.into(),
        Threshold::ByApiTimeout(name) => by_api_timeout(deployed.api_timeout_secs, name)?,
        other => anyhow::bail!("{other:?} of {}", alarm.name),
    })
}

/// A number of the template's mapping `ByApiTimeout`.
fn by_api_timeout(secs: u64, name: &str) -> anyhow::Result<f64> {
    let template = std::fs::read_to_string(repository().join("infra/template.yaml"))?;
    let of_timeout = template.split_once(&format!("\n    \"{secs}\":\n"));
    let number = of_timeout.and_then(|(_, rest)| rest.split_once(&format!("{name}: \"")));
    let (_, rest) = number.with_context(|| format!("{name} for {secs} s"))?;
    Ok(rest.split('"').next().unwrap_or_default().parse()?)
}

impl Seen {
    fn add(&mut self, now: Moment, series: Series, value: f64) {
        let minute = self.minutes.entry(now.millis() / MINUTE_MS).or_default();
        minute.entry(series).or_default().push(value);
    }

    fn of_aws(&mut self, now: Moment, namespace: &str, name: &str, of: &str, value: f64) {
        let dimensions = BTreeMap::from([("of".to_owned(), of.to_owned())]);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.add(now, Series { namespace, name, dimensions }, value);
    }

    fn value(
        &self,
        metric: &Metric,
        deployed: Deployed,
        minutes: std::ops::Range<u64>,
    ) -> Option<f64> {
        let series = series_of(metric, deployed);
        let seen = self.minutes.range(minutes).filter_map(|(_, minute)| minute.get(&series));
        let mut all: Vec<f64> = seen.flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let (least, most) = (*all.first()?, *all.last()?);
        let percentile = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
        Some(match metric.statistic {
            "Sum" => all.iter().sum(),
            "Minimum" => least,
            "Maximum" => most,
            "p50" => percentile(0.5),
            "p99" => percentile(0.99),
            other => panic!("nothing looks at {other}"),
        })
    }
}

/// Which series of a run a metric of the template is.
fn series_of(metric: &Metric, deployed: Deployed) -> Series {
    let namespace = match metric.namespace {
        Namespace::Slowlane => "Slowlane".to_owned(),
        Namespace::Aws(namespace) => namespace.to_owned(),
    };
    let dimensions = metric.dimensions.iter().map(|(name, value)| match metric.namespace {
        Namespace::Slowlane => ((*name).to_owned(), name_of(value, deployed).to_owned()),
        // A resource stands for itself, whatever the dimension is called.
        Namespace::Aws(_) => ("of".to_owned(), name_of(value, deployed).to_owned()),
    });
    Series { namespace, name: metric.name.to_owned(), dimensions: dimensions.collect() }
}

fn name_of(value: &metrics::Value, deployed: Deployed) -> &'static str {
    use metrics::Value;
    match *value {
        Value::Text(text) => text,
        Value::ByDispatch(doorbell, deferral) => {
            name_of(if deployed.doorbell { doorbell } else { deferral }, deployed)
        }
        Value::Attribute(resource, _) | Value::Ref(resource) => match resource {
            "HighQueue" => "high",
            "NormalQueue" => "normal",
            "BatchQueue" => "batch",
            "DoorbellQueue" => "doorbell",
            "DeadLetterQueue" => "dead",
            "WorkerFunction" => "worker",
            "EnqueuerFunction" => "enqueuer",
            // One mapping stands for those of a wiring, as in the alarms.
            "DoorbellMapping" | "HighMapping" => "mapping",
            other => other,
        },
    }
}

impl Watch for CloudWatch {
    fn saw(&mut self, now: Moment, event: &Event<'_>) {
        let mut seen = self.seen();
        let function = |id: FunctionId| FUNCTION_NAMES.get(id.0 as usize).copied();
        match *event {
            Event::Deleted { queue, .. } => {
                let Some(queue) = QUEUE_NAMES.get(queue.0 as usize) else { return };
                seen.of_aws(now, "AWS/SQS", "NumberOfMessagesDeleted", queue, 1.0);
            }
            Event::Started(id, machine) => {
                seen.began.insert((id, machine), now);
                let Some(function) = function(id) else { return };
                seen.of_aws(now, "AWS/Lambda", "Invocations", function, 1.0);
                if function == "worker" {
                    let running = seen.began.keys().filter(|(other, _)| *other == id).count();
                    seen.of_aws(
                        now,
                        "AWS/Lambda",
                        "ConcurrentExecutions",
                        function,
                        running as f64,
                    );
                    // Slots that slots have woken are among them.
                    seen.of_aws(now, "AWS/Lambda", "InvokedEventCount", "mapping", 1.0);
                }
            }
            Event::Finished(id, machine, failure) => {
                let began = seen.began.remove(&(id, machine));
                let Some(function) = function(id) else { return };
                let took = began.map_or(0, |began| now.since(began).as_millis());
                seen.of_aws(now, "AWS/Lambda", "Duration", function, took as f64);
                let errors = f64::from(u8::from(failure.is_some()));
                seen.of_aws(now, "AWS/Lambda", "Errors", function, errors);
            }
            Event::Throttled(id) => {
                let Some(function) = function(id) else { return };
                seen.of_aws(now, "AWS/Lambda", "Throttles", function, 1.0);
                if function == "worker" {
                    seen.of_aws(now, "AWS/Lambda", "FailedInvokeEventCount", "mapping", 1.0);
                }
            }
            _ => {}
        }
    }
}

impl Monitor for CloudWatch {
    fn printed(&self, now: Moment, record: &Value) {
        let mut seen = self.seen();
        for directive in record["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            for set in directive["Dimensions"].as_array().into_iter().flatten() {
                let names = set.as_array().into_iter().flatten().filter_map(Value::as_str);
                let dimensions: BTreeMap<_, _> = names
                    .map(|name| (name.to_owned(), record[name].as_str().unwrap_or("").to_owned()))
                    .collect();
                for metric in directive["Metrics"].as_array().into_iter().flatten() {
                    let name = metric["Name"].as_str().unwrap_or_default().to_owned();
                    let value = record[&name].as_f64().unwrap_or_default();
                    let namespace = "Slowlane".to_owned();
                    let dimensions = dimensions.clone();
                    seen.add(now, Series { namespace, name, dimensions }, value);
                }
            }
        }
    }

    fn queues(&self, now: Moment, queues: &[Gauge]) {
        let mut seen = self.seen();
        for Gauge { queue, visible, in_flight, age_of_oldest } in queues {
            let [visible, hidden] = [*visible, *in_flight].map(|count| count as f64);
            let age = age_of_oldest.map_or(0.0, |age| age.as_secs_f64());
            for (name, value) in [
                ("ApproximateNumberOfMessagesVisible", visible),
                ("ApproximateNumberOfMessagesNotVisible", hidden),
                ("ApproximateAgeOfOldestMessage", age),
            ] {
                seen.of_aws(now, "AWS/SQS", name, queue, value);
            }
        }
    }
}
