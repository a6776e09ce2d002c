//! Whatever an API answers, each profile has exactly one verdict on it, and no panic.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use slowlane_profile::auth::Auth;
use slowlane_profile::{
    Answer, Api, Base, Body, Call, Found, LONGEST_WAIT, Loss, Method, Outcome, Profile, Recovery,
    shipped,
};

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn profiles() -> &'static [Profile] {
    static ALL: LazyLock<Vec<Profile>> =
        LazyLock::new(|| shipped::names().map(|name| shipped::get(name).unwrap()).collect());
    &ALL
}

/// Words that rules look for, so that random answers meet them.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "error",
        "errors",
        "code",
        "errorCode",
        "message",
        "data",
        "status",
        "extensions",
        "id",
        "THROTTLED",
        "Throttled",
        "userErrors",
        "REQUEST_LIMIT_EXCEEDED",
        "lock_timeout",
        "fault",
        "detail",
        "errorcode",
        "compositeResponse",
        "httpStatusCode",
        "responses",
        "type",
        "cost",
        "requestedQueryCost",
        "throttleStatus",
        "currentlyAvailable",
        "restoreRate",
        "policyName",
        "policies.ratelimit.SpikeArrestViolation",
        "insufficient_quota",
        "queued",
        "success",
    ];
    prop_oneof![4 => proptest::sample::select(known.map(str::to_owned).to_vec()), 1 => ".{0,12}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(word(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let names = [
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "location",
        "x-csrf-token",
        "stripe-rate-limited-reason",
        "content-type",
        "date",
        "ratelimit",
        "sforce-limit-info",
        "x-shopify-shop-api-call-limit",
        "odata-entityid",
        "x-amzn-errortype",
        "anthropic-ratelimit-requests-reset",
        "ratelimit-policy",
    ];
    let value = prop_oneof![
        Just("0".to_owned()),
        Just("Required".to_owned()),
        Just("32/40".to_owned()),
        Just("application/json".to_owned()),
        Just("99999999999999999999999999".to_owned()),
        "[ -~]{0,30}",
    ];
    let one = (proptest::sample::select(names.to_vec()), value);
    proptest::collection::vec(one, 0..6).prop_map(|all| {
        all.into_iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
            })
            .collect()
    })
}

/// A body, and whether that is all of it.
fn body() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        6 => json_value().prop_map(|value| (true, serde_json::to_vec(&value).unwrap())),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| (true, bytes)),
        1 => json_value().prop_map(|value| {
            let mut start = serde_json::to_vec(&value).unwrap();
            start.truncate(start.len() / 2);
            (false, start)
        }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let methods =
        [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];
    let paths = [
        "v1/charges",
        "v1/responses",
        "graphql.json",
        "crm/v3/objects/contacts/search",
        "",
        "api/v2/tickets",
        "v1/messages/batches",
        "services/data/v62.0/composite",
        "a/b?c=d",
    ];
    (
        proptest::sample::select(methods.to_vec()),
        proptest::sample::select(paths.to_vec()),
        proptest::option::of(".{0,8}"),
        proptest::option::of(json_value()),
    )
        .prop_map(|(method, path, key, body)| {
            let mut call = Call::new(method, path);
            call.idempotency_key = key;
            call.body = body;
            call
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_answer_has_one_verdict(
        status in prop_oneof![proptest::sample::select(vec![200_u16, 207, 400, 401, 403, 409, 429, 500, 503]), any::<u16>()],
        headers in headers(),
        body in body(),
        call in call(),
    ) {
        let (whole, bytes) = body;
        let body = if whole { Body::Whole(bytes) } else { Body::Start(bytes) };
        let answer = Answer { status, headers, body };
        for profile in profiles() {
            let verdict = profile.verdict(&call, &answer, now());
            prop_assert_eq!(&profile.verdict(&call, &answer, now()), &verdict);
            prop_assert_eq!(verdict.kind.is_some(), verdict.outcome == Outcome::Throttled);
            prop_assert_eq!(verdict.follow.is_some(), verdict.outcome == Outcome::Running);
            prop_assert!(verdict.wait.is_none_or(|wait| wait <= LONGEST_WAIT));
            prop_assert!(verdict.reason.code.is_none_or(|code| code.len() <= 64));
            if verdict.outcome == Outcome::Succeeded {
                prop_assert!((200..=299).contains(&status) || status == 304, "{} at {status}", profile.name());
            }
            // What only reads leaves nothing to be cleared up.
            if profile.reads(&call) && verdict.outcome == Outcome::Unknown {
                let repeats = matches!(profile.recovery(&call, Loss::Answered), Recovery::Repeat { .. });
                prop_assert!(repeats, "{} {:?}", profile.name(), call);
            }
        }
    }

    /// Nor does any other reader of an answer panic: the parts of a composite, what a call before the
    /// call gives, a token, what a look-up found. Each part has one verdict.
    #[test]
    fn whoever_reads_an_answer_ends(
        status in prop_oneof![proptest::sample::select(vec![200_u16, 207, 400, 401, 403, 404, 429, 500]), any::<u16>()],
        headers in headers(),
        body in body(),
        call in call(),
    ) {
        let (whole, bytes) = body;
        let body = if whole { Body::Whole(bytes) } else { Body::Start(bytes) };
        let answer = Answer { status, headers, body };
        let base = Base::parse("https://api.example/v1").unwrap();
        for profile in profiles() {
            let parts = profile.parts(&call, &answer, now());
            prop_assert_eq!(parts.len(), profile.parts(&call, &answer, now()).len());
            for part in parts {
                prop_assert_eq!(part.verdict.kind.is_some(), part.verdict.outcome == Outcome::Throttled);
            }
            let api = Api::new(profile.clone(), base.clone());
            for pre_call in api.before(&call) {
                if let Err(not_given) = pre_call.read(&answer) {
                    prop_assert_eq!(not_given.status, status);
                }
            }
            for (_, auth) in profile.auth.all() {
                let shape = match auth {
                    Auth::ClientCredentials(way) => &way.token,
                    Auth::JwtBearer(way) => &way.token,
                    Auth::RefreshToken(way) => &way.token,
                    _ => continue,
                };
                if let Ok(token) = shape.read(&answer, now()) {
                    prop_assert!((200..=299).contains(&status));
                    prop_assert!(now() <= token.renew_at && token.renew_at <= token.expires_at);
                }
            }
            for loss in [Loss::NoAnswer, Loss::Answered] {
                if let Recovery::LookUp(look_up) = profile.recovery(&call, loss) {
                    let found = profile.looked_up(&look_up, &answer, now());
                    if matches!(found, Found::Done { .. }) {
                        prop_assert!((200..=299).contains(&status), "{} {status}", profile.name());
                    }
                }
            }
        }
    }

    /// A status that no rule names leaves a write unknown.
    #[test]
    fn what_no_rule_names_is_unknown_for_a_write(
        status in prop_oneof![0_u16..200, 600..=u16::MAX],
        headers in headers(),
        call in call(),
    ) {
        let answer = Answer { status, headers, body: Body::Whole(Vec::new()) };
        for profile in profiles() {
            let expected = if profile.reads(&call) { Outcome::Transient } else { Outcome::Unknown };
            prop_assert_eq!(profile.verdict(&call, &answer, now()).outcome, expected, "{}", profile.name());
        }
    }

    /// A profile is somebody's text: whatever it is, reading it ends without a panic.
    #[test]
    fn reading_any_text_ends(
        lines in proptest::collection::vec(proptest::sample::select(vec![
            "name = \"x\"", "name = 3", "[[answers]]", "outcome = \"throttled\"", "outcome = \"succeeded\"",
            "limit = \"rate\"", "status = \"5-\"", "status = [1, \"a\"]", "body.\"x\" = 1",
            "body.\"/x\" = { contains = 1 }", "wait = [{}]", "[auth.header]", "[request]", "content = []",
            "settles_after = \"soon\"", "title = \"T\"", "settles_after = \"1m\"", "][", "= =", "[before]",
            "id = [{ header = \"a b\" }]", "[[after_loss]]", "repeat = {}", "nothing = \"x\"",
        ]), 0..12),
    ) {
        let text = lines.join("\n");
        if let Err(mistakes) = Profile::parse(&text) {
            prop_assert!(!mistakes.list().is_empty());
            prop_assert!(mistakes.list().iter().all(|mistake| mistake.line >= 1 && mistake.column >= 1));
        }
    }
}

/// Nested deeply, very wide, or very long: bounded time, and a verdict.
#[test]
fn a_hostile_answer_costs_little() {
    let deep = [b"{\"error\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat();
    let wide =
        serde_json::to_vec(&json!({"data": vec![json!({"userErrors": []}); 40_000]})).unwrap();
    let long = [b"{\"id\": \"1\", \"x\": \"".to_vec(), vec![b'a'; 8 << 20]].concat();
    let call = Call::new(Method::Post, "graphql.json");
    for body in [deep, wide, long] {
        for profile in profiles() {
            let answer = Answer::new(200, HeaderMap::new(), body.clone());
            let started = Instant::now();
            profile.verdict(&call, &answer, now());
            assert!(started.elapsed() < Duration::from_secs(5), "{}", profile.name());
        }
    }
}

/// A success whose body was not read to where a rule looks is no success of a write.
#[test]
fn a_body_that_was_not_read_leaves_a_write_unknown() {
    let shopify = shipped::get("shopify").unwrap();
    let answer = Answer {
        status: 200,
        headers: HeaderMap::new(),
        body: Body::Start(br#"{"data":{"productCreate":{"#.to_vec()),
    };
    let write = Call::new(Method::Post, "graphql.json").body(json!({"query": "mutation { x }"}));
    let read = Call::new(Method::Post, "graphql.json").body(json!({"query": "{ x }"}));
    assert_eq!(shopify.verdict(&write, &answer, now()).outcome, Outcome::Unknown);
    assert_eq!(shopify.verdict(&read, &answer, now()).outcome, Outcome::Succeeded);
    // No rule of `http` looks at the body of a success.
    let http = shipped::get("http").unwrap();
    assert_eq!(http.verdict(&write, &answer, now()).outcome, Outcome::Succeeded);
}

/// What HTTP says of a status holds in every profile, whatever stands between us and the vendor.
#[test]
fn no_profile_contradicts_http() {
    let verdict = |profile: &Profile, method, status| {
        let call = Call::new(method, "some/thing").idempotency_key("k");
        profile.verdict(&call, &Answer::new(status, HeaderMap::new(), ""), now()).outcome
    };
    for profile in profiles() {
        let name = profile.name();
        let post = |status| verdict(profile, Method::Post, status);
        assert_eq!(post(200), Outcome::Succeeded, "{name}");
        assert_eq!(post(204), Outcome::Succeeded, "{name}");
        assert_eq!(post(404), Outcome::Rejected, "{name}");
        assert_eq!(post(429), Outcome::Throttled, "{name}");
        // Nobody says that these were not executed.
        for status in [408, 500, 502, 504] {
            assert_eq!(post(status), Outcome::Unknown, "{name} {status}");
        }
        for status in [301, 302, 303] {
            let outcome = post(status);
            assert_ne!(outcome, Outcome::Succeeded, "{name} {status}");
        }
        let get = |status| verdict(profile, Method::Get, status);
        for status in [500, 502, 504] {
            assert!(
                matches!(get(status), Outcome::Transient | Outcome::Unknown),
                "{name} {status}"
            );
        }
        let refused = if name == "bedrock" { 403 } else { 401 };
        assert_eq!(post(refused), Outcome::Unauthorized, "{name}");
    }
}
