//! SQS standard queues: commands in, answers out.
//!
//! Every operation costs O(log n) in the queue's length: messages lie in a slab, two heaps order
//! the visible ones and the ones that become visible later, and a heap entry whose message has
//! moved on is dropped when it comes to the top.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::Odds;
use super::parameters::Unconfirmed;
use crate::faults::Fault;
use crate::time::Moment;

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

/// A queue, by its position in [`Sqs`].
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
    slot: u32,
    message: u64,
    receive: u64,
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

/// Why SQS refuses (model).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No queue has this name.
    #[error("The specified queue does not exist.")]
    QueueDoesNotExist,
    /// More than [`IN_FLIGHT_LIMIT`] messages are in flight.
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

    /// Delivers up to `ask.max` visible messages, and buries those whose receive count is used up.
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

    /// Takes the oldest visible message off a queue, as an operator's mistake would; returns its id.
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

#[derive(Debug)]
struct Queue {
    settings: QueueSettings,
    messages: Slab<Message>,
    /// Visible messages by their place in the line.
    visible: BinaryHeap<Reverse<(u64, u32, u64)>>,
    /// Delayed and in-flight messages by the moment they become visible.
    hidden: BinaryHeap<Reverse<(Moment, u32, u64)>>,
    in_flight: usize,
    delayed: usize,
    last_stamp: u64,
}

#[derive(Debug)]
struct Message {
    id: u64,
    body: Arc<str>,
    attributes: Option<Arc<str>>,
    trace_header: Option<Arc<str>>,
    group: Option<Arc<str>>,
    sent_at: Moment,
    /// Place in the line it was given when it was sent.
    line: u64,
    received_at: Moment,
    first_received_at: Option<Moment>,
    receive_count: u32,
    /// The latest receive; a receipt of another one is stale.
    receive: u64,
    place: Place,
    /// Names the one heap entry that is about this message as it is now.
    stamp: u64,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Visible,
    Delayed,
    InFlight,
}

impl Queue {
    fn new(settings: QueueSettings) -> Queue {
        Queue {
            settings,
            messages: Slab::new(),
            visible: BinaryHeap::new(),
            hidden: BinaryHeap::new(),
            in_flight: 0,
            delayed: 0,
            last_stamp: 0,
        }
    }

    fn accept(&mut self, id: u64, send: Send, now: Moment, odds: &mut Odds<'_>) {
        let delay = send.delay;
        let message = Message {
            id,
            body: send.body,
            attributes: send.attributes,
            trace_header: send.trace_header,
            group: send.group,
            sent_at: now,
            line: 0,
            received_at: now,
            first_received_at: None,
            receive_count: 0,
            receive: 0,
            place: Place::Visible,
            stamp: 0,
        };
        let slot = self.messages.insert(message) as u32;
        self.messages[slot as usize].line = self.stamp();
        if delay.is_zero() {
            self.show(slot, odds);
        } else {
            self.delayed += 1;
            self.hide(slot, Place::Delayed, now.plus(delay));
        }
    }

    /// Takes a message over from another queue.
    fn adopt(&mut self, mut message: Message, now: Moment, odds: &mut Odds<'_>) {
        message.receive_count = 0;
        message.first_received_at = None;
        message.received_at = now;
        message.receive = 0;
        let slot = self.messages.insert(message) as u32;
        self.messages[slot as usize].line = self.stamp();
        self.show(slot, odds);
    }

    /// Delivers visible messages; those whose receives are used up come back second.
    fn take(
        &mut self,
        ask: Ask,
        now: Moment,
        odds: &mut Odds<'_>,
    ) -> (Vec<Received>, Vec<Message>) {
        let (mut taken, mut dead, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        let miss = odds.parameters.get(Unconfirmed::ShortPollMiss);
        while taken.len() < ask.max {
            let Some(slot) = self.pop_visible() else {
                break;
            };
            if !ask.long && odds.dice.happens(miss) {
                unseen.push(slot);
                continue;
            }
            let message = &self.messages[slot as usize];
            let spent = (self.settings.redrive)
                .is_some_and(|redrive| message.receive_count >= redrive.max_receive_count);
            if now.since(message.sent_at) > self.settings.retention {
                self.remove(slot);
            } else if spent {
                dead.push(self.remove(slot));
            } else {
                taken.push(self.deliver(slot, ask, now, odds));
            }
        }
        for slot in unseen {
            let message = &self.messages[slot as usize];
            self.visible.push(Reverse((message.line, slot, message.stamp)));
        }
        (taken, dead)
    }

    fn deliver(&mut self, slot: u32, ask: Ask, now: Moment, odds: &mut Odds<'_>) -> Received {
        let mut visibility = ask.visibility.unwrap_or(self.settings.visibility);
        if odds.faults.strikes(Fault::Duplicate) {
            // A second server hands out its copy a moment later (doc: at least once).
            visibility = visibility.min(Duration::from_millis(odds.faults.below(2_000)));
        }
        let receive = self.stamp();
        let message = &mut self.messages[slot as usize];
        message.receive = receive;
        message.receive_count += 1;
        message.received_at = now;
        let first_received_at = *message.first_received_at.get_or_insert(now);
        let received = Received {
            message: message.id,
            receipt: Receipt { slot, message: message.id, receive },
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            trace_header: message.trace_header.clone(),
            group: message.group.clone(),
            receive_count: message.receive_count,
            sent_at: message.sent_at,
            first_received_at,
        };
        self.fly(slot, now.plus(visibility));
        received
    }

    /// Makes everything visible whose time has come.
    fn settle(&mut self, now: Moment, odds: &mut Odds<'_>) {
        while let Some(Reverse((due, slot, stamp))) = self.hidden.peek().copied() {
            if due > now {
                return;
            }
            self.hidden.pop();
            if self.is_current(slot, stamp) {
                self.leave(slot);
                self.show(slot, odds);
            }
        }
    }

    fn next_visible(&mut self) -> Option<Moment> {
        while let Some(Reverse((due, slot, stamp))) = self.hidden.peek().copied() {
            if self.is_current(slot, stamp) {
                return Some(due);
            }
            self.hidden.pop();
        }
        None
    }

    fn pop_visible(&mut self) -> Option<u32> {
        while let Some(Reverse((_, slot, stamp))) = self.visible.pop() {
            if self.is_current(slot, stamp) {
                return Some(slot);
            }
        }
        None
    }

    /// Puts a message into flight until `due`.
    fn fly(&mut self, slot: u32, due: Moment) {
        self.leave(slot);
        self.in_flight += 1;
        self.hide(slot, Place::InFlight, due);
    }

    fn hide(&mut self, slot: u32, place: Place, due: Moment) {
        let stamp = self.stamp();
        let message = &mut self.messages[slot as usize];
        message.place = place;
        message.stamp = stamp;
        self.hidden.push(Reverse((due, slot, stamp)));
        self.compact();
    }

    fn show(&mut self, slot: u32, odds: &mut Odds<'_>) {
        let stamp = self.stamp();
        let message = &mut self.messages[slot as usize];
        let returned = message.receive_count > 0;
        if returned && odds.parameters.get(Unconfirmed::ReturnedFirst) < 0.5 {
            message.line = stamp;
        }
        if odds.faults.strikes(Fault::Reorder) {
            message.line = stamp + odds.faults.below(200);
        }
        message.place = Place::Visible;
        message.stamp = stamp;
        self.visible.push(Reverse((message.line, slot, stamp)));
    }

    fn leave(&mut self, slot: u32) {
        match self.messages[slot as usize].place {
            Place::Visible => {}
            Place::Delayed => self.delayed -= 1,
            Place::InFlight => self.in_flight -= 1,
        }
    }

    fn remove(&mut self, slot: u32) -> Message {
        self.leave(slot);
        self.messages.remove(slot as usize)
    }

    fn is_current(&self, slot: u32, stamp: u64) -> bool {
        (self.messages.get(slot as usize)).is_some_and(|message| message.stamp == stamp)
    }

    fn stamp(&mut self) -> u64 {
        self.last_stamp += 1;
        self.last_stamp
    }

    /// Drops entries of messages that have moved on, before they outnumber the live ones: a
    /// message deleted after a second would otherwise leave an entry for its whole visibility
    /// timeout.
    fn compact(&mut self) {
        if self.hidden.len() > 64 + 2 * (self.in_flight + self.delayed) {
            let messages = &self.messages;
            self.hidden.retain(|Reverse((_, slot, stamp))| {
                (messages.get(*slot as usize)).is_some_and(|message| message.stamp == *stamp)
            });
        }
        if self.visible.len() > 64 + 2 * self.messages.len() {
            let messages = &self.messages;
            self.visible.retain(|Reverse((_, slot, stamp))| {
                (messages.get(*slot as usize)).is_some_and(|message| message.stamp == *stamp)
            });
        }
    }
}
