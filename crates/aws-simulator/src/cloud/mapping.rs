//! Event source mappings: how many pollers read a queue, what a throttled delivery does, and
//! which messages of a batch count as done.

use std::time::Duration;

use serde_json::Value;

use super::lambda::{Failure, FunctionId};
use super::parameters::{Parameters, Unconfirmed};
use super::sqs::{QueueId, Received};
use crate::chance::Dice;

/// Batches that a mapping reads at once when it starts (doc).
pub const FIRST_POLLERS: u32 = 5;
/// Batches that a mapping adds a minute while there is a backlog (doc).
pub const POLLERS_PER_MINUTE: u32 = 300;
/// Batches that a mapping reads at once at most (doc).
pub const MOST_POLLERS: u32 = 1_250;
/// How long a mapping's poll waits for a message (doc: it polls long).
pub const POLL: Duration = Duration::from_secs(20);

/// What a mapping is created with.
#[derive(Clone, Debug)]
pub struct MappingSettings {
    /// The queue it reads.
    pub queue: QueueId,
    /// The function it invokes.
    pub function: FunctionId,
    /// 1 to 10.
    pub batch_size: usize,
    /// `ScalingConfig.MaximumConcurrency`: 2 to 1000, or no cap (model).
    pub maximum_concurrency: Option<u32>,
    /// `FunctionResponseTypes: [ReportBatchItemFailures]`.
    pub reports_failures: bool,
}

impl MappingSettings {
    /// Lambda's defaults (doc): ten messages a batch, no cap, and no report of single failures.
    pub fn new(queue: QueueId, function: FunctionId) -> MappingSettings {
        MappingSettings {
            queue,
            function,
            batch_size: 10,
            maximum_concurrency: None,
            reports_failures: false,
        }
    }
}

/// How many pollers a mapping runs: it starts with [`FIRST_POLLERS`], adds while messages are still
/// available (doc), and falls back when none are. At its cap it stops reading (report), so the cap
/// is one of pollers.
#[derive(Clone, Debug)]
pub struct Scaler {
    cap: u32,
    pollers: u32,
}

impl Scaler {
    /// The scaler of a new mapping.
    pub fn new(settings: &MappingSettings) -> Scaler {
        let cap = settings.maximum_concurrency.unwrap_or(MOST_POLLERS);
        Scaler { cap, pollers: FIRST_POLLERS.min(cap) }
    }

    /// How many pollers should run.
    pub fn pollers(&self) -> u32 {
        self.pollers
    }

    /// Changes the cap; 0 is for a mapping that is deleted.
    pub fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
        self.pollers = self.pollers.clamp(FIRST_POLLERS.min(cap), cap);
    }

    /// Whether the mapping was deleted.
    pub fn is_closed(&self) -> bool {
        self.cap == 0
    }

    /// Looks at the queue, `interval` after the last look: are messages still available although
    /// the pollers take what they can?
    pub fn look(&mut self, available: bool, interval: Duration) {
        if available {
            let step = f64::from(POLLERS_PER_MINUTE) * interval.as_secs_f64() / 60.0;
            self.pollers = self.pollers.saturating_add(step as u32).min(self.cap);
        } else {
            self.pollers = FIRST_POLLERS.min(self.cap);
        }
    }
}

/// The pause before the next try of a delivery that was throttled `tries` times: doubled each
/// time up to a cap, and jittered over its upper half.
pub fn backoff(tries: u32, parameters: &Parameters, dice: &mut Dice) -> Duration {
    let first = parameters.get(Unconfirmed::ThrottleBackoffFirst);
    let cap = parameters.get(Unconfirmed::ThrottleBackoffCap);
    let pause = (first * 2f64.powi(tries.saturating_sub(1).min(30) as i32)).min(cap);
    Duration::from_millis((pause * (0.5 + 0.5 * dice.fraction())) as u64)
}

/// The messages of a batch that the mapping deletes, given what the function answered.
///
/// With `ReportBatchItemFailures` (doc), a null or empty list, or an empty or null answer, means
/// that all are done. An answer that is no JSON object, a wrong key, or an empty, null or unknown
/// identifier means that none is. So does an exception.
pub fn done<'a>(
    batch: &'a [Received],
    answer: &Result<Value, Failure>,
    reports_failures: bool,
) -> Vec<&'a Received> {
    let Ok(answer) = answer else {
        return Vec::new();
    };
    if !reports_failures {
        return batch.iter().collect();
    }
    let list = match answer {
        Value::Null => return batch.iter().collect(),
        Value::Object(fields) => match fields.get("batchItemFailures") {
            None | Some(Value::Null) => return batch.iter().collect(),
            Some(Value::Array(list)) => list,
            Some(_) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let mut failed = Vec::with_capacity(list.len());
    for entry in list {
        let id = entry.get("itemIdentifier").and_then(Value::as_str);
        let id = id.and_then(|text| text.parse::<u64>().ok());
        match id.filter(|id| batch.iter().any(|received| received.message == *id)) {
            Some(id) => failed.push(id),
            None => return Vec::new(),
        }
    }
    let is_done = |received: &&Received| !failed.contains(&received.message);
    batch.iter().filter(is_done).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sqs::{Ask, QueueSettings, Send, Sqs};
    use super::*;
    use crate::cloud::Odds;
    use crate::faults::Faults;
    use crate::time::Moment;

    fn batch() -> Vec<Received> {
        let (parameters, mut faults) = (Parameters::default(), Faults::none());
        let mut odds =
            Odds { dice: &mut Dice::new(1, 1), parameters: &parameters, faults: &mut faults };
        let mut sqs = Sqs::default();
        let queue = sqs.create(QueueSettings {
            name: "q".to_owned(),
            visibility: Duration::from_secs(30),
            redrive: None,
            retention: Duration::from_secs(86_400),
        });
        for body in ["one", "two"] {
            let send = Send {
                body: body.into(),
                attributes: None,
                trace_header: None,
                group: None,
                delay: Duration::ZERO,
            };
            sqs.send(queue, send, Moment::START, &mut odds).unwrap();
        }
        let ask = Ask { max: 10, visibility: None, long: true };
        sqs.receive(queue, ask, Moment::START, &mut odds).unwrap().messages
    }

    #[test]
    fn batch_item_failures_follow_the_documented_rules() {
        let batch = batch();
        let cases = [
            (Ok(json!({"batchItemFailures": []})), 2),
            (Ok(json!({"batchItemFailures": null})), 2),
            (Ok(json!({})), 2),
            (Ok(Value::Null), 2),
            (Ok(json!({"batchItemFailures": [{"itemIdentifier": "1"}]})), 1),
            (Ok(json!({"batchItemFailures": [{"itemIdentifier": ""}]})), 0),
            (Ok(json!({"batchItemFailures": [{"itemIdentifier": null}]})), 0),
            (Ok(json!({"batchItemFailures": [{"itemIdentifier": "9"}]})), 0),
            (Ok(json!({"batchItemFailures": [{"id": "1"}]})), 0),
            (Ok(json!("no json")), 0),
            (Err(Failure::TimedOut), 0),
        ];
        for (answer, expected) in cases {
            assert_eq!(done(&batch, &answer, true).len(), expected, "{answer:?}");
        }
        assert_eq!(done(&batch, &Ok(json!("anything")), false).len(), 2);
    }

    #[test]
    fn a_mapping_starts_with_five_pollers_and_ramps_to_its_cap() {
        let settings = MappingSettings {
            queue: QueueId(0),
            function: FunctionId(0),
            batch_size: 1,
            maximum_concurrency: Some(20),
            reports_failures: true,
        };
        let mut scaler = Scaler::new(&settings);
        assert_eq!(scaler.pollers(), 5);
        scaler.look(true, Duration::from_secs(1));
        assert_eq!(scaler.pollers(), 10);
        scaler.look(true, Duration::from_secs(10));
        assert_eq!(scaler.pollers(), 20);
        scaler.look(false, Duration::from_secs(10));
        assert_eq!(scaler.pollers(), 5);
    }

    #[test]
    fn back_off_doubles_to_its_cap() {
        let (parameters, mut dice) = (Parameters::default(), Dice::new(1, 2));
        let first = backoff(1, &parameters, &mut dice);
        let late = backoff(40, &parameters, &mut dice);
        assert!((100..=200).contains(&first.as_millis()), "{first:?}");
        assert!((2_500..=5_000).contains(&late.as_millis()), "{late:?}");
    }
}
