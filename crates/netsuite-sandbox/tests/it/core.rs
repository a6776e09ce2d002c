//! The core under random loads, in virtual time.

use std::{collections::BinaryHeap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use slowlane_netsuite_sandbox::{Admitted, Begun, Finished, Report, Sandbox, Settings};

const START: Duration = Duration::from_secs(1_795_255_200);

/// A call that is to be finished; the earliest is the greatest.
struct Running(Box<Admitted>, usize);

impl Running {
    fn order(&self) -> (std::cmp::Reverse<Duration>, std::cmp::Reverse<usize>) {
        (std::cmp::Reverse(self.0.finish_at()), std::cmp::Reverse(self.1))
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Running {}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// One arrival: so many milliseconds after the one before, about one of a few orders.
#[derive(Clone, Debug)]
struct Arrival {
    after_ms: u64,
    order: u8,
    is_create: bool,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (0..120u64, 0..12u8, any::<bool>())
        .prop_map(|(after_ms, order, is_create)| Arrival { after_ms, order, is_create });
    proptest::collection::vec(arrival, 1..120)
}

fn request(arrival: &Arrival) -> http::Request<Bytes> {
    let line = r#""entity":{"id":"7"},"item":{"items":[{"item":{"id":"3"},"quantity":2}]}"#;
    let (method, path) = match arrival.is_create {
        true => ("POST", "salesOrder".to_owned()),
        false => ("PUT", format!("salesOrder/eid:o-{}?replace=item", arrival.order)),
    };
    http::Request::builder()
        .method(method)
        .uri(format!("/services/rest/record/v1/{path}"))
        .header("x-slowlane-idempotency-key", format!("key-{}", arrival.order))
        .body(Bytes::from(format!("{{{line}}}")))
        .unwrap()
}

/// What a run showed from outside.
#[derive(Debug, PartialEq)]
struct Seen {
    report: Report,
    max_running: usize,
    refused: u64,
    answered: u64,
    dropped: u64,
}

fn run(settings: Settings, faults: &[&str], arrivals: &[Arrival]) -> Seen {
    let limit = settings.limit as usize;
    let mut sandbox = Sandbox::new(settings);
    for fault in faults {
        sandbox.inject(fault.parse().unwrap(), START);
    }
    let mut running: BinaryHeap<Running> = BinaryHeap::new();
    let (mut max_running, mut refused, mut answered, mut dropped) = (0, 0, 0, 0);
    let mut now = START;
    let mut finish = |sandbox: &mut Sandbox, running: &mut BinaryHeap<Running>, until: Duration| {
        while running.peek().is_some_and(|next| next.0.finish_at() <= until) {
            let Running(call, number) = running.pop().unwrap();
            let at = call.finish_at();
            match sandbox.finish(call, at) {
                Finished::Answer(_) => answered += 1,
                Finished::Drop => dropped += 1,
                Finished::DropAndGoOn(later) => running.push(Running(later, number)),
            }
        }
    };
    for (number, arrival) in arrivals.iter().enumerate() {
        now += Duration::from_millis(arrival.after_ms);
        finish(&mut sandbox, &mut running, now);
        match sandbox.begin(request(arrival), now) {
            Begun::Admitted(call) => running.push(Running(call, number)),
            Begun::Answer(answer) => {
                assert_eq!(answer.status(), 429);
                refused += 1;
            }
        }
        assert!(running.len() <= limit, "{} calls run where {limit} may", running.len());
        assert_eq!(sandbox.stats().in_flight as usize, running.len());
        max_running = max_running.max(running.len());
    }
    finish(&mut sandbox, &mut running, Duration::MAX);
    assert_eq!(sandbox.stats().in_flight, 0, "every permit is given back");
    Seen { report: sandbox.report(), max_running, refused, answered, dropped }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn permits_are_never_exceeded_nor_lost_and_the_books_balance(
        arrivals in arrivals(),
        limit in 1..8u32,
        seed in any::<u64>(),
        fault in proptest::option::of(prop_oneof![
            Just("drop-after-commit:share=0.3"), Just("commit-late:every=3,by=500ms"), Just("500:share=0.5"),
            Just("500-after-commit:2"), Just("400:every=4"), Just("400-after-commit:share=0.4"),
            Just("invalid-login:2,by=1s"), Just("429-burst:5"), Just("slow:share=0.2,by=1s"),
        ]),
    ) {
        let settings = Settings {
            limit, seed, open: true,
            latency: "lognormal:median=100,sigma=1".parse().unwrap(),
            ..Settings::default()
        };
        let faults: Vec<&str> = fault.into_iter().collect();
        let seen = run(settings.clone(), &faults, &arrivals);
        let Seen { report, max_running, refused, .. } = &seen;

        prop_assert_eq!(report.requests, arrivals.len() as u64);
        prop_assert_eq!(report.http_429, *refused);
        prop_assert_eq!(report.max_concurrency as usize, *max_running);
        prop_assert_eq!(report.calls.len() as u64 + refused, report.requests);
        prop_assert_eq!(seen.answered + seen.dropped, report.calls.len() as u64);
        prop_assert_eq!(report.records.values().sum::<u64>(), report.records_created);
        // Each key's first effect is not a duplicate, and every other creation is: upserts here
        // replace their lines, so creations are the only effects.
        let keys: std::collections::HashSet<_> = report
            .calls
            .iter()
            .filter(|call| {
                let saved = |fault: &str| fault.ends_with("-after-commit");
                call.status == 204 || call.fault.as_deref().is_some_and(saved)
            })
            .filter_map(|call| call.idempotency_key.as_ref())
            .collect();
        prop_assert_eq!(report.records_created - keys.len() as u64, report.duplicate_effects);

        // The same seed and arrivals, the same run.
        prop_assert_eq!(&run(settings.clone(), &faults, &arrivals), &seen);
    }
}

#[test]
fn another_seed_is_another_run() {
    let arrivals: Vec<Arrival> =
        (0..50).map(|n| Arrival { after_ms: 300, order: n, is_create: false }).collect();
    let ends = |seed| {
        let latency = "uniform:1..250".parse().unwrap();
        let settings = Settings { seed, open: true, latency, ..Settings::default() };
        run(settings, &[], &arrivals)
            .report
            .calls
            .iter()
            .map(|call| call.end_ms)
            .collect::<Vec<_>>()
    };
    assert_eq!(ends(1), ends(1));
    assert_ne!(ends(1), ends(2));
}

#[test]
fn calls_that_run_across_a_reset_write_nothing_and_give_their_permits_back() {
    let mut sandbox = Sandbox::new(Settings { limit: 1, open: true, ..Settings::default() });
    let arrival = Arrival { after_ms: 0, order: 1, is_create: false };
    let Begun::Admitted(call) = sandbox.begin(request(&arrival), START) else {
        panic!("a permit is free")
    };
    sandbox.reset();
    assert_eq!(sandbox.stats().in_flight, 1);
    let end = call.finish_at();
    assert!(matches!(sandbox.finish(call, end), Finished::Drop));
    let report = sandbox.report();
    assert_eq!((report.records_created, report.requests, report.calls.len()), (0, 0, 0));
    assert_eq!(sandbox.stats().in_flight, 0);
}

#[test]
fn of_two_updates_that_overlap_the_later_finds_the_record_changed() {
    let mut sandbox = Sandbox::new(Settings { open: true, ..Settings::default() });
    let upsert = |order: u8| request(&Arrival { after_ms: 0, order, is_create: false });
    let begin =
        |sandbox: &mut Sandbox, order: u8, at: Duration| match sandbox.begin(upsert(order), at) {
            Begun::Admitted(call) => call,
            Begun::Answer(answer) => panic!("a permit was free: {answer:?}"),
        };
    let finish = |sandbox: &mut Sandbox, call: Box<Admitted>| {
        let end = call.finish_at();
        match sandbox.finish(call, end) {
            Finished::Answer(answer) => {
                (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
            }
            other => panic!("no fault was asked for: {other:?}"),
        }
    };
    // Two that would create it, then two that would change it.
    for round in 0..2 {
        let start = START + Duration::from_secs(10 * round);
        let (first, second) = (
            begin(&mut sandbox, 1, start),
            begin(&mut sandbox, 1, start + Duration::from_millis(1)),
        );
        let other = begin(&mut sandbox, 2, start);
        assert_eq!(finish(&mut sandbox, first).0, 204);
        assert_eq!(finish(&mut sandbox, other).0, 204, "another record has not changed");
        let (status, body) = finish(&mut sandbox, second);
        assert_eq!(status, 400);
        assert!(body.contains("RCRD_HAS_BEEN_CHANGED"), "{body}");
    }
    let again = begin(&mut sandbox, 1, START + Duration::from_secs(30));
    assert_eq!(finish(&mut sandbox, again).0, 204);
}
