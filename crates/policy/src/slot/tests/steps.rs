//! What a slot does, step by step.

use std::time::Duration;

use slowlane_message::Priority::{Batch, High, Normal};

use super::world::{SHUT, STOP_AT, TestSlot, settings};
use crate::slot::{
    Action, Candidate, CannotPoll, End, Event, Found, Gate, Grant, Left, Moment, Places, Polled,
    Prepared, READ_EVERY, Rates, Reserved, Settings, Slot, rings_asleep_for,
};
use crate::timing::{RING_LEAD, RING_RENEWAL};
use slowlane_message::Priority;

type TestAction = Action<u8, u8, u8, u8, u8>;

const NOTHING: Polled<u8> = Polled { found: Ok(None), may_hide: false };
const FAILED: Polled<u8> = Polled { found: Err(CannotPoll), may_hide: false };

fn ms(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

fn found(message: u8, priority: Priority) -> Polled<u8> {
    Polled { found: Ok(Some(Found { message, priority, receive_count: 1 })), may_hide: false }
}

fn actions(slot: &mut TestSlot) -> Vec<TestAction> {
    std::iter::from_fn(|| slot.next_action()).collect()
}

/// What follows from an event.
fn after(slot: &mut TestSlot, now: Moment, event: Event<u8, u8, u8, u8, u8>) -> Vec<TestAction> {
    slot.handle(now, event);
    actions(slot)
}

fn woken(allowance: u32) -> TestSlot {
    let mut slot = Slot::new(Moment::ZERO, settings(allowance));
    assert_eq!(actions(&mut slot), [Action::Sweep(High)]);
    slot
}

/// Runs call number `call` from the poll that finds it to its answer, `began` and 200 ms later.
fn run_one(slot: &mut TestSlot, call: u8, began: Moment) {
    after(slot, began, Event::Swept(found(call, High)));
    after(slot, began, Event::Prepared(Prepared::Ready(call), None));
    let answered = Event::Answered { answered: call, took: Some(ms(200)) };
    after(slot, began + ms(200), answered);
    slot.handle(began + ms(200), Event::Ended(Left::Covered));
}

/// A slot with a call at the API since `.1` and a history of calls of 200 ms.
fn busy() -> (TestSlot, Moment) {
    let mut slot = woken(0);
    for call in 0..4 {
        run_one(&mut slot, call, ms(200) * call.into());
    }
    let now = ms(800);
    after(&mut slot, now, Event::Swept(found(4, High)));
    let launched = after(&mut slot, now, Event::Prepared(Prepared::Ready(4), None));
    assert_eq!(launched, [Action::Call { call: 4, grant: None }]);
    (slot, now)
}

#[test]
fn a_slot_that_finds_nothing_collects_rings_listens_and_lets_them_go() {
    let (mut slot, now) = (woken(0), Moment::ZERO);
    assert_eq!(after(&mut slot, now, Event::Swept(NOTHING)), [Action::Sweep(Normal)]);
    assert_eq!(after(&mut slot, now, Event::Swept(NOTHING)), [Action::Sweep(Batch)]);
    assert_eq!(after(&mut slot, now, Event::Swept(NOTHING)), [Action::CollectRings]);
    assert_eq!(after(&mut slot, now, Event::CollectedRings(vec![7])), [Action::CollectRings]);
    let listens = after(&mut slot, now, Event::CollectedRings(vec![]));
    assert_eq!(listens, [High, Normal, Batch].map(Action::Listen));
    for _ in 0..3 {
        assert!(!slot.has_ended());
        assert_eq!(after(&mut slot, ms(1_000), Event::Heard(NOTHING)), []);
    }
    assert!(slot.has_ended());
    assert_eq!(slot.next_timeout(), None);
    assert_eq!(slot.end(ms(1_000)), End::Served { collected: vec![7] });
}

#[test]
fn what_is_heard_is_run_and_the_collected_rings_go_back() {
    let (mut slot, now) = (woken(0), Moment::ZERO);
    (0..3).for_each(|_| slot.handle(now, Event::Swept(NOTHING)));
    slot.handle(now, Event::CollectedRings(vec![7]));
    slot.handle(now, Event::CollectedRings(vec![]));
    actions(&mut slot);
    let prepares = after(&mut slot, now, Event::Heard(found(1, Batch)));
    let prepare = Action::Prepare { message: 1, look: false };
    assert_eq!(prepares, [Action::ReturnRings(vec![7]), prepare]);
    // A second one is more than it can use.
    assert_eq!(after(&mut slot, now, Event::Heard(found(2, High))), [Action::GiveBackUnread(2)]);
}

#[test]
fn the_next_call_is_fetched_to_be_ready_when_the_present_one_ends() {
    let (mut slot, since) = busy();
    let fetch_at = since + ms(195);
    assert_eq!(slot.next_timeout(), Some(fetch_at));
    slot.handle_timeout(fetch_at - ms(1));
    assert_eq!(actions(&mut slot), [], "too early");
    slot.handle_timeout(fetch_at);
    assert_eq!(actions(&mut slot), [Action::Sweep(High)]);
    after(&mut slot, fetch_at, Event::Swept(found(5, High)));
    after(&mut slot, fetch_at, Event::Prepared(Prepared::Ready(5), None));
    let answered = Event::Answered { answered: 4, took: Some(ms(200)) };
    let follows = after(&mut slot, since + ms(200), answered);
    // It was woken a second ago.
    assert_eq!(
        follows,
        [Action::Settle(4), Action::ReadControl, Action::Call { call: 5, grant: None }]
    );
}

#[test]
fn a_call_that_waited_too_long_is_given_back_and_no_other_is_fetched_beside() {
    let (mut slot, since) = busy();
    let fetch_at = since + ms(195);
    slot.handle_timeout(fetch_at);
    after(&mut slot, fetch_at, Event::Swept(found(5, High)));
    after(&mut slot, fetch_at, Event::Prepared(Prepared::Ready(5), None));
    assert_eq!(slot.next_timeout(), Some(READ_EVERY));
    slot.handle_timeout(READ_EVERY);
    assert_eq!(actions(&mut slot), [Action::ReadControl]);
    let limit = slot.next_timeout().unwrap();
    assert_eq!(limit, fetch_at + ms(100));
    slot.handle_timeout(limit);
    assert_eq!(actions(&mut slot), [Action::GiveBack(5)]);
    assert_eq!(slot.next_timeout(), Some(RING_RENEWAL));
}

#[test]
fn high_is_looked_at_again_while_a_lower_call_waits_and_takes_its_place() {
    let (mut slot, since) = busy();
    let fetch_at = since + ms(195);
    slot.handle_timeout(fetch_at);
    after(&mut slot, fetch_at, Event::Swept(NOTHING));
    let prepares = after(&mut slot, fetch_at, Event::Swept(found(5, Normal)));
    assert_eq!(prepares, [Action::Prepare { message: 5, look: true }]);
    let looks = after(&mut slot, fetch_at, Event::Prepared(Prepared::Ready(5), Some(NOTHING)));
    let candidate = Candidate(6);
    assert_eq!(looks, [Action::LookAgain(candidate)]);
    let looks = after(&mut slot, fetch_at, Event::LookedAgain(candidate, NOTHING));
    assert_eq!(looks, [Action::LookAgain(candidate)]);
    // The third look finds something; the lower call makes room for it.
    let urgent = Event::LookedAgain(candidate, found(6, High));
    let prepare = Action::Prepare { message: 6, look: false };
    assert_eq!(after(&mut slot, fetch_at, urgent), [Action::GiveBack(5), prepare]);
    // A look for the call that has gone finds one that cannot be used.
    let stale = Event::LookedAgain(candidate, found(7, High));
    assert_eq!(after(&mut slot, fetch_at, stale), [Action::GiveBackUnread(7)]);
}

#[test]
fn the_ring_is_held_anew_while_a_call_takes_long() {
    let mut slot = woken(0);
    after(&mut slot, ms(0), Event::Swept(found(1, High)));
    after(&mut slot, ms(0), Event::Prepared(Prepared::Ready(1), None));
    for renewal in 1..4 {
        let at = RING_RENEWAL * renewal;
        while let Some(look_at) = slot.next_timeout().filter(|look_at| *look_at < at) {
            slot.handle_timeout(look_at);
            assert_eq!(actions(&mut slot), [Action::ReadControl]);
            slot.handle(look_at, Event::ControlRead(Gate::Open, Places::Unlimited));
        }
        assert_eq!(slot.next_timeout(), Some(at));
        slot.handle_timeout(at);
        assert_eq!(actions(&mut slot), [Action::HoldRing]);
        slot.handle(at, Event::HeldRing);
    }
}

#[test]
fn others_are_woken_beside_each_call_until_the_allowance_is_spent() {
    let (mut slot, now) = (woken(3), Moment::ZERO);
    after(&mut slot, now, Event::Swept(found(1, High)));
    let launched = after(&mut slot, now, Event::Prepared(Prepared::Ready(1), None));
    assert_eq!(launched, [Action::Call { call: 1, grant: None }, Action::WakeOthers(3)]);
    let woke = Event::Woke { slots: 1, allowance_used: 2 };
    assert_eq!(after(&mut slot, now, woke), [Action::WakeOthers(1)]);
    let woke = Event::Woke { slots: 1, allowance_used: 1 };
    assert_eq!(after(&mut slot, now, woke), []);
}

#[test]
fn a_slot_that_cannot_poll_leaves_its_ring_for_later() {
    let (mut slot, now) = (woken(0), Moment::ZERO);
    (0..3).for_each(|_| slot.handle(now, Event::Swept(FAILED)));
    assert!(slot.has_ended());
    let ring_back_after = Duration::from_secs(90) + RING_RENEWAL + RING_LEAD;
    assert_eq!(slot.end(now), End::CannotPoll { ring_back_after, collected: vec![] });
}

#[test]
fn when_its_time_is_up_another_slot_goes_on() {
    let (mut slot, since) = busy();
    let settled =
        after(&mut slot, STOP_AT, Event::Answered { answered: 4, took: Some(STOP_AT - since) });
    assert_eq!(settled, [Action::Settle(4)]);
    slot.handle(STOP_AT, Event::Ended(Left::Covered));
    assert!(slot.has_ended());
    let hand_over =
        End::HandedOver { hide_ring: None, collected: vec![], ring: true, ring_may_go: true };
    assert_eq!(slot.end(STOP_AT), hand_over);
}

#[test]
fn a_call_that_stays_hidden_for_long_is_outlasted_by_the_ring() {
    let mut slot = woken(0);
    after(&mut slot, ms(0), Event::Swept(found(1, High)));
    let hidden = Duration::from_secs(300);
    let ended = Prepared::Ended(Left::Unrung(hidden));
    after(&mut slot, ms(0), Event::Prepared(ended, None));
    (0..3).for_each(|_| slot.handle(ms(0), Event::Swept(NOTHING)));
    slot.handle(ms(0), Event::CollectedRings(vec![]));
    (0..3).for_each(|_| slot.handle(ms(1_000), Event::Heard(NOTHING)));
    let hide_ring = Some(hidden - ms(1_000) + RING_LEAD);
    let hand_over =
        End::HandedOver { hide_ring, collected: vec![], ring: false, ring_may_go: false };
    assert_eq!(slot.end(ms(1_000)), hand_over);
}

#[test]
fn the_turn_goes_on_where_the_last_invocation_left_it() {
    let owed = Settings { turn: 9, ..settings(0) };
    let mut slot = TestSlot::new(Moment::ZERO, owed);
    assert_eq!(actions(&mut slot), [Action::Sweep(Batch)]);
    slot.handle(Moment::ZERO, Event::Swept(found(1, Batch)));
    assert_eq!(slot.turn(), 10);
}

#[test]
fn a_slot_that_is_woken_in_front_of_a_shut_gate_receives_nothing_and_lets_the_rings_sleep() {
    let mut slot = TestSlot::new(Moment::ZERO, Settings { gate: SHUT, ..settings(0) });
    let back_after = Duration::from_secs(300);
    assert_eq!(actions(&mut slot), [Action::ClearRings { back_after: Some(back_after) }]);
    // It has taken rings; whoever resumes may have sent one of them.
    let cleared = after(&mut slot, ms(50), Event::ClearedRings { any: true });
    assert_eq!(cleared, [Action::ReadControl]);
    assert_eq!(after(&mut slot, ms(60), Event::ControlRead(SHUT, Places::Unlimited)), []);
    assert!(slot.has_ended());
    assert_eq!(slot.end(ms(60)), End::Asleep { ring_back_after: back_after - ms(60) });
}

#[test]
fn a_slot_that_has_taken_the_ring_of_who_resumed_goes_on() {
    let mut slot = TestSlot::new(Moment::ZERO, Settings { gate: SHUT, ..settings(0) });
    actions(&mut slot);
    slot.handle(ms(50), Event::ClearedRings { any: true });
    assert_eq!(actions(&mut slot), [Action::ReadControl]);
    let resumed = after(&mut slot, ms(60), Event::ControlRead(Gate::Open, Places::Unlimited));
    assert_eq!(resumed, [Action::Sweep(High)]);
}

#[test]
fn a_gate_that_shuts_lets_the_call_at_the_api_end_and_gives_back_the_one_that_is_held() {
    let (mut slot, since) = busy();
    let fetch_at = since + ms(195);
    slot.handle_timeout(fetch_at);
    after(&mut slot, fetch_at, Event::Swept(found(5, High)));
    after(&mut slot, fetch_at, Event::Prepared(Prepared::Ready(5), None));
    slot.handle_timeout(READ_EVERY);
    assert_eq!(actions(&mut slot), [Action::ReadControl]);
    assert_eq!(
        after(&mut slot, READ_EVERY, Event::ControlRead(SHUT, Places::Unlimited)),
        [Action::GiveBack(5)]
    );
    slot.handle(READ_EVERY, Event::Ended(Left::Visible));
    let ended = ms(1_200);
    let answered = Event::Answered { answered: 4, took: Some(ms(400)) };
    let back_after = Duration::from_secs(300) - ended;
    assert_eq!(after(&mut slot, ended, answered), [Action::Settle(4)]);
    let settled = after(&mut slot, ended, Event::Ended(Left::Covered));
    assert_eq!(settled, [Action::ClearRings { back_after: Some(back_after) }]);
}

#[test]
fn rings_that_sleep_come_back_at_full_five_minutes_or_when_the_gate_opens() {
    let asleep = |now_secs, opens_in: Option<u64>| {
        let opens_in = opens_in.map(Duration::from_secs);
        rings_asleep_for(Duration::from_secs(now_secs), opens_in).as_secs()
    };
    assert_eq!(
        [0, 1, 149, 150, 299, 300].map(|now| asleep(now, None)),
        [300, 299, 151, 450, 301, 300]
    );
    assert_eq!([asleep(0, Some(20)), asleep(0, Some(3_600))], [20, 300]);
}

/// A slot of a target with rates, woken just now.
fn rated() -> TestSlot {
    let mut slot = TestSlot::new(Moment::ZERO, Settings { rates: Rates::Calls, ..settings(0) });
    assert_eq!(actions(&mut slot), [Action::Reserve]);
    slot
}

fn granted(grant: u8, at: Moment) -> Event<u8, u8, u8, u8, u8> {
    Event::Reserved(Reserved::Granted(Grant { grant, at, void_at: at + ms(50) }))
}

fn ready(call: u8) -> Prepared<u8> {
    Prepared::Ready(call)
}

#[test]
fn the_grant_comes_first_and_high_is_polled_again_shortly_before_its_moment() {
    let mut slot = rated();
    assert_eq!(after(&mut slot, ms(10), granted(1, ms(310))), []);
    // Time to fetch, and then the last look.
    let sweeps_at = ms(310 - 60 - 60);
    assert_eq!(slot.next_timeout(), Some(sweeps_at));
    slot.handle_timeout(sweeps_at);
    assert_eq!(actions(&mut slot), [Action::Sweep(High)]);
    after(&mut slot, ms(200), Event::Swept(NOTHING));
    let prepares = after(&mut slot, ms(206), Event::Swept(found(5, Normal)));
    assert_eq!(prepares, [Action::Prepare { message: 5, look: true }]);
    assert_eq!(after(&mut slot, ms(220), Event::Prepared(ready(5), Some(NOTHING))), []);
    assert_eq!(slot.next_timeout(), Some(ms(250)));
    slot.handle_timeout(ms(250));
    assert_eq!(actions(&mut slot), [Action::LookAgain(Candidate(1))]);
    let urgent = Event::LookedAgain(Candidate(1), found(6, High));
    let prepare = Action::Prepare { message: 6, look: false };
    assert_eq!(after(&mut slot, ms(256), urgent), [Action::GiveBack(5), prepare]);
    assert_eq!(after(&mut slot, ms(270), Event::Prepared(ready(6), None)), []);
    assert_eq!(slot.next_timeout(), Some(ms(285)));
    slot.handle_timeout(ms(285));
    assert_eq!(actions(&mut slot), [Action::Call { call: 6, grant: Some(1) }]);
}

#[test]
fn a_call_that_is_late_for_its_grant_gets_another() {
    let mut slot = rated();
    after(&mut slot, ms(10), granted(1, ms(10)));
    actions(&mut slot);
    after(&mut slot, ms(20), Event::Swept(found(5, High)));
    let asks = after(&mut slot, ms(55), Event::Prepared(ready(5), None));
    assert_eq!(asks, [Action::GiveUpGrant(1), Action::Reserve]);
    let calls = after(&mut slot, ms(60), granted(2, ms(60)));
    assert_eq!(calls, [Action::Call { call: 5, grant: Some(2) }]);
}

#[test]
fn a_slot_that_asks_too_early_takes_the_rings_and_leaves() {
    for (rings_back_at, end) in [
        (None, End::Served { collected: vec![] }),
        (Some(ms(7_000)), End::Asleep { ring_back_after: ms(6_970) }),
    ] {
        let mut slot = rated();
        let cleared =
            after(&mut slot, ms(10), Event::Reserved(Reserved::TooEarly { rings_back_at }));
        let back_after = rings_back_at.map(|at| at - ms(10));
        assert_eq!(cleared, [Action::ClearRings { back_after }]);
        assert_eq!(after(&mut slot, ms(30), Event::ClearedRings { any: true }), []);
        assert!(slot.has_ended());
        assert_eq!(slot.end(ms(30)), end);
    }
}

#[test]
fn where_nothing_waits_the_grant_is_given_up() {
    let mut slot = rated();
    assert_eq!(after(&mut slot, ms(10), granted(1, ms(10))), [Action::Sweep(High)]);
    after(&mut slot, ms(20), Event::Swept(NOTHING));
    after(&mut slot, ms(30), Event::Swept(NOTHING));
    let left = after(&mut slot, ms(40), Event::Swept(NOTHING));
    assert_eq!(left, [Action::GiveUpGrant(1), Action::CollectRings]);
}

#[test]
fn while_rates_do_not_bind_the_next_call_is_fetched_first_and_its_grant_asked_for_last() {
    let (mut slot, since) = busy();
    slot.grants.bind = false;
    slot.heed_rates(since, Rates::Calls);
    let fetch_at = since + ms(195 - 25);
    assert_eq!(slot.next_timeout(), Some(fetch_at));
    slot.handle_timeout(fetch_at);
    assert_eq!(actions(&mut slot), [Action::Sweep(High)]);
    after(&mut slot, fetch_at, Event::Swept(found(5, High)));
    let asks_at = since + ms(200 - 25);
    assert_eq!(after(&mut slot, fetch_at, Event::Prepared(ready(5), None)), []);
    assert_eq!(slot.next_timeout(), Some(asks_at));
    slot.handle_timeout(asks_at);
    assert_eq!(actions(&mut slot), [Action::Reserve]);
    assert_eq!(after(&mut slot, asks_at + ms(6), granted(1, asks_at)), []);
    let answered = Event::Answered { answered: 4, took: Some(ms(200)) };
    let follows = after(&mut slot, since + ms(200), answered);
    let call = Action::Call { call: 5, grant: Some(1) };
    // Slots are what is short now, and there is more than one call.
    assert_eq!(follows, [Action::Settle(4), Action::ReadControl, call, Action::RingForMore]);
}

const PLACE: Places = Places::Limited { more_wanted: false };
const FULL: Places = Places::Full { rings_back_at: None };
const TOOK_PLACE: Event<u8, u8, u8, u8, u8> = Event::TookPlace { taken: true, places: PLACE };

/// A slot that needs a place, woken just now.
fn placed() -> TestSlot {
    let mut slot = TestSlot::new(Moment::ZERO, Settings { places: PLACE, ..settings(0) });
    assert_eq!(actions(&mut slot), [Action::TakePlace]);
    slot
}

#[test]
fn a_slot_for_which_there_is_no_place_takes_the_rings_looks_again_and_leaves() {
    let full_for_now = Places::Full { rings_back_at: Some(ms(7_000)) };
    for (places, back_after, end) in [
        (FULL, None, End::Served { collected: vec![] }),
        (full_for_now, Some(ms(6_990)), End::Asleep { ring_back_after: ms(6_970) }),
    ] {
        let mut slot = placed();
        let cleared = after(&mut slot, ms(10), Event::TookPlace { taken: false, places });
        assert_eq!(cleared, [Action::ClearRings { back_after }]);
        let looks = after(&mut slot, ms(20), Event::ClearedRings { any: false });
        assert_eq!(looks, [Action::ReadControl]);
        assert_eq!(after(&mut slot, ms(30), Event::ControlRead(Gate::Open, places)), []);
        assert!(slot.has_ended());
        assert_eq!(slot.end(ms(30)), end);
    }
}

#[test]
fn a_slot_that_finds_a_place_free_at_last_goes_on() {
    let mut slot = placed();
    after(&mut slot, ms(10), Event::TookPlace { taken: false, places: FULL });
    after(&mut slot, ms(20), Event::ClearedRings { any: true });
    let again = after(&mut slot, ms(30), Event::ControlRead(Gate::Open, PLACE));
    assert_eq!(again, [Action::TakePlace]);
    assert_eq!(after(&mut slot, ms(40), TOOK_PLACE), [Action::Sweep(High)]);
}

#[test]
fn a_slot_gives_its_place_back_before_it_listens_and_takes_another_for_what_it_hears() {
    let (mut slot, now) = (placed(), Moment::ZERO);
    after(&mut slot, now, TOOK_PLACE);
    (0..3).for_each(|_| slot.handle(now, Event::Swept(NOTHING)));
    assert_eq!(actions(&mut slot).last(), Some(&Action::CollectRings));
    let leaves = after(&mut slot, now, Event::CollectedRings(vec![]));
    assert_eq!(leaves, [Action::LeavePlace]);
    let listens = after(&mut slot, now, Event::LeftPlace(true));
    assert_eq!(listens, [High, Normal, Batch].map(Action::Listen));
    let hears = after(&mut slot, now, Event::Heard(found(1, Batch)));
    assert_eq!(hears, [Action::Prepare { message: 1, look: false }, Action::TakePlace]);
    assert_eq!(after(&mut slot, now, Event::Prepared(ready(1), None)), []);
    let calls = after(&mut slot, now, TOOK_PLACE);
    assert_eq!(calls, [Action::Call { call: 1, grant: None }]);
}

#[test]
fn a_slot_that_is_one_too_many_ends_its_call_and_stands_down() {
    let (mut slot, since) = busy();
    let full = Event::ControlRead(Gate::Open, FULL);
    slot.heed_places(since, PLACE);
    assert_eq!(actions(&mut slot), [Action::TakePlace]);
    after(&mut slot, since, TOOK_PLACE);
    slot.handle_timeout(since + ms(195));
    assert_eq!(actions(&mut slot), [Action::Sweep(High)]);
    after(&mut slot, since + ms(196), Event::Swept(found(5, High)));
    after(&mut slot, since + ms(197), Event::Prepared(ready(5), None));
    slot.handle_timeout(READ_EVERY);
    assert_eq!(actions(&mut slot), [Action::ReadControl]);
    assert_eq!(after(&mut slot, READ_EVERY, full.clone()), [Action::GiveBack(5)]);
    slot.handle(READ_EVERY, Event::Ended(Left::Visible));
    let answered = Event::Answered { answered: 4, took: Some(ms(400)) };
    assert_eq!(after(&mut slot, ms(1_200), answered), [Action::Settle(4)]);
    let settled = after(&mut slot, ms(1_210), Event::Ended(Left::Covered));
    assert_eq!(settled, [Action::LeavePlace]);
    let left = after(&mut slot, ms(1_215), Event::LeftPlace(true));
    assert_eq!(left, [Action::ClearRings { back_after: None }]);
    after(&mut slot, ms(1_220), Event::ClearedRings { any: true });
    after(&mut slot, ms(1_230), full);
    assert_eq!(slot.end(ms(1_230)), End::Served { collected: vec![] });
}

#[test]
fn a_slot_that_sees_a_place_free_rings_each_second_until_all_are_taken() {
    let (mut slot, since) = busy();
    let rings = |slot: &mut TestSlot, call: u8, now: Moment| {
        slot.handle(now, Event::Answered { answered: call, took: Some(ms(200)) });
        slot.handle(now, Event::Ended(Left::Covered));
        slot.handle(now, Event::Swept(found(call + 1, High)));
        slot.handle(now, Event::Prepared(ready(call + 1), None));
        actions(slot).contains(&Action::RingForMore)
    };
    slot.heed_places(since, PLACE);
    slot.handle(since, TOOK_PLACE);
    let room = Places::Limited { more_wanted: true };
    let told = [
        (200, PLACE, false),
        (400, room, true),
        (1_399, room, false),
        (1_400, room, true),
        (1_600, PLACE, false),
        (1_800, room, true),
    ];
    for (call, (after_ms, places, expected)) in (4..).zip(told) {
        slot.heed_places(since + ms(after_ms), places);
        assert_eq!(rings(&mut slot, call, since + ms(after_ms)), expected, "after {after_ms} ms");
    }
}

#[test]
fn a_call_whose_tenants_turn_comes_later_goes_back_while_the_search_goes_on() {
    let (mut slot, now) = (woken(0), Moment::ZERO);
    after(&mut slot, now, Event::Swept(found(1, Batch)));
    let later = after(&mut slot, now, Event::Prepared(Prepared::NotYet(1), Some(NOTHING)));
    assert_eq!(later, [Action::PutOff(1), Action::Sweep(High)]);
    // It is still going back when the next call is made.
    after(&mut slot, now, Event::Swept(found(2, High)));
    let launched = after(&mut slot, now, Event::Prepared(Prepared::Ready(2), None));
    assert_eq!(launched, [Action::Call { call: 2, grant: None }]);
    // It could not be rung for, so that the slot's own ring comes back for it.
    let hidden = Duration::from_secs(600);
    slot.handle(now, Event::Ended(Left::Unrung(hidden)));
    assert_eq!(
        slot.clone().end(now),
        End::HandedOver {
            hide_ring: Some(hidden + RING_LEAD),
            collected: vec![],
            ring: true,
            ring_may_go: false,
        }
    );
}

#[test]
fn a_grant_is_kept_for_the_next_call_while_others_are_put_off() {
    let mut slot = rated();
    let grant = Grant { grant: 7, at: ms(40), void_at: ms(90) };
    let swept = after(&mut slot, ms(0), Event::Reserved(Reserved::Granted(grant)));
    assert_eq!(swept, [Action::Sweep(High)]);
    after(&mut slot, ms(5), Event::Swept(found(1, High)));
    let later = after(&mut slot, ms(10), Event::Prepared(Prepared::NotYet(1), None));
    assert_eq!(later, [Action::PutOff(1), Action::Sweep(High)]);
    after(&mut slot, ms(12), Event::Swept(found(2, High)));
    let launched = after(&mut slot, ms(20), Event::Prepared(Prepared::Ready(2), None));
    // To put off calls is work for others as well.
    assert_eq!(launched, [Action::Call { call: 2, grant: Some(7) }, Action::RingForMore]);
}
