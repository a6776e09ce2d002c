//! What has been asked of AWS, and what it costs.

use super::dynamodb::Units;
use super::lambda::Bill;

/// A request that the cloud understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Action {
    SendMessage,
    SendMessageBatch,
    ReceiveMessage,
    DeleteMessage,
    DeleteMessageBatch,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    GetQueueAttributes,
    PutItem,
    UpdateItem,
    GetItem,
    DeleteItem,
    SendTaskSuccess,
    SendTaskFailure,
    SendTaskHeartbeat,
    GetSecretValue,
    Invoke,
}

/// The services whose requests are priced or answered in their own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// SQS.
    Sqs,
    /// DynamoDB.
    DynamoDb,
    /// Step Functions.
    StepFunctions,
    /// Secrets Manager.
    SecretsManager,
    /// Lambda. What it invokes is priced by the function's bill.
    Lambda,
}

impl Action {
    /// Every action with its `X-Amz-Target`; Lambda has none, and gets a name of the same form.
    pub const ALL: [(Action, &'static str); 17] = [
        (Action::SendMessage, "AmazonSQS.SendMessage"),
        (Action::SendMessageBatch, "AmazonSQS.SendMessageBatch"),
        (Action::ReceiveMessage, "AmazonSQS.ReceiveMessage"),
        (Action::DeleteMessage, "AmazonSQS.DeleteMessage"),
        (Action::DeleteMessageBatch, "AmazonSQS.DeleteMessageBatch"),
        (Action::ChangeMessageVisibility, "AmazonSQS.ChangeMessageVisibility"),
        (Action::ChangeMessageVisibilityBatch, "AmazonSQS.ChangeMessageVisibilityBatch"),
        (Action::GetQueueAttributes, "AmazonSQS.GetQueueAttributes"),
        (Action::PutItem, "DynamoDB_20120810.PutItem"),
        (Action::UpdateItem, "DynamoDB_20120810.UpdateItem"),
        (Action::GetItem, "DynamoDB_20120810.GetItem"),
        (Action::DeleteItem, "DynamoDB_20120810.DeleteItem"),
        (Action::SendTaskSuccess, "AWSStepFunctions.SendTaskSuccess"),
        (Action::SendTaskFailure, "AWSStepFunctions.SendTaskFailure"),
        (Action::SendTaskHeartbeat, "AWSStepFunctions.SendTaskHeartbeat"),
        (Action::GetSecretValue, "secretsmanager.GetSecretValue"),
        (Action::Invoke, "Lambda.Invoke"),
    ];

    /// The action that a request's `X-Amz-Target` names.
    pub fn of(target: &str) -> Option<Action> {
        let (action, _) = Action::ALL.iter().find(|(_, known)| *known == target)?;
        Some(*action)
    }

    /// The service it belongs to.
    pub fn service(self) -> Service {
        match self {
            Action::PutItem | Action::UpdateItem | Action::GetItem | Action::DeleteItem => {
                Service::DynamoDb
            }
            Action::SendTaskSuccess | Action::SendTaskFailure | Action::SendTaskHeartbeat => {
                Service::StepFunctions
            }
            Action::GetSecretValue => Service::SecretsManager,
            Action::Invoke => Service::Lambda,
            _ => Service::Sqs,
        }
    }
}

/// Counts of requests, as a bill would count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    by_action: [u64; Action::ALL.len()],
    sqs_chunks: u64,
    polls: u64,
    transitions: u64,
}

/// List prices of us-east-1, 2026-11 (reference: AWS's price pages), in USD.
mod price {
    pub(super) const SQS_REQUEST: f64 = 0.40e-6;
    pub(super) const LAMBDA_REQUEST: f64 = 0.20e-6;
    pub(super) const LAMBDA_GIGABYTE_SECOND: f64 = 0.000_016_666_7;
    pub(super) const STATE_TRANSITION: f64 = 25e-6;
    pub(super) const WRITE_UNIT: f64 = 0.625e-6;
    pub(super) const HALF_READ_UNIT: f64 = 0.125e-6 / 2.0;
}

impl Requests {
    /// A request of a program's; SQS bills each 64 KiB of its body as one (price page).
    pub fn count(&mut self, action: Action, body: usize) {
        self.by_action[action as usize] += 1;
        if action.service() == Service::Sqs {
            self.sqs_chunks += body.div_ceil(65_536).max(1) as u64;
        }
    }

    /// A receive or delete of an event source mapping: billed as an SQS request (doc), though no
    /// program of ours sends it.
    pub fn count_poll(&mut self) {
        self.polls += 1;
    }

    /// State transitions of a Standard workflow.
    pub fn count_transitions(&mut self, transitions: u64) {
        self.transitions += transitions;
    }

    /// Requests that programs sent.
    pub fn sent(&self) -> u64 {
        self.by_action.iter().sum()
    }

    /// Requests of one kind that programs sent.
    pub fn of(&self, action: Action) -> u64 {
        self.by_action[action as usize]
    }

    /// Requests that SQS bills: a large body is several, and those of mappings are among them.
    pub fn billed_by_sqs(&self) -> u64 {
        self.sqs_chunks + self.polls
    }

    /// Requests of event source mappings.
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// The list price of everything together, in USD.
    pub fn price(&self, bills: &[Bill], units: Units) -> f64 {
        let lambda: f64 = bills
            .iter()
            .map(|bill| {
                bill.invocations as f64 * price::LAMBDA_REQUEST
                    + bill.gigabyte_seconds * price::LAMBDA_GIGABYTE_SECOND
            })
            .sum();
        lambda
            + self.billed_by_sqs() as f64 * price::SQS_REQUEST
            + self.transitions as f64 * price::STATE_TRANSITION
            + units.write as f64 * price::WRITE_UNIT
            + units.half_reads as f64 * price::HALF_READ_UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_positions_agree() {
        for (position, (action, target)) in Action::ALL.iter().enumerate() {
            assert_eq!(*action as usize, position);
            assert_eq!(Action::of(target), Some(*action));
        }
    }

    #[test]
    fn large_sqs_bodies_are_billed_by_chunk() {
        let mut requests = Requests::default();
        requests.count(Action::SendMessage, 65_537);
        requests.count_poll();
        let price = requests.price(&[], Units::default());
        assert!((price - 3.0 * 0.40e-6).abs() < 1e-12, "{price}");
    }
}
