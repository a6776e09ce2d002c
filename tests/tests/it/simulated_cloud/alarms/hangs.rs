//! The table of hangs in `docs/runbooks`, row by row: the run that causes it raises its alarm in the
//! time that the table says.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use slowlane_deployer::watch::{ALARMS, Alarm};
use slowlane_message::Priority;
use slowlane_simulator::scenario::{
    Api, Load, Mutant, Others, Outage, OutageKind, Pause, Scenario, Told, ToldRate,
};

use super::{begun, play, repository};

/// When the outages of the API begin, and how long they last.
const OUTAGE_FROM_SECS: u64 = 600;
const OUTAGE_SECS: u64 = 5_400;

/// Alarms of what the simulator does not model so far, and of what hangs nothing yet.
const BY_HAND: [&str; 5] =
    ["GuardThrottled", "RingsDiscarded", "SecretEnds", "WorkerOutOfTime", "WorkflowsThrottled"];

/// How a row is shown.
enum Shown {
    /// By a run in which its cause begins in this minute.
    Run(u64, Box<Scenario>),
    /// By values only, as `crates/deployer/tests/template/fires.rs` has them: the simulator cannot. It
    /// says why.
    ByHand(&'static str),
}

/// An hour in which the API takes more than comes.
fn steady() -> Scenario {
    let coming =
        |priority, calls, every_ms| Load { random: true, ..Load::new(priority, calls, every_ms) };
    Scenario {
        limit: 5,
        api: Api::fixed(2_000.0),
        deadline_secs: 3_600,
        load: vec![coming(Priority::Batch, 240, 15_000.0), coming(Priority::High, 30, 120_000.0)],
        ..Scenario::default()
    }
}

fn from_the_beginning(scenario: Scenario) -> Shown {
    Shown::Run(0, Box::new(scenario))
}

fn by_mutant(mutant: Mutant) -> Shown {
    from_the_beginning(Scenario { mutant: Some(mutant), ..steady() })
}

fn by_fault(fault: &str, probability: f64) -> Shown {
    let faults = [(fault.to_owned(), probability)].into();
    from_the_beginning(Scenario { faults, ..steady() })
}

fn by_outage(kind: OutageKind) -> Shown {
    let outage = Outage { from_secs: OUTAGE_FROM_SECS, for_secs: OUTAGE_SECS, kind };
    let api = Api { outages: vec![outage], ..Api::fixed(2_000.0) };
    let scenario = Scenario { api, deadline_secs: 7_200, ..steady() };
    Shown::Run(OUTAGE_FROM_SECS / 60, Box::new(scenario))
}

/// As many calls as come in the first ten minutes, and no more for two hours.
fn by_quota() -> Shown {
    let units = OUTAGE_FROM_SECS / 15;
    let quota = ToldRate { units, per_secs: 7_200.0, bucket: None, largest: None };
    let limits = vec![Told { quota: Some(quota), ..Told::default() }];
    Shown::Run(
        OUTAGE_FROM_SECS / 60,
        Box::new(Scenario { limits, deadline_secs: 14_400, ..steady() }),
    )
}

fn by_pause() -> Shown {
    let pause = Pause { from_secs: OUTAGE_FROM_SECS, for_secs: OUTAGE_SECS };
    let scenario = Scenario { pauses: vec![pause], deadline_secs: 7_200, ..steady() };
    Shown::Run(OUTAGE_FROM_SECS / 60, Box::new(scenario))
}

/// A hundred calls at once, which nobody may receive.
fn nobody_may_receive() -> Shown {
    from_the_beginning(Scenario {
        mutant: Some(Mutant::MayNotReceive),
        load: vec![Load::new(Priority::Batch, 100, 0.0)],
        ..steady()
    })
}

/// More than one slot makes in the time after which a wait is an alarm.
fn too_much(priority: Priority, calls: u64, api_ms: f64) -> Shown {
    from_the_beginning(Scenario {
        limit: 1,
        api: Api::fixed(api_ms),
        deadline_secs: 21_600,
        load: vec![Load::new(priority, calls, 0.0)],
        ..Scenario::default()
    })
}

/// Another integration has one of the API's two places, and what comes needs both.
fn others_use_the_api() -> Shown {
    let others = Others { least: 1, most: 1, every_secs: 3_600 };
    from_the_beginning(Scenario {
        limit: 2,
        api: Api { others: Some(others), ..Api::fixed(10_000.0) },
        load: vec![Load::new(Priority::Normal, 130, 9_000.0)],
        ..steady()
    })
}

/// Killed workers whose calls SQS gives up after the second receive.
fn given_up_by_sqs() -> Shown {
    let faults = [("crash".to_owned(), 0.9)].into();
    from_the_beginning(Scenario { faults, mutant: Some(Mutant::FewReceives), ..steady() })
}

fn rows() -> [(&'static str, Shown); 23] {
    [
        ("the enqueuer fails, or has no concurrency", by_fault("aws-error", 1.0)),
        ("Step Functions is throttled", Shown::ByHand("state transitions are not limited there")),
        ("SQS took the call, and its ring was lost", by_mutant(Mutant::NoRing)),
        ("the mapping is switched off, or may not read or invoke", by_mutant(Mutant::NoMapping)),
        ("the worker's reserved concurrency was set to 0", by_mutant(Mutant::NoSlots)),
        (
            "Lambda discards rings as an endless loop",
            Shown::ByHand("Lambda's guard against loops is not modelled"),
        ),
        ("the worker does not start: secret, variable, key", by_mutant(Mutant::NeverStarts)),
        ("the worker may not receive", nobody_may_receive()),
        ("the worker is killed at this call, again and again", by_fault("crash", 0.5)),
        (
            "a slot hangs in a call",
            Shown::ByHand("a process stands still soon after its start only, and ends in time"),
        ),
        ("the API is down", by_outage(OutageKind::ServerErrors)),
        ("the API does not answer in time", by_outage(OutageKind::Silence)),
        ("the API refuses the credentials", by_outage(OutageKind::RefusedCredentials)),
        ("the API is over its limit", others_use_the_api()),
        ("a quota is used up", by_quota()),
        ("somebody has paused it", by_pause()),
        (
            "HIGH calls wait behind slow ones, or behind one another",
            too_much(Priority::High, 12, 20_000.0),
        ),
        ("more is started than the API takes", too_much(Priority::Batch, 1_500, 10_000.0)),
        ("the guard's table cannot be written", by_fault("table-unreachable", 1.0)),
        ("the callback is refused", by_fault("aws-throttle", 0.6)),
        ("its message names no task that waits", by_fault("malformed", 0.01)),
        ("SQS moved it to the dead letters by itself", given_up_by_sqs()),
        ("rings go round and end nothing", nobody_may_receive()),
    ]
}

/// A row of the table: what hangs, the alarms, and in how many minutes the first begins.
struct Row {
    because: String,
    told_by: Vec<&'static Alarm>,
    within: u64,
}

fn table() -> anyhow::Result<Vec<Row>> {
    let text = std::fs::read_to_string(repository().join("docs/runbooks/README.md"))?;
    let (_, table) = text.split_once("| It hangs because").context("the table")?;
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let [_, because, told_by, after, ..] = line.split('|').collect::<Vec<_>>()[..] else {
                anyhow::bail!("{line}");
            };
            let told_by = ALARMS.iter().filter(|alarm| told_by.contains(alarm.name)).collect();
            let minutes = after.trim().split(' ').next().unwrap_or_default().parse::<u64>()?;
            let more = if after.contains("HighWaitAlarmSeconds") {
                1
            } else if after.contains("WaitAlarmSeconds") {
                180
            } else {
                0
            };
            let because = because.trim().to_owned();
            Ok(Row { because, told_by, within: minutes + more })
        })
        .collect()
}

#[test]
fn every_row_of_the_table_is_shown() -> anyhow::Result<()> {
    let table: Vec<_> = table()?.into_iter().map(|row| row.because).collect();
    let shown: Vec<_> = rows().into_iter().map(|(because, _)| because.to_owned()).collect();
    assert_eq!(table, shown);
    Ok(())
}

/// Plays these rows of the table. Each alarm that a row names must begin, and the first in time.
fn raise_their_alarms(rows_of_table: std::ops::Range<usize>) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let all = table()?.into_iter().zip(rows());
    for (row, (because, shown)) in all.skip(rows_of_table.start).take(rows_of_table.len()) {
        let (from, scenario) = match shown {
            Shown::Run(from, scenario) => (from, scenario),
            Shown::ByHand(why) => {
                ensure!(!why.is_empty(), "{because}");
                continue;
            }
        };
        let (seen, _) = play(&scenario)?;
        let begun = begun(&scenario, &seen)?;
        eprintln!("{because}: {begun:?}");
        let mut first = None;
        for alarm in row.told_by.iter().filter(|alarm| !BY_HAND.contains(&alarm.name)) {
            match begun.iter().find(|(name, _)| *name == alarm.name) {
                Some((_, minute)) => first = first.into_iter().chain([*minute]).min(),
                None => wrong.push(format!("{because}: {} is quiet, not {begun:?}", alarm.name)),
            }
        }
        if first.is_none_or(|minute| minute > from + row.within) {
            wrong.push(format!("{because}: {begun:?}, not within {} min", row.within));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn what_hangs_before_the_worker_raises_its_alarm() -> anyhow::Result<()> {
    raise_their_alarms(0..7)
}

#[test]
fn what_hangs_in_the_worker_raises_its_alarm() -> anyhow::Result<()> {
    raise_their_alarms(7..10)
}

#[test]
fn what_hangs_at_the_api_raises_its_alarm() -> anyhow::Result<()> {
    raise_their_alarms(10..14)
}

#[test]
fn what_hangs_at_a_limit_raises_its_alarm() -> anyhow::Result<()> {
    raise_their_alarms(14..18)
}

#[test]
fn what_hangs_behind_the_worker_raises_its_alarm() -> anyhow::Result<()> {
    raise_their_alarms(18..23)
}

#[test]
fn every_alarm_is_in_the_table() -> anyhow::Result<()> {
    let told_by = table()?.into_iter().zip(rows());
    let told_by = told_by.filter(|(_, (_, shown))| matches!(shown, Shown::Run(..)));
    let told_by: BTreeSet<_> =
        told_by.flat_map(|(row, _)| row.told_by).map(|alarm| alarm.name).collect();
    for alarm in &ALARMS {
        let known = told_by.contains(alarm.name) || BY_HAND.contains(&alarm.name);
        ensure!(known, "no run raises {}", alarm.name);
    }
    Ok(())
}
