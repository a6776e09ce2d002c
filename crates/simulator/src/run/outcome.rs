//! What a run came to, in figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slowlane_aws_simulator::cloud::dynamodb::Units;
use slowlane_aws_simulator::cloud::lambda::Bill;
use slowlane_aws_simulator::cloud::requests::Requests;
use slowlane_aws_simulator::faults::Struck;

use crate::figures::{Outages, Receives, Tenants, Wait};
use crate::ledger::Violation;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The hash of everything that happened.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How many faults were due to strike, those that were spared included.
    pub strikes: u64,
    /// How often each fault struck.
    pub struck: Struck,
    /// What was broken; empty if all held.
    pub violations: Vec<Violation>,
    /// How many executions ended in each way.
    pub ends: BTreeMap<Arc<str>, u64>,
    /// The figures.
    pub measures: Measures,
}

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Measures {
    /// Calls.
    pub calls: u64,
    /// Virtual time from the API's first start to its last end.
    pub makespan: Duration,
    /// Time that the API worked, over the limit times the makespan.
    pub utilisation: f64,
    /// The most calls of live invocations at the API at once.
    pub max_concurrency: u32,
    /// The share of what the API would have taken, while more waited, that it was given; where it
    /// can be told ([`Usage::permitted_used`](crate::usage::Usage::permitted_used)).
    pub permitted_used: Option<f64>,
    /// Calls that the API refused because of its limit.
    pub http_429: u64,
    /// Of these, those that it would have refused also if nobody else had used it.
    pub own_429: u64,
    /// Workflows that failed or timed out.
    pub failed: u64,
    /// How often calls were received from their queues.
    pub receives: Receives,
    /// What the API's outages came to.
    pub outages: Option<Outages>,
    /// How long after the API began to take more at once it was in full use, at worst.
    pub full_use_after_rise: Option<Duration>,
    /// Requests to AWS while operators had paused the target, those of mappings included.
    pub pause_requests: u64,
    /// Waits beside a noisy tenant.
    pub tenants: Option<Tenants>,
    /// Writes to the limiter's items, those that failed their condition included.
    pub limiter_writes: u64,
    /// Reads of them.
    pub limiter_reads: u64,
    /// Deliveries that were refused for want of concurrency.
    pub throttled_deliveries: u64,
    /// Calls in the dead-letter queue that the API would have accepted.
    pub healthy_in_dlq: u64,
    /// Effects beyond the first of calls that must not be repeated.
    pub duplicates: u64,
    /// Wait from the enqueuer's sending to the API, most urgent priority first.
    pub waits: [Wait; 3],
    /// The stated bound on the wait of the BATCH call that waited longest, where there is one.
    pub batch_bound: Option<Duration>,
    /// Requests to AWS.
    pub requests: Requests,
    /// List price, USD.
    pub price: f64,
    /// Invocations of the worker.
    pub worker_invocations: u64,
    /// What Lambda bills of the worker.
    pub worker_bill: Bill,
    /// What Lambda bills of the enqueuer.
    pub enqueuer_bill: Bill,
    /// What DynamoDB bills.
    pub units: Units,
}

impl Measures {
    /// Requests to AWS, those of mappings included.
    pub fn aws_requests(&self) -> u64 {
        self.requests.sent() + self.requests.polls()
    }
}
