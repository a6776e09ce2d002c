//! The driver of a slot ([`policy::slot`](slowlane_policy::slot)): it turns what the slot wants
//! done into requests, and what comes of them into events. It decides nothing.

use std::time::Duration;

use futures::StreamExt;
use futures::future::{LocalBoxFuture, OptionFuture, join};
use futures::stream::FuturesUnordered;
use slowlane_lambda::logs::chain;
use slowlane_message::Priority;
use slowlane_policy::slot::{self, Action, CannotPoll, End, Event, Found, LISTEN, Left, Polled};
use slowlane_policy::wake::RING_HIDDEN;
use tokio::time::{Instant, sleep_until};

use super::{Done, Invocation, NONE, WokenBy};
use crate::aws::doorbell::Ring;
use crate::aws::queues::{Poll, Received};
use crate::call::{Answered, Disposition, Ended, Prepared, Ready};
use crate::limits::Grant;
use crate::metrics::Counts;
use crate::target::Target;

type Slot = slot::Slot<Received, Box<Ready>, Box<Answered>, Ring, Box<Grant>>;
type SlotAction = Action<Received, Box<Ready>, Box<Answered>, Ring, Box<Grant>>;
type SlotEvent = Event<Received, Box<Ready>, Box<Answered>, Ring, Box<Grant>>;

/// What has come of an action, and the message that has left the slot's hands with it.
type Happened = (SlotEvent, Option<Ended>);

impl<T: Target> Invocation<'_, T> {
    /// Runs calls until none is left or time is up, and wakes up to `allowance` other slots.
    pub(super) async fn run_slot(
        &self,
        woken_by: &WokenBy,
        stop_at: Instant,
        allowance: u32,
    ) -> Done {
        let began = Instant::now();
        self.calls.deletes.hold_until(stop_at);
        let settings = slot::Settings {
            gate: self.calls.limits.gate(Duration::ZERO),
            share_every: self.slots.share_every,
            stop_at: stop_at.saturating_duration_since(began),
            call_visibility: self.calls.config.call_visibility,
            ring_receive_count: woken_by.receive_count,
            allowance,
            turn: self.slots.turn.get(),
            rates: self.calls.limits.rates(),
            places: self.calls.limits.places(Duration::ZERO),
        };
        let mut slot = Slot::new(Duration::ZERO, settings);
        let mut counts = Counts::default();
        let mut tasks: FuturesUnordered<LocalBoxFuture<'_, Happened>> = FuturesUnordered::new();
        loop {
            while let Some(action) = slot.next_action() {
                counts.note(&action);
                tasks.push(Box::pin(self.carry_out(action, woken_by, began)));
            }
            let Some(timeout) = slot.next_timeout() else { break };
            tokio::select! {
                // What has happened goes before what is due, so that one seed gives one run.
                biased;
                Some((event, ended)) = tasks.next() => {
                    if let Some(ended) = ended {
                        self.reporter.ended(&ended, &mut counts);
                    }
                    if let Event::Woke { slots, .. } = event {
                        counts.slots_woken += slots;
                    }
                    self.heed(&mut slot, began);
                    slot.handle(began.elapsed(), event);
                }
                () = sleep_until(began + timeout) => slot.handle_timeout(began.elapsed()),
            }
            self.slots.turn.set(slot.turn());
        }
        self.calls.limits.leave().await;
        let full = matches!(slot.places(), slot::Places::Full { .. });
        counts.stood_down += u32::from(full);
        let end = slot.end(began.elapsed());
        counts.put_to_sleep += u32::from(matches!(end, End::Asleep { .. }));
        let ring_served = self.leave(end, &woken_by.ring).await;
        Done { counts, ring_served }
    }

    /// Tells the slot of the gate: its own call may have shut or opened it, or have moved the moment
    /// at which rings are to come back. And it tells of rates and places that were set or taken away.
    fn heed(&self, slot: &mut Slot, began: Instant) {
        let rates = self.calls.limits.rates();
        if slot.rates() != rates {
            slot.heed_rates(began.elapsed(), rates);
        }
        let places = self.calls.limits.places(began.elapsed());
        if slot.places() != places {
            slot.heed_places(began.elapsed(), places);
        }
        let gate = self.calls.limits.gate(began.elapsed());
        let opens = !matches!(gate, slot::Gate::Shut { .. });
        if !opens || !slot.is_open() {
            slot.heed(began.elapsed(), gate);
        }
    }

    /// Does what the slot wants done, to its end: a receive whose answer nobody reads would hide
    /// a call for its whole visibility time-out.
    async fn carry_out(&self, action: SlotAction, by: &WokenBy, began: Instant) -> Happened {
        let event = match action {
            Action::Sweep(priority) => Event::Swept(self.poll(by, priority, NONE).await),
            Action::Listen(priority) => Event::Heard(self.poll(by, priority, LISTEN).await),
            Action::LookAgain(candidate) => {
                Event::LookedAgain(candidate, self.poll(by, Priority::High, NONE).await)
            }
            Action::Prepare { message, look } => return self.prepare(message, look, by).await,
            Action::Call { call, grant } => {
                let answered = self.calls.make(*call, grant.map(|grant| *grant)).await;
                Event::Answered { took: answered.took, answered: Box::new(answered) }
            }
            Action::Reserve => {
                let reserved = self.calls.limits.reserve().await;
                Event::Reserved(self.calls.limits.tell(began.elapsed(), reserved))
            }
            Action::GiveUpGrant(grant) => {
                self.calls.limits.give_back(*grant).await;
                Event::GaveUpGrant
            }
            Action::Settle(answered) => return has_ended(self.calls.settle(*answered).await),
            Action::PutOff(ready) => return has_ended(self.calls.put_off(*ready).await),
            Action::GiveBack(ready) => return has_ended(self.calls.give_back_ready(*ready).await),
            Action::GiveBackUnread(message) => {
                return has_ended(self.calls.give_back_unread(message).await);
            }
            Action::CollectRings => Event::CollectedRings(self.collect_rings().await),
            Action::ReturnRings(rings) => {
                Event::ReturnedRings(self.slots.doorbell.return_rings(&rings).await.is_ok())
            }
            Action::ThinOutRings => Event::ThinnedOut(self.thin_out_rings().await),
            Action::HoldRing => {
                self.hold_ring(by).await;
                Event::HeldRing
            }
            Action::RingForMore => {
                if let Err(error) = self.slots.doorbell.ring(NONE).await {
                    tracing::warn!(error = chain(&error), "no other slot joins in for now");
                }
                Event::RangForMore
            }
            Action::WakeOthers(allowance) => {
                let woken = self.wake_others(allowance).await;
                Event::Woke { slots: woken.slots, allowance_used: woken.allowance_used }
            }
            Action::ReadControl => {
                let limits = &self.calls.limits;
                let looked_at = limits.now();
                self.calls.look_at_limit().await;
                let since = began.elapsed();
                Event::ControlRead(limits.gate(since), limits.places_seen(since, looked_at))
            }
            Action::TakePlace => {
                let taken = self.calls.limits.take_place().await;
                Event::TookPlace { taken, places: self.calls.limits.places(began.elapsed()) }
            }
            Action::LeavePlace => Event::LeftPlace(self.calls.limits.leave_place().await),
            Action::ClearRings { back_after } => {
                Event::ClearedRings { any: self.clear_rings(back_after).await }
            }
        };
        (event, None)
    }

    /// Prepares a call, with a HIGH poll beside it if one is wanted.
    async fn prepare(&self, message: Received, look: bool, by: &WokenBy) -> Happened {
        let look = look.then(|| self.poll(by, Priority::High, NONE));
        let (prepared, looked) = join(self.calls.prepare(message), OptionFuture::from(look)).await;
        let (prepared, ended) = match prepared {
            Prepared::Ready(ready) => (slot::Prepared::Ready(Box::new(ready)), None),
            Prepared::NotYet(ready) => (slot::Prepared::NotYet(Box::new(ready)), None),
            Prepared::Ended(ended) => (slot::Prepared::Ended(left(&ended)), Some(ended)),
        };
        (Event::Prepared(prepared, looked), ended)
    }

    async fn poll(&self, by: &WokenBy, priority: Priority, wait: Duration) -> Polled<Received> {
        self.hold_ring_if_late(by).await;
        match self.calls.queues.receive(priority, wait).await {
            Ok(Poll { received, may_hide }) => {
                let found = received.map(|message| Found {
                    priority: message.priority,
                    receive_count: message.receive_count,
                    message,
                });
                Polled { found: Ok(found), may_hide }
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "a poll failed");
                Polled { found: Err(CannotPoll), may_hide: error.may_hide }
            }
        }
    }

    async fn collect_rings(&self) -> Vec<Ring> {
        self.slots.doorbell.collect_rings().await.unwrap_or_else(|error| {
            tracing::warn!(
                error = chain(&error),
                "rings that are left over will wake slots for nothing"
            );
            Vec::new()
        })
    }

    async fn clear_rings(&self, back_after: Option<Duration>) -> bool {
        let slots = back_after.map_or(0, |_| self.slots.limit.saturating_sub(1));
        let asleep = back_after.unwrap_or(RING_HIDDEN);
        match self.slots.doorbell.clear_rings(slots, asleep).await {
            Ok(cleared) => {
                self.are_asleep(cleared.asleep, asleep);
                cleared.any
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "rings may wake slots for nothing");
                true
            }
        }
    }

    async fn thin_out_rings(&self) -> bool {
        self.slots.doorbell.thin_out_rings().await.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "rings pile up");
            false
        })
    }
}

impl Counts {
    fn note(&mut self, action: &SlotAction) {
        if matches!(action, Action::GiveBack(_) | Action::GiveBackUnread(_)) {
            self.give_backs += 1;
        }
    }
}

fn has_ended(ended: Ended) -> Happened {
    (Event::Ended(left(&ended)), Some(ended))
}

fn left(ended: &Ended) -> Left {
    match ended.disposition {
        Disposition::GivenBack => Left::Visible,
        Disposition::Unrung { hidden_for } => Left::Unrung(hidden_for),
        _ => Left::Covered,
    }
}
