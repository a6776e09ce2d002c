//! The queues: all that the worker knows of SQS.

mod rings;

pub(crate) use rings::{Ring, WokenBy};

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{DisplayErrorContext, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use slowlane_message::Priority;
use slowlane_policy::timing::ring_hold;
use tokio::time::sleep;

use crate::config::{Config, Dispatch, QueueUrls};

/// How often a receive is tried.
const RECEIVE_TRIES: u32 = 3;
/// How long before a receive is tried again.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// A message may have 1 MiB, its attributes included (API model, `SendMessage`).
const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// SQS hides a message for 12 hours at most (API model, `ChangeMessageVisibility`).
const MAX_VISIBILITY: Duration = Duration::from_secs(43_200);

/// The three queues of calls, the doorbell and the dead-letter queue.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    sqs: Client,
    /// Never tries a request again by itself: see [`Queues::take`].
    receiver: Client,
    urls: QueueUrls,
    doorbell: Option<Doorbell>,
    call_visibility: Duration,
}

/// The queue of rings. The deferral wiring has none.
#[derive(Debug, Clone)]
struct Doorbell {
    url: String,
    ring_visibility: Duration,
    ring_hold: Duration,
}

/// What stands beside a dead letter: why it is one.
pub(crate) const REASON: &str = "reason";

/// A message taken from a queue of calls.
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

/// What a poll came to.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) received: Option<Received>,
    /// The answer to an earlier try was lost, and may have hidden a call that nobody knows of.
    pub(crate) may_hide: bool,
}

/// A request to SQS that failed, after all its tries.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the {queue} queue: {cause}")]
pub(crate) struct Error {
    action: &'static str,
    queue: String,
    cause: String,
    /// SQS may have carried it out all the same, and hidden a message: it did not say that it
    /// refuses.
    pub(crate) may_hide: bool,
}

impl Queues {
    pub(crate) fn new(sqs: Client, config: &Config) -> Self {
        let doorbell = match &config.dispatch {
            Dispatch::Doorbell { queue_url, ring_visibility, .. } => Some(Doorbell {
                url: queue_url.clone(),
                ring_visibility: *ring_visibility,
                ring_hold: ring_hold(config.call_visibility),
            }),
            Dispatch::Deferral { .. } => None,
        };
        let once = sqs.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Queues {
            sqs,
            receiver: Client::from_conf(once),
            urls: config.queues.clone(),
            doorbell,
            call_visibility: config.call_visibility,
        }
    }

    /// Takes one call, waiting up to `wait` for it (whole seconds, 20 at most). A short poll
    /// (`wait` zero) asks only some of SQS's servers and may miss a message; a long one asks
    /// all of them.
    pub(crate) async fn take(&self, priority: Priority, wait: Duration) -> Result<Poll, Error> {
        let (mut tries, mut may_hide) = (1, false);
        loop {
            match self.receive(priority, wait).await {
                Ok(received) => return Ok(Poll { received, may_hide }),
                Err(error) if tries == RECEIVE_TRIES => {
                    return Err(Error { may_hide: may_hide || error.may_hide, ..error });
                }
                Err(error) => {
                    tracing::debug!(%error, "tried again");
                    may_hide |= error.may_hide;
                    tries += 1;
                    sleep(RECEIVE_PAUSE).await;
                }
            }
        }
    }

    async fn receive(&self, priority: Priority, wait: Duration) -> Result<Option<Received>, Error> {
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
            .map_err(|error| failed("receive from", priority.as_str(), &error))?;
        Ok(received.messages.unwrap_or_default().into_iter().next().map(|message| {
            let receive_count = message
                .attributes
                .as_ref()
                .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            Received {
                priority,
                message_id: message.message_id.unwrap_or_default(),
                receipt_handle: message.receipt_handle.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                receive_count,
                dead_letter: message.message_attributes.is_some_and(|all| all.contains_key(REASON)),
            }
        }))
    }

    /// About how many calls of `priority` could be received now. Those that are invisible do
    /// not count: they may be deferred themselves, and nobody may wait for work that nobody runs.
    pub(crate) async fn visible(&self, priority: Priority) -> Result<u64, Error> {
        let got = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.urls.of(priority))
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .send()
            .await
            .map_err(|error| failed("count", priority.as_str(), &error))?;
        let count = got
            .attributes
            .and_then(|all| all.get(&QueueAttributeName::ApproximateNumberOfMessages).cloned());
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    pub(crate) async fn delete(&self, received: &Received) -> Result<(), Error> {
        self.sqs
            .delete_message()
            .queue_url(self.urls.of(received.priority))
            .receipt_handle(&received.receipt_handle)
            .send()
            .await
            .map(drop)
            .map_err(|error| failed("delete from", received.priority.as_str(), &error))
    }

    /// Hides a call for so long from now, rounded up to a whole second; zero makes it visible
    /// at once. Without it the call would stay hidden for its whole visibility time-out.
    pub(crate) async fn hide(&self, received: &Received, hidden: Duration) -> Result<(), Error> {
        self.sqs
            .change_message_visibility()
            .queue_url(self.urls.of(received.priority))
            .receipt_handle(&received.receipt_handle)
            .visibility_timeout(whole_secs(hidden, MAX_VISIBILITY))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed("change a call of", received.priority.as_str(), &error))
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
                let value = value.map_err(|error| failed("write to", "dead-letter", &error))?;
                Ok(send.message_attributes(name, value))
            })?
        };
        send.send().await.map(drop).map_err(|error| failed("write to", "dead-letter", &error))
    }
}

/// A text in which SQS takes every character (API model, `SendMessage`): others are written as JSON
/// writes them.
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

fn failed<E, R>(action: &'static str, queue: &str, error: &SdkError<E, R>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    Error {
        action,
        queue: queue.to_owned(),
        cause: DisplayErrorContext(error).to_string(),
        may_hide: error.as_service_error().is_none(),
    }
}

/// SQS takes whole seconds: rounded up, so that nothing comes back earlier than it was told.
fn whole_secs(duration: Duration, most: Duration) -> i32 {
    let secs = duration.min(most).as_millis().div_ceil(1000);
    i32::try_from(secs).unwrap_or(i32::MAX)
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

    #[test]
    fn seconds_are_rounded_up_and_capped() {
        let table = [(0, 0), (1, 1), (1000, 1), (1001, 2), (901_000, 900)];
        for (millis, secs) in table {
            assert_eq!(
                whole_secs(Duration::from_millis(millis), Duration::from_secs(900)),
                secs,
                "{millis} ms"
            );
        }
    }
}
