//! One workflow of a run: it asks for a call, and waits for the answer.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use slowlane_aws_simulator::chance::Dice;
use slowlane_aws_simulator::cloud::lambda::Failure;
use slowlane_aws_simulator::cloud::tokens::{Ended, Token};
use slowlane_aws_simulator::cloud::{Input, Waited};
use slowlane_aws_simulator::faults::{Fault as AwsFault, Kind};
use slowlane_aws_simulator::time::Moment;
use slowlane_aws_simulator::transcript::Event;
use slowlane_message::Priority;
use slowlane_policy::timing::LONGEST_RING_BACKOFF;

use super::{ASKED, Run, timestamp};
use crate::faults::Fault;
use crate::ledger::{End, Nature, key_of, tenant_name};
use crate::scenario::{Dispatch, Drawn, Pause};
use crate::strategies::Wanted;

/// How long a slot may still sleep after the gate has opened. What it then finds first is made
/// before what is overdue.
const LONGEST_SLEEP: Duration = Duration::from_secs(900);
/// Sizes of answers that do not fit: a workflow takes 262,144 bytes, an item 409,600.
const LARGE_ANSWERS: [usize; 2] = [300_000, 450_000];
/// The longest deadline that a workflow asks for; what is allowed is half of it.
const LONGEST_WISH_SECS: u64 = 20 * 86_400;
/// State transitions of one execution: the start, the task and the end.
const TRANSITIONS: u64 = 3;

impl Run {
    /// One workflow: it asks for a call and waits for the answer.
    pub(super) async fn execution(
        self: Rc<Self>,
        call: u64,
        priority: Priority,
        repeatable: bool,
        seed: u64,
    ) {
        let mut dice = Dice::new(seed, 7);
        let asked = self.cloud.now();
        self.cloud.state().saw(asked, Event::Run(ASKED, call, priority as u64));
        let end = match &self.rival {
            None => self.task(call, priority, repeatable, &mut dice).await,
            Some(rival) => {
                let drawn = self.ledger.books().drawn(call);
                let wanted = Wanted { call, urgency: priority as usize, at: asked, drawn };
                rival.clone().execute(wanted, &mut dice).await
            }
        };
        let now = self.cloud.now();
        if end == End::TimedOut && self.nobody_could_tell(now) {
            self.ledger.books().could_not_be_told(call);
        } else {
            self.ledger.books().closes(call, &end, now);
        }
        self.ended.borrow_mut().push_back((now, call));
        let mut state = self.cloud.state();
        state.requests.count_transitions(TRANSITIONS);
        let (name, tag) = match end {
            End::Succeeded(_) => ("succeeded", 0),
            End::Failed(_) => ("failed", 1),
            End::TimedOut => ("timed out", 2),
            End::Stopped => ("stopped", 3),
        };
        state.saw(now, Event::Run(name, call, tag));
    }

    /// The task state of `throttled-call.asl.json`, with its Retry: from 1 s, doubling to 60 s, full
    /// jitter.
    async fn task(&self, call: u64, priority: Priority, repeatable: bool, dice: &mut Dice) -> End {
        let wish =
            if self.ledger.books().was_reopened(call) { None } else { self.wished_deadline() };
        let timeout =
            wish.unwrap_or(Duration::from_secs(self.scenario.deadline_secs)) + self.grace();
        let deadline = wish.map(|wish| self.cloud.now().plus(wish));
        let Drawn { tenant, estimate, .. } = self.ledger.books().drawn(call);
        let counts = self.scenario.load.iter().any(|load| load.units.is_some());
        let units = counts.then_some(estimate);
        let mut tries: u32 = 0;
        loop {
            let task = self.cloud.begin_task();
            let token = task.token();
            let sample = self.vendor.as_ref().map(|vendor| vendor.request(&key_of(call)));
            let wanted = Asked { call, priority, repeatable, tenant, units, deadline, sample };
            let payload = wanted.request(&token.to_string());
            let invoked = self.functions.invoke(self.deployment.enqueuer, Input::Payload(payload));
            let failure = match invoked.await {
                Ok(_) if self.cloud.state().faults.strikes(AwsFault::LostReply) => Failure::Unheard,
                Ok(_) => {
                    self.stop_perhaps(token);
                    return ended(self.cloud.wait_for(task, timeout).await);
                }
                Err(failure) => failure,
            };
            self.cloud.abandon(&task);
            let name = error_name(&failure);
            if tries >= most_tries(name) {
                return End::Failed(name.into());
            }
            let longest = (1u64 << tries.min(6)).min(60) as f64;
            tokio::time::sleep(Duration::from_secs_f64(longest * dice.fraction())).await;
            tries += 1;
        }
    }

    /// Whether no worker could receive a call in time to tell its workflow that its deadline has
    /// passed. Either receives were refused, and slots had not yet tried again. Or nothing was to
    /// be received, since the API answered nobody or an operator had paused it.
    fn nobody_could_tell(&self, now: Moment) -> bool {
        let refused_until = self.cloud.state().outages.get(&AwsFault::ReceiveRefused).copied();
        let refused = refused_until.is_some_and(|until| now.since(until) < LONGEST_RING_BACKOFF);
        let begun = self.scenario.pauses.iter().filter(|pause| pause.begins() <= now);
        let shut_until = begun.map(Pause::ends).chain(self.api.out_of_order_until(now)).max();
        refused || shut_until.is_some_and(|until| now.since(until) < LONGEST_SLEEP)
    }

    /// The template's `GraceSeconds`, for the wiring in which it is longer if the stack is switched.
    fn grace(&self) -> Duration {
        let timing = &self.deployment.timing;
        let switches = self.scenario.faults.contains_key(Fault::SwitchDispatch.name());
        if self.scenario.dispatch == Dispatch::Doorbell && !switches {
            timing.function_timeout
        } else {
            timing.deferral_visibility
        }
    }

    /// The deadline that the workflow asks for, if it does.
    fn wished_deadline(&self) -> Option<Duration> {
        let faults = &mut self.cloud.state().faults;
        let strikes = faults.strikes(Fault::LongDeadline);
        strikes.then(|| Duration::from_secs(faults.below(LONGEST_WISH_SECS)))
    }

    fn stop_perhaps(&self, token: Token) {
        let delay = {
            let mut state = self.cloud.state();
            let strikes = state.faults.strikes(Fault::Stop);
            strikes.then(|| Duration::from_millis(state.faults.below(30_000)))
        };
        if let Some(delay) = delay {
            let cloud = self.cloud.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(delay).await;
                let now = cloud.now();
                cloud.state().stop(token, now);
            });
        }
    }

    /// What the next call is, as far as chance decides it.
    pub(super) fn nature_of_next(&self) -> Nature {
        let faults = &mut self.cloud.state().faults;
        if faults.strikes(Fault::ApiReject) {
            Nature::Bad
        } else if faults.strikes(Fault::ApiLargeAnswer) {
            // More than SendTaskSuccess takes, or more than an item of DynamoDB holds as well.
            Nature::Wordy(LARGE_ANSWERS[faults.below(2) as usize])
        } else {
            Nature::Good
        }
    }
}

/// What a workflow asks for.
struct Asked {
    call: u64,
    priority: Priority,
    repeatable: bool,
    tenant: Option<u32>,
    /// How many it is thought to have, where calls have units.
    units: Option<u64>,
    deadline: Option<Moment>,
    /// The request itself where the API is a vendor's, and whether it is made at most once.
    sample: Option<(Value, bool)>,
}

impl Asked {
    fn request(&self, token: &str) -> Value {
        let method = if self.repeatable { "PUT" } else { "POST" };
        let key = key_of(self.call);
        let mut request = json!({
            "version": "1.0",
            "task_token": token,
            "priority": self.priority.as_str(),
            "idempotency_key": key,
            "tenant": self.tenant.map(tenant_name),
            "request": {
                "method": method,
                "resource": format!("salesOrder/eid:{key}"),
                "body": {"memo": "simulated"},
            },
            "deadline": self.deadline.and_then(timestamp).map(|at| at.to_string()),
        });
        if let Some(units) = self.units {
            request["version"] = json!("1.3");
            request["units"] = json!(units);
        }
        if let Some((sample, at_most_once)) = &self.sample {
            request["request"] = sample.clone();
            request["at_most_once"] = json!(at_most_once);
        }
        request
    }
}

fn ended(waited: Waited) -> End {
    match waited {
        Waited::Ended(Ended::Succeeded(output)) => End::Succeeded(output),
        Waited::Ended(Ended::Failed { error, .. }) => End::Failed(error),
        Waited::TimedOut => End::TimedOut,
        Waited::Stopped => End::Stopped,
    }
}

/// The error under which Step Functions sees a failed invocation.
fn error_name(failure: &Failure) -> &str {
    match failure {
        Failure::Throttled => "Lambda.TooManyRequestsException",
        Failure::TimedOut | Failure::Crashed => "Lambda.Unknown",
        Failure::Unheard => "Lambda.SdkClientException",
        Failure::Error(name) => name,
    }
}

/// How often the state tries again after an error of this name.
fn most_tries(name: &str) -> u32 {
    match name {
        "Lambda.TooManyRequestsException"
        | "Lambda.SdkClientException"
        | "Slowlane.QueueUnavailable" => 45,
        "Lambda.Unknown" => 8,
        _ => 0,
    }
}
