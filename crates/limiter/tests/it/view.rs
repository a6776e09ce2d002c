//! What a process may do by what it knows of the control record.

use slowlane_limiter::{
    Aimd, AimdRules, Author, Change, Control, ControlRules, FailureKind, Gate, Left, Moment,
    Overrides, Rate, Reason, Record, Report, Standing, View, ViewSettings, Waiting,
};

use crate::{START, millis, seconds, slot};

fn settings() -> ViewSettings {
    ViewSettings {
        ceiling: 10,
        every: seconds(1),
        trusted_for: seconds(10),
        rules: ControlRules::default(),
    }
}

fn seen(control: Control) -> View {
    let mut view = View::new(settings());
    view.learns(START, Record { control, ..Record::default() });
    view
}

fn by() -> Author {
    Author::new("ada", "the vendor asked for it")
}

fn changed(change: Change) -> Control {
    Control::default().changed(START, &change, &by())
}

fn after(secs: u64) -> Moment {
    START.plus(seconds(secs))
}

#[test]
fn it_reads_at_the_start_and_then_once_a_second_also_when_that_fails() {
    let mut view = View::new(settings());
    assert!(view.must_read_first(START));
    assert!(view.read_due_at() <= START);
    view.reads(START);
    assert_eq!(view.read_due_at(), after(1), "whether it is answered or not");
    view.learns(START, Record::default());
    assert_eq!(view.read_due_at(), after(1));
    assert!(!view.must_read_first(after(2)));
    assert!(view.must_read_first(after(3)), "it was frozen");
}

#[test]
fn a_pause_that_was_seen_stays_when_the_store_is_gone() {
    let view = seen(changed(Change::Pause { until: None }));
    for secs in [0, 5, 3600] {
        let waiting = Waiting { reason: Reason::Paused { by: by() }, until: None };
        assert_eq!(view.gate(after(secs), &slot(1)), Gate::Shut(waiting));
    }
    let drained = seen(changed(Change::Drain));
    assert!(matches!(drained.gate(after(3600), &slot(1)), Gate::Shut(_)));
    let until = Some(after(60));
    let for_a_minute = seen(changed(Change::Pause { until }));
    assert!(matches!(for_a_minute.gate(after(59), &slot(1)), Gate::Shut(_)));
    assert_eq!(for_a_minute.gate(after(60), &slot(1)), Gate::Open);
}

#[test]
fn a_limit_set_live_counts_while_it_is_known_and_then_the_ceiling() {
    let limits = Overrides { concurrency: Some(3), ..Overrides::default() };
    let view = seen(changed(Change::SetLimits { limits }));
    assert_eq!(view.concurrency(after(10)), 3);
    assert_eq!(view.concurrency(after(11)), 10, "a limiter that is down does not stop work");
    let stays = view.standing(after(11), &slot(1));
    assert_eq!(stays, Standing::Stays);
    let limits = Overrides { concurrency: Some(30), ..Overrides::default() };
    let view = seen(changed(Change::SetLimits { limits }));
    assert_eq!(view.concurrency(START), 10, "never above the ceiling");
}

#[test]
fn a_retry_after_holds_everybody_and_uses_the_longest() {
    let rules = ControlRules::default();
    let report = |secs| Report::Throttled { retry_after: Some(seconds(secs)), latency: millis(9) };
    let long = Control::default().reported(START, &slot(1), "a", &report(30), &rules).unwrap();
    assert_eq!(long.reported(START, &slot(2), "b", &report(5), &rules), None, "nothing to write");
    let view = seen(long);
    let waiting = Waiting { reason: Reason::RetryAfter, until: Some(after(30)) };
    assert_eq!(view.gate(after(29), &slot(7)), Gate::Shut(waiting));
    assert_eq!(view.gate(after(30), &slot(7)), Gate::Open);
    let year = report(365 * 24 * 3600);
    let held = Control::default().reported(START, &slot(1), "a", &year, &rules).unwrap();
    assert_eq!(held.held_until, Some(after(24 * 3600)), "not believed beyond a day");
}

#[test]
fn who_is_throttled_without_a_word_stands_back_alone_where_the_limit_is_adaptive() {
    let adaptive = Some(AimdRules::up_to(10));
    let rules = ControlRules { adaptive, ..ControlRules::default() };
    let report = Report::Throttled { retry_after: None, latency: millis(9) };
    let next = Control::default().reported(START, &slot(1), "a", &report, &rules).unwrap();
    assert_eq!((next.held_until, next.concurrency(10, &rules)), (None, 7));
    let mut view = View::new(ViewSettings { rules, ..settings() });
    view.stands_back(START);
    assert!(matches!(view.gate(START, &slot(1)), Gate::Shut(_)));
    assert_eq!(view.gate(after(1), &slot(1)), Gate::Open);
    let all = ControlRules::default();
    let held = Control::default().reported(START, &slot(1), "a", &report, &all).unwrap();
    assert_eq!(held.held_until, Some(after(1)));
}

#[test]
fn the_vendors_headers_slow_the_fleet_before_it_is_throttled() {
    let adaptive = Some(AimdRules::up_to(10));
    let rules = ControlRules { adaptive, ..ControlRules::default() };
    let left = |units, secs| Left { units, of: Some(100), resets_in: seconds(secs), evenly: false };
    let report = |control: &Control, left, next| {
        control.reported(START, &slot(1), "a", &Report::Remaining { left, next }, &rules)
    };
    let control = Control::default();
    assert_eq!(report(&control, left(5, 8), 1), None);
    assert_eq!(report(&control, left(4, 8), 1).unwrap().concurrency(10, &rules), 7);
    assert_eq!(report(&control, left(0, 8), 1).unwrap().held_until, Some(after(8)));
    // The others may take ten before they know, and only nine are left.
    let held = report(&control, left(9, 8), 10).unwrap();
    assert_eq!((held.held_until, held.concurrency(10, &rules)), (Some(after(8)), 10));
    // What others say of the same reset is no news; a later one is.
    assert_eq!(report(&held, left(3, 8), 10), None);
    assert_eq!(report(&held, left(3, 9), 10).unwrap().held_until, Some(after(9)));
    // It lasts until everybody knows of it, and no longer than a Retry-After is believed.
    let soon = Left { resets_in: millis(3), ..left(0, 0) };
    assert_eq!(report(&control, soon, 1).unwrap().held_until, Some(after(1)));
    let days = rules.longest_hold * 3;
    let late = report(&control, Left { resets_in: days, ..left(0, 0) }, 1).unwrap();
    assert_eq!(late.held_until, Some(START.plus(rules.longest_hold)));
}

#[test]
fn while_it_goes_well_nothing_is_written() {
    let rules = ControlRules::default();
    let report = Report::Answered { latency: millis(200), all_in_use: true };
    assert_eq!(Control::default().reported(START, &slot(1), "a", &report, &rules), None);
}

#[test]
fn a_breaker_that_is_due_asks_for_a_probe_and_resume_closes_it() {
    let rules = ControlRules::default();
    let failed = |control: &Control, call| {
        let report = Report::Failed { kind: FailureKind::Server };
        control.reported(START, &slot(1), call, &report, &rules).unwrap()
    };
    let open = failed(&failed(&Control::default(), "a"), "b");
    let view = seen(open.clone());
    assert!(matches!(view.gate(after(4), &slot(2)), Gate::Shut(_)));
    assert_eq!(view.gate(after(5), &slot(2)), Gate::Probe { kind: FailureKind::Server });
    assert_eq!(view.gate(after(11), &slot(2)), Gate::Open, "nobody can be elected");
    let breaker = rules.breaker.as_ref().unwrap();
    let elected = open.elected(after(5), &slot(2), breaker).unwrap();
    assert_eq!(elected.version, open.version + 1);
    let resumed = open.changed(START, &Change::Resume, &by());
    assert_eq!(seen(resumed).gate(START, &slot(2)), Gate::Open);
}

#[test]
fn after_an_outage_unregistered_slots_come_back_by_their_names() {
    let rules = ControlRules::default();
    let breaker = rules.breaker.as_ref().unwrap();
    let failed = |control: &Control, call| {
        let report = Report::Failed { kind: FailureKind::Connection };
        control.reported(START, &slot(1), call, &report, &rules).unwrap()
    };
    let open = failed(&failed(&Control::default(), "a"), "b");
    let elected = open.elected(after(5), &slot(1), breaker).unwrap();
    let report = Report::Answered { latency: millis(9), all_in_use: false };
    let closed = elected.reported(after(5), &slot(1), "a", &report, &rules).unwrap();
    let mut view = View::new(settings());
    view.learns(after(5), Record { control: closed, ..Record::default() });
    let open_at = |ms| {
        let now = after(5).plus(millis(ms));
        (0..1000).filter(|name| view.gate(now, &slot(format!("s{name}"))) == Gate::Open).count()
    };
    let shares = [0, 1_000, 2_000, 4_000].map(open_at);
    assert!((60..140).contains(&shares[0]), "{shares:?} of 1000, a tenth at first");
    assert!((150..250).contains(&shares[1]) && (330..470).contains(&shares[2]), "{shares:?}");
    assert_eq!(shares[3], 1000);
}

#[test]
fn an_answer_that_was_passed_by_a_newer_one_is_dropped() {
    let mut view = View::new(settings());
    let version = |version| Record {
        control: Control { version, ..Control::default() },
        ..Record::default()
    };
    view.learns(after(2), version(5));
    view.learns(after(1), version(4));
    assert_eq!(view.record().unwrap().control.version, 5);
    view.learns(after(3), Record::default());
    assert_eq!(view.record().unwrap().control.version, 0, "somebody deleted it");
}

#[test]
fn a_record_keeps_who_changed_what_and_reads_what_it_writes() {
    let mut control = Control::default();
    for concurrency in 0..12 {
        let limits = Overrides {
            concurrency: Some(concurrency),
            rates: Some(vec![Rate::bucket(40, 2, seconds(1))]),
            ..Overrides::default()
        };
        control = control.changed(START, &Change::SetLimits { limits }, &by());
    }
    assert_eq!((control.version, control.changes.len()), (12, 10));
    control.adaptive = Some(Aimd::new(&AimdRules::up_to(4)));
    let text = serde_json::to_string(&control).unwrap();
    assert_eq!(serde_json::from_str::<Control>(&text).unwrap(), control);
    let least: Control = serde_json::from_str(r#"{"version":3,"added_later":[]}"#).unwrap();
    assert_eq!(least, Control { version: 3, ..Control::default() });
}
