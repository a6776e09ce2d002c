//! The faults that come from people rather than from machines: what operators do to a run.

use std::rc::Rc;
use std::time::Duration;

use slowlane_aws_simulator::cloud::sqs::LARGEST_MESSAGE;
use slowlane_aws_simulator::time::{Moment, Skew};
use slowlane_aws_simulator::transcript::{Caller, Event};
use slowlane_limiter::{Author, Change};
use slowlane_message::Ring;

use super::{Run, TICK, plain, timestamp};
use crate::faults::Fault;
use crate::ledger::call_in;
use crate::programs::TABLE;
use crate::scenario::{Dispatch, Lowered, Mutant, Pause};
use crate::strategies;

/// The longest until an operator who has lost a ring rings again.
const LONGEST_UNNOTICED_MS: u64 = 300_000;
/// How long operators err: what waits for hours then must come to its end by itself.
const LONGEST_SHIFT: Duration = Duration::from_secs(3_600);
/// The longest until a deploy has made the new mappings, and then until the old ones are gone.
const LONGEST_CREATION_MS: u64 = 30_000;
const LONGEST_CLEANUP_MS: u64 = 120_000;

impl Run {
    /// The faults that come from people rather than from machines.
    pub(super) fn operators_err(self: &Rc<Self>) {
        let now = self.cloud.now();
        if now > Moment::START.plus(LONGEST_SHIFT) {
            return;
        }
        let (queues, doorbell) = (self.deployment.calls, self.deployment.doorbell);
        self.operators_deploy();
        self.operators_restart();
        let mut state = self.cloud.state();
        if state.faults.strikes(Fault::Malformed) {
            let queue = queues[state.faults.below(3) as usize];
            let body = ["{}", "not JSON", "{\"version\":\"9.0\"}"][state.faults.below(3) as usize];
            // A message of a known size and form: SQS does not refuse it.
            let _ = state.send(queue, plain(body), now);
            let _ = state.send(doorbell, plain("ring"), now);
        }
        if state.faults.strikes(Fault::Oversized) {
            let queue = queues[state.faults.below(3) as usize];
            // As large as SQS takes it.
            let _ = state.send(queue, plain(&"x".repeat(LARGEST_MESSAGE)), now);
            let _ = state.send(doorbell, plain("ring"), now);
        }
        if state.faults.strikes(Fault::LostRing) {
            let (sqs, mut odds) = state.sqs();
            if let Some(lost) = sqs.snatch(doorbell, now, &mut odds) {
                state.saw(now, Event::Run("ring lost", lost, 0));
                let unnoticed = Duration::from_millis(state.faults.below(LONGEST_UNNOTICED_MS));
                tokio::task::spawn_local(self.clone().ring_again(unnoticed));
            }
        }
        if state.faults.strikes(Fault::Redrive) {
            let (from, to) = (self.deployment.dead_letters, queues[state.faults.below(3) as usize]);
            let (sqs, mut odds) = state.sqs();
            let moved = sqs.redrive(from, to, now, &mut odds) as u64;
            state.saw(now, Event::Run("redriven", moved, 0));
        }
        let deploys = state.faults.strikes(Fault::Deploy);
        drop(state);
        if deploys {
            self.functions.deploy();
        }
    }

    /// Limits and wirings change while calls run.
    fn operators_deploy(self: &Rc<Self>) {
        let limit = self.deployment.limit();
        let (new, switches) = {
            let faults = &mut self.cloud.state().faults;
            let lower = faults.strikes(Fault::LowerLimit).then(|| 1 + faults.below(limit.into()));
            let raise = faults.strikes(Fault::RaiseLimit).then(|| faults.below(5));
            let raise = raise.map(|more| u64::from(limit) + 1 + more);
            let pause = |longest| Duration::from_millis(longest);
            let switches = faults.strikes(Fault::SwitchDispatch).then(|| {
                [LONGEST_CREATION_MS, LONGEST_CLEANUP_MS].map(|most| pause(faults.below(most)))
            });
            (raise.or(lower).and_then(|limit| u32::try_from(limit).ok()), switches)
        };
        if let Some(new) = new {
            let ended = self.cloud.now().plus(self.deployment.timing.function_timeout + TICK);
            self.api.raise_limit(new);
            self.ledger.books().set_limit(new, ended);
            self.deployment.set_limit(new);
        }
        if let Some(pause) = switches
            && !self.switching.get()
        {
            tokio::task::spawn_local(self.clone().switch(pause));
        }
    }

    /// Deploys the other wiring; to the doorbell, whoever deploys rings for what waits.
    async fn switch(self: Rc<Self>, pause: [Duration; 2]) {
        self.switching.set(true);
        let now = self.cloud.now();
        self.cloud.state().saw(now, Event::Run("switches", 0, 0));
        self.deployment.switch(pause).await;
        let silent = self.scenario.mutant == Some(Mutant::NoRingAfterSwitch);
        if self.deployment.dispatch() == Dispatch::Doorbell && !silent {
            self.ring_for_all();
        }
        self.switching.set(false);
    }

    fn ring_for_all(&self) {
        let now = self.cloud.now();
        let until = now.plus(self.deployment.timing.deferral_visibility);
        let body = Ring { again_until: timestamp(until), ..Ring::default() }.to_body();
        // A ring is small.
        let _ = self.cloud.state().send(self.deployment.doorbell, plain(&body), now);
    }

    /// Dead letters get new executions, or go back to their queue if their workflow still waits.
    fn operators_restart(self: &Rc<Self>) {
        let now = self.cloud.now();
        let bodies = {
            let mut state = self.cloud.state();
            if !state.faults.strikes(Fault::DeadLettersRestarted) {
                return;
            }
            let (sqs, mut odds) = state.sqs();
            sqs.collect(self.deployment.dead_letters, now, &mut odds)
        };
        for body in bodies {
            let Some(call) = call_in(&body) else { continue };
            let (ended, (priority, repeatable)) = {
                let mut books = self.ledger.books();
                (books.has_ended(call), books.kind(call))
            };
            let mut state = self.cloud.state();
            if ended {
                let seed = state.faults.below(u64::MAX);
                drop(state);
                self.ledger.books().reopen(call);
                let again = self.clone().execution(call, priority, repeatable, seed);
                tokio::task::spawn_local(again);
            } else {
                let queue = self.deployment.calls[priority as usize];
                // It came from such a queue.
                let _ = state.send(queue, plain(&body), now);
                let _ = state.send(self.deployment.doorbell, plain("ring"), now);
            }
        }
    }

    /// An operator pauses the target, and resumes it later; he tries again until he is heard.
    pub(super) async fn operators_pause(self: Rc<Self>, pause: Pause) {
        let clock = self.cloud.clock();
        let sdk = self.cloud.sdk(Caller::Person, Skew::NONE);
        // The worker's limit stands beside its guard's records.
        let table = if self.rival.is_some() { strategies::TABLE } else { TABLE };
        let changes = [
            (pause.begins(), Change::Pause { until: None }, "the vendor asks for it"),
            (pause.ends(), Change::Resume, "the vendor is done"),
        ];
        for (at, change, why) in changes {
            clock.sleep_until(at).await;
            let by = Author::new("an operator", why);
            while strategies::change_limit(&sdk, table, &change, &by).await.is_err() {
                tokio::time::sleep(TICK).await;
            }
            if change == Change::Resume {
                self.ring_for_slots();
            }
            self.cloud.state().saw(self.cloud.now(), Event::Run("limit changed", 0, 0));
        }
    }

    /// An operator lets fewer calls be made, and later as many as were configured.
    pub(super) async fn operators_lower(self: Rc<Self>, lowered: Lowered) {
        let clock = self.cloud.clock();
        let sdk = self.cloud.sdk(Caller::Person, Skew::NONE);
        for at in [lowered.begins(), lowered.ends()] {
            clock.sleep_until(at).await;
            let limits = self.scenario.set_live_at(at);
            let by = Author::new("an operator", "the vendor asks for it");
            let change = Change::SetLimits { limits };
            while strategies::change_limit(&sdk, TABLE, &change, &by).await.is_err() {
                tokio::time::sleep(TICK).await;
            }
            // There may be more room than before.
            self.ring_for_slots();
            self.cloud.state().saw(self.cloud.now(), Event::Run("limit changed", 0, 0));
        }
    }

    /// Whoever resumes wakes every slot: the rings sleep.
    fn ring_for_slots(&self) {
        let now = self.cloud.now();
        for _ in 0..self.deployment.limit() {
            // A ring is small.
            let ring = plain(&Ring::default().to_body());
            let _ = self.cloud.state().send(self.deployment.doorbell, ring, now);
        }
    }

    async fn ring_again(self: Rc<Self>, unnoticed: Duration) {
        self.lost_rings.set(self.lost_rings.get() + 1);
        tokio::time::sleep(unnoticed).await;
        // It may have been one that rings again, as after a switch.
        self.ring_for_all();
        self.lost_rings.set(self.lost_rings.get() - 1);
    }
}
