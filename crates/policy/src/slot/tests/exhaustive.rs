//! Every sequence of events up to a bound.
//!
//! States that are alike are gone on from only once, and the sequences are counted through them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use super::world::{Budget, Mutant, World};
use crate::slot::Rates;

/// What an exploration has come to.
#[derive(Debug, Default)]
pub(super) struct Explored {
    /// Sequences from the start to the slot's end.
    sequences: u128,
    states: usize,
    /// The most steps in a sequence.
    longest: usize,
}

/// What a slot did wrong, and how it came to that.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) steps: Vec<String>,
}

struct Explorer {
    mutant: Option<Mutant>,
    hashers: [RandomState; 2],
    /// How many sequences lead on from a state; `None` while it is being gone on from.
    known: HashMap<[u64; 2], Option<u128>>,
    path: Vec<String>,
    longest: usize,
}

/// Goes through everything that can happen to `world`.
pub(super) fn explore(world: World, mutant: Option<Mutant>) -> Result<Explored, Wrong> {
    let mut explorer = Explorer {
        mutant,
        hashers: [RandomState::new(), RandomState::new()],
        known: HashMap::new(),
        path: Vec::new(),
        longest: 0,
    };
    let sequences = explorer.go_on(&world)?;
    let Explorer { known, longest, .. } = explorer;
    Ok(Explored { sequences, states: known.len(), longest })
}

impl Explorer {
    fn go_on(&mut self, world: &World) -> Result<u128, Wrong> {
        let state = self.hashers.each_ref().map(|hasher| hasher.hash_one(world));
        match self.known.insert(state, None) {
            Some(Some(sequences)) => {
                self.known.insert(state, Some(sequences));
                return Ok(sequences);
            }
            Some(None) => return Err(self.wrong("it goes round in circles".to_owned())),
            None => {}
        }
        self.longest = self.longest.max(self.path.len());
        let mut sequences = u128::from(world.slot.has_ended());
        for step in world.steps() {
            self.path.push(format!("{step:?}"));
            let mut next = world.clone();
            next.take(step, self.mutant).map_err(|what| self.wrong(what))?;
            sequences += self.go_on(&next)?;
            self.path.pop();
        }
        self.known.insert(state, Some(sequences));
        Ok(sequences)
    }

    fn wrong(&self, what: String) -> Wrong {
        Wrong { what, steps: self.path.clone() }
    }
}

fn explored(name: &str, world: World) {
    let began = Instant::now();
    let explored = explore(world, None);
    let Explored { sequences, states, longest } = explored.unwrap_or_else(|wrong| {
        panic!("{}, after\n{}", wrong.what, wrong.steps.join("\n"));
    });
    println!(
        "{name}: {sequences} sequences of up to {longest} events, {states} states, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert!(sequences > 1_000_000, "the bound is too low to show anything");
}

#[test]
fn a_slot_from_its_start() {
    let budget =
        Budget { messages: 2, failures: 1, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 0 };
    explored("from its start", World::cold(budget, 0, None));
}

#[test]
fn a_slot_at_work() {
    let budget =
        Budget { messages: 1, failures: 1, rings: 1, timeouts: 2, gates: 0, grants: 0, places: 0 };
    explored("at work", World::warm(budget, 0, None));
}

#[test]
fn a_slot_at_work_for_longer() {
    let budget =
        Budget { messages: 2, failures: 1, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 0 };
    explored("at work for longer", World::warm(budget, 0, None));
}

#[test]
fn a_slot_whose_calls_run_late() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 1, timeouts: 2, gates: 0, grants: 0, places: 0 };
    explored("whose calls run late", World::warm(budget, 0, None));
}

#[test]
fn a_slot_that_wakes_others() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 0 };
    explored("waking others", World::cold(budget, 2, None));
}

#[test]
fn a_slot_at_work_whose_gate_shuts() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 2, gates: 2, grants: 0, places: 0 };
    explored("whose gate shuts", World::warm(budget, 0, None));
}

#[test]
fn a_slot_at_its_start_whose_gate_shuts() {
    let budget =
        Budget { messages: 1, failures: 1, rings: 0, timeouts: 1, gates: 2, grants: 0, places: 0 };
    explored("whose gate shuts at its start", World::cold(budget, 1, None));
}

#[test]
fn a_slot_that_is_woken_in_front_of_a_shut_gate() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 1, timeouts: 1, gates: 1, grants: 0, places: 0 };
    explored("in front of a shut gate", World::shut_out(budget, None));
}

#[test]
fn a_slot_that_gets_its_grants_first() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 0, timeouts: 2, gates: 0, grants: 2, places: 0 };
    explored("with grants first", World::rated(budget, true, None));
}

#[test]
fn a_slot_that_gets_its_grants_first_and_whose_requests_fail() {
    let budget =
        Budget { messages: 1, failures: 1, rings: 0, timeouts: 2, gates: 0, grants: 1, places: 0 };
    explored("with grants first and failures", World::rated(budget, true, None));
}

#[test]
fn a_slot_whose_rates_do_not_bind_so_far() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 0, timeouts: 2, gates: 0, grants: 2, places: 0 };
    explored("with grants last", World::rated(budget, false, None));
}

#[test]
fn a_slot_with_grants_whose_gate_shuts() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 1, timeouts: 2, gates: 1, grants: 1, places: 0 };
    explored("with grants and a gate", World::rated(budget, true, None));
}

#[test]
fn a_slot_at_work_under_rates() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 3, gates: 0, grants: 2, places: 0 };
    explored("at work under rates", World::warm_under_rates(budget, None));
}

#[test]
fn a_slot_that_needs_a_place() {
    let budget =
        Budget { messages: 1, failures: 1, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 1 };
    explored("that needs a place", World::placed(budget, Rates::None, None));
}

#[test]
fn a_slot_that_stands_down() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 2 };
    explored("that stands down", World::placed(budget, Rates::None, None));
}

#[test]
fn a_slot_at_work_that_stands_down() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 1, gates: 0, grants: 0, places: 2 };
    explored("at work that stands down", World::warm_under_places(budget, None));
}

#[test]
fn a_slot_that_needs_a_place_and_whose_gate_shuts() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 1, gates: 1, grants: 0, places: 2 };
    explored("with places and a gate", World::placed(budget, Rates::None, None));
}

#[test]
fn a_slot_that_needs_a_place_and_grants() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 2, gates: 0, grants: 1, places: 1 };
    explored("with places and grants", World::placed(budget, Rates::Calls, None));
}

#[test]
fn a_slot_whose_calls_wait_for_their_tenants() {
    let budget =
        Budget { messages: 2, failures: 1, rings: 1, timeouts: 1, gates: 0, grants: 0, places: 0 };
    let world = World::cold(budget, 0, None).whose_tenants_wait();
    explored("whose calls wait for their tenants", world);
}

#[test]
fn a_slot_at_work_whose_calls_wait_for_their_tenants() {
    let budget =
        Budget { messages: 1, failures: 0, rings: 0, timeouts: 2, gates: 1, grants: 0, places: 0 };
    let world = World::warm(budget, 0, None).whose_tenants_wait();
    explored("at work whose calls wait for their tenants", world);
}

#[test]
fn a_slot_with_grants_whose_calls_wait_for_their_tenants() {
    let budget =
        Budget { messages: 2, failures: 0, rings: 0, timeouts: 2, gates: 0, grants: 2, places: 0 };
    let world = World::rated(budget, true, None).whose_tenants_wait();
    explored("with grants whose calls wait for their tenants", world);
}
