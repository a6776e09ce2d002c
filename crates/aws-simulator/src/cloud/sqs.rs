//! SQS standard queues: commands in, answers out.
//!
//! What a command does and refuses is here. What it is said with is in `message`; where a queue keeps
//! its messages, in `queue`.

mod message;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use super::Odds;
use super::parameters::Unconfirmed;
use crate::faults::Fault;
use crate::time::Moment;
pub use message::{Ask, Error, QueueId, QueueSettings, Receipt, Received, Redrive, Send};
use queue::{Message, Place, Queue};

/// Messages in flight per standard queue beyond which a receive is refused (model).
pub const IN_FLIGHT_LIMIT: usize = 120_000;
/// Longest time that a receive waits (model).
pub const LONGEST_POLL: Duration = Duration::from_secs(20);
/// Longest delay of a message (model).
pub const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// Longest visibility timeout, and the longest that one receive may be extended in all (doc).
pub const LONGEST_VISIBILITY: Duration = Duration::from_secs(43_200);
/// Greatest size of a message and of a batch (model).
pub const LARGEST_MESSAGE: usize = 1_048_576;

/// The URL of the queue of this name. The cloud looks at the last segment only.
pub fn queue_url(name: &str) -> String {
    format!("https://sqs.us-east-1.amazonaws.com/000000000000/{name}")
}

/// The ARN of the queue of this name.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

/// What a receive brings to light.
#[derive(Debug, Default)]
pub struct Harvest {
    /// The messages delivered.
    pub messages: Vec<Received>,
    /// The messages that went to the dead-letter queue instead, with its id.
    pub buried: Vec<Buried>,
}

/// A message that the redrive policy moved to the dead-letter queue.
#[derive(Clone, Debug)]
pub struct Buried {
    /// The message.
    pub message: u64,
    /// Where it went.
    pub to: QueueId,
    /// Its text.
    pub body: Arc<str>,
    /// How often it had been received.
    pub receive_count: u32,
}

/// The three approximate counts of a queue, exact here: a client that needs them stale waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `ApproximateNumberOfMessages`.
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`.
    pub in_flight: usize,
    /// `ApproximateNumberOfMessagesDelayed`.
    pub delayed: usize,
}

/// The queues of an account.
#[derive(Debug, Default)]
pub struct Sqs {
    queues: Vec<Queue>,
    last_message: u64,
}

impl Sqs {
    /// Creates a queue.
    pub fn create(&mut self, settings: QueueSettings) -> QueueId {
        self.queues.push(Queue::new(settings));
        QueueId(self.queues.len() as u32 - 1)
    }

    /// The queue whose URL or ARN ends in `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Result<QueueId, Error> {
        let position = self.queues.iter().position(|q| q.settings.name == name);
        let position = position.ok_or(Error::QueueDoesNotExist)?;
        Ok(QueueId(position as u32))
    }

    /// The settings of a queue.
    pub fn settings(&self, queue: QueueId) -> &QueueSettings {
        &self.queue(queue).settings
    }

    /// SetQueueAttributes: the visibility timeout of receives that state none of their own.
    pub fn set_visibility(&mut self, queue: QueueId, visibility: Duration) {
        self.queue_mut(queue).settings.visibility = visibility;
    }

    /// Takes a message and returns its id.
    ///
    /// # Errors
    /// The text is empty or larger than [`LARGEST_MESSAGE`], or the delay longer than
    /// [`LONGEST_DELAY`].
    pub fn send(
        &mut self,
        queue: QueueId,
        send: Send,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> Result<u64, Error> {
        if send.delay > LONGEST_DELAY {
            return Err(Error::InvalidParameterValue("DelaySeconds is over 900."));
        }
        let attributes = send.attributes.as_deref().map_or(0, str::len);
        if send.body.is_empty() || send.body.len() + attributes > LARGEST_MESSAGE {
            return Err(Error::InvalidParameterValue("A message has 1 to 1,048,576 bytes."));
        }
        self.last_message += 1;
        let id = self.last_message;
        self.queue_mut(queue).accept(id, send, now, odds);
        Ok(id)
    }

    /// Delivers up to `ask.max` visible messages. Those whose receive count is used up go to the
    /// dead-letter queue.
    ///
    /// # Errors
    /// Too many messages are in flight, or a number is outside its range.
    pub fn receive(
        &mut self,
        queue: QueueId,
        ask: Ask,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> Result<Harvest, Error> {
        if !(1..=10).contains(&ask.max) {
            return Err(Error::InvalidParameterValue("MaxNumberOfMessages is 1 to 10."));
        }
        if ask.visibility.is_some_and(|v| v > LONGEST_VISIBILITY) {
            return Err(Error::InvalidParameterValue("VisibilityTimeout is 0 to 43200."));
        }
        let source = self.queue_mut(queue);
        source.settle(now, odds);
        if source.in_flight >= IN_FLIGHT_LIMIT {
            return Err(Error::OverLimit);
        }
        let (messages, dead) = source.take(ask, now, odds);
        let mut harvest = Harvest { messages, buried: Vec::new() };
        for message in dead {
            harvest.buried.extend(self.bury(queue, message, now, odds));
        }
        Ok(harvest)
    }

    fn bury(
        &mut self,
        queue: QueueId,
        message: Message,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> Option<Buried> {
        let redrive = self.queue(queue).settings.redrive?;
        let buried = Buried {
            message: message.id,
            to: redrive.to,
            body: message.body.clone(),
            receive_count: message.receive_count,
        };
        self.queue_mut(redrive.to).adopt(message, now, odds);
        Some(buried)
    }

    /// Deletes the message that `receipt` names. A stale receipt is answered with success all the
    /// same (model); whether it deletes is [`Unconfirmed::StaleDeleteDeletes`]. True if a message
    /// is gone now.
    pub fn delete(&mut self, queue: QueueId, receipt: Receipt, odds: &mut Odds<'_>) -> bool {
        let queue = self.queue_mut(queue);
        let Some(message) = queue.messages.get(receipt.slot as usize) else {
            return false;
        };
        if message.id != receipt.message {
            return false;
        }
        if message.receive != receipt.receive {
            let odd = odds.parameters.get(Unconfirmed::StaleDeleteDeletes);
            if !odds.dice.happens(odd) {
                return false;
            }
        } else if odds.faults.strikes(Fault::Undelete) {
            // At-least-once: a copy on a server that was away is handed out later (doc).
            return false;
        }
        queue.remove(receipt.slot);
        true
    }

    /// Makes the message visible after `visibility`, counted from now (model); 0 at once.
    ///
    /// # Errors
    /// The message is not in flight, the receipt is stale, or the receive would last longer than
    /// [`LONGEST_VISIBILITY`].
    pub fn change_visibility(
        &mut self,
        queue: QueueId,
        receipt: Receipt,
        visibility: Duration,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> Result<(), Error> {
        let queue = self.queue_mut(queue);
        queue.settle(now, odds);
        let message = queue.messages.get(receipt.slot as usize);
        let message = message
            .filter(|message| message.id == receipt.message)
            .ok_or(Error::InvalidParameterValue("The message does not exist."))?;
        if message.receive != receipt.receive {
            return Err(Error::InvalidParameterValue("The receipt handle has expired."));
        }
        if !matches!(message.place, Place::InFlight) {
            return Err(Error::MessageNotInflight);
        }
        let until = now.plus(visibility);
        if until.since(message.received_at) > LONGEST_VISIBILITY {
            return Err(Error::InvalidParameterValue("Total VisibilityTimeout is over 12 hours."));
        }
        queue.fly(receipt.slot, until);
        queue.settle(now, odds);
        Ok(())
    }

    /// When the next message becomes visible, if it is not already.
    pub fn next_visible(&mut self, queue: QueueId) -> Option<Moment> {
        self.queue_mut(queue).next_visible()
    }

    /// The counts of a queue.
    pub fn counts(&mut self, queue: QueueId, now: Moment, odds: &mut Odds<'_>) -> Counts {
        let queue = self.queue_mut(queue);
        queue.settle(now, odds);
        Counts {
            visible: queue.messages.len() - queue.in_flight - queue.delayed,
            in_flight: queue.in_flight,
            delayed: queue.delayed,
        }
    }

    /// The age of a queue's oldest message, as `ApproximateAgeOfOldestMessage` has it: those that were
    /// received three times or more are left out (doc).
    pub fn age_of_oldest(&self, queue: QueueId, now: Moment) -> Option<Duration> {
        let messages = self.queue(queue).messages.iter();
        let counted = messages.filter(|(_, message)| message.receive_count < 3);
        counted.map(|(_, message)| now.since(message.sent_at)).max()
    }

    /// The text of every message in a queue, for a look at a dead-letter queue.
    pub fn bodies(&self, queue: QueueId) -> impl Iterator<Item = &str> {
        self.queue(queue).messages.iter().map(|(_, m)| &*m.body)
    }

    /// Moves every visible message of a dead-letter queue to `to`, with its receive count begun
    /// afresh, as StartMessageMoveTask does; returns how many.
    pub fn redrive(
        &mut self,
        from: QueueId,
        to: QueueId,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> usize {
        let source = self.queue_mut(from);
        source.settle(now, odds);
        let visible: Vec<usize> = (source.messages.iter())
            .filter(|(_, message)| matches!(message.place, Place::Visible))
            .map(|(slot, _)| slot)
            .collect();
        for slot in &visible {
            let message = self.queue_mut(from).remove(*slot as u32);
            self.queue_mut(to).adopt(message, now, odds);
        }
        visible.len()
    }

    /// Takes every message off a queue: it is deleted.
    pub fn purge(&mut self, queue: QueueId) {
        let queue = self.queue_mut(queue);
        let slots: Vec<usize> = queue.messages.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            queue.remove(slot as u32);
        }
    }

    /// Takes every visible message off a dead-letter queue, and returns their texts.
    pub fn collect(&mut self, from: QueueId, now: Moment, odds: &mut Odds<'_>) -> Vec<Arc<str>> {
        let queue = self.queue_mut(from);
        queue.settle(now, odds);
        let mut bodies = Vec::new();
        while let Some(slot) = queue.pop_visible() {
            bodies.push(queue.remove(slot).body);
        }
        bodies
    }

    /// Takes the oldest visible message off a queue, as somebody's mistake would; returns its id.
    pub fn snatch(&mut self, queue: QueueId, now: Moment, odds: &mut Odds<'_>) -> Option<u64> {
        let queue = self.queue_mut(queue);
        queue.settle(now, odds);
        let slot = queue.pop_visible()?;
        Some(queue.remove(slot).id)
    }

    fn queue(&self, queue: QueueId) -> &Queue {
        &self.queues[queue.0 as usize]
    }

    fn queue_mut(&mut self, queue: QueueId) -> &mut Queue {
        &mut self.queues[queue.0 as usize]
    }
}
