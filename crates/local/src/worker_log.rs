//! The worker's own counts, read from the metrics in its log.
//!
//! A metric line is a JSON object with the key `_aws` (CloudWatch's embedded metric format). Its
//! metrics are keys at the root, each a number or an array of numbers.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// What the worker counted, summed over all its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerCounts {
    /// Times the Lambda was invoked.
    pub invocations: u64,
    /// Calls given back because a higher one waited.
    pub deferrals: u64,
    /// Higher calls run in the slot of a lower one.
    pub swaps: u64,
    /// Rings that found no call.
    pub empty_rings: u64,
    /// Invocations that other slots asked for.
    pub slots_woken: u64,
}

impl WorkerCounts {
    /// Sums the counts in a log file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(log: &Path) -> io::Result<Self> {
        let mut counts = Self::default();
        for line in BufReader::new(File::open(log)?).split(b'\n') {
            counts.add_line(&line?);
        }
        Ok(counts)
    }

    /// Adds a log line's metrics; other lines count nothing.
    fn add_line(&mut self, line: &[u8]) {
        // Most lines are plain events: do not parse them all.
        if !line.windows(6).any(|window| window == b"\"_aws\"") {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
        self.invocations += sum(&line["Invocations"]);
        self.deferrals += sum(&line["Deferrals"]);
        self.swaps += sum(&line["Swaps"]);
        self.empty_rings += sum(&line["EmptyRings"]);
        self.slots_woken += sum(&line["SlotsWoken"]);
    }
}

/// A metric's value: counts are whole numbers, even when they are written as `1.0`.
fn sum(metric: &Value) -> u64 {
    match metric {
        Value::Array(values) => values.iter().map(sum).sum(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are small and not negative"
        )]
        value => value.as_f64().map_or(0, |number| number.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_all_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("worker.log");
        std::fs::write(
            &log,
            "{\"level\":\"INFO\",\"message\":\"\\\"Swaps\\\": 7\"}\n\
             {\"_aws\":{},\"Invocations\":1,\"Deferrals\":[1,2.0],\"Swaps\":0}\n\
             not JSON, with \"_aws\" in it\n\
             {\"_aws\":{},\"Invocations\":1.0,\"EmptyRings\":3,\"SlotsWoken\":1}\n",
        )
        .unwrap();
        assert_eq!(
            WorkerCounts::read(&log).unwrap(),
            WorkerCounts { invocations: 2, deferrals: 3, swaps: 0, empty_rings: 3, slots_woken: 1 }
        );
    }

    #[test]
    fn a_missing_log_is_an_error_not_a_zero() {
        assert!(WorkerCounts::read(Path::new("/no/such/worker.log")).is_err());
    }
}
