//! Slots with a mistake in them: going through every sequence finds each.

use super::exhaustive::explore;
use super::world::{Budget, Mutant, STOP_AT, TestSlot, World};
use crate::slot::grant::Has;
use crate::slot::place;
use crate::slot::state::{Api, Next, Rings};
use crate::slot::{Action, Gate, Moment, Places, Rates};
use slowlane_message::Priority;

/// The mutant does something that is `wrong`, after much or little.
fn is_caught(mutant: Mutant, wrong: &str) {
    let found = [(0, 1), (1, 0), (2, 0), (1, 1)].into_iter().find_map(|(messages, failures)| {
        let budget =
            Budget { messages, failures, rings: 1, timeouts: 2, gates: 0, grants: 0, places: 0 };
        explore(World::warm(budget, 0, Some(mutant)), Some(mutant)).err()
    });
    let found = found.expect("the mutant lives");
    println!("{}, after {} steps", found.what, found.steps.len());
    assert!(found.what.contains(wrong), "{found:#?}");
}

fn without(slot: &mut TestSlot, action: impl Fn(&Action<u8, u8, u8, u8, u8>) -> bool) {
    let before = slot.actions.len();
    slot.actions.retain(|one| !action(one));
    slot.outstanding -= u32::try_from(before - slot.actions.len()).unwrap();
}

#[test]
fn one_that_does_not_wait_for_the_api() {
    let mutant: Mutant = |_, slot, now| {
        if matches!(slot.next, Next::Held { .. }) {
            slot.api = Api::Idle;
            slot.advance(now);
        }
    };
    is_caught(mutant, "two calls at the API");
}

#[test]
fn one_that_takes_no_note_of_what_it_hears() {
    let mutant: Mutant = |before, slot, _| match (before.rings, &mut slot.rings) {
        (Rings::Listening { silent: true, .. }, Rings::Listening { silent, .. }) => *silent = true,
        (Rings::Listening { .. } | Rings::Silent, rings @ Rings::Kept) => *rings = Rings::Silent,
        _ => {}
    };
    is_caught(mutant, "the ring is let go: silent false");
}

#[test]
fn one_that_listens_to_two_queues() {
    let mutant: Mutant = |before, slot, _| {
        if let (Rings::Collecting, Rings::Listening { unanswered, .. }) =
            (before.rings, &mut slot.rings)
        {
            *unanswered -= 1;
            without(slot, |action| *action == Action::Listen(Priority::Batch));
        }
    };
    is_caught(mutant, "the ring is let go: silent false");
}

#[test]
fn one_that_forgets_a_call_which_waited_too_long() {
    let mutant: Mutant = |before, slot, _| {
        if matches!((&before.next, &slot.next), (Next::Held { .. }, Next::None)) {
            without(slot, |action| matches!(action, Action::GiveBack(_)));
        }
    };
    is_caught(mutant, "messages have not ended");
}

#[test]
fn one_that_does_not_stop() {
    let mutant: Mutant = |_, slot, _| slot.settings.stop_at = Moment::MAX;
    is_caught(mutant, "it looks for calls after its time");
}

#[test]
fn one_that_stops_too_soon() {
    let mutant: Mutant = |_, slot, _| slot.settings.stop_at = STOP_AT / 100;
    is_caught(mutant, "it gives up before its time");
}

#[test]
fn one_that_forgets_what_has_failed() {
    is_caught(|_, slot, _| slot.own_ring.must_return = false, "failed true");
}

#[test]
fn one_that_forgets_what_is_hidden() {
    is_caught(|_, slot, _| slot.own_ring.hidden_until = Moment::ZERO, "hidden true");
}

#[test]
fn one_that_drops_rings() {
    let mutant: Mutant = |before, slot, _| {
        if before.rings == Rings::Collecting && slot.rings != Rings::Collecting {
            slot.collected.clear();
        }
    };
    is_caught(mutant, "it holds rings");
}

#[test]
fn one_that_takes_a_search_which_found_nothing_for_one_under_way() {
    let mutant: Mutant = |before, slot, now| {
        if matches!((&before.next, &slot.next), (Next::Searching(_), Next::None))
            && slot.api.is_busy()
        {
            slot.next = Next::Preparing { began: now, looks_left: 0 };
        }
    };
    is_caught(mutant, "it gives up before its time");
}

#[test]
fn one_that_settles_twice() {
    let mutant: Mutant = |_, slot, _| {
        let settle = slot.actions.iter().find(|action| matches!(action, Action::Settle(_)));
        if let Some(settle) = settle.cloned() {
            slot.act(settle);
        }
    };
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 0, gates: 0, grants: 0, places: 0 };
    let found = explore(World::cold(budget, 0, None), Some(mutant)).unwrap_err();
    assert!(found.what.contains("becomes Leaving and was Some(Leaving)"), "{found:#?}");
}

#[test]
fn one_that_leaves_while_something_is_under_way() {
    let mutant: Mutant = |before, slot, _| {
        if before.rings == Rings::Collecting && slot.rings != Rings::Collecting {
            slot.outstanding -= 1;
        }
    };
    is_caught(mutant, "stuck");
}

#[test]
fn one_that_goes_round_in_circles() {
    let mutant: Mutant = |before, slot, _| {
        if before.rings != Rings::Silent && slot.rings == Rings::Silent && slot.has_ended() {
            *slot = before.clone();
            slot.rings = Rings::Collecting;
            slot.outstanding = 0;
            slot.act(Action::CollectRings);
        }
    };
    is_caught(mutant, "it goes round in circles");
}

/// The mutant does something that is `wrong`, with a gate that shuts and opens.
fn is_caught_at_the_gate(mutant: Mutant, wrong: &str) {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 1, gates: 1, grants: 0, places: 0 };
    let found = explore(World::warm(budget, 0, Some(mutant)), Some(mutant));
    let found = found.and_then(|_| explore(World::shut_out(budget, Some(mutant)), Some(mutant)));
    let found = found.expect_err("the mutant lives");
    println!("{}, after {} steps", found.what, found.steps.len());
    assert!(found.what.contains(wrong), "{found:#?}");
}

#[test]
fn one_that_does_not_heed_the_gate() {
    let mutant: Mutant = |_, slot, now| {
        if slot.control.gate != Gate::Open {
            slot.control.gate = Gate::Open;
            slot.advance(now);
        }
    };
    is_caught_at_the_gate(mutant, "although the gate is shut");
}

#[test]
fn one_that_keeps_its_call_behind_a_shut_gate() {
    let mutant: Mutant = |before, slot, _| {
        let shuts = before.control.is_open() && !slot.control.is_open();
        if shuts && matches!(before.next, Next::Held { .. }) {
            slot.next = before.next.clone();
            without(slot, |action| matches!(action, Action::GiveBack(_)));
        }
    };
    is_caught_at_the_gate(mutant, "it goes on although the gate is shut: Call");
}

#[test]
fn one_that_never_looks_at_the_gate() {
    let mutant: Mutant = |_, slot, _| slot.control.read_at = Moment::MAX;
    is_caught_at_the_gate(mutant, "it has not looked at the gate");
}

#[test]
fn one_that_looks_at_the_gate_all_the_time() {
    let mutant: Mutant = |before, slot, now| {
        if before.answered == 9 && before.api.is_busy() {
            slot.control.read_at = now;
        }
    };
    is_caught_at_the_gate(mutant, "it looks at the gate again after");
}

#[test]
fn one_that_sleeps_without_looking_whether_it_was_called_back() {
    let mutant: Mutant = |before, slot, _| {
        if before.rings == Rings::Clearing && slot.rings == Rings::Confirming {
            slot.rings = Rings::Asleep;
            slot.control.reads -= 1;
            without(slot, |action| *action == Action::ReadControl);
        }
    };
    is_caught_at_the_gate(mutant, "may have taken the ring that calls it back");
}

#[test]
fn one_that_sleeps_on_although_calls_are_made() {
    let mutant: Mutant = |before, slot, _| {
        let opens = !before.control.is_open() && slot.control.is_open();
        if opens && before.rings == Rings::Confirming && slot.rings == Rings::Kept {
            slot.rings = Rings::Asleep;
            slot.next = Next::None;
            slot.outstanding -= u32::try_from(slot.actions.len()).unwrap();
            slot.actions.clear();
        }
    };
    is_caught_at_the_gate(mutant, "it sleeps although calls are made");
}

#[test]
fn one_that_makes_a_second_call_as_the_probe() {
    let mutant: Mutant = |before, slot, _| {
        let launched = !before.api.is_busy() && slot.api.is_busy();
        if launched && matches!(before.control.gate, Gate::Probe { .. }) {
            slot.control.gate = Gate::Open;
        }
    };
    let budget =
        Budget { messages: 2, failures: 0, rings: 0, timeouts: 0, gates: 1, grants: 0, places: 0 };
    let found = explore(World::shut_out(budget, Some(mutant)), Some(mutant)).unwrap_err();
    assert!(found.what.contains("although the gate is shut"), "{found:#?}");
}

/// The mutant does something that is `wrong`, under rates.
fn is_caught_under_rates(mutant: Mutant, wrong: &str) {
    let budget =
        Budget { messages: 2, failures: 0, rings: 0, timeouts: 2, gates: 0, grants: 2, places: 0 };
    let found = explore(World::rated(budget, true, Some(mutant)), Some(mutant));
    let found =
        found.and_then(|_| explore(World::rated(budget, false, Some(mutant)), Some(mutant)));
    let found = found.expect_err("the mutant lives");
    println!("{}, after {} steps", found.what, found.steps.len());
    assert!(found.what.contains(wrong), "{found:#?}");
}

#[test]
fn one_that_calls_without_a_grant() {
    let mutant: Mutant = |_, slot, now| {
        if matches!(slot.next, Next::Held { .. }) {
            slot.grants.rates = Rates::None;
            slot.advance(now);
        }
    };
    is_caught_under_rates(mutant, "a call without a grant");
}

#[test]
fn one_that_uses_a_grant_which_is_void() {
    let mutant: Mutant = |_, slot, _| {
        if let Has::Grant(grant) = &mut slot.grants.has {
            grant.void_at = Moment::MAX;
        }
    };
    is_caught_under_rates(mutant, "a call whose grant is void");
}

#[test]
fn one_that_does_not_wait_for_its_moment() {
    let mutant: Mutant = |_, slot, now| {
        if let Has::Grant(grant) = &mut slot.grants.has {
            grant.at = now;
        }
    };
    is_caught_under_rates(mutant, "a call before its moment");
}

#[test]
fn one_that_uses_a_grant_twice() {
    let mutant: Mutant = |before, slot, _| {
        if matches!(before.grants.has, Has::Grant(_)) && !before.api.is_busy() && slot.api.is_busy()
        {
            slot.grants.has = before.grants.has.clone();
        }
    };
    is_caught_under_rates(mutant, "is used twice");
}

#[test]
fn one_that_asks_although_it_has_a_grant() {
    let mutant: Mutant = |before, slot, _| {
        if let (Has::Asked, Has::Grant(_)) = (&before.grants.has, &slot.grants.has) {
            slot.grants.has = Has::Nothing;
            slot.reserve();
        }
    };
    is_caught_under_rates(mutant, "it asks for a grant and has one");
}

#[test]
fn one_that_lets_its_ring_go_although_nobody_has_a_grant() {
    let mutant: Mutant = |_, slot, _| {
        if let Has::TooEarly { rings_back_at } = &mut slot.grants.has {
            *rings_back_at = None;
        }
    };
    is_caught_under_rates(mutant, "the ring is let go");
}

#[test]
fn one_that_forgets_a_call_whose_tenants_turn_comes_later() {
    let mutant: Mutant = |_, slot, _| without(slot, |action| matches!(action, Action::PutOff(_)));
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 0, gates: 0, grants: 0, places: 0 };
    let world = World::cold(budget, 0, None).whose_tenants_wait();
    let found = explore(world, Some(mutant)).unwrap_err();
    assert!(found.what.contains("messages have not ended"), "{found:#?}");
}

/// The mutant does something that is `wrong`, where slots need places.
fn is_caught_at_its_place(mutant: Mutant, wrong: &str) {
    let found = [(0, 1), (1, 0), (1, 1)].into_iter().find_map(|(messages, places)| {
        let budget =
            Budget { messages, failures: 0, rings: 1, timeouts: 1, gates: 0, grants: 0, places };
        let placed = World::placed(budget, Rates::None, Some(mutant));
        let at_work = World::warm_under_places(budget, Some(mutant));
        [placed, at_work].into_iter().find_map(|world| explore(world, Some(mutant)).err())
    });
    let found = found.expect("the mutant lives");
    println!("{}, after {} steps", found.what, found.steps.len());
    assert!(found.what.contains(wrong), "{found:#?}");
}

#[test]
fn one_that_does_not_wait_for_its_place() {
    let mutant: Mutant = |_, slot, now| {
        if slot.place.has == place::Has::Asked && matches!(slot.next, Next::Held { .. }) {
            slot.place.has = place::Has::Place;
            slot.advance(now);
        }
    };
    is_caught_at_its_place(mutant, "a call without a place");
}

#[test]
fn one_that_does_not_stand_down() {
    let mutant: Mutant = |_, slot, now| {
        if slot.place.is_full() {
            slot.place.known = Places::Unlimited;
            slot.advance(now);
        }
    };
    is_caught_at_its_place(mutant, "although others have all places");
}

#[test]
fn one_that_keeps_its_place_while_it_listens() {
    let mutant: Mutant = |before, slot, _| {
        if before.place.has == place::Has::Place && slot.rings == Rings::Leaving {
            without(slot, |action| *action == Action::LeavePlace);
            slot.place.has = place::Has::Nothing;
            slot.leave_place_and_listen();
        }
    };
    is_caught_at_its_place(mutant, "it listens for the last time and has its place");
}

#[test]
fn one_that_lets_its_ring_go_without_looking_whether_others_are_at_work() {
    let mutant: Mutant = |before, slot, _| {
        if before.rings == Rings::Clearing && slot.rings == Rings::Confirming {
            slot.rings = Rings::Asleep;
            slot.control.reads -= 1;
            without(slot, |action| *action == Action::ReadControl);
        }
    };
    is_caught_at_its_place(mutant, "may have taken the ring that calls it back");
}

#[test]
fn one_that_takes_it_for_granted_that_others_are_at_work() {
    let mutant: Mutant = |_, slot, _| {
        slot.place.others_at_work = slot.place.is_full();
    };
    is_caught_at_its_place(mutant, "the ring is let go");
}

#[test]
fn one_that_asks_again_although_it_has_a_place() {
    let mutant: Mutant = |before, slot, _| {
        if (before.place.has, slot.place.has) == (place::Has::Asked, place::Has::Place) {
            slot.place.has = place::Has::Nothing;
            slot.take_place();
        }
    };
    is_caught_at_its_place(mutant, "it asks for a place and has one");
}

#[test]
fn one_that_stands_down_in_its_place() {
    let mutant: Mutant = |before, slot, now| {
        let leaves = (before.place.has, slot.place.has) == (place::Has::Place, place::Has::Leaving);
        if leaves && slot.rings == Rings::Kept {
            without(slot, |action| *action == Action::LeavePlace);
            slot.place.has = place::Has::Nothing;
            slot.advance(now);
        }
    };
    is_caught_at_its_place(mutant, "the ring is let go");
}
