//! Random and systematic interleavings of workers, crashes and lost messages, under one
//! seed, checked against what the crate promises.
//!
//! Workers are plain futures that a scheduler here polls one suspension at a time; a
//! crash is a future dropped where it stands. `INTERLEAVINGS=100000` runs more of them,
//! `INTERLEAVING_SEED=7` runs one and prints what happened.

mod worker;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use slowlane_idempotency::{Guard, Key, Scope};
use worker::{Ending, deliver, deliver_by_closure, request};
use world::{
    Mutant, NO_LATE_WRITER, ONE_EFFECT, Point, RESULT_STAYS, SKEW, TOLD_OF_EFFECTS, Target,
    Violation, World, step,
};

#[test]
fn every_promise_holds_in_random_interleavings() {
    if let Some(seed) = number_from_env("INTERLEAVING_SEED") {
        let run = explore(seed, None, true);
        println!("{}", run.trace.join("\n"));
        assert_eq!(run.violations, [], "seed {seed}");
        return;
    }
    let mut counts = BTreeMap::new();
    let mut crashed_at = BTreeSet::new();
    let runs = number_from_env("INTERLEAVINGS").unwrap_or(10_000);
    for seed in 0..runs {
        let run = explore(seed, None, false);
        assert_eq!(
            run.violations,
            [],
            "to see what happened: INTERLEAVING_SEED={seed} cargo test -p slowlane-idempotency \
             --test it random_interleavings -- --nocapture"
        );
        for (what, count) in run.counts {
            *counts.entry(what).or_insert(0) += count;
        }
        crashed_at.extend(run.crashed_at);
    }
    println!("{counts:#?}");
    if runs < 10_000 {
        return;
    }
    for rare in [
        "adopted",
        "claimed again",
        "closure done",
        "crashes",
        "decided by a person",
        "in progress",
        "late writes",
        "lost ownership",
        "not settled",
        "ran again",
        "released",
        "replayed",
        "told of earlier attempts",
    ] {
        assert!(counts.get(rare) > Some(&20), "hardly ever: {rare}");
    }
    assert_eq!(crashed_at, every_point());
}

/// Each must be found, by every promise that its part is there to keep.
#[test]
fn broken_guards_are_noticed() {
    for (mutant, promises) in [
        (Mutant::NoOwnerCheck, &[NO_LATE_WRITER, ONE_EFFECT][..]),
        (Mutant::NoDispatchedMark, &[ONE_EFFECT][..]),
        (Mutant::NoMargin, &[ONE_EFFECT][..]),
        (Mutant::UnconditionalComplete, &[NO_LATE_WRITER, RESULT_STAYS][..]),
        (Mutant::SilentTakeover, &[ONE_EFFECT][..]),
        (Mutant::AsksTooEarly, &[ONE_EFFECT][..]),
        (Mutant::ForgetsEarlierAttempts, &[TOLD_OF_EFFECTS][..]),
    ] {
        let mut unbroken: Vec<_> = promises.to_vec();
        for seed in 0..10_000 {
            for Violation { property, detail } in explore(seed, Some(mutant), false).violations {
                if let Some(found) = unbroken.iter().position(|promise| *promise == property) {
                    unbroken.remove(found);
                    println!("{mutant:?}: seed {seed}: {property}: {detail}");
                }
            }
            if unbroken.is_empty() {
                break;
            }
        }
        assert_eq!(unbroken, <[&str; 0]>::default(), "{mutant:?} went unnoticed");
    }
}

/// Without other faults: the first worker crashes at its every suspension, and the
/// second, which finds what the first left, at its every suspension.
#[test]
fn two_crashes_at_every_pair_of_points() {
    for target in [Target::Asked, Target::Silent, Target::Repeatable] {
        let mut crashed_at = BTreeSet::new();
        for (first, second) in (0..12).flat_map(|first| (0..12).map(move |second| (first, second)))
        {
            let world = World::new(1, target, None, false);
            world.state().faults = false;
            for crash_after in [first, second] {
                crash_after_steps(&world, crash_after);
                world.state().advance(Duration::from_secs(30));
            }
            finish(&world);
            let state = world.state();
            assert_eq!(state.violations, [], "{target:?}, {first} and {second} steps");
            crashed_at.extend(state.crashed_at.iter().copied());
        }
        let dispatched = crashed_at.contains(&Point::Arrives("DISPATCHED"));
        assert_eq!(dispatched, target != Target::Repeatable);
        assert!(crashed_at.contains(&Point::Leaves("COMPLETED")), "{crashed_at:?}");
    }
}

fn crash_after_steps(world: &World, steps: usize) {
    let mut delivery = start(world, 0);
    for _ in 0..steps {
        if delivery.step(world).is_ready() {
            return;
        }
        world.state().target_acts();
    }
    delivery.crash(world);
}

/// A worker that is at work on a delivery.
struct Delivery {
    number: u32,
    worker: Pin<Box<dyn Future<Output = Ending>>>,
    suspended_at: Option<Point>,
}

impl Delivery {
    fn step(&mut self, world: &World) -> Poll<Ending> {
        world.state().at_work = self.number;
        let polled = step(&mut self.worker);
        self.suspended_at = world.state().suspended_at;
        polled
    }

    fn crash(self, world: &World) {
        let Self { number, worker, suspended_at } = self;
        drop(worker);
        let mut state = world.state();
        state.at_work = number;
        state.crashed_at.extend(suspended_at);
        state.count("crashes");
        state.note(|| format!("at {suspended_at:?}"));
    }
}

struct Run {
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
    crashed_at: BTreeSet<Point>,
    trace: Vec<String>,
}

/// One run: disorder first, then everybody is let finish, then somebody looks.
fn explore(seed: u64, mutant: Option<Mutant>, traced: bool) -> Run {
    let mut rng = Rng::with_seed(seed);
    let target = *rng
        .choice(&[Target::Asked, Target::Asked, Target::Silent, Target::Repeatable])
        .expect("not empty");
    let world = World::new(rng.u64(..), target, mutant, traced);
    world.state().by_closure = mutant.is_none() && rng.u8(..3) == 0;
    world.state().note(|| format!("{target:?}"));
    disorder(&world, &mut rng);
    finish(&world);
    let mut state = world.state();
    Run {
        violations: std::mem::take(&mut state.violations),
        counts: std::mem::take(&mut state.counts),
        crashed_at: std::mem::take(&mut state.crashed_at),
        trace: state.trace.take().unwrap_or_default(),
    }
}

/// How often each thing happens is drawn anew for every run, so that some runs are all
/// crashes and others all waiting.
struct Odds {
    step: u32,
    time: u32,
    jump: u32,
    target: u32,
    reset: u32,
    late_write: u32,
    crash: u32,
    /// Of 8: how often the youngest worker steps while the others are stalled.
    youngest: u32,
}

#[derive(Clone, Copy)]
enum Event {
    Step,
    Time(u64),
    /// To the next moment at which a delivery is due: where margins are exact, an error
    /// of one millisecond shows.
    Jump,
    Target,
    Reset,
    LateWrite,
    Crash,
}

impl Odds {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            step: rng.u32(5..60),
            time: rng.u32(..10),
            jump: rng.u32(..10),
            target: rng.u32(..8),
            reset: rng.u32(..5),
            late_write: rng.u32(..5),
            crash: rng.u32(..4),
            youngest: rng.u32(..8),
        }
    }

    fn event(&self, rng: &mut Rng) -> Event {
        let odds = [
            (self.step, Event::Step),
            (self.time, Event::Time(rng.u64(1..3_000))),
            (self.jump, Event::Jump),
            (self.target, Event::Target),
            (self.reset, Event::Reset),
            (self.late_write, Event::LateWrite),
            (self.crash, Event::Crash),
        ];
        let total: u32 = odds.iter().map(|(odds, _)| odds).sum();
        let mut draw = rng.u32(..total);
        for (odds, event) in odds {
            match draw.checked_sub(odds) {
                Some(rest) => draw = rest,
                None => return event,
            }
        }
        Event::Step
    }
}

/// A queue that delivers at least once. A message that was given back returns when it asked to, one
/// whose worker crashed returns after a while, and now and then one is doubled.
fn disorder(world: &World, rng: &mut Rng) {
    let odds = Odds::draw(rng);
    let mut running: Vec<Delivery> = Vec::new();
    let mut due = vec![world.state().now(); rng.usize(1..=3)];
    let mut left = rng.u8(3..=10);
    for _ in 0..rng.u32(30..250) {
        let now = world.state().now();
        let arrived = due.iter().position(|&at| at <= now);
        if let Some(arrived) = arrived.filter(|_| left > 0 && running.len() < 3) {
            due.swap_remove(arrived);
            left -= 1;
            running.push(start(world, skew(rng)));
        }
        let index = match running.len().checked_sub(1) {
            Some(last) if rng.u32(..8) < odds.youngest => last,
            Some(last) => rng.usize(..=last),
            None => 0,
        };
        match odds.event(rng) {
            Event::Time(ms) => world.state().advance(Duration::from_millis(ms)),
            Event::Jump => {
                let next = due.iter().min().copied().unwrap_or(now);
                let by = next.saturating_sub(now);
                world.state().advance(Duration::from_millis(by));
            }
            Event::Target => world.state().target_acts(),
            Event::Reset => world.state().connection_breaks(),
            Event::LateWrite => world.state().late_write_lands(),
            Event::Step | Event::Crash if running.is_empty() => {}
            Event::Crash => {
                running.swap_remove(index).crash(world);
                due.push(now + rng.u64(..15_000));
            }
            Event::Step => match running[index].step(world) {
                Poll::Pending => {}
                Poll::Ready(ending) => {
                    drop(running.swap_remove(index));
                    due.extend(match ending {
                        Ending::GivenBack(wait) => Some(now + wait.as_millis() as u64),
                        Ending::Done(_) | Ending::Person => None,
                    });
                    due.extend((rng.u8(..4) == 0).then_some(now));
                }
            },
        }
    }
    world.state().faults = false;
    for delivery in running {
        complete_delivery(world, delivery);
    }
}

/// Whatever was left, a few deliveries that wait as long as they are told must reach an end. Late
/// writes must not change it any more.
fn finish(world: &World) {
    world.state().faults = false;
    let mut last = None;
    for _ in 0..8 {
        match complete_delivery(world, start(world, 0)) {
            Some(Ending::Done(value)) if last.as_ref() == Some(&value) => {
                let mut state = world.state();
                if !state.has_late_writes() {
                    return;
                }
                while state.has_late_writes() {
                    state.late_write_lands();
                }
            }
            Some(Ending::Done(value)) => last = Some(value),
            Some(Ending::Person) => decide_as_a_person(world),
            Some(Ending::GivenBack(wait)) => world.state().advance(wait + SKEW),
            None => break,
        }
    }
    world.state().waited_for_ever(format!("{last:?} after 8 deliveries"));
}

/// A person looks into the target, where machines cannot.
fn decide_as_a_person(world: &World) {
    let guard = Guard::new(world.clone(), world.settings(0));
    let world = world.clone();
    world.state().advance(Duration::from_secs(60));
    let person = Box::pin({
        let world = world.clone();
        async move {
            let (scope, key) = (Scope::new("orders").unwrap(), Key::new("order-1").unwrap());
            let found = guard.find_unresolved(&scope, &key).await.unwrap();
            let unknown = found.expect("it needs a person");
            let effect = world.state().effects().first().cloned();
            match effect {
                Some(effect) => {
                    unknown.adopt(&serde_json::json!({"effect": effect})).await.unwrap()
                }
                None => unknown.release().await.unwrap(),
            }
            world.state().count("decided by a person");
            Ending::Person
        }
    });
    complete_delivery(&world, numbered(&world, person));
}

/// Polls one delivery to its end, in a world that has become well-behaved; `None` if it
/// does not end.
fn complete_delivery(world: &World, mut delivery: Delivery) -> Option<Ending> {
    for _ in 0..200 {
        if let Poll::Ready(ending) = delivery.step(world) {
            return Some(ending);
        }
        let mut state = world.state();
        state.target_acts();
        if state.suspended_at == Some(Point::Arrives("CALL")) {
            state.advance(Duration::from_millis(100));
        }
    }
    None
}

fn start(world: &World, skew_ms: i64) -> Delivery {
    let by_closure = world.state().by_closure;
    let request = request(world.state().target);
    let worker: Pin<Box<dyn Future<Output = Ending>>> = if by_closure {
        Box::pin(deliver_by_closure(world.clone(), request, skew_ms))
    } else {
        Box::pin(deliver(world.clone(), request, skew_ms))
    };
    let delivery = numbered(world, worker);
    let starts = || format!("starts, its clock off by {skew_ms} ms");
    world.state().note(starts);
    delivery
}

fn numbered(world: &World, worker: Pin<Box<dyn Future<Output = Ending>>>) -> Delivery {
    let mut state = world.state();
    state.deliveries += 1;
    state.at_work = state.deliveries;
    Delivery { number: state.deliveries, worker, suspended_at: None }
}

/// Two clocks differ by at most the margin, and often by all of it.
fn skew(rng: &mut Rng) -> i64 {
    let most = i64::try_from(SKEW.as_millis() / 2).expect("a few seconds");
    match rng.u8(..3) {
        0 => -most,
        1 => most,
        _ => rng.i64(-most..=most),
    }
}

fn every_point() -> BTreeSet<Point> {
    ["CLAIMED", "DISPATCHED", "UNKNOWN", "NEEDS_PERSON", "COMPLETED", "RELEASED", "CALL", "ASK"]
        .into_iter()
        .flat_map(|what| [Point::Leaves(what), Point::Arrives(what)])
        .collect()
}

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
