//! What CloudWatch is told of a run, so that alarms can be tried on it. These are the worker's own
//! metrics as it prints them, and what SQS shows of the queues each minute. Lambda's metrics are in the
//! [transcript](slowlane_aws_simulator::transcript::Event).

use std::time::Duration;

use serde_json::Value;
use slowlane_aws_simulator::cloud::Cloud;
use slowlane_aws_simulator::cloud::sqs::QueueId;
use slowlane_aws_simulator::time::Moment;

use crate::names::QUEUE_NAMES;

/// How often SQS shows its queues to CloudWatch (doc).
pub const EVERY: Duration = Duration::from_secs(60);

/// Is told.
pub trait Monitor {
    /// A record of the worker's in CloudWatch's embedded metric format.
    fn printed(&self, now: Moment, record: &Value);

    /// The queues, every minute.
    fn queues(&self, now: Moment, queues: &[Gauge]);
}

/// What SQS shows of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// One of [`QUEUE_NAMES`].
    pub queue: &'static str,
    /// `ApproximateNumberOfMessagesVisible`.
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`.
    pub in_flight: usize,
    /// `ApproximateAgeOfOldestMessage`.
    pub age_of_oldest: Option<Duration>,
}

/// Looks at the queues of `cloud`.
pub(crate) fn gauges(cloud: &Cloud) -> Vec<Gauge> {
    let now = cloud.now();
    let mut state = cloud.state();
    let mut gauges = Vec::with_capacity(QUEUE_NAMES.len());
    for (id, queue) in (0..).map(QueueId).zip(QUEUE_NAMES) {
        let (sqs, mut odds) = state.sqs();
        let counts = sqs.counts(id, now, &mut odds);
        gauges.push(Gauge {
            queue,
            visible: counts.visible,
            in_flight: counts.in_flight,
            age_of_oldest: sqs.age_of_oldest(id, now),
        });
    }
    gauges
}
