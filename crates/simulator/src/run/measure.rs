//! Measures a run that is over.

use slowlane_aws_simulator::cloud::State;
use slowlane_aws_simulator::cloud::lambda::Bill;
use slowlane_message::Priority;

use super::Run;
use super::outcome::{Measures, Outcome};
use crate::ledger::Books;

/// What the keys of the limiter's items begin with.
const LIMITER_ITEMS: &str = "limiter";

impl Run {
    pub(super) fn outcome(&self) -> Outcome {
        let now = self.cloud.now();
        let state = self.cloud.state();
        let mut books = self.ledger.books();
        if let Some(vendor) = &self.vendor {
            books.saw_duplicates(vendor.duplicates(), now);
        }
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
