//! What a dialect says is what the shipped profile of its API understands. The profile was written from
//! the vendor's documents and recorded answers, not from this sandbox.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slowlane_profile::{Answer, Call, LimitKind, Method, Outcome, shipped};
use slowlane_sandbox::{Begun, Finished};
use slowlane_vendor_sandbox::{Dialect, Measure, Rate, Response, Sandbox, Settings, Vendor};

use crate::served::{quick, request};

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A dialect's sample call, made at a sandbox; what the profile says of the answer.
struct Judged {
    sandbox: Sandbox,
    dialect: Dialect,
    profile: slowlane_profile::Profile,
}

impl Judged {
    fn new(name: &str, rates: &[(Measure, &str)], open: bool) -> Self {
        let dialect = Dialect::of(name).unwrap();
        let vendor = Vendor::new(dialect.clone());
        let rate =
            |(measure, text): &(Measure, &str)| Rate { measure: *measure, ..text.parse().unwrap() };
        let settings = Settings { rates: rates.iter().map(rate).collect(), ..quick() };
        let vendor = if open { vendor.open() } else { vendor };
        let profile = shipped::get(name).unwrap();
        let mut sandbox = Sandbox::new((settings, vendor));
        // SAP wants a token that a call before the call has fetched: long ago, so that it counts no more.
        if name == "sap-odata" {
            let long_ago = NOW - Duration::from_secs(2 * 24 * 3600);
            let fetch = request("GET", "/", &[("x-csrf-token", "fetch")], "");
            if let Begun::Admitted(call) = sandbox.begin(fetch, long_ago) {
                let ends = call.finish_at();
                assert!(matches!(sandbox.finish(call, ends), Finished::Answer(_)));
            }
        }
        Self { sandbox, dialect, profile }
    }

    fn call(&mut self, key: &str) -> slowlane_profile::Verdict {
        let sample = &self.dialect.sample;
        let fill = |text: &str| text.replace("{key}", key);
        let (resource, body) = (fill(&sample.resource), fill(&sample.body.to_string()));
        let method: Method = match sample.method.as_str() {
            "PATCH" => Method::Patch,
            "PUT" => Method::Put,
            _ => Method::Post,
        };
        let headers = [
            ("idempotency-key", key),
            ("anthropic-version", "2023-06-01"),
            ("x-csrf-token", "sbx-00000001"),
            ("cookie", "SAP_SESSIONID_SBX_100=sbx-00000001"),
        ];
        let path = format!("{}/{resource}", self.dialect.base_path);
        let request = request(&sample.method, &path, &headers, &body);
        let answer = match self.sandbox.begin(request, NOW) {
            Begun::Answer(answer) => answer,
            Begun::Admitted(call) => {
                let ends = call.finish_at();
                let Finished::Answer(answer) = self.sandbox.finish(call, ends) else {
                    panic!("its answer was to come")
                };
                answer
            }
        };
        let call = Call::new(method, resource)
            .body(serde_json::from_str::<Value>(&body).unwrap())
            .idempotency_key(key);
        let now = Timestamp::from_second(NOW.as_secs() as i64).unwrap();
        self.profile.verdict(&call, &read(answer), now)
    }

    fn fault(&mut self, fault: &str) {
        self.sandbox.inject(fault.parse().unwrap(), NOW);
    }
}

fn read(answer: Response) -> Answer {
    let (head, body) = answer.into_parts();
    Answer::new(head.status.as_u16(), head.headers, body)
}

#[test]
fn its_sample_makes_a_record_whose_id_the_profile_finds() {
    for name in Dialect::names() {
        let verdict = Judged::new(name, &[], true).call("order-1");
        assert_eq!(verdict.outcome, Outcome::Succeeded, "{name}: {verdict:?}");
        // What Converse answers has no id.
        assert_eq!(verdict.id.is_some(), name != "bedrock", "{name}: {verdict:?}");
    }
}

#[test]
fn its_refusals_are_throttles_of_their_kinds_with_their_waits() {
    let second = Duration::from_secs(1);
    for name in Dialect::names() {
        let mut judged = Judged::new(name, &[(Measure::Calls, "1/5s")], true);
        judged.call("first");
        let verdict = judged.call("second");
        assert_eq!(verdict.outcome, Outcome::Throttled, "{name}: {verdict:?}");
        assert_eq!(verdict.kind, Some(LimitKind::Rate), "{name}: {verdict:?}");
        // Stripe and Bedrock tell no wait, and a spike arrest none either.
        let tells = !["bedrock", "stripe", "sap-odata"].contains(&name);
        let wait = verdict.wait.filter(|wait| *wait > 4 * second && *wait <= 6 * second);
        assert_eq!(wait.is_some(), tells, "{name}: {verdict:?}");

        // Without a permit: in every dialect it is a throttle, whatever its status.
        let mut judged = Judged::new(name, &[], true);
        judged.fault("429-burst:1");
        let verdict = judged.call("order-1");
        assert_eq!(verdict.outcome, Outcome::Throttled, "{name}: {verdict:?}");

        let mut judged = Judged::new(name, &[(Measure::Quota, "1/1d")], true);
        judged.call("first");
        let verdict = judged.call("second");
        assert_eq!(verdict.outcome, Outcome::Throttled, "{name}: {verdict:?}");
    }
}

#[test]
fn limits_in_headers_are_read() {
    for (name, measure, kind) in [
        ("http", Measure::Calls, LimitKind::Rate),
        ("github", Measure::Calls, LimitKind::Rate),
        ("zendesk", Measure::Calls, LimitKind::Rate),
        ("openai", Measure::Calls, LimitKind::Rate),
        ("openai", Measure::Units, LimitKind::Cost),
        ("anthropic", Measure::Calls, LimitKind::Rate),
        ("anthropic", Measure::Units, LimitKind::Cost),
        ("salesforce", Measure::Quota, LimitKind::DailyQuota),
        ("shopify", Measure::Calls, LimitKind::Rate),
        ("shopify", Measure::Units, LimitKind::Cost),
    ] {
        let verdict = Judged::new(name, &[(measure, "1000/60s")], true).call("order-1");
        let seen = verdict.limits.iter().find(|seen| seen.kind == kind);
        let seen = seen.unwrap_or_else(|| panic!("{name}, {measure:?}: {verdict:?}"));
        assert_eq!(seen.limit, Some(1000), "{name}: {seen:?}");
        assert!(seen.remaining.is_some_and(|left| left < 1000), "{name}: {seen:?}");
    }
}

/// Each of Dataverse's three limits has a code, and a wait. It tells what is left of two.
#[test]
fn dataverse_says_which_of_its_limits_holds_a_call_up() {
    for (rates, kind) in [
        ([(Measure::Calls, "2/300s")], LimitKind::Rate),
        ([(Measure::Time, "2ms/300s")], LimitKind::Cost),
    ] {
        let mut judged = Judged::new("dynamics", &rates, true);
        let first = judged.call("first");
        let seen = first.limits.iter().find(|seen| seen.kind == kind).unwrap();
        assert_eq!(seen.limit, None, "{first:?}");
        judged.call("second");
        let verdict = judged.call("third");
        assert_eq!((verdict.outcome, verdict.kind), (Outcome::Throttled, Some(kind)));
        assert!(verdict.wait > Some(Duration::from_secs(299)), "{verdict:?}");
    }
    let mut judged = Judged::new("dynamics", &[], true);
    judged.fault("429-burst:1");
    let verdict = judged.call("order-1");
    assert_eq!(verdict.kind, Some(LimitKind::Concurrency), "{verdict:?}");
    assert!(verdict.wait.is_some(), "{verdict:?}");
}

/// The wait stands nowhere: it follows from what the query costs, what is left and what comes back.
#[test]
fn a_200_of_shopifys_that_says_throttled_has_a_wait_in_points() {
    let points = [(Measure::Units, "5/1s,bucket=10")];
    let mut judged = Judged::new("shopify", &points, true);
    assert_eq!(judged.call("first").usage.and_then(|usage| usage.units()), Some(10));
    let verdict = judged.call("second");
    assert_eq!((verdict.outcome, verdict.kind), (Outcome::Throttled, Some(LimitKind::Cost)));
    assert_eq!(verdict.wait, Some(Duration::from_secs(2)), "{verdict:?}");
    assert_eq!(verdict.reason.status, 200);
}

/// An upsert that is made again makes nothing new, and a mutation that brings a key is done once.
#[test]
fn a_mutation_of_shopifys_has_one_effect() {
    let mut judged = Judged::new("shopify", &[], true);
    for _ in 0..2 {
        assert_eq!(judged.call("order-1").outcome, Outcome::Succeeded);
    }
    assert_eq!(judged.sandbox.report().records_created, 1);
    judged.dialect.sample.body = serde_json::json!({
        "query": "mutation Make($input: ProductInput!) { productCreate(input: $input) \
                  @idempotent(key: \"{key}\") { product { id } userErrors { code message } } }",
        "variables": { "input": { "title": "{key}" } },
    });
    for _ in 0..2 {
        assert_eq!(judged.call("order-2").outcome, Outcome::Succeeded);
    }
    assert_eq!(judged.sandbox.report().records_created, 2);
    judged.dialect.sample.body["variables"]["input"]["title"] = "other".into();
    assert_eq!(judged.call("order-2").outcome, Outcome::Rejected, "other parameters");
    judged.dialect.sample.body["variables"]["input"]["title"] = "".into();
    let blank = judged.call("order-3");
    assert_eq!((blank.outcome, blank.reason.code.as_deref()), (Outcome::Rejected, Some("BLANK")));
}

#[test]
fn its_errors_are_what_they_are() {
    for name in Dialect::names() {
        let refused = Judged::new(name, &[], false).call("order-1");
        assert_eq!(refused.outcome, Outcome::Unauthorized, "{name}: {refused:?}");
        assert!(refused.renew.is_some(), "{name}: {refused:?}");

        let mut judged = Judged::new(name, &[], true);
        judged.fault("400:1");
        assert_eq!(judged.call("order-1").outcome, Outcome::Rejected, "{name}");

        let mut judged = Judged::new(name, &[], true);
        judged.fault("500:1");
        assert_eq!(judged.call("order-1").outcome, Outcome::Unknown, "{name}");
    }
}

#[test]
fn what_a_model_has_used_is_told() {
    for name in ["openai", "anthropic", "bedrock"] {
        let usage = Judged::new(name, &[], true).call("order-1").usage;
        let usage = usage.unwrap_or_else(|| panic!("{name} says none"));
        assert!(usage.input > Some(0) && usage.output > Some(0), "{name}: {usage:?}");
        assert_eq!(usage.units(), usage.input.zip(usage.output).map(|(i, o)| i + o), "{name}");
    }
}

/// Zendesk heeds a key with a new ticket, and with nothing else.
#[test]
fn a_ticket_of_zendesks_that_is_made_again_is_the_first_one() {
    let mut judged = Judged::new("zendesk", &[], true);
    let first = judged.call("order-1");
    assert_eq!(judged.call("order-1").id, first.id);
    let report = judged.sandbox.report();
    assert_eq!((report.records_created, report.duplicate_effects), (1, 0));
    judged.dialect.sample.body["ticket"]["subject"] = "other".into();
    let other = judged.call("order-1");
    assert_eq!(other.outcome, Outcome::Rejected, "{other:?}");

    judged.dialect.sample.resource = "api/v2/users".to_owned();
    judged.dialect.sample.body = serde_json::json!({ "user": { "external_id": "{key}" } });
    for _ in 0..2 {
        assert_eq!(judged.call("user-1").outcome, Outcome::Succeeded);
    }
    assert_eq!(judged.sandbox.report().duplicate_effects, 1);
}

/// A label's name is unique at GitHub, so a second attempt finds its own.
#[test]
fn a_label_of_githubs_that_is_there_is_said_to_be() {
    let mut judged = Judged::new("github", &[], true);
    judged.dialect.sample.resource = "repos/acme/shop/labels".to_owned();
    judged.dialect.sample.body = serde_json::json!({ "name": "{key}" });
    assert_eq!(judged.call("late").outcome, Outcome::Succeeded);
    assert_eq!(judged.call("late").outcome, Outcome::AlreadyExists);
}
