//! From a workflow's request to a message on the queue of its priority.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use slowlane_lambda::clock::Clock;
use slowlane_lambda::logs::chain;
use slowlane_lambda::spans::{Exporter, Kind, Span, Trace};
use slowlane_message::{
    EnqueueRequest, IdempotencyKey, Method, Priority, QueuedCall, Ring, TargetRequest,
    is_execution, is_trace_header, trace_id, trace_parent,
};
use slowlane_policy::timing::{DEADLINE_TOLERANCE, LONGEST_DEADLINE};

use crate::{Config, Dispatch, Refusal};

/// Puts calls on their queues.
#[derive(Debug, Clone)]
pub struct Enqueuer {
    config: Config,
    sqs: Client,
    clock: Clock,
    spans: Option<Exporter>,
}

/// What the Lambda answers. The state machine does not read it (it waits for the task token); it is
/// there for somebody who invokes the function by hand.
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
    /// The request cannot be read: the source names the field.
    #[error("the request is not one that can be queued")]
    InvalidRequest(#[from] slowlane_message::Error),
    /// The call may wait for longer than its queue keeps it.
    #[error(
        "the request is not one that can be queued: field `deadline`: {deadline:.3} is {wait_secs} s \
         after the time of enqueueing, and the longest wait is {} s",
        LONGEST_DEADLINE.as_secs()
    )]
    DeadlineTooFar {
        /// The deadline asked for.
        deadline: Timestamp,
        /// How far it is away, in seconds.
        wait_secs: u64,
    },
    /// This deployment does not make such calls.
    #[error("this deployment does not make the call {method} {resource}")]
    NotAllowed {
        /// The method of the call.
        method: Method,
        /// The resource of the call.
        resource: String,
        /// Why not.
        #[source]
        why: Refusal,
    },
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
        Enqueuer { config, sqs, clock, spans: None }
    }

    /// Sends a span of each request by `exporter`.
    #[must_use]
    pub fn with_spans(mut self, exporter: Option<Exporter>) -> Self {
        self.spans = exporter;
        self
    }

    /// Queues the call in `payload` (an [`EnqueueRequest`] as JSON) and rings for it.
    /// `own_trace_header` is that of this invocation: the call continues it if the request
    /// names no other.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], [`Error::DeadlineTooFar`] or [`Error::NotAllowed`] if nothing
    /// was queued because of the request itself; the others if SQS refused, after the SDK's own
    /// retries.
    pub async fn handle(
        &self,
        payload: Value,
        own_trace_header: Option<&str>,
    ) -> Result<Enqueued, Error> {
        let began = self.clock.now();
        let enqueued = self.enqueue(&payload, own_trace_header).await;
        log(&payload, &enqueued);
        if let Some(exporter) = &self.spans {
            let header = payload["trace_header"].as_str().or(own_trace_header);
            if let Some(trace) = header.and_then(trace) {
                let span = Span::new(trace, "enqueue", Kind::Producer, began, self.clock.now());
                exporter.record(with_end(span, &payload, &enqueued));
                exporter.flush().await;
            }
        }
        enqueued
    }

    async fn enqueue(
        &self,
        payload: &Value,
        own_trace_header: Option<&str>,
    ) -> Result<Enqueued, Error> {
        let call = self.read(payload, own_trace_header)?;
        let message_id = self.queue(&call).await?;
        if let Dispatch::Doorbell { queue_url } = &self.config.dispatch {
            self.ring(queue_url, &call).await?;
        }
        Ok(Enqueued { priority: call.priority, message_id })
    }

    fn read(&self, payload: &Value, own_trace_header: Option<&str>) -> Result<QueuedCall, Error> {
        let mut request = EnqueueRequest::from_json(payload)?;
        self.check_allowed(&request.request)?;
        // One that no message can hold is worth less than the call.
        let own = own_trace_header.filter(|header| is_trace_header(header));
        request.trace_header = request.trace_header.or_else(|| own.map(str::to_owned));
        let call = request.into_queued(self.clock.now(), self.config.default_deadline);
        check_deadline(&call)?;
        Ok(call)
    }

    fn check_allowed(&self, request: &TargetRequest) -> Result<(), Error> {
        self.config.allowed.check(request).map_err(|why| Error::NotAllowed {
            method: request.method,
            resource: request.resource.clone(),
            why,
        })
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
            .message_body(body)
            // On a standard queue a group is a tenant of SQS's fair queues, and no order.
            .set_message_group_id(call.tenant.clone());
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
        let sent = self
            .sqs
            .send_message()
            .queue_url(queue_url)
            .message_body(Ring::default().to_body())
            .send()
            .await;
        sent.map(drop).map_err(|source| Error::Doorbell {
            key: call.idempotency_key.to_string(),
            source: Box::new(source),
        })
    }
}

/// Refuses a call that its queue might drop before its deadline, and nobody would be told.
fn check_deadline(call: &QueuedCall) -> Result<(), Error> {
    let wait = call.deadline.duration_since(call.enqueued_at);
    // A deadline that has passed is `to_body`'s to refuse.
    let wait = Duration::try_from(wait).unwrap_or_default();
    if wait <= LONGEST_DEADLINE + DEADLINE_TOLERANCE {
        return Ok(());
    }
    Err(Error::DeadlineTooFar { deadline: call.deadline, wait_secs: wait.as_secs() })
}

/// One line for each request, with what finds the call again.
fn log(payload: &Value, enqueued: &Result<Enqueued, Error>) {
    let key = key(payload);
    let idempotency_key = key.as_ref().map_or("", IdempotencyKey::as_str);
    let execution_arn = payload["execution"].as_str().filter(|text| is_execution(text));
    match enqueued {
        Ok(Enqueued { priority, message_id }) => {
            tracing::info!(target: LOG, idempotency_key, execution_arn, %priority, message_id, "queued");
        }
        Err(error) => {
            let cause = chain(error);
            tracing::warn!(
                target: LOG, idempotency_key, execution_arn, error = error.name(), cause, "not queued"
            );
        }
    }
}

/// The request's key. Of a request that was refused only what can be one is repeated.
fn key(payload: &Value) -> Option<IdempotencyKey> {
    payload["idempotency_key"].as_str()?.parse().ok()
}

fn trace(header: &str) -> Option<Trace> {
    Some(Trace { id: trace_id(header)?, parent: trace_parent(header) })
}

/// With what became of the request.
fn with_end(span: Span, payload: &Value, enqueued: &Result<Enqueued, Error>) -> Span {
    let span = match key(payload) {
        Some(key) => span.attribute("slowlane.idempotency_key", key.as_str()),
        None => span,
    };
    match enqueued {
        Ok(Enqueued { priority, message_id }) => span
            .attribute("slowlane.priority", priority.as_str())
            .attribute("messaging.system", "aws_sqs")
            .attribute("messaging.message.id", message_id.as_str()),
        Err(error) => span.error(error.name()),
    }
}

/// The target of the line that each request leaves in the log.
const LOG: &str = "slowlane::enqueued";

impl Error {
    /// The name by which a state machine catches this error.
    pub fn name(&self) -> &'static str {
        match self {
            Error::InvalidRequest(_) | Error::DeadlineTooFar { .. } => "Slowlane.InvalidMessage",
            Error::NotAllowed { .. } => "Slowlane.NotAllowed",
            Error::Queue { .. } | Error::Doorbell { .. } => "Slowlane.QueueUnavailable",
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Diagnostic { error_type: error.name().to_owned(), error_message: chain(&error) }
    }
}
