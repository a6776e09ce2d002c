//! Whole runs against vendors' sandboxes: the real enqueuer, the real worker with the profile of each.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slowlane_message::Priority;
use slowlane_simulator::run::{Onlooker, Outcome, run};
use slowlane_simulator::scenario::{Api, Load, Rate, Scenario, Told, ToldRate, Window};
use slowlane_vendor_sandbox::Dialect;

const CALLS: u64 = 20;

fn scenario(profile: &str) -> Scenario {
    let rate = Rate::new(4, 2.0, Window::Sliding);
    Scenario {
        limit: 2,
        api: Api { profile: Some(profile.to_owned()), rates: vec![rate], ..Api::fixed(200.0) },
        load: vec![Load::new(Priority::Normal, CALLS, 0.0)],
        deadline_secs: 5_400,
        ..Scenario::default()
    }
}

fn play(scenario: &Scenario) -> Outcome {
    run(scenario, Onlooker::nobody()).unwrap()
}

#[test]
fn a_rate_that_is_told_is_never_passed_at_any_vendors() {
    let rate = Some(ToldRate { units: 4, per_secs: 2.0, bucket: None, largest: None });
    for profile in Dialect::names() {
        let told = vec![Told { rate, ..Told::default() }];
        let outcome = play(&Scenario { limits: told, ..scenario(profile) });
        let measures = &outcome.measures;
        assert_eq!(outcome.violations, [], "{profile}");
        assert_eq!(outcome.ends.get("Succeeded"), Some(&CALLS), "{profile}: {:?}", outcome.ends);
        assert_eq!((measures.http_429, measures.duplicates), (0, 0), "{profile}: {measures:?}");
        assert!((1..=2).contains(&measures.max_concurrency), "{profile}: {measures:?}");
        // Twenty calls at four in two seconds: the last of them waits for about eight.
        let longest = measures.waits[1].max;
        assert!((7_000..15_000).contains(&longest), "{profile}: {:?}", measures.waits);
    }
}

#[test]
fn a_rate_that_nobody_told_of_is_met_and_all_calls_end() {
    for profile in Dialect::names() {
        let outcome = play(&scenario(profile));
        assert_eq!(outcome.violations, [], "{profile}");
        assert_eq!(outcome.ends.get("Succeeded"), Some(&CALLS), "{profile}: {:?}", outcome.ends);
        // The others' answers say what is left, and nobody asks for more than that.
        if ["bedrock", "sap-odata", "stripe"].contains(&profile) {
            assert!(outcome.measures.http_429 > 0, "{profile}: {:?}", outcome.measures);
        }
    }
}

#[test]
fn one_seed_gives_one_history() {
    let scenario = Scenario {
        api: Api { p99_ms: Some(900.0), ..scenario("shopify").api },
        ..scenario("shopify")
    };
    let (one, same) = (play(&scenario), play(&scenario));
    let other = play(&Scenario { seed: 2, ..scenario });
    assert_eq!((one.hash, one.events), (same.hash, same.events));
    assert_ne!(one.hash, other.hash);
}

#[test]
fn a_scenario_of_a_vendors_api_says_what_is_wrong_with_it() {
    let head = "[api]\nmedian_ms = 200\nprofile = \"stripe\"\n";
    for (text, told) in [
        ("[api]\nmedian_ms = 200\nprofile = \"strpie\"\n".to_owned(), "`strpie`"),
        ("[api]\nmedian_ms = 200\nfaults = [\"500:1\"]\n".to_owned(), "name its profile too"),
        (format!("{head}faults = [\"flood\"]\n"), "faults of [api]"),
        (format!("{head}says_left = true\n"), "for the vendor to say"),
        (format!("{head}[faults]\napi-error = 0.1\n"), "those of the cloud"),
        (format!("dispatch = \"direct\"\n{head}"), "only the worker"),
    ] {
        let error = Scenario::parse(&text).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
    let good = include_str!("../scenarios/vendor.toml");
    let outcome = play(&Scenario::parse(good).unwrap());
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.ends.get("Succeeded"), Some(&270), "{:?}", outcome.ends);
    assert_eq!((outcome.measures.http_429, outcome.measures.duplicates), (0, 0));
}
