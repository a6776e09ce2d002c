//! What the worker records of its work: one line a call and one an invocation. Each is a log line
//! and a set of CloudWatch metrics at once. None holds a token, a secret or a body.

use std::io::Write as _;
use std::ops::AddAssign;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slowlane_lambda::clock::Clock;
use slowlane_lambda::emf::{Record, Unit};
use slowlane_lambda::spans::Exporter;
use slowlane_message::trace_id;

use crate::call::{Disposition, Ended};
use crate::metering::Metered;
use crate::spans;

/// Writes the records.
pub(crate) struct Reporter {
    pub(crate) clock: Clock,
    /// The metrics' namespace in CloudWatch.
    pub(crate) namespace: String,
    pub(crate) emit: Box<dyn Fn(&Value)>,
    /// Takes spans to a collector, where one is named.
    pub(crate) spans: Option<Exporter>,
}

impl Reporter {
    /// Records a message that has left the worker's hands, and counts it.
    pub(crate) fn ended(&self, ended: &Ended, counts: &mut Counts) {
        counts.add(ended.disposition);
        (self.emit)(&call_record(&self.namespace, self.clock.now(), ended));
        if let Some(metered) = &ended.metered {
            (self.emit)(&usage_record(&self.namespace, self.clock.now(), ended, metered));
        }
        if let Some(exporter) = &self.spans {
            spans::of(ended, self.clock.now()).into_iter().for_each(|span| exporter.record(span));
        }
    }

    /// Records an invocation at its end.
    pub(crate) fn invocation(
        &self,
        counts: Counts,
        doorbell: bool,
        concurrency: Option<u32>,
        secret_ends: Option<Timestamp>,
    ) {
        let now = self.clock.now();
        let record = counts.record(&self.namespace, now, doorbell);
        let record = match secret_ends.map(|end| days_until(end, now)) {
            Some(days) => record.metric("SecretEndsInDays", Unit::None, days),
            None => record,
        };
        let record = match concurrency {
            Some(at_once) => record.metric("EffectiveConcurrency", Unit::Count, at_once.into()),
            None => record,
        };
        (self.emit)(&record.into_json());
    }
}

/// None once it is over.
fn days_until(end: Timestamp, now: Timestamp) -> f64 {
    end.duration_since(now).as_secs_f64().max(0.0) / 86_400.0
}

/// What one invocation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that reached their end: their workflow has been told.
    pub ended: u32,
    /// Calls put back because something more urgent waited (`deferral` only).
    pub deferrals: u32,
    /// Of those, the times that the more urgent call ran in the same slot.
    pub swaps: u32,
    /// Calls fetched early and put back, because the slot was not free in time.
    pub give_backs: u32,
    /// Answers of the API that it is over its limit.
    pub throttles: u32,
    /// Calls put back to be tried or asked about again.
    pub retries: u32,
    /// Other slots woken, whether or not they were free.
    pub slots_woken: u32,
    /// Rings and calls that were put to sleep because no call may be made.
    pub put_to_sleep: u32,
    /// Slots that stood down because others had all places.
    pub stood_down: u32,
    /// Grants of this process's own share of the rates, because their store could not be reached.
    pub grants_of_own_share: u32,
    /// Requests that the limits' tables did not answer.
    pub limits_unreached: u32,
    /// Requests that the table of usage did not answer.
    pub usage_unreached: u32,
}

impl Counts {
    fn add(&mut self, disposition: Disposition) {
        match disposition {
            Disposition::Throttled => self.throttles += 1,
            Disposition::Retried
            | Disposition::CredentialsRefused
            | Disposition::Unknown
            | Disposition::TriedAgainLater
            | Disposition::Unrung { .. } => self.retries += 1,
            Disposition::GivenBack
            | Disposition::NoGrant
            | Disposition::NoPlace
            | Disposition::Waiting => {}
            ended => self.ended += u32::from(ended.is_end()),
        }
    }

    /// Whether the ring that woke the invocation found nothing to do.
    pub fn is_empty_ring(&self) -> bool {
        *self == Counts::default()
    }

    fn record(self, namespace: &str, now: Timestamp, doorbell: bool) -> Record {
        let empty_ring = doorbell && self.is_empty_ring();
        let record = Record::new(namespace, now)
            .metric("Invocations", Unit::Count, 1.0)
            .metric("Deferrals", Unit::Count, self.deferrals.into())
            .metric("Swaps", Unit::Count, self.swaps.into())
            .metric("GiveBacks", Unit::Count, self.give_backs.into())
            .metric("SlotsWoken", Unit::Count, self.slots_woken.into())
            .metric("PutToSleep", Unit::Count, self.put_to_sleep.into())
            .metric("StoodDown", Unit::Count, self.stood_down.into())
            .metric("GrantsOfOwnShare", Unit::Count, self.grants_of_own_share.into())
            .metric("LimitsUnreached", Unit::Count, self.limits_unreached.into())
            .metric("Throttles", Unit::Count, self.throttles.into())
            .metric("EmptyRings", Unit::Count, u32::from(empty_ring).into());
        match self.usage_unreached {
            // Where nothing is counted there is no such metric.
            0 => record,
            unreached => record.metric("UsageUnreached", Unit::Count, unreached.into()),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.ended += other.ended;
        self.deferrals += other.deferrals;
        self.swaps += other.swaps;
        self.give_backs += other.give_backs;
        self.throttles += other.throttles;
        self.retries += other.retries;
        self.slots_woken += other.slots_woken;
        self.put_to_sleep += other.put_to_sleep;
        self.stood_down += other.stood_down;
        self.grants_of_own_share += other.grants_of_own_share;
        self.limits_unreached += other.limits_unreached;
        self.usage_unreached += other.usage_unreached;
    }
}

/// Writes a record to stdout, from where Lambda takes it to CloudWatch.
pub(crate) fn print_line(record: &Value) {
    // A closed stdout is no reason to stop working.
    let _ = writeln!(std::io::stdout(), "{record}");
}

/// A call's line.
fn call_record(namespace: &str, now: Timestamp, ended: &Ended) -> Value {
    let priority = ended.received.priority.as_str();
    let mut record = Record::new(namespace, now)
        .dimensions(&[("Priority", priority)])
        .dimensions(&[("Priority", priority), ("Outcome", ended.disposition.as_str())])
        .metric("Calls", Unit::Count, 1.0)
        .property("message_id", ended.received.message_id.as_str())
        .property("receive_count", ended.received.receive_count);
    if let Some(call) = &ended.queued {
        if let Some(execution) = &call.execution {
            record = record.property("execution_arn", execution.as_str());
        }
        if let Some(trace) = call.trace_header.as_deref().and_then(trace_id) {
            record = record.property("trace_id", trace);
        }
        record = record.property("idempotency_key", call.idempotency_key.as_str()).metric(
            "AgeMs",
            Unit::Milliseconds,
            millis_between(call.enqueued_at, now),
        );
        if let Some((started, _)) = ended.asked {
            let asked_at = now.saturating_sub(started.elapsed()).unwrap_or(now);
            let wait = millis_between(call.enqueued_at, asked_at);
            record = record.metric("QueueWaitMs", Unit::Milliseconds, wait);
        }
    }
    if let Some((_, took)) = ended.asked {
        record = record.metric("ApiLatencyMs", Unit::Milliseconds, millis(took));
    }
    if let Some(wait) = ended.wait_for_grant {
        record = record.metric("GrantWaitMs", Unit::Milliseconds, millis(wait));
    }
    if let Some(at_once) = ended.concurrency {
        record = record.property("concurrency", at_once);
    }
    if let Some(why) = &ended.why {
        record = record.property("why", why.as_str());
    }
    record.into_json()
}

/// The line of what a call has used of a model. Its tenant is no dimension: each value of one is a metric
/// that is paid for.
fn usage_record(namespace: &str, now: Timestamp, ended: &Ended, metered: &Metered) -> Value {
    let Metered { model, used } = metered;
    let mut record = Record::new(namespace, now)
        .dimensions(&[("Model", if model.is_empty() { "none" } else { model })])
        .metric("InputTokens", Unit::Count, count(used.input))
        .metric("OutputTokens", Unit::Count, count(used.output));
    if used.unpriced == 0 {
        let cost = used.cost.billionths() as f64 / 1e9;
        record = record.metric("ModelCost", Unit::None, cost);
    }
    if let Some(call) = &ended.queued {
        record = record.property("idempotency_key", call.idempotency_key.as_str());
        if let Some(tenant) = &call.tenant {
            record = record.property("tenant", tenant.as_str());
        }
    }
    record.into_json()
}

/// A number as CloudWatch takes it, which has 53 bits.
fn count(number: u64) -> f64 {
    number as f64
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn millis_between(from: Timestamp, to: Timestamp) -> f64 {
    // Clocks of two machines may disagree: a wait is never negative.
    to.duration_since(from).as_secs_f64().max(0.0) * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// What an invocation records of a secret that ends so many seconds from now.
    fn days(secret_ends_in: Option<i64>) -> Option<f64> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = told.clone();
        let reporter = Reporter {
            clock: Clock::of(None),
            namespace: "Slowlane/trial".to_owned(),
            emit: Box::new(move |record| keep.lock().unwrap().push(record.clone())),
            spans: None,
        };
        let ends = secret_ends_in.map(|secs| {
            let now = reporter.clock.now().as_second();
            Timestamp::from_second(now + secs).unwrap()
        });
        reporter.invocation(Counts::default(), true, None, ends);
        let told = told.lock().unwrap();
        told[0].get("SecretEndsInDays").map(|days| days.as_f64().unwrap())
    }

    #[test]
    fn an_invocation_records_in_how_many_days_the_secret_ends() {
        assert_eq!(days(None), None);
        let far = days(Some(20 * 86_400)).unwrap();
        assert!((19.9..=20.0).contains(&far), "{far}");
        assert_eq!(days(Some(-86_400)), Some(0.0));
    }
}
