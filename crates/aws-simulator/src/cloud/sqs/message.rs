//! Messages and queues, as those who send and receive them name them.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Moment;

/// A queue, by its position in [`Sqs`](super::Sqs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueId(pub u32);

/// What a queue is created with.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// The last segment of its URL and ARN.
    pub name: String,
    /// Visibility timeout of a receive that does not state its own.
    pub visibility: Duration,
    /// Where a message goes when a receive would count more than this often.
    pub redrive: Option<Redrive>,
    /// Age at which a message is lost: 60 s to 14 days (model).
    pub retention: Duration,
}

impl QueueSettings {
    /// SQS's defaults (model): a visibility timeout of 30 s, four days of retention, no dead-letter
    /// queue.
    pub fn new(name: &str) -> QueueSettings {
        QueueSettings {
            name: name.to_owned(),
            visibility: Duration::from_secs(30),
            redrive: None,
            retention: Duration::from_secs(345_600),
        }
    }
}

/// A redrive policy.
#[derive(Clone, Copy, Debug)]
pub struct Redrive {
    /// The dead-letter queue.
    pub to: QueueId,
    /// `maxReceiveCount`.
    pub max_receive_count: u32,
}

/// What a sender hands over.
#[derive(Clone, Debug)]
pub struct Send {
    /// The message's text.
    pub body: Arc<str>,
    /// The message attributes, as the JSON they came in.
    pub attributes: Option<Arc<str>>,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<Arc<str>>,
    /// The fair-queue tenant.
    pub group: Option<Arc<str>>,
    /// `DelaySeconds`.
    pub delay: Duration,
}

/// What a receiver asks for.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// 1 to 10.
    pub max: usize,
    /// Overrides the queue's visibility timeout.
    pub visibility: Option<Duration>,
    /// Whether the poll asks all servers (long, at least 1 s) or a sample of them (short) (model).
    pub long: bool,
}

/// One delivery of a message.
#[derive(Clone, Debug)]
pub struct Received {
    /// Unique over the whole run.
    pub message: u64,
    /// What to delete it with.
    pub receipt: Receipt,
    /// The message's text.
    pub body: Arc<str>,
    /// The message attributes, as the JSON they came in.
    pub attributes: Option<Arc<str>>,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<Arc<str>>,
    /// The fair-queue tenant.
    pub group: Option<Arc<str>>,
    /// How often it has been received, this time included.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Moment,
    /// When it was received for the first time.
    pub first_received_at: Moment,
}

/// A receipt handle: it names one receive of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(super) slot: u32,
    pub(super) message: u64,
    pub(super) receive: u64,
}

impl Receipt {
    /// The message it names.
    pub fn message(&self) -> u64 {
        self.message
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.slot, self.message, self.receive)
    }
}

impl std::str::FromStr for Receipt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Receipt, Error> {
        let mut numbers = text.split('-').map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(slot)), Some(Ok(message)), Some(Ok(receive)), None) => Ok(Receipt {
                slot: u32::try_from(slot).map_err(|_| Error::ReceiptHandleIsInvalid)?,
                message,
                receive,
            }),
            _ => Err(Error::ReceiptHandleIsInvalid),
        }
    }
}

/// Why SQS refuses (model).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No queue has this name.
    #[error("The specified queue does not exist.")]
    QueueDoesNotExist,
    /// More than [`IN_FLIGHT_LIMIT`](super::IN_FLIGHT_LIMIT) messages are in flight.
    #[error("Too many messages in flight.")]
    OverLimit,
    /// The receipt handle is not one that this service wrote.
    #[error("The input receipt handle is invalid.")]
    ReceiptHandleIsInvalid,
    /// The message is visible, or gone.
    #[error("The message referred to is not in flight.")]
    MessageNotInflight,
    /// A number or a size is outside its range; the text says which.
    #[error("{0}")]
    InvalidParameterValue(&'static str),
    /// A batch has no entry.
    #[error("The batch request doesn't contain any entries.")]
    EmptyBatchRequest,
    /// A batch has more than ten entries.
    #[error("The batch request contains more entries than permissible.")]
    TooManyEntriesInBatchRequest,
    /// Two entries of a batch have the same id.
    #[error("Two or more batch entries in the request have the same Id.")]
    BatchEntryIdsNotDistinct,
}
