//! A slot of the API's limit: one invocation of the doorbell wiring, as a state machine.
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
//!   ([`prefetch`](crate::prefetch)). One that had to wait too long because the present call runs
//!   late is given back: another slot may be free for it.
//! * A search asks the queues in the order of the turn by short polls. Those may miss a
//!   message, so HIGH is polled again while a lower call is claimed, and while it then waits for
//!   the present one ([`dispatch`](crate::dispatch)). And a slot that is about to conclude that nothing is left
//!   *listens* first: it polls all three queues at once for a second, which asks all of SQS's
//!   servers.
//! * Only then does a slot let its ring go, and with it the rings that it collected before it
//!   listened. It ran many calls while it was awake, each of them was rung for, and each ring
//!   left over would wake a slot for nothing. For the same reason it takes ten rings off the
//!   doorbell with every ten calls while rings pile up there; that is safe because the ring that
//!   woke it stays until it has listened.
//! * A slot holds its ring anew every few seconds ([`timing`](crate::timing)): if it is killed, the
//!   ring comes back a little after all that it had in its hands.
//! * While the gate is shut it receives nothing, and lets the rings sleep ([`Gate`]).
//! * Where the target has rates, each call goes at the moment of its [`Grant`]. While the rates bind,
//!   the slot has the grant before it looks for the call.
//! * Where fewer slots may be at work than there are, it has a place among them ([`Places`]), or
//!   stands down.
//! * A slot that works wakes others for rings that no poller has taken, as far as it is allowed
//!   ([`wake`](crate::wake)): a mapping begins with few pollers.
//!
//! # Driving it
//!
//! The machine does nothing itself and reads no clock. Its driver carries out every
//! [`Action`] that [`Slot::next_action`] gives, all at once, and hands what comes of each to
//! [`Slot::handle`]. When [`Slot::next_timeout`] has come, it calls [`Slot::handle_timeout`]. The
//! slot has ended when no event is outstanding ([`Slot::has_ended`]); then [`Slot::end`] says what
//! is left to do. Actions are never cancelled: a receive whose answer nobody reads would hide a
//! call for its whole visibility time-out.
//!
//! ```
//! # use std::num::NonZeroU32;
//! # use std::time::Duration;
//! # use slowlane_message::Priority;
//! # use slowlane_policy::slot::{Action, Event, Found, Gate, Places, Polled, Prepared, Rates};
//! # use slowlane_policy::slot::{Settings, Slot};
//! let settings = Settings {
//!     gate: Gate::Open,
//!     share_every: NonZeroU32::new(10).unwrap(),
//!     stop_at: Duration::from_secs(180),
//!     call_visibility: Duration::from_secs(90),
//!     ring_receive_count: 1,
//!     allowance: 0,
//!     turn: 0,
//!     rates: Rates::None,
//!     places: Places::Unlimited,
//! };
//! let now = Duration::ZERO;
//! let mut slot = Slot::<&str, &str, &str, &str, ()>::new(now, settings);
//! // It polls HIGH first, and there is a call.
//! assert_eq!(slot.next_action(), Some(Action::Sweep(Priority::High)));
//! let found = Found { message: "order 1", priority: Priority::High, receive_count: 1 };
//! slot.handle(now, Event::Swept(Polled { found: Ok(Some(found)), may_hide: false }));
//! assert_eq!(slot.next_action(), Some(Action::Prepare { message: "order 1", look: false }));
//! slot.handle(now, Event::Prepared(Prepared::Ready("claimed"), None));
//! assert_eq!(slot.next_action(), Some(Action::Call { call: "claimed", grant: None }));
//! ```
//!
//! # Its state
//!
//! Seven things happen side by side, each with its states. They are the API, the next call, the rings,
//! the waking of others, what is known of the control record, the grants, and the slot's place.

mod asleep;
mod control;
mod gate;
mod grant;
mod grants;
mod io;
mod moment;
mod place;
mod places;
mod search;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use slowlane_message::Priority;

pub use self::asleep::RingsAsleep;
use self::gate::{Control, ring_back_after};
pub use self::gate::{Gate, READ_EVERY, rings_asleep_for};
use self::grant::Grants;
pub use self::grant::{Grant, Rates, Reserved};
pub use self::io::{
    Action, Candidate, CannotPoll, End, Event, Found, Left, Polled, Prepared, Settings,
};
pub use self::moment::Moment;
use self::place::Place;
pub use self::place::Places;
use self::state::{Api, Fetch, Next, OwnRing, Polling, Rings, Waking};
use crate::prefetch::ServiceTimes;
use crate::timing::RING_RENEWAL;

/// How long a slot listens before it concludes that nothing is left. SQS asks all of its
/// servers from one second on.
pub const LISTEN: Duration = Duration::from_secs(1);

/// How often HIGH is polled again before a lower call runs. The first poll goes beside its claim, the
/// others follow each other for as long as it waits for the present call.
const LOOKS: u32 = 3;

/// With how many calls a slot takes as many rings off the doorbell.
const CALLS_TO_THIN_OUT: u32 = 10;

/// How many rings a slot collects, about, before it listens.
const RINGS_AT_ONCE: usize = 100;

/// The state machine. `M` is a received message, `C` a call that is prepared, `A` one that the
/// API has answered, `R` a ring, and `G` a grant; the machine hands them on and never looks inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot<M, C, A, R, G> {
    settings: Settings,
    api: Api,
    next: Next<C>,
    rings: Rings,
    /// Rings collected before the latest listening, of calls that ran on another ring.
    collected: Vec<R>,
    waking: Waking,
    own_ring: OwnRing,
    polling: Polling,
    control: Control,
    grants: Grants<G>,
    place: Place,
    times: ServiceTimes,
    turn: u64,
    /// How many candidates were held, which gives each its name.
    candidates: u32,
    /// How many calls the API has answered, or were put off.
    answered: u32,
    actions: VecDeque<Action<M, C, A, R, G>>,
    /// Actions given out or about to be, whose events have not come.
    outstanding: u32,
}

impl<M, C, A, R, G> Slot<M, C, A, R, G> {
    /// A slot that was woken just now, with its first actions.
    pub fn new(now: Moment, settings: Settings) -> Self {
        let mut slot = Slot {
            settings,
            api: Api::Idle,
            next: Next::None,
            rings: Rings::Kept,
            collected: Vec::new(),
            waking: Waking::Resting { allowance: settings.allowance },
            own_ring: OwnRing {
                hold_at: now + RING_RENEWAL,
                hidden_until: now,
                must_return: false,
            },
            polling: Polling::Possible,
            control: Control::new(now, settings.gate),
            grants: Grants::new(settings.rates),
            place: Place::new(settings.places),
            times: ServiceTimes::default(),
            turn: settings.turn,
            candidates: 0,
            answered: 0,
            actions: VecDeque::new(),
            outstanding: 0,
        };
        slot.advance(now);
        slot
    }

    /// What is to be done now, one thing after another until there is none.
    pub fn next_action(&mut self) -> Option<Action<M, C, A, R, G>> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called unless an event comes first.
    pub fn next_timeout(&self) -> Option<Moment> {
        let at = [Some(self.own_ring.hold_at), self.read_due_at(), self.act_at()];
        at.into_iter().flatten().min().filter(|_| !self.has_ended())
    }

    /// Whether all actions have had their events and none follows from them.
    pub fn has_ended(&self) -> bool {
        self.outstanding == 0 && self.grants.held().is_none()
    }

    /// The number of the present turn: what the next invocation of this process begins with.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Takes in what has come of an action.
    pub fn handle(&mut self, now: Moment, event: Event<M, C, A, R, G>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        match event {
            Event::Swept(polled) => self.on_swept(now, polled),
            Event::Heard(polled) => self.on_heard(now, polled),
            Event::LookedAgain(candidate, polled) => self.on_looked_again(now, candidate, polled),
            Event::Prepared(prepared, looked) => self.on_prepared(now, prepared, looked),
            Event::Answered { answered, took } => {
                took.into_iter().for_each(|took| self.times.record_call(took));
                self.api = Api::Idle;
                self.act(Action::Settle(answered));
                self.thin_out_rings();
            }
            Event::Reserved(reserved) => self.on_reserved(now, reserved),
            Event::GaveUpGrant | Event::RangForMore => {}
            Event::TookPlace { taken, places } => self.on_took_place(taken, places),
            Event::LeftPlace(left) => self.on_left_place(left),
            Event::Ended(left) => self.on_left(now, left),
            Event::CollectedRings(rings) => self.on_collected_rings(rings),
            Event::ReturnedRings(returned) => self.own_ring.must_return |= !returned,
            // A ring that is gone may have been sent for a call that came after the listening.
            Event::ThinnedOut(true) => self.rings.disturb(),
            Event::ThinnedOut(false) | Event::HeldRing => {}
            Event::Woke { slots, allowance_used } => self.on_woke(slots, allowance_used),
            Event::ControlRead(gate, places) => self.on_control_read(gate, places),
            Event::ClearedRings { any } => self.on_cleared_rings(now, any),
        }
        self.advance(now);
    }

    /// Takes in what has become known of the gate otherwise than by a read: the slot's own call may
    /// have shut it or opened it.
    pub fn heed(&mut self, now: Moment, gate: Gate) {
        self.on_gate(gate);
        self.advance(now);
    }

    /// Whether the slot believes that a call may be made.
    pub fn is_open(&self) -> bool {
        self.control.is_open()
    }

    /// Does what is due, one thing at a time: [`next_timeout`](Self::next_timeout) is the next.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.has_ended() {
            return;
        }
        if self.own_ring.hold_at <= now {
            self.own_ring.hold_at = now + RING_RENEWAL;
            self.act(Action::HoldRing);
        } else if self.read_due_at().is_some_and(|at| at <= now) {
            self.read_control_if_due(now);
        } else if self.act_at().is_some_and(|at| at <= now) {
            self.act_in_time(now);
        }
        self.advance(now);
    }

    /// The moment has come to fetch, to give back what was fetched, or to look once more.
    fn act_in_time(&mut self, now: Moment) {
        match std::mem::replace(&mut self.next, Next::None) {
            // The present call runs late: the fetched one must not wait for it.
            Next::Held { ready, since, .. }
                if self.api.is_busy() && since + self.times.hold_limit() <= now =>
            {
                self.act(Action::GiveBack(ready));
            }
            Next::None if self.api.is_busy() => {
                self.api.set_fetch(Fetch::Done);
                // A process that was paused may come too late.
                if now < self.settings.stop_at {
                    self.sweep(now);
                }
            }
            other => {
                self.next = other;
                self.look_at_last(now);
            }
        }
    }

    /// What a slot that [has ended](Self::has_ended) leaves to be done.
    pub fn end(self, now: Moment) -> End<R> {
        let asleep_until = self.asleep_until().unwrap_or(now);
        let leaves = self.leaves_to_others() || self.leaves_to_those_at_work();
        let Slot { settings, collected, own_ring, polling, rings, .. } = self;
        let hidden = own_ring.hidden_until.saturating_sub(now);
        let seen_to = rings == Rings::Silent || leaves;
        let ring_may_go = !own_ring.must_return && hidden.is_zero();
        match polling {
            Polling::Impossible => {
                End::CannotPoll { ring_back_after: settings.ring_back_after(hidden), collected }
            }
            Polling::Possible if rings == Rings::Asleep && !leaves => {
                End::Asleep { ring_back_after: ring_back_after(now, asleep_until, hidden) }
            }
            Polling::Possible if ring_may_go && seen_to => End::Served { collected },
            Polling::Possible => End::HandedOver {
                hide_ring: settings.outlasting(hidden),
                collected,
                // Time was up before the queues were seen to be empty.
                ring: !seen_to,
                ring_may_go,
            },
        }
    }

    /// Starts whatever follows from how things stand.
    fn advance(&mut self, now: Moment) {
        self.give_up_void(now);
        self.take_place_for_call();
        if self.api.is_busy() {
            return self.keep_granted(now);
        }
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Held { ready, .. } if self.grants.let_go(now) && self.place.let_go() => {
                self.launch(now, ready);
            }
            Next::None => self.begin(now),
            // Either the next event decides, or the moment of a grant.
            other => {
                self.next = other;
                self.keep_granted(now);
            }
        }
    }

    /// Whether a call that is received could be made.
    fn may_receive(&self) -> bool {
        self.control.is_open() && !self.is_too_early() && !self.place.is_full()
    }

    fn may_sweep(&self, now: Moment) -> bool {
        self.may_receive()
            && self.rings == Rings::Kept
            && self.polling == Polling::Possible
            && now < self.settings.stop_at
    }

    fn launch(&mut self, now: Moment, ready: C) {
        self.api = Api::Busy { since: now, fetch: Fetch::Due };
        self.rings.disturb();
        self.control.on_launch();
        self.read_control_if_due(now);
        let grant = self.grants.take();
        self.act(Action::Call { call: ready, grant });
        // Where there is one call there need not be more.
        if self.answered > 0 {
            let has_room = self.place.more_wanted(now);
            if has_room {
                self.may_wake(1);
            }
            if self.grants.more_wanted() || has_room {
                self.act(Action::RingForMore);
            }
        }
        self.wake_others();
    }

    /// When the next call is to be fetched, to be given back, or to go.
    fn act_at(&self) -> Option<Moment> {
        let Api::Busy { since, fetch } = self.api else {
            if !self.place.let_go() {
                // The answer to who asks for a place decides, or its grant becomes void.
                return self.grants.held().map(Grant::usable_until);
            }
            let looks_for = matches!(self.next, Next::None).then(|| self.sweep_at()).flatten();
            let at = [looks_for, self.last_look_at(), self.launch_at()];
            return at.into_iter().flatten().min();
        };
        match self.next {
            Next::Held { since, .. } => {
                let void_at = self.grants.held().map(Grant::usable_until);
                let hold_until = Some(since + self.times.hold_limit());
                [void_at, self.reserve_at(), hold_until].into_iter().flatten().min()
            }
            Next::None if fetch == Fetch::Due && self.may_fetch() => {
                let due = since + self.times.fetch_at()?.saturating_sub(self.grant_lead());
                (due < self.settings.stop_at).then_some(due)
            }
            _ => None,
        }
    }

    fn may_fetch(&self) -> bool {
        self.control.gate == Gate::Open
            && self.rings.is_at_rest()
            && !self.grants.come_first()
            && !self.place.is_full()
    }

    fn on_collected_rings(&mut self, rings: Vec<R>) {
        let all = rings.is_empty();
        self.collected.extend(rings);
        if !self.may_receive() {
            self.rings = Rings::Kept;
        } else if all || self.collected.len() >= RINGS_AT_ONCE {
            self.leave_place_and_listen();
        } else {
            self.act(Action::CollectRings);
        }
    }

    fn listen(&mut self) {
        self.rings = Rings::Listening { unanswered: Priority::ALL.len(), silent: true };
        Priority::ALL.into_iter().for_each(|priority| self.act(Action::Listen(priority)));
    }

    /// A poll of the listening was answered.
    fn on_heard(&mut self, now: Moment, polled: Polled<M>) {
        let found = self.noted(now, polled);
        if !matches!(found, Ok(None)) {
            self.rings.disturb();
        }
        self.rings.answered();
        match (found, &self.next) {
            (Ok(None), _) => {}
            (Ok(Some(found)), Next::None) if self.may_receive() => {
                self.prepare(now, found.message, 0);
            }
            (Ok(Some(found)), _) => self.act(Action::GiveBackUnread(found.message)),
            (Err(CannotPoll), next) => {
                let may_run = self.api.is_busy() || matches!(next, Next::Held { .. });
                self.polling = if may_run { Polling::Possible } else { Polling::Impossible };
            }
        }
    }

    /// Takes note of what a poll has come to beside the message that it found.
    fn noted(&mut self, now: Moment, polled: Polled<M>) -> Result<Option<Found<M>>, CannotPoll> {
        if polled.may_hide {
            self.own_ring.outlasts(now + self.settings.call_visibility);
        }
        // Not all calls were seen, so the slot's own ring must come back.
        self.own_ring.must_return |= polled.found.is_err();
        polled.found
    }

    fn on_left(&mut self, now: Moment, left: Left) {
        match left {
            Left::Covered => {}
            // It may have become visible after a listening had ended.
            Left::Visible => self.rings.disturb(),
            Left::Unrung(hidden) => {
                self.own_ring.must_return = true;
                self.own_ring.outlasts(now + hidden);
            }
        }
    }

    /// Each call that has been answered or put off was rung for.
    fn thin_out_rings(&mut self) {
        self.answered += 1;
        if self.answered.is_multiple_of(CALLS_TO_THIN_OUT) {
            self.act(Action::ThinOutRings);
        }
    }

    fn wake_others(&mut self) {
        let rates_bind = self.grants.rates != Rates::None && self.grants.bind;
        if rates_bind || !self.place.has_room() {
            // More slots would have nothing to do.
            return;
        }
        if let (Api::Busy { .. }, Gate::Open, Waking::Resting { allowance: allowance @ 1.. }) =
            (self.api, self.control.gate, self.waking)
        {
            self.waking = Waking::Asking { allowance };
            self.act(Action::WakeOthers(allowance));
        }
    }

    /// The slot may wake so many others, whether or not it has done so before.
    fn may_wake(&mut self, slots: u32) {
        let (Waking::Resting { allowance } | Waking::Asking { allowance }) = &mut self.waking;
        *allowance = slots.max(*allowance);
    }

    /// Where one ring was left there may be more.
    fn on_woke(&mut self, slots: u32, allowance_used: u32) {
        let left = self.waking.allowance().saturating_sub(allowance_used);
        self.waking = Waking::Resting { allowance: left };
        if slots > 0 {
            self.wake_others();
        }
    }

    fn act(&mut self, action: Action<M, C, A, R, G>) {
        self.outstanding += 1;
        self.actions.push_back(action);
    }
}
