//! The queues of calls: receive, delete, change visibility, dead-letter.

use std::str::FromStr;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
};
use slowlane_lambda::logs::chain;
use slowlane_message::Priority;
use tokio::time::sleep;

use super::whole_secs;
use crate::config::{Config, QueueUrls};

/// How often a receive is tried.
const RECEIVE_TRIES: u32 = 3;
/// How long before a receive is tried again.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// A message may have 1 MiB, its attributes included (API model, `SendMessage`).
const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// SQS hides a message for 12 hours at most (API model, `ChangeMessageVisibility`).
pub(super) const MAX_VISIBILITY: Duration = Duration::from_secs(43_200);

/// The three queues of calls and the dead-letter queue.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    sqs: Client,
    /// Never tries a request again by itself: see [`Queues::receive`].
    receiver: Client,
    urls: QueueUrls,
    call_visibility: Duration,
}

/// What stands beside a dead letter: why it is one.
const REASON: &str = "reason";

/// A message that was received from a queue of calls.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) priority: Priority,
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    /// How often SQS has handed the message out: deferrals, throttled deliveries, give-backs
    /// and crashes all count, so it bounds each of them and equals none.
    pub(crate) receive_count: u32,
    /// Whether a worker has put it on the dead-letter queue before, with a reason beside it.
    pub(crate) dead_letter: bool,
}

/// The result of a poll.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) received: Option<Received>,
    /// The answer to an earlier try was lost, and may have hidden a call that nobody knows of.
    pub(crate) may_hide: bool,
}

/// A request to SQS that failed, after all its tries.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the {queue} queue")]
pub(crate) struct Error {
    action: &'static str,
    queue: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
    /// SQS may have carried it out all the same, and hidden a message: it did not say that it
    /// refuses.
    pub(crate) may_hide: bool,
}

impl Received {
    /// A call that was received.
    fn from_queue(priority: Priority, message: Message) -> Self {
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        Received {
            priority,
            receive_count: receive_count(
                message.attributes.as_ref().and_then(|all| all.get(&count)),
            ),
            dead_letter: message.message_attributes.is_some_and(|all| all.contains_key(REASON)),
            message_id: message.message_id.unwrap_or_default(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
        }
    }

    /// A call that a mapping of its queue has brought.
    pub(crate) fn from_event(priority: Priority, record: SqsMessage) -> Self {
        Received {
            priority,
            receive_count: receive_count(record.attributes.get("ApproximateReceiveCount")),
            dead_letter: record.message_attributes.contains_key(REASON),
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            body: record.body.unwrap_or_default(),
        }
    }
}

/// SQS's count of a message's receives, this one included.
pub(crate) fn receive_count(attribute: Option<&String>) -> u32 {
    attribute.and_then(|count| u32::from_str(count).ok()).unwrap_or(1)
}

/// A client that never tries a request again by itself.
pub(super) fn without_retries(sqs: &Client) -> Client {
    Client::from_conf(sqs.config().to_builder().retry_config(RetryConfig::disabled()).build())
}

impl Queues {
    pub(crate) fn new(sqs: Client, config: &Config) -> Self {
        Queues {
            receiver: without_retries(&sqs),
            sqs,
            urls: config.queues.clone(),
            call_visibility: config.call_visibility,
        }
    }

    /// The priority of the queue that a mapping's record comes from.
    pub(crate) fn priority_of(&self, record: &SqsMessage) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| is_from(record, self.urls.of(*priority)))
    }

    /// Receives one call, waiting up to `wait` for it (whole seconds, 20 at most). A short poll
    /// (`wait` zero) asks only some of SQS's servers and may miss a message; a long one asks
    /// all of them.
    pub(crate) async fn receive(&self, priority: Priority, wait: Duration) -> Result<Poll, Error> {
        let (mut tries, mut may_hide) = (1, false);
        loop {
            match self.receive_once(priority, wait).await {
                Ok(received) => return Ok(Poll { received, may_hide }),
                Err(error) if tries == RECEIVE_TRIES => {
                    return Err(Error { may_hide: may_hide || error.may_hide, ..error });
                }
                Err(error) => {
                    tracing::debug!(error = chain(&error), "tried again");
                    may_hide |= error.may_hide;
                    tries += 1;
                    sleep(RECEIVE_PAUSE).await;
                }
            }
        }
    }

    async fn receive_once(
        &self,
        priority: Priority,
        wait: Duration,
    ) -> Result<Option<Received>, Error> {
        let received = self
            .receiver
            .receive_message()
            .queue_url(self.urls.of(priority))
            .max_number_of_messages(1)
            .wait_time_seconds(whole_secs(wait, Duration::from_secs(20)))
            .visibility_timeout(whole_secs(self.call_visibility, MAX_VISIBILITY))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_attribute_names(REASON)
            .send()
            .await
            .map_err(|error| Error::of("receive from", priority.as_str(), error))?;
        let message = received.messages.unwrap_or_default().into_iter().next();
        Ok(message.map(|message| Received::from_queue(priority, message)))
    }

    /// About how many calls of `priority` could be received now. Invisible ones do not count: they
    /// may be deferred themselves, and nobody may wait for work that nobody runs.
    pub(crate) async fn visible(&self, priority: Priority) -> Result<u64, Error> {
        let got = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.urls.of(priority))
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .send()
            .await
            .map_err(|error| Error::of("count", priority.as_str(), error))?;
        let count = got
            .attributes
            .and_then(|all| all.get(&QueueAttributeName::ApproximateNumberOfMessages).cloned());
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Hides a call for this long from now, rounded up to a whole second. Zero makes it visible at
    /// once. Without it the call would stay hidden for its whole visibility time-out.
    pub(crate) async fn change_visibility(
        &self,
        received: &Received,
        hidden: Duration,
    ) -> Result<(), Error> {
        self.sqs
            .change_message_visibility()
            .queue_url(self.urls.of(received.priority))
            .receipt_handle(&received.receipt_handle)
            .visibility_timeout(whole_secs(hidden, MAX_VISIBILITY))
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::of("change a call of", received.priority.as_str(), error))
    }

    /// Puts a call that cannot be run on the dead-letter queue, with the reason beside it. Where
    /// the body is so long that the reason has no room, the log keeps that.
    pub(crate) async fn dead_letter(&self, received: &Received, reason: &str) -> Result<(), Error> {
        let reason = &escaped(reason);
        let attributes = [
            (REASON, reason.as_str()),
            ("source_queue", received.priority.as_str()),
            ("source_message_id", received.message_id.as_str()),
        ];
        let bytes = attributes.iter().map(|(name, text)| name.len() + "String".len() + text.len());
        let send =
            self.sqs.send_message().queue_url(&self.urls.dead_letter).message_body(&received.body);
        let send = if received.body.len() + bytes.sum::<usize>() > MAX_MESSAGE_BYTES {
            tracing::error!(
                reason,
                message_id = received.message_id,
                "a dead letter without its reason"
            );
            send
        } else {
            attributes.into_iter().try_fold(send, |send, (name, text)| {
                let value = MessageAttributeValue::builder().data_type("String").string_value(text);
                let value =
                    value.build().map_err(SdkError::<SendMessageError>::construction_failure);
                let value = value.map_err(|error| Error::of("write to", "dead-letter", error))?;
                Ok(send.message_attributes(name, value))
            })?
        };
        send.send().await.map(drop).map_err(|error| Error::of("write to", "dead-letter", error))
    }
}

/// A text with only characters that SQS takes (API model, `SendMessage`). Others are written as
/// JSON writes them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => escaped.push(c),
            other => escaped.push_str(&format!("\\u{:04x}", u32::from(other))),
        }
    }
    escaped
}

/// Whether a mapping's record comes from the queue of this URL.
pub(crate) fn is_from(record: &SqsMessage, url: &str) -> bool {
    let source = record.event_source_arn.as_deref().and_then(|arn| arn.rsplit(':').next());
    source.is_some() && source == url.rsplit('/').next()
}

impl Error {
    pub(super) fn of<E, R>(action: &'static str, queue: &'static str, error: SdkError<E, R>) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let may_hide = error.as_service_error().is_none();
        Error { action, queue, source: Box::new(error), may_hide }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_does_not_take_is_escaped() {
        assert_eq!(
            escaped("a\u{0}b\u{1f}\t\u{fffe}\u{ffff}é\u{10ffff}"),
            "a\\u0000b\\u001f\t\\ufffe\\uffffé\u{10ffff}"
        );
    }
}
