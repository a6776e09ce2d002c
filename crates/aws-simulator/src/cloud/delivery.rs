//! Polling a queue, and the event source mappings that do it for a function.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::lambda::Failure;
use super::mapping::{self, MappingSettings, Scaler};
use super::parameters::Unconfirmed;
use super::sqs::{Ask, Error, QueueId, Receipt, Received, Send};
use super::{Cloud, Functions, Input, State};
use crate::faults::Fault;
use crate::time::Moment;
use crate::transcript::{Event, Unhashed};

impl State {
    /// SQS takes a message; returns its id.
    ///
    /// # Errors
    /// As [`Sqs::send`](super::sqs::Sqs::send).
    pub fn send(&mut self, queue: QueueId, send: Send, now: Moment) -> Result<u64, Error> {
        let (sqs, mut odds) = self.sqs();
        let text = Arc::clone(&send.body);
        let message = sqs.send(queue, send, now, &mut odds)?;
        self.saw(now, Event::Sent { queue, message, body: Unhashed(&text) });
        self.ring_bell(queue);
        Ok(message)
    }

    /// SQS delivers what it has at this moment.
    ///
    /// # Errors
    /// As [`Sqs::receive`](super::sqs::Sqs::receive).
    pub fn receive(
        &mut self,
        queue: QueueId,
        ask: Ask,
        now: Moment,
    ) -> Result<Vec<Received>, Error> {
        let (sqs, mut odds) = self.sqs();
        let harvest = sqs.receive(queue, ask, now, &mut odds)?;
        for buried in &harvest.buried {
            let (message, body) = (buried.message, &*buried.body);
            self.saw(now, Event::Buried { queue, message, body });
            self.ring_bell(buried.to);
        }
        for received in &harvest.messages {
            let (message, receive_count) = (received.message, received.receive_count);
            self.saw(now, Event::Received { queue, message, receive_count });
        }
        Ok(harvest.messages)
    }

    /// SQS deletes a message, if the receipt still names it.
    pub fn delete(&mut self, queue: QueueId, receipt: Receipt, now: Moment) {
        let (sqs, mut odds) = self.sqs();
        if sqs.delete(queue, receipt, &mut odds) {
            let message = receipt.message();
            self.saw(now, Event::Deleted { queue, message });
        }
    }

    /// SQS hides a message for `visibility` from now on.
    ///
    /// # Errors
    /// As [`Sqs::change_visibility`](super::sqs::Sqs::change_visibility).
    pub fn change_visibility(
        &mut self,
        queue: QueueId,
        receipt: Receipt,
        visibility: Duration,
        now: Moment,
    ) -> Result<(), Error> {
        let (sqs, mut odds) = self.sqs();
        sqs.change_visibility(queue, receipt, visibility, now, &mut odds)?;
        self.ring_bell(queue);
        Ok(())
    }
}

impl Cloud {
    /// Waits up to `wait` for a message, at the service: the request's travel is not in it.
    ///
    /// # Errors
    /// As [`Sqs::receive`](super::sqs::Sqs::receive).
    pub async fn poll(
        &self,
        queue: QueueId,
        ask: Ask,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let until = self.now().plus(wait);
        loop {
            let (wake, bell) = {
                let now = self.now();
                let mut state = self.state();
                let messages = state.receive(queue, ask, now)?;
                if !messages.is_empty() || now >= until {
                    if !wait.is_zero() {
                        // It may have woken for a bell that was rung for more than it takes.
                        state.ring_bell(queue);
                    }
                    return Ok(messages);
                }
                let next = state.sqs.next_visible(queue).unwrap_or(until);
                (next.min(until), state.bells[queue.0 as usize].clone())
            };
            let wake = self.clock().instant(wake);
            // Woken or not, the queue is looked at again.
            let _ = tokio::time::timeout_at(wake, bell.notified()).await;
        }
    }

    fn backoff(&self, tries: u32) -> Duration {
        let state = &mut *self.state();
        mapping::backoff(tries, &state.parameters, &mut state.dice)
    }
}

impl Functions {
    /// Creates an event source mapping, which polls from now on.
    pub fn create_mapping(&self, settings: MappingSettings) -> Rc<Mapping> {
        let crew = Crew { scaler: Scaler::new(&settings), running: 0 };
        let mapping = Rc::new(Mapping { settings, crew: RefCell::new(crew) });
        self.hire(&mapping);
        tokio::task::spawn_local(self.clone().keep_scaling(mapping.clone()));
        mapping
    }

    /// Starts as many pollers as are wanted and not there.
    fn hire(&self, mapping: &Rc<Mapping>) {
        let mut crew = mapping.crew.borrow_mut();
        while crew.running < crew.scaler.pollers() {
            crew.running += 1;
            tokio::task::spawn_local(self.clone().keep_polling(mapping.clone()));
        }
    }

    async fn keep_scaling(self, mapping: Rc<Mapping>) {
        let cloud = self.cloud();
        let interval = cloud.state().parameters().duration(Unconfirmed::PollerRampInterval);
        loop {
            tokio::time::sleep(interval).await;
            if mapping.crew.borrow().scaler.is_closed() {
                return;
            }
            let now = cloud.now();
            let available = {
                let mut state = cloud.state();
                let (sqs, mut odds) = state.sqs();
                sqs.counts(mapping.settings.queue, now, &mut odds).visible > 0
            };
            mapping.crew.borrow_mut().scaler.look(available, interval);
            self.hire(&mapping);
        }
    }

    async fn keep_polling(self, mapping: Rc<Mapping>) {
        let cloud = self.cloud();
        let ask = Ask { max: mapping.settings.batch_size, visibility: None, long: true };
        loop {
            cloud.travel_one_way().await;
            let received = cloud.poll(mapping.settings.queue, ask, mapping::POLL).await;
            cloud.state().requests.count_poll();
            cloud.travel_one_way().await;
            // A lost reply hides its messages until their visibility timeout is over.
            let lost = cloud.state().faults.strikes(Fault::LostReply);
            let batch = received.unwrap_or_default();
            let idle = batch.is_empty() || lost;
            if !idle {
                self.deliver(&mapping.settings, batch.into()).await;
            }
            let mut crew = mapping.crew.borrow_mut();
            if (idle || crew.scaler.is_closed()) && crew.running > crew.scaler.pollers() {
                crew.running -= 1;
                return;
            }
        }
    }

    /// Delivers one batch. A throttled delivery is tried again with growing pauses until the
    /// messages' visibility timeout runs out (doc), and is then dropped. A function's error is not
    /// tried again: the messages come back by themselves (doc).
    async fn deliver(&self, settings: &MappingSettings, batch: Arc<[Received]>) {
        let cloud = self.cloud();
        let visibility = cloud.state().sqs.settings(settings.queue).visibility;
        let deadline = cloud.now().plus(visibility);
        let mut tries = 0;
        let answer = loop {
            let input = Input::Batch(settings.queue, batch.clone());
            match self.invoke(settings.function, input).await {
                Err(Failure::Throttled) => tries += 1,
                answer => break answer,
            }
            let pause = cloud.backoff(tries);
            if cloud.now().plus(pause) >= deadline {
                return;
            }
            tokio::time::sleep(pause).await;
        };
        let done = mapping::done(&batch, &answer, settings.reports_failures);
        if !done.is_empty() {
            cloud.travel_one_way().await;
            let now = cloud.now();
            let mut state = cloud.state();
            state.requests.count_poll();
            if state.faults.strikes(Fault::LostRequest) {
                // What was done comes back.
                return;
            }
            for received in done {
                state.delete(settings.queue, received.receipt, now);
            }
        }
        if answer.is_err() {
            let pause = cloud.state().parameters().duration(Unconfirmed::FunctionErrorPause);
            tokio::time::sleep(pause).await;
        }
    }
}

/// An event source mapping.
#[derive(Debug)]
pub struct Mapping {
    settings: MappingSettings,
    crew: RefCell<Crew>,
}

impl Mapping {
    /// Changes its `MaximumConcurrency`: pollers beyond it end after their present poll.
    pub fn set_maximum_concurrency(&self, maximum: u32) {
        self.crew.borrow_mut().scaler.set_cap(maximum);
    }

    /// Deletes it: its pollers end after their present polls, whose messages they still deliver.
    pub fn delete(&self) {
        self.crew.borrow_mut().scaler.set_cap(0);
    }
}

#[derive(Debug)]
struct Crew {
    scaler: Scaler,
    running: u32,
}
