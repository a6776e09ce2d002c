//! Alarms, dashboard and runbooks are those of the list in `slowlane_deployer::watch`.

use crate::parsed::{resources, template};
use crate::{check_between, repository};
use serde_json::{Value, json};
use slowlane_deployer::status::HOLD_UPS;
use slowlane_deployer::watch::metrics::{Metric, Namespace};
use slowlane_deployer::watch::{ALARMS, Alarm, Line, PANELS, Signal, Threshold, yaml};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

#[test]
fn the_template_has_the_alarms_of_the_list() {
    check_between("infra/template.yaml", "  # BEGIN alarms", "  # END alarms", &yaml::alarms());
    let template = template();
    let alarms: BTreeSet<_> =
        resources(&template, "AWS::CloudWatch::Alarm").map(|(name, _)| name).collect();
    assert_eq!(alarms, ALARMS.iter().map(|alarm| alarm.name).collect(), "others than these");
}

#[test]
fn the_template_has_the_dashboard_of_the_list() {
    let expected = yaml::dashboard();
    check_between("infra/template.yaml", "  # BEGIN dashboard", "  # END dashboard", &expected);
}

#[test]
fn what_raises_an_alarm_is_on_the_dashboard() {
    let shown: Vec<Metric> = PANELS
        .iter()
        .flat_map(|panel| panel.lines)
        .filter_map(|(_, line)| match line {
            Line::Metric(metric) => Some(*metric),
            Line::CallsByOutcome => None,
        })
        .collect();
    for alarm in &ALARMS {
        for metric in alarm.metrics() {
            let by_outcome = metric.name == "Calls" && metric.dimensions.len() == 2;
            let is_shown = by_outcome || shown.iter().any(|shown| shown.is_same(&metric));
            assert!(is_shown, "{}: {metric:?}", alarm.name);
        }
    }
}

/// What CloudWatch's `PutMetricAlarm` takes.
#[test]
fn every_alarm_is_one_that_cloudwatch_takes() {
    for Alarm { name, signal, period_secs, periods, .. } in &ALARMS {
        assert!(period_secs % 60 == 0 && period_secs * periods <= 86_400, "{name}");
        let Signal::Expression { of, expression } = signal else { continue };
        assert!((1..=10).contains(&of.len()), "{name}");
        let names = identifiers(expression);
        let known = ["IF", "FILL", "MAX", "AND"];
        let used: BTreeSet<_> = names.iter().filter(|name| !known.contains(name)).collect();
        let given: BTreeSet<_> = of.iter().map(|(id, _)| id).collect();
        assert_eq!(used, given, "{name}");
        for id in given {
            assert!(id.starts_with(|first: char| first.is_ascii_lowercase()) && *id != "is");
        }
    }
}

fn identifiers(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|other: char| !other.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic())).collect()
}

/// An alarm on a metric that nobody writes would be silent for ever.
#[test]
fn the_worker_writes_what_is_watched_of_it() {
    let mut source = String::new();
    read_all(&repository().join("crates/worker/src"), &mut source);
    let panels = PANELS.iter().flat_map(|panel| panel.lines).filter_map(|(_, line)| match line {
        Line::Metric(metric) => Some(*metric),
        Line::CallsByOutcome => None,
    });
    let mut names = BTreeSet::new();
    for metric in panels.chain(ALARMS.iter().flat_map(Alarm::metrics)) {
        if metric.namespace != Namespace::Slowlane {
            continue;
        }
        names.insert(format!("{:?}", metric.name));
        for (dimension, value) in metric.dimensions {
            names.insert(format!("{dimension:?}"));
            if *dimension == "Outcome" {
                let yaml = format!("{value:?}");
                names.insert(yaml.trim_start_matches("Text(").trim_end_matches(')').to_owned());
            }
        }
    }
    names.extend(HOLD_UPS.map(|outcome| format!("{outcome:?}")));
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(source.contains(&name), "{name} is not in crates/worker/src");
    }
}

fn read_all(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// By "Dashboard Body Structure and Syntax" in the CloudWatch API Reference: widgets of known types
/// within 24 columns, each with the properties that its type must have.
#[test]
fn the_dashboard_is_one_that_cloudwatch_takes() {
    let template = template();
    let dashboards: Vec<_> = resources(&template, "AWS::CloudWatch::Dashboard").collect();
    let [(_, dashboard)] = dashboards[..] else { panic!("{dashboards:?}") };
    let substitution = &dashboard["Properties"]["DashboardBody"]["Fn::Sub"];
    let body = substituted(substitution[0].as_str().unwrap(), &substitution[1]);
    let body: Value = serde_json::from_str(&body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    assert_eq!(widgets.len(), PANELS.len() + 1);
    let mut squares = BTreeSet::new();
    for widget in widgets {
        let number = |name: &str| widget[name].as_u64().unwrap();
        let (x, y, width, height) = (number("x"), number("y"), number("width"), number("height"));
        assert!(width >= 1 && x + width <= 24 && (1..=1000).contains(&height), "{widget}");
        for column in x..x + width {
            for row in y..y + height {
                assert!(squares.insert((column, row)), "{widget} lies over another");
            }
        }
        let properties = &widget["properties"];
        match widget["type"].as_str().unwrap() {
            "alarm" => {
                let arns = properties["alarms"].as_array().unwrap();
                assert_eq!(arns.len(), ALARMS.len());
                assert!(arns[0].as_str().unwrap().starts_with("arn:"), "{arns:?}");
            }
            "metric" => {
                assert!(properties["region"].is_string() && properties["title"].is_string());
                let lines = properties["metrics"].as_array().unwrap();
                lines.iter().for_each(check_line);
                for level in
                    properties["annotations"]["horizontal"].as_array().into_iter().flatten()
                {
                    assert!(level["value"].is_number(), "{level}");
                }
            }
            other => panic!("{other}"),
        }
    }
}

/// `[Namespace, MetricName, Name, Value, ..., {Rendering}]`, or `[{expression}]`.
fn check_line(line: &Value) {
    let items = line.as_array().unwrap();
    let (last, metric) = items.split_last().unwrap();
    assert!(last.is_object(), "{line}");
    if metric.is_empty() {
        assert!(last["expression"].is_string(), "{line}");
        return;
    }
    assert!(metric.len() >= 2 && metric.len() % 2 == 0, "{line}");
    assert!(metric.iter().all(|item| item.as_str().is_some_and(|text| !text.is_empty())), "{line}");
    assert!(last["stat"].is_string(), "{line}");
}

/// What `Fn::Sub` makes of a text: each variable becomes a number, which is a text too within
/// quotes. Each must be known.
fn substituted(text: &str, variables: &Value) -> String {
    let template = template();
    let mut result = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        let end = begin + rest[begin..].find('}').unwrap();
        let name = &rest[begin + 2..end];
        let resource = name.split('.').next().unwrap();
        let known = name.starts_with("AWS::")
            || variables.get(name).is_some()
            || template["Parameters"].get(name).is_some()
            || template["Resources"].get(resource).is_some();
        assert!(known, "{name}");
        let _ = write!(result, "{}7", &rest[..begin]);
        rest = &rest[end + 1..];
    }
    result + rest
}

#[test]
fn every_alarm_tells_the_topic_and_names_its_runbook() {
    let template = template();
    let told = json!({
        "Fn::If": ["Notified", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }]
    });
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!(
            (&properties["AlarmActions"], &properties["OKActions"]),
            (&told, &told),
            "{name}"
        );
        let description = properties["AlarmDescription"].as_str().unwrap();
        assert!(description.ends_with(&format!("/docs/runbooks/{name}.md")), "{description}");
        assert!(description.len() <= 1024, "{description}");
    }
}

#[test]
fn every_alarm_has_a_runbook_and_every_runbook_an_alarm() {
    let directory = repository().join("docs/runbooks");
    let mut pages: BTreeSet<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(pages.remove("README.md"));
    let expected = ALARMS.iter().map(|alarm| format!("{}.md", alarm.name)).collect();
    assert_eq!(pages, expected);
    for page in pages {
        let text = fs::read_to_string(directory.join(&page)).unwrap();
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        let name = page.trim_end_matches(".md");
        let expected =
            [&format!("# {name}"), "## What it means", "## What to look at", "## What to do"];
        assert_eq!(headings, expected, "{page}");
    }
}

/// The index is written from the list; what the table of hangs says of an alarm's time is its time.
#[test]
fn the_index_of_the_runbooks_is_the_list() {
    let mut rows = String::from("| Alarm | It tells | Within |\n|---|---|---|\n");
    for alarm in &ALARMS {
        let Alarm { name, tells, .. } = alarm;
        let _ =
            writeln!(rows, "| [{name}]({name}.md) | {tells}{} | {} |", limit(alarm), within(alarm));
    }
    let index = "docs/runbooks/README.md";
    check_between(index, "<!-- BEGIN alarms -->", "<!-- END alarms -->", &rows);

    let text = fs::read_to_string(repository().join(index)).unwrap();
    let table = &text[text.find("\n| It hangs because").unwrap()..];
    let rows: Vec<_> =
        table.trim_start().lines().skip(2).take_while(|line| !line.is_empty()).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let [_, _, told, after, _, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let alarms: Vec<_> = ALARMS.iter().filter(|alarm| told.contains(alarm.name)).collect();
        assert!(!alarms.is_empty(), "{row}");
        let soonest = alarms.iter().min_by_key(|alarm| alarm.begins_within_secs()).unwrap();
        assert!(after.contains(&within(soonest)), "{row}: {}", within(soonest));
    }
}

fn within(alarm: &Alarm) -> String {
    match alarm.begins_within_secs() / 60 {
        minutes if minutes >= 120 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

fn limit(alarm: &Alarm) -> String {
    match alarm.at_least {
        Threshold::Number(1) | Threshold::Parameter(_) | Threshold::ByApiTimeout(_) => {
            String::new()
        }
        Threshold::Number(number) => format!(" ({number} or more)"),
    }
}
