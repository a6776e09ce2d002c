//! A slot of the API's limit, for one invocation of the doorbell wiring.
//!
//! A ring woke it. It finds the most urgent call, runs it, and goes on while there is work
//! and time. The API is asked for one call at a time; everything else overlaps with it:
//!
//! ```text
//! API      ──call 1──────────────┤──call 2──────────────┤──call 3─────
//! settle                          ─1─                    ─2─
//! search                    ─2─                    ─3─
//! ```
//!
//! * The next call is fetched so that it is ready about when the present one ends
//!   ([`policy::prefetch`](slowlane_policy::prefetch)). One that had to wait too long because
//!   the present call runs late is given back: another slot may be free for it.
//! * A search asks the queues in the order of the turn by short polls. Those may miss a
//!   message, so a slot that is about to conclude that nothing is left *listens* first: it
//!   polls all three queues at once for a second, which asks all of SQS's servers. Only then
//!   does it let its ring go.
//! * No request is dropped half-way: a receive whose answer nobody reads would hide a call
//!   for its whole visibility time-out.
//!
//! All of this is one loop over events. [`Slot::on`] takes an event in, [`Slot::advance`]
//! starts what follows from it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use slowlane_message::Priority;
use slowlane_policy::dispatch::poll_order;
use slowlane_policy::prefetch::ServiceTimes;
use tokio::time::{Instant, sleep_until};

use crate::Worker;
use crate::metrics::Counts;
use crate::process::{Answered, Ended, How, Prepared, Ready};
use crate::receive::{self, Received};
use crate::target::Target;

/// How long a slot listens before it concludes that nothing is left. SQS asks all of its
/// servers from one second on.
const LISTEN: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::ZERO;

/// How an invocation ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) counts: Counts,
    /// Whether the ring that woke the slot may go. If not, it must come back: something was
    /// left behind that no other ring is sure to cover.
    pub(crate) ring_served: bool,
}

struct Slot<'w, T> {
    worker: &'w Worker<T>,
    tasks: FuturesUnordered<LocalBoxFuture<'w, Event>>,
    /// The call at the API, by when it started.
    running: Option<Instant>,
    /// The call that is ready to follow, and since when.
    candidate: Option<(Ready, Instant)>,
    search: Search,
    /// Polls of the listening that have not been answered.
    listening: usize,
    /// Whether the latest listening, if it is complete, has found nothing.
    quiet: bool,
    /// Whether the next call was fetched, or tried to be, beside the present one.
    fetched_beside: bool,
    times: ServiceTimes,
    stop_at: Instant,
    share_every: NonZeroU32,
    counts: Counts,
    ring_served: bool,
}

/// Where the search for the next call stands.
enum Search {
    Idle,
    /// One queue is being polled, the others are to follow.
    Sweeping {
        began: Instant,
        rest: VecDeque<Priority>,
    },
    /// A message was found and is being prepared.
    Preparing {
        began: Instant,
    },
}

enum Event {
    Swept(Priority, Result<Option<Received>, receive::Error>),
    Heard(Result<Option<Received>, receive::Error>),
    Prepared(Box<Prepared>),
    Answered(Box<Answered>),
    Ended(Box<Ended>),
    /// It is time to fetch the next call, or to give the fetched one back.
    TimeUp,
}

impl<T: Target> Worker<T> {
    /// Serves one ring: runs calls until none is left or time is up.
    pub(crate) async fn serve_ring(&self, stop_at: Instant, share_every: NonZeroU32) -> Done {
        let mut slot = Slot {
            worker: self,
            tasks: FuturesUnordered::new(),
            running: None,
            candidate: None,
            search: Search::Idle,
            listening: 0,
            quiet: false,
            fetched_beside: false,
            times: ServiceTimes::default(),
            stop_at,
            share_every,
            counts: Counts::default(),
            ring_served: true,
        };
        slot.run().await;
        let Slot { counts, ring_served, quiet, .. } = slot;
        // Time was up before the queues were seen to be empty: another slot goes on.
        let ring_served = ring_served && (quiet || self.queues.ring(SHORT).await.is_ok());
        Done { counts, ring_served }
    }
}

impl<'w, T: Target> Slot<'w, T> {
    async fn run(&mut self) {
        self.advance();
        while !self.tasks.is_empty() {
            let event = match self.wake_at() {
                Some(at) => tokio::select! {
                    Some(event) = self.tasks.next() => event,
                    () = sleep_until(at) => Event::TimeUp,
                },
                None => match self.tasks.next().await {
                    Some(event) => event,
                    None => break,
                },
            };
            self.on(event);
            self.advance();
        }
    }

    /// Takes in what has happened.
    fn on(&mut self, event: Event) {
        match event {
            Event::Swept(_, Ok(Some(received))) => {
                self.worker.end_turn();
                self.prepare(received);
            }
            Event::Swept(_, Ok(None)) => self.sweep_on(),
            Event::Swept(priority, Err(error)) => {
                tracing::warn!(%error, %priority, "a poll failed");
                self.sweep_on();
            }
            Event::Heard(heard) => self.on_heard(heard),
            Event::Prepared(prepared) => self.on_prepared(*prepared),
            Event::Answered(answered) => {
                self.times.record_call(answered.took);
                self.running = None;
                let worker = self.worker;
                self.spawn(async move { Event::Ended(Box::new(worker.settle(*answered).await)) });
            }
            Event::Ended(ended) => self.end(&ended),
            Event::TimeUp => self.on_time_up(),
        }
    }

    /// A message was prepared: it is ready to follow, or needed no call.
    fn on_prepared(&mut self, prepared: Prepared) {
        let search = std::mem::replace(&mut self.search, Search::Idle);
        match prepared {
            Prepared::Ready(ready) => {
                if let Search::Preparing { began } = search {
                    self.times.record_fetch(began.elapsed());
                }
                self.candidate = Some((ready, Instant::now()));
            }
            Prepared::Ended(ended) => {
                self.fetched_beside = false;
                self.end(&ended);
            }
        }
    }

    /// A poll of the listening was answered.
    fn on_heard(&mut self, heard: Result<Option<Received>, receive::Error>) {
        self.listening -= 1;
        match heard {
            Ok(None) => {}
            Ok(Some(received)) if self.is_searching() || self.candidate.is_some() => {
                self.quiet = false;
                self.return_at_once(received);
            }
            Ok(Some(received)) => {
                self.quiet = false;
                self.search = Search::Sweeping { began: Instant::now(), rest: VecDeque::new() };
                self.prepare(received);
            }
            Err(error) => {
                tracing::warn!(%error, "a poll failed: the queues cannot be said to be empty");
                self.quiet = false;
                self.ring_served = false;
                self.stop_at = Instant::now();
            }
        }
    }

    fn on_time_up(&mut self) {
        match self.candidate.take() {
            // The present call runs late: the fetched one must not wait for it.
            Some((ready, _)) => {
                self.counts.give_backs += 1;
                let worker = self.worker;
                self.spawn(
                    async move { Event::Ended(Box::new(worker.give_back_ready(ready).await)) },
                );
            }
            None => {
                self.fetched_beside = true;
                self.sweep();
            }
        }
    }

    /// Starts whatever follows from how things stand.
    fn advance(&mut self) {
        if self.running.is_some() {
            return;
        }
        if let Some((ready, _)) = self.candidate.take() {
            self.launch(ready);
        } else if self.is_searching() || self.listening > 0 || self.quiet {
            // Either the next event decides, or nothing is left to do.
        } else if Instant::now() < self.stop_at {
            self.sweep();
        }
    }

    fn launch(&mut self, ready: Ready) {
        self.running = Some(Instant::now());
        self.fetched_beside = false;
        self.quiet = false;
        let worker = self.worker;
        self.spawn(async move { Event::Answered(Box::new(worker.call(ready).await)) });
    }

    fn sweep(&mut self) {
        let rest = VecDeque::from(poll_order(self.worker.turn(), self.share_every));
        self.search = Search::Sweeping { began: Instant::now(), rest };
        self.sweep_on();
    }

    /// Polls the next queue of the sweep, or ends it.
    fn sweep_on(&mut self) {
        let Search::Sweeping { rest, .. } = &mut self.search else { return };
        if let Some(priority) = rest.pop_front() {
            let worker = self.worker;
            self.spawn(
                async move { Event::Swept(priority, worker.queues.take(priority, SHORT).await) },
            );
        } else {
            self.search = Search::Idle;
            if self.running.is_none() {
                self.listen();
            }
        }
    }

    fn listen(&mut self) {
        self.quiet = true;
        for priority in Priority::ALL {
            self.listening += 1;
            let worker = self.worker;
            self.spawn(async move { Event::Heard(worker.queues.take(priority, LISTEN).await) });
        }
    }

    fn prepare(&mut self, received: Received) {
        if let Search::Sweeping { began, .. } = self.search {
            self.search = Search::Preparing { began };
        }
        let worker = self.worker;
        self.spawn(async move { Event::Prepared(Box::new(worker.prepare(received).await)) });
    }

    /// A message more than the slot can use.
    fn return_at_once(&mut self, received: Received) {
        self.counts.give_backs += 1;
        let worker = self.worker;
        self.spawn(async move { Event::Ended(Box::new(worker.return_unread(received).await)) });
    }

    fn end(&mut self, ended: &Ended) {
        self.counts.add(ended.how);
        // What was given back may have become visible after a listening had ended.
        self.quiet &= ended.how != How::GivenBack;
        self.ring_served &= ended.how != How::Failed;
        self.worker.report(ended);
    }

    /// When something is to be done although nothing happens.
    fn wake_at(&self) -> Option<Instant> {
        let started = self.running?;
        if let Some((_, since)) = &self.candidate {
            return Some(*since + self.times.hold_limit());
        }
        let due = started + self.times.fetch_at()?;
        let may_fetch = !self.is_searching() && self.listening == 0 && !self.fetched_beside;
        (may_fetch && due < self.stop_at).then_some(due)
    }

    fn is_searching(&self) -> bool {
        !matches!(self.search, Search::Idle)
    }

    fn spawn(&self, task: impl Future<Output = Event> + 'w) {
        self.tasks.push(Box::pin(task));
    }
}
