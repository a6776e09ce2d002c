//! An API that answers nobody for a while, in the middle of a run, and how long it takes until all is
//! as before.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::run::now_ms;
use crate::sandbox::{self, ApiCall, SandboxProcess};

/// The sandbox's word for it: credentials that were good are refused, as when a secret was rotated.
const FAULT: &str = "invalid-login";

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long before the outage is looked at for what was usual, in milliseconds.
const USUAL_MS: f64 = 3_000.0;

/// An outage that begins once a third of the calls are made.
#[derive(Debug)]
pub struct Outage {
    lasts: Duration,
    began: OnceLock<(Instant, f64)>,
}

/// When an outage was, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its first moment.
    pub from_ms: f64,
    /// The moment from which the API answers again.
    pub until_ms: f64,
}

/// What became of an outage, by the sandbox's account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlasted {
    /// How long it was, in seconds.
    pub secs: f64,
    /// Requests that the API refused in it.
    pub refused: usize,
    /// In how many seconds after its end as many calls were under way as before it; absent if they
    /// never were again.
    pub full_again_s: Option<f64>,
}

impl Outage {
    /// One that is yet to begin.
    #[must_use]
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, began: OnceLock::new() }
    }

    /// Waits until a third of the calls are made, and lets the API refuse everybody from then on.
    ///
    /// # Errors
    /// [`sandbox::Error::Ask`].
    pub async fn strike(
        &self,
        sandbox: &SandboxProcess,
        calls: usize,
    ) -> Result<Infallible, sandbox::Error> {
        while sandbox.stats().await?.requests < (calls / 3) as u64 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let millis = self.lasts.as_millis();
        sandbox.inject(&format!("{FAULT}:for={millis}ms,by=0ms")).await?;
        self.began.get_or_init(|| (Instant::now(), now_ms()));
        std::future::pending().await
    }

    /// How much of it is left; nothing before and after it.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let (began, _) = self.began.get()?;
        self.lasts.checked_sub(began.elapsed()).filter(|left| !left.is_zero())
    }

    /// When it was; nothing if it has not begun.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let (_, from_ms) = *self.began.get()?;
        Some(Span { from_ms, until_ms: from_ms + self.lasts.as_secs_f64() * 1000.0 })
    }
}

impl Outlasted {
    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { secs, refused, full_again_s } = self;
        let full = match full_again_s {
            Some(after) => format!("as busy as before {after:.1} s after it"),
            None => "never as busy again".to_owned(),
        };
        format!("{secs:.0} s, {refused} requests refused in it, {full}")
    }
}

impl Span {
    /// What became of it, by the calls that the API saw.
    #[must_use]
    pub fn outlasted(self, calls: &[ApiCall]) -> Outlasted {
        let is_refused = |call: &&ApiCall| call.fault.as_deref() == Some(FAULT);
        let taken: Vec<&ApiCall> = calls.iter().filter(|call| !is_refused(call)).collect();
        let before = taken.iter().map(|call| call.start_ms);
        let before = before.filter(|start| (self.from_ms - USUAL_MS..self.from_ms).contains(start));
        let usual = before.map(|moment| under_way(&taken, moment)).max().unwrap_or(0);
        let after = taken.iter().map(|call| call.start_ms);
        let after = after.filter(|start| *start >= self.until_ms);
        let full = after.filter(|moment| under_way(&taken, *moment) >= usual);
        let full_again = full.min_by(f64::total_cmp).map(|moment| moment - self.until_ms);
        let secs = |millis: f64| (millis / 10.0).round() / 100.0;
        Outlasted {
            secs: secs(self.until_ms - self.from_ms),
            refused: calls.iter().filter(is_refused).count(),
            full_again_s: full_again.map(secs),
        }
    }
}

/// How many calls are under way at a moment.
fn under_way(calls: &[&ApiCall], moment: f64) -> usize {
    calls.iter().filter(|call| call.start_ms <= moment && moment < call.end_ms).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(start_ms: f64, end_ms: f64, fault: Option<&str>) -> ApiCall {
        ApiCall {
            method: "PUT".to_owned(),
            external_id: None,
            status: 204,
            start_ms,
            end_ms,
            enqueued_at_ms: None,
            priority: None,
            fault: fault.map(str::to_owned),
        }
    }

    const SPAN: Span = Span { from_ms: 10_000.0, until_ms: 40_000.0 };

    #[test]
    fn full_again_is_as_many_under_way_as_before() {
        let mut calls = vec![
            // Long ago there were three, and shortly before it two.
            call(1_000.0, 6_000.0, None),
            call(1_100.0, 6_000.0, None),
            call(1_200.0, 6_000.0, None),
            call(9_000.0, 9_900.0, None),
            call(9_100.0, 9_800.0, None),
            call(15_000.0, 15_001.0, Some(FAULT)),
            call(30_000.0, 30_001.0, Some(FAULT)),
            call(45_000.0, 46_000.0, None),
            call(46_500.0, 48_000.0, None),
        ];
        let outlasted = SPAN.outlasted(&calls);
        assert_eq!(outlasted, Outlasted { secs: 30.0, refused: 2, full_again_s: None });
        calls.push(call(47_250.0, 48_000.0, None));
        assert_eq!(SPAN.outlasted(&calls).full_again_s, Some(7.25));
    }

    #[test]
    fn an_outage_that_has_not_begun_has_no_span() {
        let outage = Outage::new(Duration::from_secs(30));
        assert_eq!((outage.span(), outage.left()), (None, None));
    }
}
