//! The doorbell without overlap: what the wiring is worth before a slot settles one call while the
//! next is at the API.
//!
//! The real worker always overlaps. So this slot is a loop of the simulator's own. It takes the
//! most urgent call and hands it to the real worker, as an event source mapping of the deferral
//! wiring would, with no deferrals allowed. The worker claims, calls, settles and deletes, and only
//! then does the loop look again. It costs one request a call more than need be: a worker that is
//! woken by a call first hides it for as long as it may take.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::Value;
use slowlane_aws_simulator::cloud::sqs::{queue_arn, queue_url};
use slowlane_aws_simulator::cloud::{Context, Environment, Input};
use slowlane_message::Priority;
use slowlane_policy::dispatch::poll_order;
use slowlane_worker::{Target, Worker};
use tokio::time::Instant;

use crate::names::QUEUES;

/// How long a slot listens before it concludes that nothing is left.
const LISTEN: Duration = Duration::from_secs(1);

/// A slot that does one thing after another.
pub(crate) struct PlainSlot<T> {
    /// The real worker, in the deferral wiring.
    pub(crate) worker: Worker<T>,
    /// For the slot's own polls.
    pub(crate) sqs: Client,
    /// The number of its turn, begun at random.
    pub(crate) turn: Cell<u64>,
    /// The k of "every k-th turn".
    pub(crate) share_every: NonZeroU32,
    /// How long before its deadline a slot takes no further call; also a taken call's visibility.
    pub(crate) call_visibility: Duration,
}

impl<T: Target + 'static> Environment for PlainSlot<T> {
    fn handle(
        self: Rc<Self>,
        input: Input,
        context: Context,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>>>> {
        Box::pin(async move {
            let Input::Batch(..) = input else {
                return Err("a slot takes a ring".to_owned());
            };
            let stop_at = context.deadline - self.call_visibility;
            let served = self.serve(stop_at, context.deadline).await;
            served.map_err(|error| format!("{error:?}"))?;
            Ok(Value::Null)
        })
    }
}

impl<T: Target> PlainSlot<T> {
    async fn serve(&self, stop_at: Instant, deadline: Instant) -> Result<(), aws_sdk_sqs::Error> {
        while Instant::now() < stop_at {
            let Some((priority, message)) = self.find().await? else { return Ok(()) };
            self.turn.set(self.turn.get() + 1);
            self.worker.handle(event(message, QUEUES[priority as usize]), deadline).await;
        }
        // Time is up before the queues are empty: another slot goes on.
        self.sqs
            .send_message()
            .queue_url(queue_url("doorbell"))
            .message_body("ring")
            .send()
            .await?;
        Ok(())
    }

    /// The most urgent call by short polls, and if they see none, by long ones.
    async fn find(&self) -> Result<Option<(Priority, Message)>, aws_sdk_sqs::Error> {
        for wait in [Duration::ZERO, LISTEN] {
            for priority in poll_order(self.turn.get(), self.share_every) {
                let polled = self
                    .sqs
                    .receive_message()
                    .queue_url(queue_url(QUEUES[priority as usize]))
                    .wait_time_seconds(wait.as_secs() as i32)
                    .visibility_timeout(self.call_visibility.as_secs() as i32)
                    .message_system_attribute_names(MessageSystemAttributeName::All)
                    .send()
                    .await?;
                if let Some(message) = polled.messages.unwrap_or_default().pop() {
                    return Ok(Some((priority, message)));
                }
            }
        }
        Ok(None)
    }
}

/// A message as a mapping would hand it to the worker.
fn event(message: Message, queue: &str) -> SqsEvent {
    let mut record = SqsMessage::default();
    record.message_id = message.message_id;
    record.receipt_handle = message.receipt_handle;
    record.body = message.body;
    record.event_source_arn = Some(queue_arn(queue));
    let attributes = message.attributes.unwrap_or_default().into_iter();
    record.attributes = attributes.map(|(name, value)| (name.as_str().to_owned(), value)).collect();
    let mut event = SqsEvent::default();
    event.records = vec![record];
    event
}
