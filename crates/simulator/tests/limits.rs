//! Limits, pauses, outages and tenants: what the simulated API enforces, and what is promised of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use slowlane_aws_simulator::time::Moment;
use slowlane_message::Priority;
use slowlane_simulator::ledger::{Invariant, Violation};
use slowlane_simulator::monitor::{Gauge, Monitor};
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{
    Api, Dispatch, Load, Lowered, Mutant, Others, Outage, OutageKind, Pause, Per, Rate, Scenario,
    Told, ToldRate, Units, Window,
};

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, Onlooker::nobody()).unwrap()
}

/// Calls of the function with the limiter in it, which may all be repeated.
fn limited(api: Api, load: Load) -> Scenario {
    Scenario {
        dispatch: Dispatch::Limiter,
        limit: 50,
        repeatable: 1.0,
        api,
        load: vec![load],
        ..Scenario::default()
    }
}

/// Sixty calls at once for an API that takes twenty in ten seconds.
fn windowed(window: Window) -> Scenario {
    let api = Api { rates: vec![Rate::new(20, 10.0, window)], ..Api::fixed(200.0) };
    let limits = vec![Told::rate(20, 10.0)];
    Scenario { limits, ..limited(api, Load::new(Priority::Batch, 60, 0.0)) }
}

/// A call every 300 ms, and a pause of half a minute.
fn paused() -> Scenario {
    let pauses = vec![Pause { from_secs: 10, for_secs: 30 }];
    Scenario { pauses, ..limited(Api::fixed(200.0), Load::new(Priority::Batch, 100, 300.0)) }
}

/// A call every 300 ms, and an outage of a minute.
fn out_of_order(kind: OutageKind) -> Scenario {
    let outages = vec![Outage { from_secs: 5, for_secs: 60, kind }];
    let api = Api { outages, ..Api::fixed(200.0) };
    limited(api, Load::new(Priority::Batch, 100, 300.0))
}

/// A noisy tenant with nine calls of ten, each tenant two calls a second.
fn noisy() -> Scenario {
    let rate = Rate { per: Some(Per::Tenant), ..Rate::new(2, 1.0, Window::Sliding) };
    let api = Api { rates: vec![rate], ..Api::fixed(200.0) };
    let load = Load { tenants: 6, noisy: Some(0.9), ..Load::new(Priority::Batch, 100, 0.0) };
    let limits = vec![Told { per: Some(Per::Tenant), ..Told::rate(2, 1.0) }];
    Scenario { limits, ..limited(api, load) }
}

/// The same on the worker's ways.
fn noisy_at(dispatch: Dispatch) -> Scenario {
    Scenario { dispatch, limit: 10, ..noisy() }
}

/// Calls of the worker with twelve slots, of which two may be at work, or which find out how many.
fn placed(told: Told) -> Scenario {
    Scenario {
        limit: 12,
        limits: vec![told],
        load: vec![Load::new(Priority::Batch, 200, 0.0)],
        ..Scenario::default()
    }
}

fn two_at_once() -> Scenario {
    placed(Told { concurrency: Some(2), ..Told::default() })
}

#[test]
fn every_promise_bites() {
    let cases = [
        (Mutant::LimitsAlone, windowed(Window::Fixed), Invariant::RateKept),
        (Mutant::LimitsAlone, windowed(Window::Sliding), Invariant::RateKept),
        (
            Mutant::LimitsAlone,
            Scenario { dispatch: Dispatch::Doorbell, limit: 20, ..windowed(Window::Sliding) },
            Invariant::RateKept,
        ),
        (Mutant::LimitsAlone, two_at_once(), Invariant::ConcurrencyKept),
        (
            Mutant::LimitsAlone,
            Scenario { dispatch: Dispatch::DeferralSwap, ..two_at_once() },
            Invariant::ConcurrencyKept,
        ),
        (
            Mutant::DeafToOperators,
            Scenario {
                limits: Vec::new(),
                lowered: vec![Lowered {
                    from_secs: 1,
                    for_secs: 600,
                    concurrency: Some(2),
                    ..Lowered::default()
                }],
                ..two_at_once()
            },
            Invariant::ConcurrencyKept,
        ),
        (Mutant::DeafToOperators, paused(), Invariant::PauseKept),
        (
            Mutant::DeafToOperators,
            Scenario { dispatch: Dispatch::Doorbell, ..paused() },
            Invariant::PauseKept,
        ),
        (
            Mutant::TellsOutages,
            out_of_order(OutageKind::RefusedCredentials),
            Invariant::NothingFailsInOutage,
        ),
        (
            Mutant::TellsOutages,
            out_of_order(OutageKind::NoConnection),
            Invariant::NothingFailsInOutage,
        ),
        (
            Mutant::TellsOutages,
            out_of_order(OutageKind::ServerErrors),
            Invariant::NothingFailsInOutage,
        ),
        (Mutant::OneTenantForAll, noisy(), Invariant::QuietTenant),
        (Mutant::OneTenantForAll, noisy_at(Dispatch::Doorbell), Invariant::QuietTenant),
        (Mutant::OneTenantForAll, noisy_at(Dispatch::DeferralSwap), Invariant::QuietTenant),
        (Mutant::LimitsAlone, noisy_at(Dispatch::Doorbell), Invariant::RateKept),
        (Mutant::LimitsAlone, noisy_at(Dispatch::DeferralSwap), Invariant::RateKept),
    ];
    for (mutant, scenario, invariant) in cases {
        let sound = play(&scenario);
        assert_eq!(sound.violations, [], "without {mutant:?}");
        assert_eq!(sound.measures.failed, 0, "{:?}", sound.ends);
        let outcome = play(&Scenario { mutant: Some(mutant), ..scenario });
        let noticed = outcome.violations.iter().any(|violation| violation.invariant == invariant);
        assert!(noticed, "{mutant:?} was not noticed: {:?}", outcome.violations);
    }
}

#[test]
fn the_limiter_uses_most_of_a_rate_and_who_retries_is_refused() {
    let many = |dispatch| {
        let load = vec![Load::new(Priority::Batch, 300, 0.0)];
        Scenario { dispatch, load, ..windowed(Window::Fixed) }
    };
    let limited = play(&many(Dispatch::Limiter)).measures;
    assert_eq!((limited.own_429, limited.failed), (0, 0));
    assert!(limited.permitted_used.unwrap() > 0.8, "{limited:?}");
    assert!(limited.limiter_writes >= 300, "{limited:?}");
    let direct = play(&many(Dispatch::Direct)).measures;
    assert!(direct.own_429 > 100 && direct.limiter_writes == 0, "{direct:?}");
    let counted = play(&many(Dispatch::CheckAndReject)).measures;
    assert!(0 < counted.own_429 && counted.own_429 < direct.own_429, "{counted:?}");
}

/// The worker as it is today: its calls are refused, and no workflow fails for it.
#[test]
fn an_api_that_takes_less_than_the_ceiling_fails_no_call_of_the_worker() {
    let others = Some(Others { least: 0, most: 2, every_secs: 10 });
    let apis = [
        Api { concurrency: Some(2), ..Api::fixed(500.0) },
        Api { concurrency_steps: vec![(2, 1), (20, 5)], ..Api::fixed(500.0) },
        Api { others, ..Api::fixed(500.0) },
        Api { rates: vec![Rate::new(20, 10.0, Window::Sliding)], ..Api::fixed(200.0) },
    ];
    for api in apis {
        let load = vec![Load::new(Priority::Batch, 80, 0.0)];
        let outcome = play(&Scenario { api: api.clone(), load, ..Scenario::default() });
        assert_eq!(outcome.violations, [], "{api:?}");
        let measures = outcome.measures;
        assert_eq!(measures.failed, 0, "{api:?}: {:?}", outcome.ends);
        assert!(measures.http_429 > 0, "{api:?}: {measures:?}");
        assert_eq!(measures.own_429 < measures.http_429, api.others.is_some(), "{measures:?}");
        assert!(measures.receives.mean > 1.0, "{measures:?}");
    }
}

/// Calls with units, whose estimates are off by up to a factor of three, and an API that counts them.
fn with_units(limits: Vec<Told>) -> Scenario {
    let units = Some(Units { median: 10, p99: 40 });
    let load = Load { units, estimate_error: 2.0, ..Load::new(Priority::Batch, 150, 0.0) };
    Scenario {
        dispatch: Dispatch::Doorbell,
        limit: 20,
        repeatable: 1.0,
        api: Api { rates: vec![Rate::new(300, 10.0, Window::Fixed)], ..Api::fixed(500.0) },
        limits,
        load: vec![load],
        ..Scenario::default()
    }
}

fn told_units(units: u64, largest: u64) -> Told {
    let rate = ToldRate { units, per_secs: 10.0, bucket: None, largest: Some(largest) };
    Told { rate: Some(rate), ..Told::default() }
}

#[test]
fn the_worker_keeps_a_rate_that_counts_units_alone_and_beside_one_of_calls() {
    let without = play(&with_units(Vec::new())).measures;
    assert!(without.own_429 > 20, "{without:?}");
    for limits in [
        vec![told_units(300, 40)],
        vec![Told::rate(30, 10.0), told_units(300, 40)],
        vec![told_units(300, 40), told_units(2_000, 100)],
    ] {
        let outcome = play(&with_units(limits.clone()));
        assert_eq!(outcome.violations, [], "{limits:?}");
        let measures = outcome.measures;
        assert_eq!((measures.failed, measures.http_429), (0, 0), "{limits:?}: {measures:?}");
        let used = measures.permitted_used.unwrap();
        assert!(used > 0.6, "{limits:?}: {used}");
    }
}

#[test]
fn a_call_that_no_limit_ever_lets_through_fails_by_name_and_is_not_sent() {
    let scenario = with_units(vec![told_units(300, 25)]);
    let outcome = play(&scenario);
    let refused = outcome.ends.get("Slowlane.ExceedsLimit").copied().unwrap_or(0);
    assert!(refused > 5, "{:?}", outcome.ends);
    // That they failed is all there is to say of them.
    let only_fails = |violation: &Violation| violation.invariant == Invariant::Success;
    assert!(outcome.violations.iter().all(only_fails), "{:?}", outcome.violations);
    assert_eq!(outcome.violations.len() as u64, refused);
    assert_eq!(outcome.measures.failed, refused, "{:?}", outcome.ends);
    assert_eq!(outcome.measures.healthy_in_dlq, refused, "{:?}", outcome.measures);
}

#[test]
fn an_api_that_answers_nobody_fails_no_call_of_the_worker() {
    for kind in [OutageKind::RefusedCredentials, OutageKind::NoConnection, OutageKind::ServerErrors]
    {
        let outages = vec![Outage { from_secs: 5, for_secs: 300, kind }];
        let api = Api { outages, ..Api::fixed(200.0) };
        let load = vec![Load::new(Priority::Batch, 100, 300.0)];
        let outcome = play(&Scenario { api, load, ..Scenario::default() });
        assert_eq!(outcome.violations, [], "{kind:?}");
        let measures = outcome.measures;
        assert_eq!(measures.failed, 0, "{kind:?}: {:?}", outcome.ends);
        let outage = measures.outages.unwrap();
        assert!(outage.api_calls <= 5 + 20, "{kind:?}: {outage:?}");
    }
}

/// Nothing else comes, so nobody rings but who has found the API in order again. The rings that sleep
/// since the outage sleep for minutes more: none may be spared because of them while the slots come back.
#[test]
fn all_slots_are_back_soon_after_an_outage_though_nothing_else_comes() {
    for seed in 1..=8 {
        let outages =
            vec![Outage { from_secs: 4, for_secs: 8, kind: OutageKind::RefusedCredentials }];
        let scenario = Scenario {
            seed,
            limit: 5,
            api: Api { outages, ..Api::fixed(400.0) },
            load: vec![Load::new(Priority::Batch, 400, 0.0)],
            ..Scenario::default()
        };
        let outcome = play(&scenario);
        assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0), "seed {seed}");
        let full = outcome.measures.outages.unwrap().full_use_after_secs;
        assert!(full.is_some_and(|secs| secs < 30.0), "seed {seed}: {full:?}");
    }
}

#[test]
fn an_outage_is_counted() {
    let outcome = play(&out_of_order(OutageKind::RefusedCredentials));
    let outage = outcome.measures.outages.unwrap();
    // The breaker probes; who has none calls on.
    assert!(0 < outage.api_calls && outage.api_calls < 30, "{outage:?}");
    assert!(outage.requests > 0, "{outage:?}");
    let direct = Scenario { dispatch: Dispatch::Direct, ..out_of_order(OutageKind::NoConnection) };
    let direct = play(&direct).measures.outages.unwrap();
    assert!(direct.api_calls > 100, "{direct:?}");
}

#[test]
fn tenants_reach_the_worker_and_wait_apart_in_the_report() {
    let load = Load { tenants: 4, noisy: Some(0.7), ..Load::new(Priority::High, 60, 20.0) };
    let outcome = play(&Scenario { load: vec![load], ..Scenario::default() });
    assert_eq!(outcome.violations, []);
    let tenants = outcome.measures.tenants.unwrap();
    let (quiet, noisy) = (tenants.quiet_wait_ms.calls, tenants.noisy_high_wait_ms.calls);
    assert_eq!(quiet + noisy, 60);
    assert!((8..30).contains(&quiet), "{tenants:?}");
}

/// The simulated API knows no quota: the worker keeps it by itself.
#[test]
fn the_worker_waits_for_the_reset_of_a_quota_and_costs_little_meanwhile() {
    let quota = Some(ToldRate { units: 20, per_secs: 120.0, bucket: None, largest: None });
    let scenario = Scenario {
        limits: vec![Told { quota, ..Told::default() }],
        load: vec![Load::new(Priority::Batch, 50, 0.0)],
        ..Scenario::default()
    };
    let outcome = play(&scenario);
    assert_eq!(outcome.violations, []);
    let measures = outcome.measures;
    assert_eq!((measures.calls, measures.failed), (50, 0), "{:?}", outcome.ends);
    // Two resets lie between the first call and the last.
    let makespan = measures.makespan.as_secs();
    assert!((120..=250).contains(&makespan), "{makespan} s");
    assert!(measures.limiter_writes < 150, "{measures:?}");
    assert!(measures.aws_requests() < 50 * 25, "{measures:?}");
    let without = play(&Scenario { limits: Vec::new(), ..scenario });
    assert!(without.measures.makespan.as_secs() < 10);
}

/// Two of twelve slots work all the time, and nobody is woken for nothing again and again.
#[test]
fn slots_that_have_no_place_cost_little() {
    let scenario = Scenario { limit: 12, ..two_at_once() };
    let outcome = play(&scenario);
    assert_eq!(outcome.violations, []);
    let measures = outcome.measures;
    assert_eq!((measures.calls, measures.failed), (200, 0), "{:?}", outcome.ends);
    // 200 ms each, two at once.
    let makespan = measures.makespan.as_secs();
    assert!((20..=24).contains(&makespan), "{makespan} s");
    let alone = play(&Scenario { limit: 2, limits: Vec::new(), ..scenario }).measures;
    let more = measures.aws_requests() as f64 / alone.aws_requests() as f64;
    assert!(more < 1.1, "{more}: {} requests", measures.aws_requests());
    assert_eq!(alone.limiter_writes, 0);
}

/// What the API takes is found out within seconds, and again when it takes more.
#[test]
fn an_adaptive_concurrency_follows_what_the_api_takes() {
    let api = Api {
        concurrency: Some(12),
        concurrency_steps: vec![(10, 4), (40, 12)],
        ..Api::fixed(200.0)
    };
    let adaptive = Scenario {
        api,
        load: vec![Load::new(Priority::Batch, 1_800, 0.0)],
        ..placed(Told { adaptive: true, ..Told::default() })
    };
    let blind = Scenario { limits: Vec::new(), ..adaptive.clone() };
    let [found, blind] = [adaptive, blind].map(|scenario| play(&scenario));
    assert_eq!((found.violations, found.measures.failed), (Vec::new(), 0));
    let [refused, blindly] = [found.measures.http_429, blind.measures.http_429];
    assert!((4..50).contains(&refused) && blindly > 10 * refused, "{refused}, {blindly}");
    let used = found.measures.permitted_used.unwrap();
    assert!(used > 0.80, "{used}");
    let full = found.measures.full_use_after_rise.unwrap();
    assert!(full.as_secs() <= 25, "{full:?}");
}

/// Calls of ten slots of an API whose rate nobody has told Slowlane.
fn untold(rate: Rate, says_left: bool) -> Scenario {
    let api = Api { rates: vec![rate], retry_after: true, says_left, ..Api::fixed(200.0) };
    let load = vec![Load::new(Priority::Batch, 600, 0.0)];
    Scenario { limit: 10, api, load, ..Scenario::default() }
}

/// A fleet that hears what is left stops before it is refused, and uses about as much of the rate. Of a
/// sliding window it hears only when all of it is there again.
#[test]
fn what_an_api_says_is_left_holds_the_fleet_before_it_is_refused() {
    let bucket = Rate { burst: Some(60), ..Rate::new(10, 1.0, Window::Bucket) };
    for rate in [Rate::new(100, 10.0, Window::Fixed), Rate::new(100, 10.0, Window::Sliding), bucket]
    {
        let [heard, deaf] = [true, false].map(|says_left| play(&untold(rate.clone(), says_left)));
        assert_eq!((heard.violations, heard.measures.failed), (Vec::new(), 0), "{rate:?}");
        let [refused, refused_deaf] = [heard.measures.own_429, deaf.measures.own_429];
        assert!(
            refused_deaf > 20 && refused * 10 <= refused_deaf,
            "{rate:?}: {refused} 429s, without {refused_deaf}"
        );
        let used = heard.measures.permitted_used.unwrap();
        assert!(used >= 0.85, "{rate:?}: used {used}");
        // One write holds all, and each slot makes one a second at most.
        let secs = heard.measures.makespan.as_secs();
        assert!(heard.measures.limiter_writes <= 10 * secs, "{rate:?}: {:?}", heard.measures);
    }
}

/// An answer that says that enough is left costs nothing.
#[test]
fn where_enough_is_left_nothing_is_written() {
    let wide = Rate::new(100_000, 10.0, Window::Fixed);
    let [heard, deaf] = [true, false].map(|says_left| play(&untold(wide.clone(), says_left)));
    assert_eq!(heard.measures.limiter_writes, 0);
    assert_eq!(heard.measures.aws_requests(), deaf.measures.aws_requests());
}

/// The worker keeps each tenant's rate beside the target's, on both of its ways and whether or not
/// queues serve quiet tenants first. No call is refused, and none is received again and again.
#[test]
fn the_worker_keeps_each_tenants_rate_beside_the_targets() {
    let rates = vec![
        Rate { per: Some(Per::Tenant), ..Rate::new(2, 1.0, Window::Sliding) },
        Rate::new(20, 1.0, Window::Fixed),
    ];
    for dispatch in [Dispatch::Doorbell, Dispatch::DeferralSwap] {
        for fair in [0.0, 1.0] {
            let mut scenario = noisy_at(dispatch);
            scenario.parameters.insert("fair_queues".to_owned(), fair);
            scenario.api.rates = rates.clone();
            scenario.limits.push(Told::rate(20, 1.0));
            let outcome = play(&scenario);
            assert_eq!(outcome.violations, [], "{dispatch:?}, {fair}");
            let measures = outcome.measures;
            assert_eq!((measures.failed, measures.http_429), (0, 0), "{dispatch:?}: {measures:?}");
            assert!(measures.receives.mean <= 3.0, "{dispatch:?}: {:?}", measures.receives);
            // Ninety calls of the noisy tenant, two a second at most.
            let makespan = measures.makespan.as_secs();
            assert!((44..80).contains(&makespan), "{dispatch:?}: {makespan} s");
        }
    }
}

/// The noisy tenant's own HIGH calls overtake its batch, which would keep them waiting for a minute.
#[test]
fn an_urgent_call_overtakes_its_tenants_batch() {
    let urgent = Load { tenants: 2, noisy: Some(1.0), ..Load::new(Priority::High, 10, 3_000.0) };
    let mut scenario = noisy_at(Dispatch::Doorbell);
    scenario.load[0].noisy = Some(1.0);
    scenario.load.push(urgent);
    let outcome = play(&scenario);
    assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0));
    let wait = outcome.measures.tenants.unwrap().noisy_high_wait_ms;
    assert!(wait.calls == 10 && wait.max < 2_500, "{wait:?}");
}

/// Counts what the worker prints under a metric's name.
#[derive(Default)]
struct Metrics(RefCell<BTreeMap<String, f64>>);

impl Monitor for Metrics {
    fn printed(&self, _: Moment, record: &Value) {
        for (name, value) in record.as_object().into_iter().flatten() {
            *self.0.borrow_mut().entry(name.clone()).or_default() += value.as_f64().unwrap_or(0.0);
        }
    }

    fn queues(&self, _: Moment, _: &[Gauge]) {}
}

impl Metrics {
    fn of(&self, name: &str) -> f64 {
        self.0.borrow().get(name).copied().unwrap_or(0.0)
    }
}

/// The table of shared limits is out of reach for a minute, and the guard's is not: calls go on, each slot
/// keeps its share of the rate, and two metrics say so.
#[test]
fn where_the_table_of_shared_limits_is_out_of_reach_calls_go_on_and_a_metric_says_so() {
    let named = |told: Told| Told { name: Some("org".to_owned()), ..told };
    let rate = Rate::new(100, 10.0, Window::Sliding);
    let scenario = Scenario {
        limit: 6,
        api: Api { rates: vec![rate], ..Api::fixed(200.0) },
        limits: vec![
            named(Told::rate(100, 10.0)),
            named(Told { concurrency: Some(4), ..Told::default() }),
        ],
        load: vec![Load::new(Priority::Batch, 900, 0.0)],
        ..Scenario::default()
    };
    let played = |shared_table_out: Vec<Pause>| {
        let metrics = Rc::new(Metrics::default());
        let onlooker = Onlooker { monitor: Some(metrics.clone()), ..Onlooker::nobody() };
        let outcome = run(&Scenario { shared_table_out, ..scenario.clone() }, onlooker).unwrap();
        assert_eq!((outcome.violations, outcome.measures.failed), (Vec::new(), 0));
        assert_eq!(outcome.measures.own_429, 0);
        (metrics, outcome.measures)
    };
    let (quiet, reached) = played(Vec::new());
    assert_eq!((quiet.of("LimitsUnreached"), quiet.of("GrantsOfOwnShare")), (0.0, 0.0));
    let (told, cut_off) = played(vec![Pause { from_secs: 20, for_secs: 60 }]);
    assert!(told.of("LimitsUnreached") > 0.0 && told.of("GrantsOfOwnShare") > 100.0);
    // Each question takes the second after which a slot gives up, and then its share decides.
    let (before, after) = (reached.makespan.as_secs(), cut_off.makespan.as_secs());
    assert!(after < before + 50, "{after} s, and {before} s where it is reached");
}
