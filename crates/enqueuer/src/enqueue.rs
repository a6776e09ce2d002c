//! From a workflow's request to a message on the queue of its priority.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use slowlane_lambda::clock::Clock;
use slowlane_message::{EnqueueRequest, Priority, QueuedCall};

use crate::{Config, Dispatch};

/// Puts calls on their queues.
#[derive(Debug, Clone)]
pub struct Enqueuer {
    config: Config,
    sqs: Client,
    clock: Clock,
}

/// What the Lambda answers. The state machine does not read it (it waits for the task
/// token); it is there for whoever invokes the function by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enqueued {
    /// The queue that the call went to.
    pub priority: Priority,
    /// SQS's id of the message.
    pub message_id: String,
}

/// Why a call was not queued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read: the message names the field.
    #[error("the request is not one that can be queued: {0}")]
    InvalidRequest(#[from] slowlane_message::Error),
    /// SQS did not take the call.
    #[error("the {priority} queue did not take the call {key}")]
    Queue {
        /// The queue's priority.
        priority: Priority,
        /// The idempotency key of the call.
        key: String,
        /// What SQS said.
        source: Box<SdkError<SendMessageError>>,
    },
    /// The call is queued, but SQS did not take the ring that would wake a slot for it.
    #[error("the doorbell queue did not take the ring for the call {key}")]
    Doorbell {
        /// The idempotency key of the call.
        key: String,
        /// What SQS said.
        source: Box<SdkError<SendMessageError>>,
    },
}

impl Enqueuer {
    /// An enqueuer that sends by `sqs`, and reads the time as that does.
    pub fn new(config: Config, sqs: Client) -> Self {
        let clock = Clock::of(sqs.config().time_source());
        Enqueuer { config, sqs, clock }
    }

    /// Queues the call in `payload` (an [`EnqueueRequest`] as JSON) and rings for it.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if nothing could be queued because of the request itself;
    /// the others if SQS refused, after the SDK's own retries.
    pub async fn handle(&self, payload: serde_json::Value) -> Result<Enqueued, Error> {
        let request = EnqueueRequest::from_json(&payload)?;
        let call = request.into_queued(self.clock.now(), self.config.default_deadline);
        let message_id = self.queue(&call).await?;
        if let Dispatch::Doorbell { queue_url } = &self.config.dispatch {
            self.ring(queue_url, &call).await?;
        }
        tracing::info!(
            priority = %call.priority,
            idempotency_key = %call.idempotency_key,
            message_id,
            "queued"
        );
        Ok(Enqueued { priority: call.priority, message_id })
    }

    async fn queue(&self, call: &QueuedCall) -> Result<String, Error> {
        let body = call.to_body()?;
        let refused = |source| Error::Queue {
            priority: call.priority,
            key: call.idempotency_key.to_string(),
            source: Box::new(source),
        };
        let mut send = self
            .sqs
            .send_message()
            .queue_url(self.config.queue_url(call.priority))
            .message_body(body);
        if let Some(header) = &call.trace_header {
            // A system attribute: outside the size limit, and Lambda links the traces by it.
            let value =
                MessageSystemAttributeValue::builder().data_type("String").string_value(header);
            let value =
                value.build().map_err(|error| refused(SdkError::construction_failure(error)))?;
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            send = send.message_system_attributes(name, value);
        }
        let sent = send.send().await.map_err(refused)?;
        Ok(sent.message_id.unwrap_or_default())
    }

    async fn ring(&self, queue_url: &str, call: &QueuedCall) -> Result<(), Error> {
        let sent = self.sqs.send_message().queue_url(queue_url).message_body("ring").send().await;
        sent.map(drop).map_err(|source| Error::Doorbell {
            key: call.idempotency_key.to_string(),
            source: Box::new(source),
        })
    }
}

impl From<Error> for Diagnostic {
    /// The error's name is what a state machine catches.
    fn from(error: Error) -> Self {
        let name = match &error {
            Error::InvalidRequest(_) => "Slowlane.InvalidMessage",
            Error::Queue { .. } | Error::Doorbell { .. } => "Slowlane.QueueUnavailable",
        };
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Diagnostic { error_type: name.to_owned(), error_message: message }
    }
}
