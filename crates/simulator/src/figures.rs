//! The figures of a run, collected while it lasts.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::Event;
use slowlane_message::Priority;

use crate::api::limits::Refused;
use crate::names::{QUEUE_NAMES, QUEUES};
use crate::scenario::Scenario;
use crate::usage::Usage;

/// Waits of one kind of calls, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// How many there were.
    pub calls: u64,
    /// Half are below.
    pub p50: u64,
    /// 95 of 100 are below.
    pub p95: u64,
    /// 99 of 100 are below.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// How often a call was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Receives {
    /// On average.
    pub mean: f64,
    /// At most.
    pub max: u32,
}

/// What the API's outages came to. Of several, the time until full use is the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outages {
    /// Requests that reached the API while it was out of order.
    pub api_calls: u64,
    /// Requests to AWS in that time, those of mappings included.
    pub requests: u64,
    /// How long after it the API was in full use. None if it never was.
    pub full_use_after_secs: Option<f64>,
}

/// Waits beside a noisy tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tenants {
    /// Of all tenants but the noisy one.
    pub quiet_wait_ms: Wait,
    /// Of the noisy tenant's HIGH calls.
    pub noisy_high_wait_ms: Wait,
}

/// The figures so far.
#[derive(Debug)]
pub struct Figures {
    /// What the API took.
    pub usage: Usage,
    waits: [Histogram<u64>; 3],
    quiet_waits: Histogram<u64>,
    noisy_high_waits: Histogram<u64>,
    /// The tenant who has most of the calls.
    noisy: Option<u32>,
    busy: Duration,
    first_start: Option<Moment>,
    last_end: Moment,
    throttled: u64,
    own_throttled: u64,
    calls_in_outages: u64,
    requests_in_outages: u64,
    requests_in_pauses: u64,
    received: u64,
    most_received: u32,
}

impl Figures {
    /// Nothing yet.
    pub fn new(noisy: Option<u32>) -> Figures {
        Figures {
            usage: Usage::default(),
            waits: std::array::from_fn(|_| histogram()),
            quiet_waits: histogram(),
            noisy_high_waits: histogram(),
            noisy,
            busy: Duration::ZERO,
            first_start: None,
            last_end: Moment::START,
            throttled: 0,
            own_throttled: 0,
            calls_in_outages: 0,
            requests_in_outages: 0,
            requests_in_pauses: 0,
            received: 0,
            most_received: 0,
        }
    }

    /// The API starts to work on something.
    pub fn starts(&mut self, now: Moment) {
        self.first_start.get_or_insert(now);
    }

    /// A call has waited so long until its first start.
    pub fn waited(&mut self, priority: Priority, tenant: Option<u32>, wait: Duration) {
        let wait = wait.as_millis() as u64;
        // Histograms grow to whatever they are given.
        let _ = self.waits[priority as usize].record(wait);
        if self.noisy.is_none() || tenant.is_none() {
            return;
        }
        if tenant != self.noisy {
            let _ = self.quiet_waits.record(wait);
        } else if priority == Priority::High {
            let _ = self.noisy_high_waits.record(wait);
        }
    }

    /// The API has worked on something for so long, until now.
    pub fn worked(&mut self, worked: Duration, now: Moment) {
        self.busy += worked;
        self.last_end = self.last_end.max(now);
    }

    /// The API refused a call because of its limit.
    pub fn throttled(&mut self, refused: Refused) {
        self.throttled += 1;
        self.own_throttled += u64::from(matches!(refused, Refused::Own { .. }));
    }

    /// A request reached the API while it was out of order.
    pub fn fails_in_outage(&mut self) {
        self.calls_in_outages += 1;
    }

    /// So many requests were sent to AWS in an outage.
    pub fn sent_in_outage(&mut self, requests: u64) {
        self.requests_in_outages += requests;
    }

    /// So many requests were sent to AWS in a pause.
    pub fn sent_in_pause(&mut self, requests: u64) {
        self.requests_in_pauses += requests;
    }

    /// Something happened on a queue.
    pub fn saw(&mut self, event: &Event<'_>) {
        if let Event::Received { queue, receive_count, .. } = event
            && QUEUE_NAMES.get(queue.0 as usize).is_some_and(|name| QUEUES.contains(name))
        {
            self.received += 1;
            self.most_received = self.most_received.max(*receive_count);
        }
    }

    /// The waits of one priority, from the enqueuer's sending to the API.
    pub fn wait(&self, priority: Priority) -> Wait {
        wait(&self.waits[priority as usize])
    }

    /// The waits beside a noisy tenant, if there is one.
    pub fn tenants(&self) -> Option<Tenants> {
        self.noisy.map(|_| Tenants {
            quiet_wait_ms: wait(&self.quiet_waits),
            noisy_high_wait_ms: wait(&self.noisy_high_waits),
        })
    }

    /// How often each of `calls` was received.
    pub fn receives(&self, calls: u64) -> Receives {
        Receives { mean: self.received as f64 / calls.max(1) as f64, max: self.most_received }
    }

    /// How many requests were sent to AWS in pauses.
    pub fn pause_requests(&self) -> u64 {
        self.requests_in_pauses
    }

    /// How long after the API began to take more at once it was in full use, at worst. None if it
    /// never did, or never was.
    pub fn full_use_after_rise(&self, scenario: &Scenario) -> Option<Duration> {
        let steps = &scenario.api.concurrency_steps;
        let rises = steps.windows(2).filter(|steps| steps[0].1 < steps[1].1);
        let full = |steps: &[(u64, u32)]| {
            self.usage.full_use_after(Moment::from_millis(steps[1].0 * 1_000), &scenario.api)
        };
        let after: Option<Vec<Duration>> = rises.map(full).collect();
        after?.into_iter().max()
    }

    /// What the outages of a scenario came to, if it has any.
    pub fn outages(&self, scenario: &Scenario) -> Option<Outages> {
        let recovered = scenario.api.outages.iter().map(|outage| outage.ends());
        let full = |recovered| self.usage.full_use_after(recovered, &scenario.api);
        // One that is never made good is worse than any that is.
        let after: Option<Vec<Duration>> = recovered.map(full).collect();
        let worst = after.and_then(|after| after.into_iter().max());
        (!scenario.api.outages.is_empty()).then(|| Outages {
            api_calls: self.calls_in_outages,
            requests: self.requests_in_outages,
            full_use_after_secs: worst.map(|worst| worst.as_secs_f64()),
        })
    }

    /// Time that the API worked, over `limit` times the time from its first start to its last end.
    pub fn utilisation(&self, limit: u32) -> f64 {
        let span = self.makespan().as_secs_f64() * f64::from(limit);
        if span > 0.0 { self.busy.as_secs_f64() / span } else { 0.0 }
    }

    /// From the API's first start to its last end.
    pub fn makespan(&self) -> Duration {
        self.last_end.since(self.first_start.unwrap_or_default())
    }

    /// How often the API refused a call because of its limit.
    pub fn http_429(&self) -> u64 {
        self.throttled
    }

    /// How often it would have done so if nobody else had used the limit.
    pub fn own_429(&self) -> u64 {
        self.own_throttled
    }
}

fn wait(waits: &Histogram<u64>) -> Wait {
    Wait {
        calls: waits.len(),
        p50: waits.value_at_quantile(0.5),
        p95: waits.value_at_quantile(0.95),
        p99: waits.value_at_quantile(0.99),
        max: waits.max(),
    }
}

/// A histogram of milliseconds with three significant digits.
#[expect(clippy::expect_used, reason = "3 is a number of digits that the library takes")]
fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("3 digits")
}
