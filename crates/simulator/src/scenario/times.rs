//! How long things take.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slowlane_aws_simulator::chance::Latency;

/// A distribution of times: fixed if it has a median only, else log-normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Half of the times are below.
    pub median_ms: f64,
    /// 99 of 100 are below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

impl Times {
    /// Always `millis`.
    pub fn fixed(millis: f64) -> Times {
        Times { median_ms: millis, p99_ms: None }
    }

    /// The distribution to draw from.
    pub fn latency(self) -> Latency {
        match self.p99_ms {
            Some(p99_ms) => Latency::LogNormal { median_ms: self.median_ms, p99_ms },
            None => Latency::Fixed(Duration::from_micros((self.median_ms * 1000.0) as u64)),
        }
    }
}
