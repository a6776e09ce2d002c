//! What surrounds a slot: what can come of each of its actions, and what the world knows of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::prefetch::HISTORY;
use crate::slot::{
    Action, CannotPoll, Event, Found, Gate, Grant, Left, Moment, Places, Polled, Prepared,
    READ_EVERY, Rates, Reserved, Settings, Slot,
};
use slowlane_message::Priority;

/// A message, the call in it, its answer: each is known by the same number. So is a grant, among
/// grants.
pub(super) type TestSlot = Slot<u8, u8, u8, u8, u8>;
pub(super) type TestAction = Action<u8, u8, u8, u8, u8>;
type TestEvent = Event<u8, u8, u8, u8, u8>;

/// Changes a slot after each of its steps, knowing what it was before.
pub(super) type Mutant = fn(before: &TestSlot, slot: &mut TestSlot, now: Moment);

pub(super) const STOP_AT: Moment = Duration::from_secs(20);
const TOOK: Duration = Duration::from_millis(200);

/// When rings that sleep come back: after all that a world goes through.
pub(super) const SHUT: Gate = Gate::Shut { rings_back_at: Duration::from_secs(300) };

/// One call may be made.
pub(super) const PROBE: Gate = Gate::Probe { rings_back_at: Duration::from_secs(300) };

/// How long a grant counts from its moment on.
const LATENESS: Duration = Duration::from_millis(50);
/// How far ahead the moment of a grant is where the rate binds.
const AHEAD: Duration = Duration::from_millis(300);
/// When the rings of a slot that asked too early come back: after all that a world goes through.
pub(super) const TOO_EARLY: Reserved<u8> =
    Reserved::TooEarly { rings_back_at: Some(Duration::from_secs(60)) };
/// Others have grants that are still to come.
const OTHERS_FIRST: Reserved<u8> = Reserved::TooEarly { rings_back_at: None };

/// There is a place.
pub(super) const PLACE: Places = Places::Limited { more_wanted: false };
/// There is one, and one more.
pub(super) const ROOM: Places = Places::Limited { more_wanted: true };
/// Others have all places, and are at work.
pub(super) const FULL: Places = Places::Full { rings_back_at: None };
/// Others have all places, as far as is known.
pub(super) const FULL_PERHAPS: Places =
    Places::Full { rings_back_at: Some(Duration::from_secs(60)) };

pub(super) fn settings(allowance: u32) -> Settings {
    Settings {
        gate: Gate::Open,
        share_every: NonZeroU32::new(10).unwrap(),
        stop_at: STOP_AT,
        call_visibility: Duration::from_secs(90),
        ring_receive_count: 1,
        allowance,
        turn: 0,
        rates: Rates::None,
        places: Places::Unlimited,
    }
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Messages that polls find.
    pub(super) messages: u8,
    /// Requests that fail, or whose answer is lost.
    pub(super) failures: u8,
    /// Rings that are collected.
    pub(super) rings: u8,
    /// Time-outs that come, each at its moment.
    pub(super) timeouts: u8,
    /// Times that a person shuts the gate or opens it.
    pub(super) gates: u8,
    /// Questions that are answered with a grant.
    pub(super) grants: u8,
    /// Times that the places change.
    pub(super) places: u8,
}

/// Where a message is that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hand {
    Found,
    Preparing,
    Ready,
    /// Its tenant's turn comes later.
    NotYet,
    AtApi,
    Answered,
    /// It is being settled or given back.
    Leaving,
}

/// What the world knows of the latest listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Silence {
    None,
    /// So many of the three polls have found nothing, and nothing has happened since the first.
    Of(u8),
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The action with this index has come to this.
    Event(usize, TestEvent),
    Timeout,
    /// The gate is known otherwise than by a read.
    Told(Gate),
    /// So are the places.
    ToldPlaces(Places),
    /// Much time passes at once, until the slot must stop.
    TimeIsUp,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: Moment,
    pub(super) slot: TestSlot,
    pub(super) pending: Vec<TestAction>,
    budget: Budget,
    pub(super) hands: BTreeMap<u8, Hand>,
    /// Rings that the slot has collected.
    pub(super) rings: Vec<u8>,
    pub(super) silence: Silence,
    /// Something failed for which the slot's ring must come back.
    pub(super) must_return: bool,
    pub(super) hidden_until: Moment,
    /// What the slot has been told of the gate.
    pub(super) told: Gate,
    /// Whether the gate moves. Where it does not, the slot never looks at it.
    pub(super) gate_moves: bool,
    /// When the latest read of the control record began.
    pub(super) read_at: Moment,
    /// Reads that must be answered until the slot knows that it has taken no ring that calls it
    /// back.
    pub(super) unconfirmed: usize,
    /// Grants that the slot has and has neither used nor given up, by their number.
    pub(super) grants: BTreeMap<u8, Grant<u8>>,
    /// How many grants there were.
    granted: u8,
    /// Whether the slot was told that it is too early.
    pub(super) too_early: bool,
    /// Whether others then had grants that were still to come.
    pub(super) others_first: bool,
    /// What the slot has been told of the places.
    pub(super) places: Places,
    /// Whether the slot has one.
    pub(super) has_place: bool,
    /// Whether the latest read began when the slot had let everything go.
    pub(super) read_with_nothing: bool,
    /// Whether others were at work after that.
    pub(super) others_at_work: bool,
    /// Whether a call may have to wait for its tenant's turn.
    tenants_wait: bool,
}

impl World {
    /// A slot at its start.
    pub(super) fn cold(budget: Budget, allowance: u32, mutant: Option<Mutant>) -> Self {
        Self::woken(budget, settings(allowance), mutant)
    }

    /// The same world, in which a call may have to wait for its tenant's turn.
    pub(super) fn whose_tenants_wait(self) -> Self {
        Self { tenants_wait: true, ..self }
    }

    /// A slot that is woken in front of a gate that is shut.
    pub(super) fn shut_out(budget: Budget, mutant: Option<Mutant>) -> Self {
        Self::woken(budget, Settings { gate: SHUT, ..settings(0) }, mutant)
    }

    /// A slot of a target that has rates. So far they bind, or they do not.
    pub(super) fn rated(budget: Budget, bind: bool, mutant: Option<Mutant>) -> Self {
        let settings = Settings { rates: Rates::Calls, ..settings(0) };
        let world = Self::woken_by(budget, settings, mutant, bind);
        if bind {
            assert_eq!(world.pending, [Action::Reserve]);
        }
        world
    }

    /// A slot at its start, of which fewer may be at work than there are.
    pub(super) fn placed(budget: Budget, rates: Rates, mutant: Option<Mutant>) -> Self {
        let world = Self::woken(budget, Settings { places: PLACE, rates, ..settings(0) }, mutant);
        assert_eq!(world.pending, [Action::TakePlace]);
        world
    }

    /// As [`warm`](Self::warm), and from now on fewer slots may be at work than there are.
    pub(super) fn warm_under_places(budget: Budget, mutant: Option<Mutant>) -> Self {
        let mut world = Self::warm(budget, 0, mutant);
        world.is_told_places(PLACE, true);
        world.slot.heed_places(world.now, PLACE);
        world.take_actions().unwrap();
        world
    }

    fn woken(budget: Budget, settings: Settings, mutant: Option<Mutant>) -> Self {
        Self::woken_by(budget, settings, mutant, true)
    }

    fn woken_by(budget: Budget, settings: Settings, mutant: Option<Mutant>, bind: bool) -> Self {
        let now = Moment::ZERO;
        let slot = TestSlot::new(now, settings);
        let mut world = Self {
            now,
            slot: slot.clone(),
            pending: Vec::new(),
            budget,
            hands: BTreeMap::new(),
            rings: Vec::new(),
            silence: Silence::None,
            must_return: false,
            hidden_until: now,
            told: settings.gate,
            gate_moves: budget.gates > 0,
            read_at: now,
            unconfirmed: 0,
            grants: BTreeMap::new(),
            granted: 0,
            too_early: false,
            others_first: false,
            places: settings.places,
            has_place: false,
            read_with_nothing: false,
            others_at_work: false,
            tenants_wait: false,
        };
        if !bind {
            // As a process knows it that has worked before.
            world.slot = TestSlot::new(now, Settings { rates: Rates::None, ..settings });
            world.slot.grants.rates = settings.rates;
            world.slot.grants.bind = false;
            world.slot.settings.rates = settings.rates;
        }
        if !world.gate_moves {
            world.slot.control.read_at = Moment::MAX;
        }
        if let Some(mutant) = mutant {
            mutant(&slot, &mut world.slot, now);
        }
        world.take_actions().unwrap();
        world
    }

    /// A slot that has run nine calls, has just begun the tenth, and knows when to fetch the next.
    pub(super) fn warm(budget: Budget, allowance: u32, mutant: Option<Mutant>) -> Self {
        let mut world = Self::cold(Budget { messages: 10, ..budget }, allowance, mutant);
        for answered in 0..10 {
            world.usual(|action| matches!(action, Action::Sweep(_)), mutant);
            world.usual(|action| matches!(action, Action::Prepare { .. }), mutant);
            if answered == 8 && world.gate_moves {
                // It looks at the gate beside the tenth.
                world.now = READ_EVERY;
            }
            if answered < 9 {
                world.usual(|action| matches!(action, Action::Call { .. }), mutant);
                world.usual(|action| matches!(action, Action::Settle(_)), mutant);
            }
        }
        const { assert!(HISTORY >= 9) };
        world.budget = budget;
        world
    }

    /// As [`warm`](Self::warm), and from now on the target has rates that do not bind so far.
    pub(super) fn warm_under_rates(budget: Budget, mutant: Option<Mutant>) -> Self {
        let mut world = Self::warm(budget, 0, mutant);
        world.slot.settings.rates = Rates::Calls;
        world.slot.grants.bind = false;
        world.slot.heed_rates(world.now, Rates::Calls);
        world
    }

    /// The usual thing comes of the action that is meant.
    fn usual(&mut self, meant: impl Fn(&TestAction) -> bool, mutant: Option<Mutant>) {
        let index = self.pending.iter().position(meant).unwrap();
        let id = self.unused();
        let event = match self.pending[index] {
            Action::Sweep(priority) => Event::Swept(found(id, priority)),
            Action::Prepare { message, .. } => Event::Prepared(Prepared::Ready(message), None),
            Action::Call { call, .. } => Event::Answered { answered: call, took: Some(TOOK) },
            _ => Event::Ended(Left::Covered),
        };
        self.take(Step::Event(index, event), mutant).unwrap();
    }

    /// Everything that can happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, action) in self.pending.iter().enumerate() {
            steps.extend(self.outcomes(action).into_iter().map(|event| Step::Event(index, event)));
        }
        if self.slot.next_timeout().is_some() && self.budget.timeouts > 0 {
            steps.push(Step::Timeout);
        }
        if !self.slot.has_ended() {
            steps.extend(self.other_gates().into_iter().map(Step::Told));
            steps.extend(self.other_places().into_iter().map(Step::ToldPlaces));
        }
        if self.now < STOP_AT && !self.slot.has_ended() {
            steps.push(Step::TimeIsUp);
        }
        steps
    }

    /// What can come of an action.
    fn outcomes(&self, action: &TestAction) -> Vec<TestEvent> {
        let lefts = |usual: Left| {
            let unlucky = [Left::Covered, Left::Unrung(Duration::from_secs(120))];
            let unlucky = unlucky.into_iter().filter(|_| self.budget.failures > 0);
            let mut lefts: Vec<_> = [usual].into_iter().chain(unlucky).collect();
            lefts.dedup();
            lefts
        };
        match action {
            Action::Sweep(queue) => self.polls(*queue).into_iter().map(Event::Swept).collect(),
            Action::Listen(queue) => self.polls(*queue).into_iter().map(Event::Heard).collect(),
            Action::LookAgain(candidate) => {
                let polls = self.polls(Priority::High).into_iter();
                polls.map(|polled| Event::LookedAgain(*candidate, polled)).collect()
            }
            Action::Prepare { message, look } => {
                let ended = lefts(Left::Covered).into_iter().map(Prepared::Ended);
                let later = self.tenants_wait.then_some(Prepared::NotYet(*message));
                let ready = [Prepared::Ready(*message)].into_iter().chain(later);
                let prepared = ready.chain(ended);
                let looks: Vec<_> = match look {
                    true => self.polls(Priority::High).into_iter().map(Some).collect(),
                    false => vec![None],
                };
                prepared
                    .flat_map(|prepared| looks.iter().map(move |look| (prepared, *look)))
                    .filter(|(prepared, look)| failures_of(prepared, look) <= self.budget.failures)
                    .map(|(prepared, look)| Event::Prepared(prepared, look))
                    .collect()
            }
            Action::Call { call, .. } => {
                vec![Event::Answered { answered: *call, took: Some(TOOK) }]
            }
            Action::Settle(_) | Action::PutOff(_) => {
                lefts(Left::Covered).into_iter().map(Event::Ended).collect()
            }
            Action::GiveBack(_) | Action::GiveBackUnread(_) => {
                lefts(Left::Visible).into_iter().map(Event::Ended).collect()
            }
            Action::CollectRings => {
                let some = (self.budget.rings > 0).then(|| vec![self.budget.rings]);
                [Some(Vec::new()), some].into_iter().flatten().map(Event::CollectedRings).collect()
            }
            Action::ReturnRings(_) => {
                let failed = (self.budget.failures > 0).then_some(false);
                [Some(true), failed].into_iter().flatten().map(Event::ReturnedRings).collect()
            }
            Action::ThinOutRings => vec![Event::ThinnedOut(true), Event::ThinnedOut(false)],
            Action::HoldRing => vec![Event::HeldRing],
            Action::Reserve => {
                let grant = |ahead| {
                    let at = self.now + ahead;
                    Grant { grant: self.granted, at, void_at: at + LATENESS }
                };
                let granted = [Duration::ZERO, AHEAD].map(grant).map(Reserved::Granted);
                let granted = granted.into_iter().filter(|_| self.budget.grants > 0);
                granted.chain([TOO_EARLY, OTHERS_FIRST]).map(Event::Reserved).collect()
            }
            Action::GiveUpGrant(_) => vec![Event::GaveUpGrant],
            Action::RingForMore => vec![Event::RangForMore],
            Action::WakeOthers(allowance) => vec![
                Event::Woke { slots: 0, allowance_used: 0 },
                Event::Woke { slots: 1, allowance_used: *allowance },
            ],
            Action::ReadControl => {
                let gates = [vec![self.told], self.other_gates()].concat();
                let gates = gates.into_iter().map(|gate| Event::ControlRead(gate, self.places));
                let places = self.other_places().into_iter();
                gates.chain(places.map(|places| Event::ControlRead(self.told, places))).collect()
            }
            Action::TakePlace => {
                let others = self.other_places().into_iter();
                let took = |places| {
                    let taken = !matches!(places, Places::Full { .. });
                    Event::TookPlace { taken, places }
                };
                [self.places].into_iter().chain(others).map(took).collect()
            }
            Action::LeavePlace => {
                let lost = (self.budget.failures > 0).then_some(false);
                [Some(true), lost].into_iter().flatten().map(Event::LeftPlace).collect()
            }
            Action::ClearRings { .. } => {
                [false, true].map(|any| Event::ClearedRings { any }).into()
            }
        }
    }

    /// What the gate may become.
    fn other_gates(&self) -> Vec<Gate> {
        match self.told {
            _ if self.budget.gates == 0 => Vec::new(),
            Gate::Open => vec![SHUT],
            Gate::Shut { .. } => vec![Gate::Open, PROBE],
            Gate::Probe { .. } => vec![Gate::Open, SHUT],
        }
    }

    /// What the places may become.
    fn other_places(&self) -> Vec<Places> {
        let all = [Places::Unlimited, PLACE, ROOM, FULL, FULL_PERHAPS].into_iter();
        all.filter(|places| self.budget.places > 0 && *places != self.places).collect()
    }

    /// What can come of a poll of this queue.
    fn polls(&self, queue: Priority) -> Vec<Polled<u8>> {
        let mut polls = vec![Polled { found: Ok(None), may_hide: false }];
        if self.budget.messages > 0 {
            polls.push(found(self.unused(), queue));
        }
        if self.budget.failures > 0 {
            polls.push(Polled { found: Err(CannotPoll), may_hide: false });
            polls.push(Polled { found: Ok(None), may_hide: true });
        }
        polls
    }

    fn unused(&self) -> u8 {
        (0..).find(|id| !self.hands.contains_key(id)).unwrap()
    }

    /// Lets a step happen; an error says what the slot did that it must not do.
    pub(super) fn take(&mut self, step: Step, mutant: Option<Mutant>) -> Result<(), String> {
        let before = mutant.map(|_| self.slot.clone());
        match step {
            Step::Event(index, event) => {
                let action = self.pending.remove(index);
                self.note(&action, &event);
                self.slot.handle(self.now, event);
            }
            Step::Timeout => {
                self.budget.timeouts -= 1;
                self.now = self.now.max(self.slot.next_timeout().unwrap_or_default());
                self.slot.handle_timeout(self.now);
            }
            Step::Told(gate) => {
                self.is_told(gate);
                self.slot.heed(self.now, gate);
            }
            Step::ToldPlaces(places) => {
                self.is_told_places(places, false);
                self.slot.heed_places(self.now, places);
            }
            Step::TimeIsUp => self.now = STOP_AT,
        }
        if let (Some(mutant), Some(before)) = (mutant, before) {
            mutant(&before, &mut self.slot, self.now);
        }
        self.take_actions()
    }

    /// Takes note of what has come of an action.
    fn note(&mut self, action: &TestAction, event: &TestEvent) {
        match (action, event) {
            (_, Event::Swept(polled)) => self.note_poll(polled, true),
            (_, Event::LookedAgain(_, polled)) => self.note_poll(polled, false),
            (_, Event::Heard(polled)) => {
                self.note_poll(polled, true);
                if let Silence::Of(heard) = &mut self.silence {
                    *heard += 1;
                }
            }
            (Action::Prepare { message, .. }, Event::Prepared(prepared, looked)) => {
                looked.iter().for_each(|polled| self.note_poll(polled, true));
                match prepared {
                    Prepared::Ready(_) => drop(self.hands.insert(*message, Hand::Ready)),
                    Prepared::NotYet(_) => drop(self.hands.insert(*message, Hand::NotYet)),
                    Prepared::Ended(left) => self.note_left(*message, *left),
                }
            }
            (Action::Call { call, .. }, Event::Answered { .. }) => {
                self.hands.insert(*call, Hand::Answered);
            }
            (
                Action::Settle(id)
                | Action::GiveBack(id)
                | Action::GiveBackUnread(id)
                | Action::PutOff(id),
                Event::Ended(left),
            ) => self.note_left(*id, *left),
            (_, Event::CollectedRings(rings)) => {
                self.budget.rings -= u8::try_from(rings.len()).unwrap();
                self.rings.extend(rings);
            }
            (_, Event::ReturnedRings(returned)) if !returned => self.fail(),
            (_, Event::ThinnedOut(true)) => self.silence = Silence::None,
            (_, Event::Reserved(Reserved::Granted(grant))) => {
                self.budget.grants -= 1;
                self.granted += 1;
                self.grants.insert(grant.grant, *grant);
            }
            (_, Event::Reserved(Reserved::TooEarly { rings_back_at })) => {
                self.too_early = true;
                self.others_first = rings_back_at.is_none();
            }
            (_, Event::ControlRead(gate, places)) => {
                self.is_told(*gate);
                self.is_told_places(*places, false);
                self.others_at_work = self.read_with_nothing && *places == FULL;
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
            }
            (_, Event::TookPlace { taken, places }) => {
                self.has_place = *taken;
                self.is_told_places(*places, false);
            }
            (_, Event::LeftPlace(left)) => {
                self.has_place = false;
                if !left {
                    self.fail();
                }
            }
            // A slot that is too early is not called back: others have the grants.
            (_, Event::ClearedRings { any }) if self.is_to_look(*any) => {
                let reads = |action: &&TestAction| matches!(action, Action::ReadControl);
                self.unconfirmed = self.pending.iter().filter(reads).count() + 1;
            }
            _ => {}
        }
    }

    /// What a look finds is given back at once if it comes too late, and whether it is visible then
    /// says more; one that fails has the slot's ring come back.
    fn note_poll(&mut self, polled: &Polled<u8>, for_the_slot: bool) {
        if polled.may_hide {
            self.budget.failures -= 1;
            self.hidden_until = self.now + self.slot.settings.call_visibility;
        }
        match polled.found {
            Ok(None) => {}
            Ok(Some(found)) => {
                self.budget.messages -= 1;
                self.hands.insert(found.message, Hand::Found);
                if for_the_slot {
                    self.silence = Silence::None;
                }
            }
            Err(CannotPoll) => {
                self.fail();
                if for_the_slot {
                    self.silence = Silence::None;
                }
            }
        }
    }

    fn note_left(&mut self, id: u8, left: Left) {
        self.hands.remove(&id);
        match left {
            Left::Covered => {}
            Left::Visible => self.silence = Silence::None,
            Left::Unrung(hidden) => {
                self.hidden_until = self.now + hidden;
                self.fail();
            }
        }
    }

    fn is_told(&mut self, gate: Gate) {
        self.budget.gates -= u8::from(gate != self.told);
        self.told = gate;
    }

    /// Whether a slot that has cleared the rings has to look once more before it leaves.
    fn is_to_look(&self, any: bool) -> bool {
        let shut = matches!(self.told, Gate::Shut { .. });
        match self.too_early {
            true => any && shut,
            false => any || (self.is_full() && !shut),
        }
    }

    fn is_told_places(&mut self, places: Places, at_no_cost: bool) {
        self.budget.places -= u8::from(places != self.places && !at_no_cost);
        self.places = places;
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self.places, Places::Full { .. })
    }

    fn fail(&mut self) {
        self.budget.failures -= 1;
        self.must_return = true;
    }

    /// Takes the slot's next actions, and says what is wrong with them.
    fn take_actions(&mut self) -> Result<(), String> {
        while let Some(action) = self.slot.next_action() {
            self.check(&action)?;
            self.pending.push(action);
        }
        // In which order they were begun makes no difference to what comes.
        self.pending.sort();
        let (ended, timeout) = (self.slot.has_ended(), self.slot.next_timeout());
        let waits = !self.pending.is_empty() || !self.grants.is_empty();
        match (ended, waits, timeout) {
            (true, _, None) if self.pending.is_empty() => self.check_end(),
            (false, true, Some(_)) => Ok(()),
            _ => Err(format!(
                "stuck: ended {ended}, {} actions outstanding, time-out {timeout:?}",
                self.pending.len()
            )),
        }
    }
}

fn found(message: u8, priority: Priority) -> Polled<u8> {
    Polled { found: Ok(Some(Found { message, priority, receive_count: 1 })), may_hide: false }
}

/// How many requests have failed in a preparation.
fn failures_of(prepared: &Prepared<u8>, looked: &Option<Polled<u8>>) -> u8 {
    let unrung = matches!(prepared, Prepared::Ended(Left::Unrung(_)));
    let lost = looked.is_some_and(|polled| polled.may_hide || polled.found.is_err());
    u8::from(unrung) + u8::from(lost)
}
