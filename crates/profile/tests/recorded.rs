//! Every shipped profile, held to answers as its vendor's documentation and clients have them:
//! `profiles/tests/NAME.toml`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use slowlane_profile::{
    Answer, Api, Base, Call, Given, Loss, Method, Outcome, Profile, Recovery, Renew, Usage,
    Verdict, shipped,
};

/// The least number of answers for a profile.
const LEAST: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
    #[serde(default)]
    lost: Vec<Lost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `POST v1/charges`.
    call: String,
    #[serde(default)]
    key: Option<String>,
    /// The call's body, as JSON.
    #[serde(default)]
    body: Option<String>,
    /// The answer as HTTP/1.1 writes it.
    answer: String,
    /// The verdict in one line.
    expect: String,
    /// What it says of limits, in one line.
    #[serde(default)]
    limits: String,
    /// When it says that the secret ends.
    #[serde(default)]
    secret_ends: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    name: String,
    call: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    body: Option<String>,
    /// An answer came, and does not say whether the call was executed.
    #[serde(default)]
    answered: bool,
    /// What can be done, in one line.
    expect: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/tests")
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn table(name: &str) -> Table {
    let path = folder().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is not there", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn call(line: &str, key: Option<&str>, body: Option<&str>) -> Call {
    let (method, resource) = line.split_once(' ').unwrap();
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        other => panic!("{other}"),
    };
    let mut call = Call::new(method, resource);
    call.idempotency_key = key.map(str::to_owned);
    call.body = body.map(|body| serde_json::from_str(body).unwrap());
    call
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.trim().lines();
    let status = lines.next().unwrap().split(' ').next().unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap())
    });
    Answer::new(status, headers.collect::<HeaderMap>(), body.trim_end().as_bytes())
}

fn told(verdict: &Verdict) -> String {
    let mut text = format!("{:?}", verdict.outcome);
    if let Some(kind) = verdict.kind {
        write!(text, " {kind:?}").unwrap();
    }
    if let Some(wait) = verdict.wait {
        write!(text, ", wait {}s", wait.as_secs_f64()).unwrap();
    }
    for (what, value) in [
        ("id", verdict.id.as_deref()),
        ("code", verdict.reason.code.as_deref()),
        ("follow", verdict.follow.as_deref()),
    ] {
        if let Some(value) = value {
            write!(text, ", {what} {value}").unwrap();
        }
    }
    if let Some(usage) = &verdict.usage {
        let Usage { model, input, cached, cache_written, output, cost, .. } = usage;
        if let Some(model) = model {
            write!(text, ", model {model}").unwrap();
        }
        let used = [
            ("in", *input),
            ("from the cache", *cached),
            ("into the cache", *cache_written),
            ("out", *output),
            ("points", *cost),
        ];
        for (what, number) in used {
            if let Some(number) = number {
                write!(text, ", used {number} {what}").unwrap();
            }
        }
    }
    match &verdict.renew {
        Some(Renew::Credentials) => text += ", renew credentials",
        Some(Renew::PreCall(name)) => write!(text, ", renew {name}").unwrap(),
        None => {}
    }
    text
}

fn limits(verdict: &Verdict) -> String {
    let shown = verdict.limits.iter().map(|limit| {
        let number =
            |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        let resets = limit
            .resets_in
            .map_or(String::new(), |resets| format!(" in {}s", resets.as_secs_f64()));
        let (remaining, size) = (number(limit.remaining), number(limit.limit));
        let evenly = if limit.refills_evenly { " evenly" } else { "" };
        format!("{} {:?} {remaining}/{size}{resets}{evenly}", limit.name, limit.kind)
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn recovery(recovery: &Recovery) -> String {
    match recovery {
        Recovery::Repeat { within, charged } => {
            let within = within
                .map_or(String::new(), |within| format!(" within {}h", within.as_secs() / 3600));
            format!("repeat{within}{}", if *charged { ", charged" } else { "" })
        }
        Recovery::LookUp(look_up) => format!("look up {}", look_up.resource),
        Recovery::Nothing(_) => "nothing".to_owned(),
    }
}

#[test]
fn every_profile_reads_its_vendors_answers() {
    let mut wrong = String::new();
    for name in shipped::names() {
        let profile = shipped::get(name).unwrap();
        let table = table(name);
        assert!(table.case.len() >= LEAST, "{name} has {} answers", table.case.len());
        for case in &table.case {
            let call = call(&case.call, case.key.as_deref(), case.body.as_deref());
            let answer = answer(&case.answer);
            let verdict = profile.verdict(&call, &answer, now());
            let ends = |end: Option<Timestamp>| end.map_or(String::new(), |end| end.to_string());
            for (is, expected) in [
                (told(&verdict), &case.expect),
                (limits(&verdict), &case.limits),
                (ends(profile.secret_ends(&answer)), &ends(case.secret_ends)),
            ] {
                if is != *expected {
                    writeln!(
                        wrong,
                        "{name}: {}\n  is       {is}\n  expected {expected}",
                        case.name
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_profile_says_what_can_be_done_after_a_lost_answer() {
    let mut wrong = String::new();
    for name in shipped::names() {
        let profile = shipped::get(name).unwrap();
        let table = table(name);
        assert!(!table.lost.is_empty(), "{name} has no lost answers");
        for lost in &table.lost {
            let call = call(&lost.call, lost.key.as_deref(), lost.body.as_deref());
            let loss = if lost.answered { Loss::Answered } else { Loss::NoAnswer };
            let is = recovery(&profile.recovery(&call, loss));
            if is != lost.expect {
                writeln!(
                    wrong,
                    "{name}: {}\n  is       {is}\n  expected {}",
                    lost.name, lost.expect
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What the tables must hold of every profile: they are no table of successes.
#[test]
fn every_table_has_each_kind_of_answer() {
    for name in shipped::names() {
        let table = table(name);
        let outcomes: Vec<&str> =
            table.case.iter().filter_map(|case| case.expect.split([' ', ',']).next()).collect();
        for outcome in [
            Outcome::Succeeded,
            Outcome::Rejected,
            Outcome::Throttled,
            Outcome::Unauthorized,
            Outcome::Unknown,
        ] {
            let wanted = format!("{outcome:?}");
            assert!(outcomes.contains(&wanted.as_str()), "{name} has no answer that is {wanted}");
        }
        assert!(table.case.iter().any(|case| case.name.starts_with("trap:")), "{name} has no trap");
    }
}

#[test]
fn every_statement_has_its_source() {
    for (name, text) in shipped::FILES {
        let profile =
            Profile::parse(text).unwrap_or_else(|mistakes| panic!("{name}.toml\n{mistakes}"));
        assert_eq!(profile.name(), name);
        assert!(profile.checked.is_some(), "{name} does not say when it was checked");
        assert!(!profile.auth.all().is_empty(), "{name} has no way to authenticate");
        for (what, source) in profile.sources() {
            let graded = source.is_some_and(|source| {
                ["documented", "client", "reported", "assumed"]
                    .iter()
                    .any(|grade| source.starts_with(grade))
            });
            assert!(graded, "{name}: {what} has no source");
        }
    }
}

#[test]
fn every_profile_has_a_page() {
    for name in shipped::names() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.md"));
        let page = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("{} is not there", path.display()));
        for heading in ["## At the vendor", "## Limits to set", "## After a lost answer"] {
            assert!(page.contains(heading), "{name}.md has no `{heading}`");
        }
        for (way, auth) in shipped::get(name).unwrap().auth.all() {
            for field in auth.secret_fields() {
                let named = page.contains(&format!("`{field}`"));
                assert!(named, "{name}.md does not name `{field}`, which `{way}` needs");
            }
        }
    }
}

#[test]
fn requests_are_shaped_as_the_vendor_wants_them() {
    let mut shown = String::new();
    for (name, base, line, key, body) in [
        (
            "stripe",
            "https://api.stripe.com",
            "POST v1/charges",
            Some("order-1"),
            r#"{"amount": 5, "metadata": {"a": "b"}}"#,
        ),
        (
            "shopify",
            "https://acme.myshopify.com/admin/api/2026-10",
            "POST graphql.json",
            None,
            r#"{"query": "{ shop { name } }"}"#,
        ),
        (
            "anthropic",
            "https://api.anthropic.com",
            "POST v1/messages",
            Some("k"),
            r#"{"max_tokens": 5}"#,
        ),
        (
            "zendesk",
            "https://acme.zendesk.com",
            "POST api/v2/tickets",
            Some("k"),
            r#"{"ticket": {}}"#,
        ),
        (
            "dynamics",
            "https://acme.crm4.dynamics.com/api/data/v9.2",
            "PATCH accounts(1)",
            None,
            r#"{"name": "ä"}"#,
        ),
    ] {
        let api = Api::new(shipped::get(name).unwrap(), Base::parse(base).unwrap());
        let request = api.request(&call(line, key, Some(body)), &Given::default()).unwrap();
        writeln!(shown, "{request}\n").unwrap();
    }
    insta::assert_snapshot!(shown);
}
