//! What a run came to, in figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slowlane_aws_simulator::cloud::State;
use slowlane_aws_simulator::cloud::dynamodb::Units;
use slowlane_aws_simulator::cloud::lambda::Bill;
use slowlane_aws_simulator::cloud::requests::Requests;
use slowlane_aws_simulator::faults::Struck;
use slowlane_message::Priority;

use super::Run;
use crate::figures::{Outages, Receives, Tenants, Wait};
use crate::ledger::{Books, Violation};

/// What the keys of the limiter's items begin with.
const LIMITER_ITEMS: &str = "limiter";

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

impl Run {
    pub(super) fn outcome(&self) -> Outcome {
        let now = self.cloud.now();
        let state = self.cloud.state();
        let mut books = self.ledger.books();
        let rates = state.faults.rates().clone();
        for (invariant, what) in books.metered().check(&self.scenario, &rates, &state) {
            books.violated(now, invariant, what);
        }
        Outcome {
            hash: state.transcript.hash(),
            events: state.transcript.events(),
            strikes: state.faults.count(),
            struck: state.faults.struck().clone(),
            violations: books.violations().to_vec(),
            ends: books.ends().clone(),
            measures: self.measures(&state, &mut books),
        }
    }

    fn measures(&self, state: &State, books: &mut Books) -> Measures {
        let worker: Bill = self.functions.bill(self.deployment.worker);
        let enqueuer = self.functions.bill(self.deployment.enqueuer);
        let mut bills = vec![worker, enqueuer];
        bills.extend(self.rival.iter().map(|rival| self.functions.bill(rival.caller())));
        let dead = state.sqs.bodies(self.deployment.dead_letters);
        let healthy_in_dlq = dead.filter(|body| books.is_healthy(body)).count() as u64;
        let calls = books.opened();
        let limiter = state.dynamo.asked_of(LIMITER_ITEMS);
        let figures = books.figures();
        Measures {
            calls,
            makespan: figures.makespan(),
            utilisation: figures.utilisation(self.scenario.limit),
            permitted_used: figures.usage.permitted_used(&self.scenario.api),
            http_429: figures.http_429(),
            own_429: figures.own_429(),
            throttled_deliveries: worker.throttled,
            healthy_in_dlq,
            waits: Priority::ALL.map(|priority| figures.wait(priority)),
            receives: figures.receives(calls),
            outages: figures.outages(&self.scenario),
            full_use_after_rise: figures.full_use_after_rise(&self.scenario),
            pause_requests: figures.pause_requests(),
            tenants: figures.tenants(),
            limiter_writes: limiter.writes,
            limiter_reads: limiter.reads,
            max_concurrency: books.most_at_api(),
            failed: books.failed(),
            duplicates: books.duplicates(),
            batch_bound: books.bound_of_longest(Priority::Batch),
            requests: state.requests,
            price: state.requests.price(&bills, state.dynamo.units()),
            worker_invocations: worker.invocations,
            worker_bill: worker,
            enqueuer_bill: enqueuer,
            units: state.dynamo.units(),
        }
    }
}
