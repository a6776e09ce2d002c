//! Every shipped profile on the sandbox that speaks its vendor's dialect: the real enqueuer and a fleet of
//! real workers, the calls over HTTP. A row is a profile, a test a promise that each of them keeps.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fleet;

use slowlane_sandbox::{Measure, Rate};
use slowlane_simulator::scenario::{Told, ToldRate};
use slowlane_vendor_sandbox::Dialect;
use slowlane_worker::profile::shipped;

use self::fleet::{Play, Played};

/// A profile, and what is known of its vendor.
struct Row {
    profile: &'static str,
    /// Units that a call of the dialect's sample takes, where the API has a limit of units.
    units: Option<u32>,
    /// Whether a refusal says how long to wait.
    tells_wait: bool,
    /// Whether a call leaves a record behind.
    makes_records: bool,
    /// Whether nothing can be learnt of a lost answer: then it is left to a person.
    needs_person: bool,
    /// Whether a server error is stored under the call's key, and answers it for ever.
    stores_errors: bool,
}

const ROW: Row = Row {
    profile: "",
    units: None,
    tells_wait: true,
    makes_records: true,
    needs_person: false,
    stores_errors: false,
};

const ROWS: [Row; 12] = [
    Row { profile: "anthropic", units: Some(70), makes_records: false, ..ROW },
    Row { profile: "bedrock", units: Some(70), tells_wait: false, makes_records: false, ..ROW },
    Row { profile: "dynamics", ..ROW },
    Row { profile: "github", needs_person: true, ..ROW },
    Row { profile: "http", ..ROW },
    Row { profile: "hubspot", ..ROW },
    Row { profile: "openai", units: Some(70), ..ROW },
    Row { profile: "salesforce", ..ROW },
    Row { profile: "sap-odata", tells_wait: false, needs_person: true, ..ROW },
    Row { profile: "shopify", units: Some(10), ..ROW },
    Row { profile: "stripe", tells_wait: false, stores_errors: true, ..ROW },
    Row { profile: "zendesk", ..ROW },
];

const CALLS: u32 = 12;
const SLOTS: u32 = 2;
/// Two calls of 200 ms at once would be twenty in this time.
const API_TAKES: &str = "4/2s";
const TOLD: ToldRate = ToldRate { units: 4, per_secs: 2.0, bucket: None, largest: None };
/// The units of eight calls a bucket holds, and those of two come back in each two seconds.
const CALLS_IN_BUCKET: u64 = 8;

/// The breaker opens after two calls, and lets one through after 5, 10, 20 and 30 s. The slots may have
/// two more on their way.
const MOST_CALLS_IN_A_MINUTE_OF_OUTAGE: usize = 8;

impl Row {
    fn play(&self) -> Play {
        let mut rates: Vec<Rate> = vec![API_TAKES.parse().unwrap()];
        if let Some(units) = self.units {
            let (two, eight) = (2 * units, CALLS_IN_BUCKET * u64::from(units));
            let rate: Rate = format!("{two}/2s,bucket={eight}").parse().unwrap();
            rates.push(Rate { measure: Measure::Units, ..rate });
        }
        Play {
            profile: self.profile,
            rates,
            limits: Vec::new(),
            faults: Vec::new(),
            slots: SLOTS,
            calls: CALLS,
            units: self.units,
        }
    }

    /// What the worker is told: what the API takes.
    fn limits(&self) -> Vec<Told> {
        let of_units = self.units.map(|units| {
            let units = u64::from(units);
            let bucket = Some(CALLS_IN_BUCKET * units);
            ToldRate { units: 2 * units, bucket, largest: Some(units), ..TOLD }
        });
        let told = [Some(TOLD), of_units].into_iter().flatten();
        told.map(|rate| Told { rate: Some(rate), ..Told::default() }).collect()
    }

    fn records(&self) -> u64 {
        if self.makes_records { CALLS.into() } else { 0 }
    }
}

impl Played {
    /// By which names calls have failed.
    fn failed(&self) -> Vec<&str> {
        self.ends.iter().filter_map(|end| Some(end.as_ref().err()?.0.as_str())).collect()
    }

    /// Calls that the fault met.
    fn met(&self, fault: &str) -> usize {
        self.report.calls.iter().filter(|call| call.fault.as_deref() == Some(fault)).count()
    }
}

/// Plays each profile, and lists all promises that are broken.
fn each(of: impl Fn(&Row) -> Play, holds: impl Fn(&Row, &Played) -> Vec<(&'static str, bool)>) {
    let mut wrong = Vec::new();
    for row in &ROWS {
        let played = of(row).run().unwrap_or_else(|error| panic!("{}: {error:#}", row.profile));
        let once = ("no call has two effects", played.report.duplicate_effects == 0);
        for (promise, _) in holds(row, &played).into_iter().chain([once]).filter(|one| !one.1) {
            let (failed, report) = (played.failed(), &played.report);
            wrong.push(format!("{}: {promise}: {failed:?}, {report:?}", row.profile));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shipped_profile_is_a_row() {
    let rows = ROWS.iter().map(|row| row.profile).collect::<Vec<_>>();
    assert_eq!(rows, Dialect::names().collect::<Vec<_>>());
    assert_eq!(rows, shipped::names().collect::<Vec<_>>());
}

#[test]
fn limits_that_are_configured_are_never_passed() {
    let told = |row: &Row| Play { limits: row.limits(), ..row.play() };
    each(told, |row, played| {
        vec![
            ("all calls succeed", played.failed().is_empty()),
            ("nothing is refused", played.report.http_429 == 0),
            ("each call makes its record", played.report.records_created == row.records()),
        ]
    });
}

#[test]
fn a_limit_that_is_told_wrongly_would_be_seen_to_be_passed() {
    let stripe = ROWS.iter().find(|row| row.profile == "stripe").unwrap();
    let rate = Some(ToldRate { units: 8, ..TOLD });
    let told = Play { limits: vec![Told { rate, ..Told::default() }], ..stripe.play() };
    assert!(told.run().unwrap().report.http_429 > 0);
}

/// What asks about a lost answer, and what makes the call again, are requests too.
#[test]
fn limits_that_are_configured_are_not_passed_when_answers_are_lost() {
    let faults = || vec!["drop-after-commit:3".to_owned()];
    let told = |row: &Row| Play { limits: row.limits(), faults: faults(), ..row.play() };
    each(told, |row, played| {
        let lost = if row.needs_person { 3 } else { 0 };
        vec![
            ("what is lost is found, or left to a person", played.failed().len() == lost),
            ("nothing is refused", played.report.http_429 == 0),
        ]
    });
}

#[test]
fn all_calls_end_at_limits_that_nobody_has_configured() {
    each(Row::play, |row, played| {
        vec![
            ("all calls succeed", played.failed().is_empty()),
            ("each call makes its record", played.report.records_created == row.records()),
        ]
    });
}

#[test]
fn a_slot_comes_no_sooner_than_it_was_asked_to() {
    let one_slot = |row: &Row| Play { slots: 1, ..row.play() };
    each(one_slot, |row, played| {
        let heeds = !row.tells_wait || played.report.came_early == 0;
        vec![("all calls succeed", played.failed().is_empty()), ("the wait is heeded", heeds)]
    });
}

#[test]
fn the_breaker_keeps_calls_from_an_api_that_refuses_the_credentials() {
    let refused = || vec!["invalid-login:for=60s,by=10ms".to_owned()];
    each(
        |row| Play { faults: refused(), rates: Vec::new(), ..row.play() },
        |row, played| {
            // Where the profile has a token, each refused call has tried a new one.
            let tries =
                if matches!(row.profile, "dynamics" | "salesforce" | "shopify") { 2 } else { 1 };
            let most = MOST_CALLS_IN_A_MINUTE_OF_OUTAGE * tries;
            vec![
                ("all calls succeed", played.failed().is_empty()),
                ("few calls are made meanwhile", (2..=most).contains(&played.met("invalid-login"))),
                ("each call makes its record", played.report.records_created == row.records()),
            ]
        },
    );
}

#[test]
fn the_breaker_keeps_calls_from_an_api_that_is_down() {
    let down = || vec!["500:for=60s".to_owned()];
    each(
        |row| Play { faults: down(), rates: Vec::new(), ..row.play() },
        |row, played| {
            let (failed, met) = (played.failed(), played.met("500"));
            let left_to_a_person = match (row.needs_person, row.stores_errors) {
                (true, _) => failed.iter().all(|name| *name == "Slowlane.NeedsPerson"),
                (_, true) => failed.iter().all(|name| *name == "Slowlane.OutcomeUnknown"),
                (false, false) => failed.is_empty(),
            };
            vec![
                ("what cannot be learnt is left to a person", left_to_a_person),
                (
                    "few calls are made meanwhile",
                    (2..=MOST_CALLS_IN_A_MINUTE_OF_OUTAGE).contains(&met),
                ),
                ("only calls that met it fail", failed.len() <= met),
            ]
        },
    );
}

/// The answers of two calls are lost, before they are carried out and after that.
#[test]
fn a_lost_answer_makes_no_second_effect_or_is_left_to_a_person_by_name() {
    for fault in ["drop-after-commit", "commit-late"] {
        each(
            |row| Play { faults: vec![format!("{fault}:2")], ..row.play() },
            |row, played| {
                let by_name = match row.needs_person {
                    true => vec!["Slowlane.NeedsPerson"; 2],
                    false => Vec::new(),
                };
                vec![
                    ("it is learnt, or left to a person", played.failed() == by_name),
                    ("two answers were lost", played.met(fault) == 2),
                    ("each call makes its record", played.report.records_created == row.records()),
                ]
            },
        );
    }
}
