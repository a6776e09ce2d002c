//! CloudWatch's embedded metric format: metrics written as a log line, without a request.
//!
//! One [`Record`] is one line. Values sit at its root, dimension values are strings, a
//! dimension set has at most 30 names and a directive at most 100 metrics
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! What is neither a metric nor a dimension is a property: searchable in CloudWatch Logs
//! and free of charge as a metric.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The unit of a metric, as CloudWatch spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A duration.
    Milliseconds,
    /// None of CloudWatch's, such as money.
    None,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Unit::Count => "Count",
            Unit::Milliseconds => "Milliseconds",
            Unit::None => "None",
        }
    }
}

/// One line of metrics under construction.
#[derive(Debug, Clone)]
pub struct Record {
    at: Timestamp,
    namespace: String,
    dimension_sets: Vec<Vec<&'static str>>,
    metrics: Vec<Value>,
    root: Map<String, Value>,
}

impl Record {
    /// A record of `namespace`, measured at `at`.
    pub fn new(namespace: impl Into<String>, at: Timestamp) -> Self {
        Record {
            at,
            namespace: namespace.into(),
            dimension_sets: Vec::new(),
            metrics: Vec::new(),
            root: Map::new(),
        }
    }

    /// Adds a dimension set; each metric of the record is reported once a set.
    #[must_use]
    pub fn dimensions(mut self, set: &[(&'static str, &str)]) -> Self {
        self.dimension_sets.push(set.iter().map(|(name, _)| *name).collect());
        for (name, value) in set {
            self.root.insert((*name).to_owned(), Value::from(*value));
        }
        self
    }

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, name: &'static str, unit: Unit, value: f64) -> Self {
        self.metrics.push(json!({ "Name": name, "Unit": unit.as_str() }));
        self.root.insert(name.to_owned(), Value::from(value));
        self
    }

    /// Adds a property, which is logged beside the metrics and is not a metric itself.
    #[must_use]
    pub fn property(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.root.insert(name.to_owned(), value.into());
        self
    }

    /// The record as the JSON object of its log line.
    pub fn into_json(self) -> Value {
        let Record { at, namespace, mut dimension_sets, metrics, mut root } = self;
        if dimension_sets.is_empty() {
            // Without any set CloudWatch reports nothing: the empty set stands for the total.
            dimension_sets.push(Vec::new());
        }
        root.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": at.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": namespace,
                    "Dimensions": dimension_sets,
                    "Metrics": metrics,
                }],
            }),
        );
        Value::Object(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_form_that_cloudwatch_reads() {
        let record =
            Record::new("Slowlane", Timestamp::from_millisecond(1_700_000_000_123).unwrap())
                .dimensions(&[("Priority", "HIGH")])
                .dimensions(&[("Priority", "HIGH"), ("Outcome", "succeeded")])
                .metric("Calls", Unit::Count, 1.0)
                .metric("QueueWaitMs", Unit::Milliseconds, 12.5)
                .property("idempotency_key", "order-1");
        assert_eq!(
            record.into_json(),
            json!({
                "_aws": {
                    "Timestamp": 1_700_000_000_123_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Slowlane",
                        "Dimensions": [["Priority"], ["Priority", "Outcome"]],
                        "Metrics": [
                            { "Name": "Calls", "Unit": "Count" },
                            { "Name": "QueueWaitMs", "Unit": "Milliseconds" },
                        ],
                    }],
                },
                "Priority": "HIGH",
                "Outcome": "succeeded",
                "Calls": 1.0,
                "QueueWaitMs": 12.5,
                "idempotency_key": "order-1",
            })
        );
    }

    #[test]
    fn without_a_dimension_the_metric_is_a_total() {
        let record =
            Record::new("Slowlane", Timestamp::UNIX_EPOCH).metric("Swaps", Unit::Count, 0.0);
        assert_eq!(record.into_json()["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    }
}
