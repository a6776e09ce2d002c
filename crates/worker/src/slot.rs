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
//!   message, so HIGH is polled again while a lower call is claimed, and while it then waits for
//!   the present one ([`looks_again`]). And a slot that is about to conclude that nothing is left
//!   *listens* first: it polls all three queues at once for a second, which asks all of SQS's
//!   servers.
//! * Only then does a slot let its ring go, and with it the rings that it took before it
//!   listened. It ran many calls while it was awake, each of them was rung for, and each ring
//!   left over would wake a slot for nothing. For the same reason it takes ten rings off the
//!   doorbell with every ten calls while rings pile up there; that is safe because the ring that
//!   woke it stays until it has listened.
//! * A slot holds its ring anew every few seconds ([`policy::timing`](slowlane_policy::timing)): if
//!   it is killed, the ring comes back a little after all that it had in its hands.
//! * A slot that works wakes others for rings that no poller has taken, as far as it is allowed
//!   ([`policy::wake`](slowlane_policy::wake)): a mapping begins with few pollers.
//! * No request is dropped half-way: a receive whose answer nobody reads would hide a call
//!   for its whole visibility time-out.
//!
//! All of this is one loop over events. [`Slot::on`] takes an event in, [`Slot::advance`]
//! starts what follows from it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{LocalBoxFuture, OptionFuture, join};
use futures::stream::FuturesUnordered;
use slowlane_message::Priority;
use slowlane_policy::dispatch::{looks_again, poll_order};
use slowlane_policy::prefetch::ServiceTimes;
use slowlane_policy::timing::{RING_LEAD, RING_RENEWAL, ring_backoff};
use tokio::time::{Instant, sleep_until};

use crate::Worker;
use crate::metrics::Counts;
use crate::process::{Answered, Ended, How, Prepared, Ready};
use crate::receive::{self, Poll, Received, Ring, WokenBy};
use crate::target::Target;
use crate::wake::Woken;

/// How long a slot listens before it concludes that nothing is left. SQS asks all of its
/// servers from one second on.
const LISTEN: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::ZERO;

/// How often HIGH is polled again before a lower call runs: beside its claim, then one after the
/// other for as long as it waits for the present call.
const LOOKS: u32 = 3;

/// With how many calls a slot takes as many rings off the doorbell.
const CALLS_TO_THIN_OUT: u32 = 10;

/// How many rings a slot takes, about, before it listens.
const RINGS_AT_ONCE: usize = 100;

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
    ring: &'w Ring,
    /// When the ring is to be held anew.
    hold_again: Instant,
    tasks: FuturesUnordered<LocalBoxFuture<'w, Event>>,
    /// The call at the API, by when it started.
    running: Option<Instant>,
    /// The call that is ready to follow, and since when.
    candidate: Option<(Ready, Instant)>,
    search: Search,
    /// Rings taken before the latest listening, of calls that ran on another ring.
    spare_rings: Vec<Ring>,
    /// How often HIGH is still to be polled again before the next call runs.
    looks_left: u32,
    /// Polls of the listening that have not been answered.
    listening: usize,
    /// Whether the latest listening, if it is complete, has found nothing.
    quiet: bool,
    /// Whether the next call was fetched, or tried to be, beside the present one.
    fetched_beside: bool,
    /// How many slots this one may still wake.
    allowance: u32,
    /// Whether it is about to wake some.
    waking: bool,
    /// How many calls the API has answered.
    answered: u32,
    times: ServiceTimes,
    stop_at: Instant,
    share_every: NonZeroU32,
    counts: Counts,
    /// Until when a call may be hidden that a lost answer was about.
    hidden_until: Instant,
    /// Whether the slot cannot poll, and ends for that.
    cannot_poll: bool,
    ring_served: bool,
}

/// Where the search for the next call stands.
enum Search {
    Idle,
    /// One queue of the turn's order is being polled, the rest is to follow.
    Sweeping {
        began: Instant,
        order: [Priority; 3],
        rest: VecDeque<Priority>,
        /// Whether a queue could not be polled.
        failed: bool,
    },
    /// A message was found and is being prepared.
    Preparing {
        began: Instant,
    },
    /// Nothing was found. Before the slot listens, it takes what rings there are.
    TakingRings,
}

enum Event {
    Swept(Polled),
    TookRings(Result<Vec<Ring>, receive::Error>),
    Heard(Polled),
    ReturnedRings(Result<(), receive::Error>),
    /// And what another look at HIGH beside it, if there was one, has come to.
    Prepared(Box<Prepared>, Option<Polled>),
    /// HIGH was polled again for the call that waited when so many calls had been answered.
    LookedAgain(Polled, u32),
    Answered(Box<Answered>),
    Ended(Box<Ended>),
    Woke(Woken),
    ThinnedOut(Result<bool, receive::Error>),
    HeldRing,
    /// It is time to hold the ring anew, to fetch the next call, or to give the fetched one back.
    TimeUp,
}

/// A poll failed for good.
struct CannotPoll;

/// The answer to a poll.
type Polled = Result<Poll, receive::Error>;

impl<T: Target> Worker<T> {
    /// Runs calls until none is left or time is up, and wakes up to `allowance` other slots.
    pub(crate) async fn run_slot(
        &self,
        woken_by: &WokenBy,
        stop_at: Instant,
        share_every: NonZeroU32,
        allowance: u32,
    ) -> Done {
        let now = Instant::now();
        let mut slot = Slot {
            worker: self,
            ring: &woken_by.ring,
            hold_again: now + RING_RENEWAL,
            tasks: FuturesUnordered::new(),
            running: None,
            candidate: None,
            search: Search::Idle,
            spare_rings: Vec::new(),
            looks_left: 0,
            listening: 0,
            quiet: false,
            fetched_beside: false,
            allowance,
            waking: false,
            answered: 0,
            times: ServiceTimes::default(),
            stop_at,
            share_every,
            counts: Counts::default(),
            hidden_until: now,
            cannot_poll: false,
            ring_served: true,
        };
        slot.run().await;
        let Slot { counts, cannot_poll, quiet, spare_rings, .. } = slot;
        let hidden = slot.hidden_until.saturating_duration_since(Instant::now());
        if cannot_poll {
            self.leave_for_later(woken_by, spare_rings, hidden).await;
            return Done { counts, ring_served: false };
        }
        let ring_served = slot.ring_served && hidden.is_zero();
        self.outlast(&woken_by.ring, hidden).await;
        if ring_served && quiet {
            self.queues.delete_rings(&spare_rings).await;
            return Done { counts, ring_served };
        }
        let returned = self.queues.return_rings(&spare_rings).await;
        // Time was up before the queues were seen to be empty: another slot goes on.
        let rung = quiet || self.queues.ring(SHORT).await.is_ok();
        Done { counts, ring_served: ring_served && returned.is_ok() && rung }
    }

    /// Has the slot's own ring come back after a call that is `hidden` for so long and not rung for.
    /// It does so by itself unless that is longer than for a call that the slot took just now.
    async fn outlast(&self, ring: &Ring, hidden: Duration) {
        if hidden > self.config.call_visibility
            && let Err(error) = self.queues.hide_ring(ring, hidden + RING_LEAD).await
        {
            tracing::error!(%error, "the ring may come back before its call does");
        }
    }

    /// A slot that cannot poll leaves its ring, and no other, to come back ever less often, and not
    /// before a call that is `hidden` for so long. Rings beyond those that wake every slot are taken
    /// off the doorbell: each would end like this one.
    async fn leave_for_later(&self, woken_by: &WokenBy, spare_rings: Vec<Ring>, hidden: Duration) {
        let after = ring_backoff(self.config.call_visibility, woken_by.receive_count);
        let after = after.max(hidden + RING_LEAD);
        if let Err(error) = self.queues.hide_ring(&woken_by.ring, after).await {
            tracing::warn!(%error, "the ring of a slot that cannot poll comes back early");
        }
        if let Err(error) = self.queues.return_rings(&spare_rings).await {
            tracing::warn!(%error, "rings come back only after their visibility time-out");
        }
        if let Err(error) = self.queues.thin_out_rings().await {
            tracing::debug!(%error, "rings are left where they are");
        }
    }
}

impl<'w, T: Target> Slot<'w, T> {
    async fn run(&mut self) {
        self.advance();
        while !self.tasks.is_empty() {
            let wake_at = self.wake_at();
            let event = tokio::select! {
                // What has happened goes before what is due, so that one seed gives one run.
                biased;
                Some(event) = self.tasks.next() => event,
                () = sleep_until(wake_at) => Event::TimeUp,
            };
            self.on(event);
            self.advance();
        }
    }

    /// Takes in what has happened.
    fn on(&mut self, event: Event) {
        match event {
            Event::Swept(polled) => self.on_swept(polled),
            Event::TookRings(rings) => self.on_took_rings(rings),
            Event::Heard(heard) => self.on_heard(heard),
            Event::ReturnedRings(returned) => self.ring_served &= returned.is_ok(),
            Event::Prepared(prepared, looked) => self.on_prepared(*prepared, looked),
            Event::LookedAgain(looked, answered) => self.on_looked_again(looked, answered),
            Event::Answered(answered) => {
                self.times.record_call(answered.took);
                self.running = None;
                let worker = self.worker;
                self.spawn(async move { Event::Ended(Box::new(worker.settle(*answered).await)) });
                self.thin_out_rings();
            }
            Event::Ended(ended) => self.end(&ended),
            Event::Woke(woken) => self.on_woke(woken),
            Event::ThinnedOut(thinned) => self.on_thinned_out(thinned),
            Event::HeldRing => {}
            Event::TimeUp => self.on_time_up(),
        }
    }

    /// A queue of the sweep was polled. If that cannot be done, the next one is polled all the same.
    fn on_swept(&mut self, polled: Polled) {
        match self.noted(polled) {
            Ok(Some(received)) => self.on_found(received),
            Ok(None) => self.sweep_on(),
            Err(CannotPoll) => {
                if let Search::Sweeping { failed, .. } = &mut self.search {
                    *failed = true;
                }
                self.sweep_on();
            }
        }
    }

    /// The search has found a message.
    fn on_found(&mut self, received: Received) {
        self.worker.end_turn();
        let Search::Sweeping { began, order, .. } = self.search else { return };
        self.search = Search::Preparing { began };
        let again = looks_again(order, received.priority, received.receive_count);
        self.prepare(received, if again { LOOKS } else { 0 });
    }

    /// A message was prepared: it is ready to follow, or needed no call, or something more urgent
    /// was found meanwhile and takes its place.
    fn on_prepared(&mut self, prepared: Prepared, looked: Option<Polled>) {
        if let Some(urgent) = looked.and_then(|looked| self.found_again(looked)) {
            match prepared {
                Prepared::Ready(ready) => self.give_back(ready),
                Prepared::Ended(ended) => self.end(&ended),
            }
            self.prepare(urgent, 0);
            return;
        }
        let search = std::mem::replace(&mut self.search, Search::Idle);
        match prepared {
            Prepared::Ready(ready) => {
                if let Search::Preparing { began } = search {
                    self.times.record_fetch(began.elapsed());
                }
                self.candidate = Some((ready, Instant::now()));
                self.look_again();
            }
            Prepared::Ended(ended) => {
                self.fetched_beside = false;
                self.end(&ended);
            }
        }
    }

    /// What was found takes the place of the call that waits, if that is still the same.
    fn on_looked_again(&mut self, looked: Polled, answered: u32) {
        let Some(urgent) = self.found_again(looked) else {
            return self.look_again();
        };
        match self.candidate.take_if(|_| answered == self.answered) {
            Some((ready, _)) => {
                self.give_back(ready);
                self.search = Search::Preparing { began: Instant::now() };
                self.prepare(urgent, 0);
            }
            None => self.return_at_once(urgent),
        }
    }

    fn found_again(&mut self, looked: Polled) -> Option<Received> {
        self.noted(looked).unwrap_or(None)
    }

    fn on_took_rings(&mut self, rings: Result<Vec<Ring>, receive::Error>) {
        let rings = rings.unwrap_or_else(|error| {
            tracing::warn!(%error, "rings that are left over will wake slots for nothing");
            Vec::new()
        });
        let all = rings.is_empty();
        self.spare_rings.extend(rings);
        if all || self.spare_rings.len() >= RINGS_AT_ONCE {
            self.search = Search::Idle;
            self.listen();
        } else {
            self.take_rings();
        }
    }

    /// A poll of the listening was answered.
    fn on_heard(&mut self, heard: Polled) {
        self.listening -= 1;
        match self.noted(heard) {
            Ok(None) => {}
            Ok(Some(received)) if self.is_searching() || self.candidate.is_some() => {
                self.quiet = false;
                self.return_at_once(received);
            }
            Ok(Some(received)) => {
                self.quiet = false;
                self.search = Search::Preparing { began: Instant::now() };
                self.prepare(received, 0);
            }
            Err(CannotPoll) => {
                // The queues cannot be said to be empty.
                self.quiet = false;
                self.cannot_poll = self.running.is_none() && self.candidate.is_none();
            }
        }
    }

    /// Takes note of what a poll has come to beside the message that it found.
    fn noted(&mut self, polled: Polled) -> Result<Option<Received>, CannotPoll> {
        let (may_hide, found) = match polled {
            Ok(Poll { received, may_hide }) => (may_hide, Ok(received)),
            Err(error) => {
                tracing::warn!(%error, "a poll failed");
                // Not all calls were seen, so the slot's own ring must come back.
                self.ring_served = false;
                (error.may_hide, Err(CannotPoll))
            }
        };
        if may_hide {
            let hidden = Instant::now() + self.worker.config.call_visibility;
            self.hidden_until = self.hidden_until.max(hidden);
        }
        found
    }

    /// Where one ring was left there may be more.
    fn on_woke(&mut self, woken: Woken) {
        self.waking = false;
        self.counts.slots_woken += woken.slots;
        self.allowance = self.allowance.saturating_sub(woken.allowance_used);
        if woken.slots > 0 {
            self.wake_others();
        }
    }

    /// A ring that is gone may have been sent for a call that came after the latest listening.
    fn on_thinned_out(&mut self, thinned: Result<bool, receive::Error>) {
        match thinned {
            Ok(gone) => self.quiet &= !gone,
            Err(error) => tracing::warn!(%error, "rings pile up"),
        }
    }

    fn on_time_up(&mut self) {
        if self.hold_again <= Instant::now() {
            return self.hold_ring();
        }
        match self.candidate.take() {
            // The present call runs late: the fetched one must not wait for it.
            Some((ready, _)) => self.give_back(ready),
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
        } else if self.cannot_poll || self.is_searching() || self.listening > 0 || self.quiet {
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
        self.wake_others();
    }

    fn wake_others(&mut self) {
        if self.allowance == 0 || self.waking || self.running.is_none() {
            return;
        }
        self.waking = true;
        let (worker, allowance) = (self.worker, self.allowance);
        self.spawn(async move { Event::Woke(worker.wake_others(allowance).await) });
    }

    fn sweep(&mut self) {
        let order = poll_order(self.worker.turn(), self.share_every);
        self.search =
            Search::Sweeping { began: Instant::now(), order, rest: order.into(), failed: false };
        self.sweep_on();
    }

    /// Polls the next queue of the sweep, or ends it.
    fn sweep_on(&mut self) {
        let Search::Sweeping { rest, failed, .. } = &mut self.search else { return };
        let failed = *failed;
        if let Some(priority) = rest.pop_front() {
            let worker = self.worker;
            self.spawn(async move { Event::Swept(worker.queues.take(priority, SHORT).await) });
        } else {
            self.search = Search::Idle;
            if self.running.is_none() && failed {
                self.cannot_poll = true;
            } else if self.running.is_none() {
                self.take_rings();
            }
        }
    }

    fn take_rings(&mut self) {
        self.search = Search::TakingRings;
        let worker = self.worker;
        self.spawn(async move { Event::TookRings(worker.queues.take_rings().await) });
    }

    /// There is work: whoever the rings were sent for is to be woken after all.
    fn return_rings(&mut self) {
        let rings = std::mem::take(&mut self.spare_rings);
        if !rings.is_empty() {
            let worker = self.worker;
            self.spawn(
                async move { Event::ReturnedRings(worker.queues.return_rings(&rings).await) },
            );
        }
    }

    /// Each call that has been answered was rung for.
    fn thin_out_rings(&mut self) {
        self.answered += 1;
        if self.answered.is_multiple_of(CALLS_TO_THIN_OUT) {
            let worker = self.worker;
            self.spawn(async move { Event::ThinnedOut(worker.queues.thin_out_rings().await) });
        }
    }

    fn hold_ring(&mut self) {
        self.hold_again = Instant::now() + RING_RENEWAL;
        let (worker, ring) = (self.worker, self.ring);
        self.spawn(async move {
            worker.queues.hold_ring(ring).await;
            Event::HeldRing
        });
    }

    fn listen(&mut self) {
        self.quiet = true;
        for priority in Priority::ALL {
            self.listening += 1;
            let worker = self.worker;
            self.spawn(async move { Event::Heard(worker.queues.take(priority, LISTEN).await) });
        }
    }

    /// Prepares what was found. HIGH is polled again `looks` times before it runs.
    fn prepare(&mut self, received: Received, looks: u32) {
        self.return_rings();
        let worker = self.worker;
        let look = (looks > 0).then(|| worker.queues.take(Priority::High, SHORT));
        self.looks_left = looks.saturating_sub(1);
        self.spawn(async move {
            let (prepared, looked) = join(worker.prepare(received), OptionFuture::from(look)).await;
            Event::Prepared(Box::new(prepared), looked)
        });
    }

    /// While a call waits for the present one, a more urgent one may come.
    fn look_again(&mut self) {
        if self.looks_left == 0 || self.candidate.is_none() || self.running.is_none() {
            return;
        }
        self.looks_left -= 1;
        let (worker, answered) = (self.worker, self.answered);
        self.spawn(async move {
            Event::LookedAgain(worker.queues.take(Priority::High, SHORT).await, answered)
        });
    }

    fn give_back(&mut self, ready: Ready) {
        self.counts.give_backs += 1;
        let worker = self.worker;
        self.spawn(async move { Event::Ended(Box::new(worker.give_back_ready(ready).await)) });
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
        self.hidden_until = self.hidden_until.max(Instant::now() + ended.hidden_for);
        self.worker.report(ended);
    }

    /// When something is to be done although nothing happens.
    fn wake_at(&self) -> Instant {
        self.act_at().map_or(self.hold_again, |at| at.min(self.hold_again))
    }

    /// When the next call is to be fetched, or the fetched one to be given back.
    fn act_at(&self) -> Option<Instant> {
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
