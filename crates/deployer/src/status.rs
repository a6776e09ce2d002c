//! How a deployment fares: how many calls wait, what the slots do, and what holds them up.

use crate::limits::{Limit, Standing};
use crate::logs::{self, Filter, Function, OUTCOME, START_FAILED};
use crate::outputs::Deployed;
use crate::queues::{self, Depth};
use crate::stack::Drift;
use crate::unresolved::Unresolved;
use crate::{Deployer, ago, aws, text};
use aws_config::SdkConfig;
use serde::Serialize;
use slowlane_message::Priority;
use std::collections::BTreeMap;
use std::time::Duration;

/// The worker's outcomes that keep calls from ending, or that tell of something to put right.
pub const HOLD_UPS: [&str; 7] = [
    "throttled",
    "retried",
    "credentials-refused",
    "unknown",
    "tried-again-later",
    "unrung",
    "unauthorized",
];
/// At most so many unresolved calls are counted.
const UNRESOLVED: usize = 1000;

/// A deployment at one moment. What could not be found out is `None`, and
/// [`not_answered`](Self::not_answered) says why.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The stack's name.
    pub stack: String,
    /// `doorbell` or `deferral`.
    pub dispatch: String,
    /// The API's limit, as it was deployed.
    pub limit: Option<u64>,
    /// The worker's reserved concurrency, as it is: the limit that holds.
    pub reserved_concurrency: Option<u64>,
    /// Who has paused or drained it, until when and why, in words. `None` if calls are made.
    pub shut: Option<String>,
    /// How its limits stand.
    #[serde(skip)]
    pub standing: Option<Standing>,
    /// The queues, the most urgent first.
    pub queues: Vec<Queue>,
    /// The rings, with `doorbell`. A slot that is awake has received at least one.
    pub rings: Option<Depth>,
    /// Calls that could not be run.
    pub dead_letters: Option<u64>,
    /// Calls that may or may not have been executed; counted up to a thousand.
    pub unresolved: Option<u64>,
    /// What wakes the worker: each event source mapping's state, `Enabled` if all is well.
    pub mappings: Option<BTreeMap<String, String>>,
    /// What the worker has logged in the last minutes.
    pub recent: Option<Recent>,
    /// What keeps calls from running, in words.
    pub held_up_by: Vec<String>,
    /// What could not be found out, in words.
    pub not_answered: Vec<String>,
    /// What was changed by hand, if that was looked at.
    pub drift: Option<Drift>,
}

/// One queue of calls.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// Its priority.
    pub priority: Priority,
    /// Its messages.
    pub depth: Option<Depth>,
}

/// What the worker has logged since some moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recent {
    /// Since so many seconds.
    pub secs: u64,
    /// How long the calls that were started had waited, by their priority.
    pub waits: BTreeMap<String, Waits>,
    /// How often each outcome came about.
    pub outcomes: BTreeMap<String, u64>,
    /// Why calls did not succeed, by outcome: the last reason of each.
    pub reasons: BTreeMap<String, String>,
    /// Why the worker did not start, if no call has left its hands since.
    pub start_failed: Option<String>,
    /// Whether there was more than could be read.
    pub cut: bool,
}

/// How long calls had waited for their turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Waits {
    /// How many.
    pub calls: u64,
    /// The longest wait in milliseconds.
    pub longest_ms: f64,
    /// The wait of the one that was started last, in milliseconds.
    pub last_ms: f64,
}

impl Status {
    /// Asks for all of it. A request that is refused is told in [`not_answered`](Self::not_answered).
    pub async fn of(config: &SdkConfig, deployed: &Deployed, window: Duration) -> Self {
        let Deployed { stack_name, outputs, parameters, .. } = deployed;
        let mut missing = Missing::default();
        let sqs = aws_sdk_sqs::Client::new(config);
        let mut queues = Vec::new();
        for priority in Priority::ALL {
            let depth = queues::depth(&sqs, outputs.queue_url(priority)).await;
            queues.push(Queue { priority, depth: missing.note(depth) });
        }
        let rings = match &outputs.doorbell_queue_url {
            Some(url) => missing.note(queues::depth(&sqs, url).await),
            None => None,
        };
        let dead_letters = queues::depth(&sqs, &outputs.dead_letter_queue_url).await;
        let unresolved =
            Unresolved::new(config, &outputs.idempotency_table_name).list(UNRESOLVED).await;
        let lambda = aws_sdk_lambda::Client::new(config);
        let worker = &outputs.worker_function_name;
        let standing = standing(config, deployed, &mut missing).await;
        let mut status = Self {
            stack: stack_name.clone(),
            dispatch: parameters.get("Dispatch").cloned().unwrap_or_default(),
            limit: parameters.get("ApiConcurrency").and_then(|limit| limit.parse().ok()),
            reserved_concurrency: missing.note(reserved(&lambda, worker).await).flatten(),
            shut: standing.as_ref().and_then(Standing::shut),
            standing,
            queues,
            rings,
            dead_letters: missing.note(dead_letters).map(Depth::total),
            unresolved: missing.note(unresolved).map(|records| records.len() as u64),
            mappings: missing.note(mappings(&lambda, worker).await),
            recent: missing.note(recent(config, deployed, window).await),
            held_up_by: Vec::new(),
            not_answered: missing.0,
            drift: None,
        };
        status.held_up_by = status.hold_ups();
        status
    }

    /// Looks at what was changed by hand, too.
    pub async fn drift(&mut self, deployer: &Deployer) {
        match deployer.drift(&self.stack).await {
            Ok(drift) => self.drift = Some(drift),
            Err(error) => self.not_answered.push(aws::chain(&error)),
        }
    }

    /// What keeps calls from running, the gravest first, and what waits for a person.
    fn hold_ups(&self) -> Vec<String> {
        let mut told = self.holds_calls_up();
        for (number, what, command) in [
            (self.dead_letters, "dead letter", "slowlane calls dead-letters list"),
            (self.unresolved, "unresolved call", "slowlane calls unresolved list"),
        ] {
            if let Some(number @ 1..) = number {
                told.push(format!("{}: see `{command}`", text::count(number, what)));
            }
        }
        told
    }

    /// What keeps calls from running, the gravest first.
    pub(crate) fn holds_calls_up(&self) -> Vec<String> {
        let mut told: Vec<_> = self.shut.iter().cloned().collect();
        if self.reserved_concurrency == Some(0) {
            told.push("the worker's reserved concurrency is 0: nothing runs".to_owned());
        } else if let (Some(limit), Some(reserved)) = (self.limit, self.reserved_concurrency)
            && limit != reserved
        {
            told.push(format!(
                "the worker's reserved concurrency is {reserved}, and was deployed as {limit}"
            ));
        }
        for (mapping, state) in self.mappings.iter().flatten() {
            if state != "Enabled" {
                told.push(format!("the event source mapping of {mapping} is {state}"));
            }
        }
        let calls_wait = self.waiting() > 0;
        told.extend(self.standing.iter().flat_map(|standing| standing.holds_up(calls_wait)));
        told.extend(self.waiting_for_slots());
        told.extend(self.recent.iter().flat_map(Recent::troubles));
        told
    }

    /// Calls that wait for a turn.
    fn waiting(&self) -> u64 {
        self.queues.iter().filter_map(|queue| queue.depth).map(|depth| depth.waiting).sum()
    }

    fn waiting_for_slots(&self) -> Option<String> {
        let waiting = self.waiting();
        if waiting == 0 {
            return None;
        }
        let rings = self.rings?;
        if rings.total() == 0 {
            return Some(format!(
                "{} waiting, and no ring on the doorbell: if that is so in a minute still, \
                 nothing wakes a slot for them",
                text::count(waiting, "call")
            ));
        }
        let reserved = self.reserved_concurrency?;
        (rings.received >= reserved).then(|| {
            let calls = text::count(waiting, "call");
            format!("{calls} waiting for a turn: all {reserved} slots are awake")
        })
    }
}

/// Whether a call with this outcome is handed out again.
fn is_tried_again(outcome: &str) -> bool {
    ["throttled", "retried", "unknown", "tried-again-later", "unrung"].contains(&outcome)
}

/// Notes what was not answered.
#[derive(Default)]
pub(crate) struct Missing(pub(crate) Vec<String>);

impl Missing {
    pub(crate) fn note<T, E: std::error::Error>(&mut self, answer: Result<T, E>) -> Option<T> {
        answer.map_err(|error| self.0.push(aws::chain(&error))).ok()
    }
}

async fn standing(
    config: &SdkConfig,
    deployed: &Deployed,
    missing: &mut Missing,
) -> Option<Standing> {
    let limit = missing.note(Limit::of(config, deployed))?;
    missing.note(limit.standing().await)
}

async fn reserved(
    client: &aws_sdk_lambda::Client,
    function: &str,
) -> Result<Option<u64>, aws::Error> {
    let answer = client.get_function_concurrency().function_name(function).send().await;
    let answer = answer.map_err(aws::failed("lambda:GetFunctionConcurrency", function))?;
    Ok(answer.reserved_concurrent_executions.and_then(|number| number.try_into().ok()))
}

/// The state of each mapping, by the name of its queue.
async fn mappings(
    client: &aws_sdk_lambda::Client,
    function: &str,
) -> Result<BTreeMap<String, String>, aws::Error> {
    let answer = client.list_event_source_mappings().function_name(function).send().await;
    let answer = answer.map_err(aws::failed("lambda:ListEventSourceMappings", function))?;
    let one = |mapping: aws_sdk_lambda::types::EventSourceMappingConfiguration| {
        let source = mapping.event_source_arn?;
        let queue = source.rsplit(':').next()?.to_owned();
        Some((queue, mapping.state?))
    };
    Ok(answer.event_source_mappings.unwrap_or_default().into_iter().filter_map(one).collect())
}

async fn recent(
    config: &SdkConfig,
    deployed: &Deployed,
    window: Duration,
) -> Result<Recent, aws::Error> {
    let found =
        logs::of(config, deployed, &[Function::Worker], Filter::Outcomes, ago(window)).await?;
    let mut recent = Recent { secs: window.as_secs(), cut: found.cut, ..Recent::default() };
    for line in &found.lines {
        recent.add(&line.fields);
    }
    Ok(recent)
}

impl Recent {
    /// How many calls have ended: those that did are not tried again.
    pub(crate) fn ended(&self) -> u64 {
        let ended = self.outcomes.iter().filter(|(outcome, _)| !is_tried_again(outcome));
        ended.map(|(_, number)| number).sum()
    }

    /// What kept calls from running, each with its last reason.
    fn troubles(&self) -> impl Iterator<Item = String> {
        let stands_still =
            self.start_failed.as_ref().map(|why| format!("the worker does not start: {why}"));
        let troubles =
            self.outcomes.iter().filter(|(outcome, _)| HOLD_UPS.contains(&outcome.as_str()));
        let troubles = troubles.map(|(outcome, number)| {
            let why = self.reasons.get(outcome).map(|why| format!("; the last: {why}"));
            let minutes = self.secs / 60;
            let why = why.unwrap_or_default();
            format!("{outcome} in the last {minutes} min: {}{why}", text::count(*number, "call"))
        });
        stands_still.into_iter().chain(troubles)
    }

    /// A line of the worker: a call's, or that of a start that failed.
    fn add(&mut self, line: &serde_json::Value) {
        self.start_failed = line[START_FAILED].as_str().map(str::to_owned);
        let Some(outcome) = line[OUTCOME].as_str() else { return };
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        if let Some(why) = line["why"].as_str() {
            self.reasons.insert(outcome.to_owned(), why.to_owned());
        }
        if let (Some(priority), Some(wait)) =
            (line["Priority"].as_str(), line["QueueWaitMs"].as_f64())
        {
            let waits = self.waits.entry(priority.to_owned()).or_default();
            waits.calls += 1;
            waits.longest_ms = waits.longest_ms.max(wait);
            waits.last_ms = wait;
        }
    }
}

/// The status for people.
pub fn table(status: &Status) -> String {
    let number = |number: Option<u64>| number.map_or("?".to_owned(), |n| n.to_string());
    let row = |queue: &Queue| {
        let depth = queue.depth;
        let waits = status.recent.as_ref().and_then(|all| all.waits.get(queue.priority.as_str()));
        let ms = |ms: f64| format!("{:.1} s", ms / 1000.0);
        [
            queue.priority.to_string(),
            number(depth.map(|depth| depth.waiting + depth.delayed)),
            number(depth.map(|depth| depth.received)),
            waits.map_or("-".to_owned(), |waits| waits.calls.to_string()),
            waits.map_or("-".to_owned(), |waits| ms(waits.last_ms)),
            waits.map_or("-".to_owned(), |waits| ms(waits.longest_ms)),
        ]
    };
    let rows = status.queues.iter().map(row).collect();
    let mut told =
        format!("{}: {}, limit {}\n", status.stack, status.dispatch, number(status.limit));
    told += &text::table(
        ["queue", "waiting", "at work or hidden", "started lately", "the last waited", "longest"],
        rows,
    );
    told += &format!("\n\nslots         {} reserved", number(status.reserved_concurrency));
    if let Some(rings) = status.rings {
        let awake = status.reserved_concurrency.map_or(rings.received, |n| n.min(rings.received));
        told += &format!(", at most {awake} awake ({} rings received)", rings.received);
    }
    told += &format!("\ndead letters  {}", number(status.dead_letters));
    told += &format!("\nunresolved    {}", number(status.unresolved));
    if let Some(recent) = &status.recent {
        let outcomes: Vec<_> =
            recent.outcomes.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
        let outcomes = if outcomes.is_empty() { "nothing".into() } else { outcomes.join(", ") };
        told += &format!("\nlast {} min    {outcomes}", recent.secs / 60);
        if recent.cut {
            told += " (and more than could be read)";
        }
    }
    let drift = status
        .drift
        .iter()
        .flat_map(|drift| drift.to_string().lines().map(str::to_owned).collect::<Vec<_>>());
    for (heading, lines) in [
        ("held up by", &status.held_up_by),
        ("drift", &drift.collect()),
        ("not answered", &status.not_answered),
    ] {
        if !lines.is_empty() {
            told += &format!("\n\n{heading}\n  {}", lines.join("\n  "));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    impl Status {
        /// A deployment in which all is well and nothing happens.
        pub(crate) fn quiet() -> Self {
            let queue = |priority| Queue { priority, depth: Some(Depth::default()) };
            Self {
                stack: "slowlane".into(),
                dispatch: "doorbell".into(),
                limit: Some(5),
                reserved_concurrency: Some(5),
                shut: None,
                standing: None,
                queues: Priority::ALL.map(queue).into(),
                rings: Some(Depth::default()),
                dead_letters: Some(0),
                unresolved: Some(0),
                mappings: Some([("doorbell".to_owned(), "Enabled".to_owned())].into()),
                recent: Some(Recent::default()),
                held_up_by: Vec::new(),
                not_answered: Vec::new(),
                drift: None,
            }
        }
    }

    fn quiet() -> Status {
        Status::quiet()
    }

    fn waiting(rings: Depth) -> Status {
        let mut status = quiet();
        status.queues[2].depth = Some(Depth { waiting: 7, ..Depth::default() });
        Status { rings: Some(rings), ..status }
    }

    #[test]
    fn a_quiet_deployment_is_held_up_by_nothing() {
        assert_eq!(quiet().hold_ups(), [""; 0]);
        assert!(!table(&quiet()).contains("held up by"));
    }

    #[test]
    fn each_hold_up_is_told() {
        let mut troubled = Recent { secs: 300, ..Recent::default() };
        troubled.add(&json!({"Outcome": "rejected", "why": "it is wrong", "Priority": "HIGH"}));
        for why in ["first", "last"] {
            troubled.add(&json!({"Outcome": "tried-again-later", "why": why, "Priority": "HIGH"}));
        }
        let mut still = Recent::default();
        still.add(&json!({"start_failed": "API_BASE_URL is not set"}));
        let ring = |received| Depth { received, ..Depth::default() };
        for (status, told) in [
            (
                Status { recent: Some(still), ..quiet() },
                "the worker does not start: API_BASE_URL is not set",
            ),
            (Status { reserved_concurrency: Some(0), ..quiet() }, "is 0: nothing runs"),
            (Status { shut: Some("paused by ada: a release".into()), ..quiet() }, "by ada"),
            (Status { reserved_concurrency: Some(2), ..quiet() }, "is 2, and was deployed as 5"),
            (
                Status {
                    mappings: Some([("bell".to_owned(), "Disabled".to_owned())].into()),
                    ..quiet()
                },
                "mapping of bell is Disabled",
            ),
            (
                Status { dead_letters: Some(3), ..quiet() },
                "3 dead letters: see `slowlane calls dead-letters list`",
            ),
            (Status { unresolved: Some(1), ..quiet() }, "1 unresolved call:"),
            (
                Status { recent: Some(troubled), ..quiet() },
                "tried-again-later in the last 5 min: 2 calls; the last: last",
            ),
            (waiting(ring(5)), "7 calls waiting for a turn: all 5 slots are awake"),
            (waiting(ring(0)), "no ring on the doorbell"),
        ] {
            let found = status.hold_ups();
            assert!(found.len() == 1 && found[0].contains(told), "{told}: {found:?}");
        }
        assert_eq!(waiting(ring(4)).hold_ups(), [""; 0], "a slot is free");
    }

    #[test]
    fn what_was_changed_by_hand_is_told_where_it_was_looked_at() {
        assert!(!table(&quiet()).contains("drift"));
        let drift = Some(Drift { resources: Vec::new(), incomplete: None });
        let told = table(&Status { drift, ..quiet() });
        assert!(told.ends_with("drift\n  nothing was changed by hand"), "{told}");
    }

    #[test]
    fn waits_are_of_the_calls_that_were_started() {
        let mut recent = Recent::default();
        for wait in [json!(100.0), json!(2500.0), json!(300), json!(null)] {
            recent.add(&json!({"Outcome": "succeeded", "Priority": "HIGH", "QueueWaitMs": wait}));
        }
        recent.add(&json!({"message": "no call's line"}));
        assert_eq!(recent.outcomes, [("succeeded".to_owned(), 4)].into());
        let waits = Waits { calls: 3, longest_ms: 2500.0, last_ms: 300.0 };
        assert_eq!(recent.waits, [("HIGH".to_owned(), waits)].into());
    }

    #[test]
    fn what_is_not_answered_is_said() {
        let mut missing = Missing::default();
        let refused: Result<(), _> = Err(std::io::Error::other("no permission"));
        assert_eq!(missing.note(refused), None);
        let status = Status { not_answered: missing.0, dead_letters: None, ..quiet() };
        let told = table(&status);
        assert!(told.contains("not answered\n  no permission"), "{told}");
        assert!(told.contains("dead letters  ?"), "{told}");
    }
}
