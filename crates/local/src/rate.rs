//! A rate that the API has and the worker is told, and what a run has used of it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use slowlane_sandbox::Window;

use crate::sandbox::ApiCall;

/// Calls that an API takes in any span of a length.
///
/// ```
/// # use slowlane_local::Rate;
/// let rate: Rate = "100/20s".parse()?;
/// assert_eq!((rate.calls(), rate.per_secs()), (100, 20.0));
/// # Ok::<(), slowlane_local::rate::ParseRateError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// As the sandbox counts it.
    counted: slowlane_sandbox::Rate,
    /// As it was written.
    text: String,
}

/// The text is not a rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a rate: write CALLS/SPAN, such as 20/s, 100/20s or 500/1m")]
pub struct ParseRateError(String);

/// What a run has used of a rate, by the sandbox's account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateUsed {
    /// The rate, such as `20/s`.
    pub rate: String,
    /// The most calls that the API took up in a span of that length, wherever that begins.
    pub most: usize,
    /// The share of what it would have taken from the first call to the last: 1 is all.
    pub used: f64,
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let counted = text.parse().ok();
        // The demo looks at spans that begin anywhere, and knows no other way to count.
        let counted =
            counted.filter(|rate: &slowlane_sandbox::Rate| rate.window == Window::Sliding);
        let counted = counted.ok_or_else(|| ParseRateError(text.to_owned()))?;
        Ok(Self { counted, text: text.to_owned() })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rate {
    /// How many calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.counted.amount
    }

    /// In how many seconds.
    #[must_use]
    pub fn per_secs(&self) -> f64 {
        self.counted.per.as_secs_f64()
    }

    /// The rate as the template's parameter `Limits` has it.
    #[must_use]
    pub fn as_limits(&self) -> String {
        serde_json::json!([{ "rate": self.text }]).to_string()
    }

    /// What these calls have used of it.
    #[must_use]
    pub fn used_by(&self, calls: &[ApiCall]) -> RateUsed {
        let mut starts: Vec<f64> = calls.iter().map(|call| call.start_ms / 1000.0).collect();
        starts.sort_by(f64::total_cmp);
        let most = (0..starts.len()).map(|first| {
            let end = starts[first] + self.per_secs();
            starts[first..].partition_point(|start| *start < end)
        });
        RateUsed {
            rate: self.text.clone(),
            most: most.max().unwrap_or(0),
            used: self.share(&starts),
        }
    }

    /// The share of the permitted that calls at these moments are: the first is at the beginning of a
    /// span of which it uses nothing.
    #[expect(clippy::cast_precision_loss, reason = "counts of a demo are small")]
    fn share(&self, starts: &[f64]) -> f64 {
        let [first, later @ ..] = starts else { return 0.0 };
        let spans = later.last().map_or(0.0, |last| last - first) / self.per_secs();
        let permitted = self.calls() as f64 * spans;
        if permitted > 0.0 { (later.len() as f64 / permitted * 1e4).round() / 1e4 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(start_ms: f64) -> ApiCall {
        ApiCall {
            method: "PUT".to_owned(),
            external_id: None,
            status: 204,
            start_ms,
            end_ms: start_ms + 200.0,
            enqueued_at_ms: None,
            priority: None,
            fault: None,
        }
    }

    fn used(rate: &str, starts: &[f64]) -> (usize, f64) {
        let calls: Vec<_> = starts.iter().copied().map(call).collect();
        let used = rate.parse::<Rate>().unwrap().used_by(&calls);
        (used.most, used.used)
    }

    #[test]
    fn a_span_may_begin_anywhere() {
        // Two in each second of the clock, and three within one that begins at 0.9.
        let starts = [0.0, 900.0, 1_000.0, 1_800.0];
        assert_eq!(used("2/s", &starts), (3, 0.8333));
        assert_eq!(used("2/500ms", &starts).0, 2);
    }

    #[test]
    fn all_of_a_rate_is_used_by_calls_that_are_evenly_spaced() {
        let starts: Vec<f64> = (0..50).map(|n| f64::from(n) * 50.0).collect();
        assert_eq!(used("20/s", &starts), (20, 1.0));
        assert_eq!(used("20/s", &[]), (0, 0.0));
        assert_eq!(used("20/s", &[5.0]), (1, 0.0));
    }

    #[test]
    fn texts_become_rates_or_are_named() {
        for (text, calls, per_secs) in
            [("20/s", 20, 1.0), ("100/20s", 100, 20.0), ("5/1m", 5, 60.0), ("1/250ms", 1, 0.25)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.calls(), rate.per_secs(), rate.to_string().as_str()),
                (calls, per_secs, text)
            );
        }
        for text in ["", "20", "0/s", "20/", "20/0s", "20/x", "-1/s", "20/s,bucket=4"] {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError(text.to_owned())), "{text}");
        }
    }
}
