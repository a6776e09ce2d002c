//! Where a queue keeps its messages, and when they may be seen.
//!
//! Every operation costs O(log n) in the queue's length, and O(g) in the number of groups where the
//! queue is fair. Messages lie in a slab, and two heaps order the visible ones and those that
//! become visible later. A heap entry whose message has moved on is dropped when it comes to the
//! top.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::message::{Ask, QueueSettings, Receipt, Received, Send};
use crate::cloud::Odds;
use crate::cloud::parameters::Unconfirmed;
use crate::faults::Fault;
use crate::time::Moment;

/// The messages of one queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: QueueSettings,
    pub(super) messages: Slab<Message>,
    /// Visible messages by their place in the line: those of each group apart, if the queue is fair.
    visible: BTreeMap<Group, Line>,
    fair: bool,
    /// Of each group that has any, how many messages are in flight.
    in_flight_of: BTreeMap<Arc<str>, usize>,
    /// Delayed and in-flight messages by the moment they become visible.
    hidden: BinaryHeap<Reverse<(Moment, u32, u64)>>,
    pub(super) in_flight: usize,
    pub(super) delayed: usize,
    last_stamp: u64,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) body: Arc<str>,
    pub(super) attributes: Option<Arc<str>>,
    pub(super) trace_header: Option<Arc<str>>,
    pub(super) group: Option<Arc<str>>,
    pub(super) sent_at: Moment,
    /// Place in the line it was given when it was sent.
    line: u64,
    pub(super) received_at: Moment,
    pub(super) first_received_at: Option<Moment>,
    pub(super) receive_count: u32,
    /// The latest receive; a receipt of another one is stale.
    pub(super) receive: u64,
    pub(super) place: Place,
    /// Names the one heap entry that is about this message as it is now.
    stamp: u64,
}

/// Whose messages are told from others'.
type Group = Option<Arc<str>>;

/// Visible messages, each by its place, its slot and its stamp.
type Line = BinaryHeap<Reverse<(u64, u32, u64)>>;

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Visible,
    Delayed,
    InFlight,
}

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Queue {
        Queue {
            settings,
            messages: Slab::new(),
            visible: BTreeMap::new(),
            fair: false,
            in_flight_of: BTreeMap::new(),
            hidden: BinaryHeap::new(),
            in_flight: 0,
            delayed: 0,
            last_stamp: 0,
        }
    }

    pub(super) fn accept(&mut self, id: u64, send: Send, now: Moment, odds: &mut Odds<'_>) {
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
    pub(super) fn adopt(&mut self, mut message: Message, now: Moment, odds: &mut Odds<'_>) {
        message.receive_count = 0;
        message.first_received_at = None;
        message.received_at = now;
        message.receive = 0;
        let slot = self.messages.insert(message) as u32;
        self.messages[slot as usize].line = self.stamp();
        self.show(slot, odds);
    }

    /// Delivers visible messages; those whose receives are used up come back second.
    pub(super) fn take(
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
            self.line_up(slot);
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
    pub(super) fn settle(&mut self, now: Moment, odds: &mut Odds<'_>) {
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

    pub(super) fn next_visible(&mut self) -> Option<Moment> {
        while let Some(Reverse((due, slot, stamp))) = self.hidden.peek().copied() {
            if self.is_current(slot, stamp) {
                return Some(due);
            }
            self.hidden.pop();
        }
        None
    }

    pub(super) fn pop_visible(&mut self) -> Option<u32> {
        let Queue { visible, messages, in_flight_of, .. } = self;
        let is_current = |slot: u32, stamp: u64| {
            messages.get(slot as usize).is_some_and(|message| message.stamp == stamp)
        };
        // What has moved on is dropped, so that each group's first is one that can be served.
        visible.retain(|_, line| {
            while let Some(Reverse((_, slot, stamp))) = line.peek()
                && !is_current(*slot, *stamp)
            {
                line.pop();
            }
            !line.is_empty()
        });
        let in_flight = |group: &Group| {
            group.as_ref().and_then(|group| in_flight_of.get(group)).copied().unwrap_or(0)
        };
        let next = |(group, line): &(&Group, &mut Line)| {
            (in_flight(group), line.peek().map(|Reverse((place, ..))| *place))
        };
        let (_, line) = visible.iter_mut().min_by_key(next)?;
        line.pop().map(|Reverse((_, slot, _))| slot)
    }

    /// Puts a message into flight until `due`.
    pub(super) fn fly(&mut self, slot: u32, due: Moment) {
        self.leave(slot);
        self.in_flight += 1;
        if let Some(group) = &self.messages[slot as usize].group {
            *self.in_flight_of.entry(group.clone()).or_default() += 1;
        }
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
        self.fair = odds.parameters.get(Unconfirmed::FairQueues) >= 0.5;
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
        self.line_up(slot);
    }

    fn line_up(&mut self, slot: u32) {
        let message = &self.messages[slot as usize];
        let group = message.group.clone().filter(|_| self.fair);
        let place = Reverse((message.line, slot, message.stamp));
        self.visible.entry(group).or_default().push(place);
    }

    fn leave(&mut self, slot: u32) {
        let message = &self.messages[slot as usize];
        match message.place {
            Place::Visible => {}
            Place::Delayed => self.delayed -= 1,
            Place::InFlight => {
                self.in_flight -= 1;
                if let Some(group) = &message.group
                    && let Some(in_flight) = self.in_flight_of.get_mut(group)
                {
                    *in_flight -= 1;
                    if *in_flight == 0 {
                        self.in_flight_of.remove(group);
                    }
                }
            }
        }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Message {
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

    /// Drops entries of messages that have moved on, before they outnumber the live ones. Otherwise
    /// a message that is deleted after a second would leave an entry for its whole visibility
    /// timeout.
    fn compact(&mut self) {
        if self.hidden.len() > 64 + 2 * (self.in_flight + self.delayed) {
            let messages = &self.messages;
            self.hidden.retain(|Reverse((_, slot, stamp))| {
                (messages.get(*slot as usize)).is_some_and(|message| message.stamp == *stamp)
            });
        }
        if self.visible.values().map(BinaryHeap::len).sum::<usize>() > 64 + 2 * self.messages.len()
        {
            let messages = &self.messages;
            for line in self.visible.values_mut() {
                line.retain(|Reverse((_, slot, stamp))| {
                    (messages.get(*slot as usize)).is_some_and(|message| message.stamp == *stamp)
                });
            }
        }
    }
}
