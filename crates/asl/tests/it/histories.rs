//! What machines do, through success and each failure, on the local AWS with scripted answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slowlane_asl::scripted::{Error, Suite, run, test};

use crate::evaluate::python;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The suites of this repository.
const SUITES: [&str; 2] =
    ["../../state-machines/tests.json", "../../state-machines/examples/tests.json"];

#[test]
fn the_machines_of_this_repository_end_as_documented() {
    for suite in SUITES {
        test(&here().join(suite), &python()).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// How a call can end that waits for its token, and whether a script has it end so.
fn endings(script: &Value) -> [(&'static str, bool); 5] {
    let throws = throws(script);
    let throttled = throws.contains(&"Lambda.TooManyRequestsException");
    [
        ("success", returns(script) && throws.is_empty()),
        ("rejection", throws.contains(&"Slowlane.Rejected")),
        ("throttling that ends", returns(script) && throttled),
        ("deadline", throws.contains(&"Slowlane.DeadlineExceeded")),
        ("lost callback", throws.contains(&"States.Timeout")),
    ]
}

fn answers(script: &Value) -> impl Iterator<Item = &Value> {
    script.as_object().into_iter().flat_map(|answers| answers.values())
}

fn returns(script: &Value) -> bool {
    answers(script).any(|answer| answer.get("Return").is_some())
}

fn throws(script: &Value) -> Vec<&str> {
    answers(script).filter_map(|answer| answer["Throw"]["Error"].as_str()).collect()
}

#[test]
fn each_machine_that_waits_has_a_case_of_every_ending() {
    let mut had = BTreeMap::<String, BTreeMap<&str, bool>>::new();
    for suite in SUITES {
        for case in Suite::read(&here().join(suite)).unwrap().cases {
            if case.definition.to_string().contains(".waitForTaskToken\"") {
                let machine = had.entry(case.machine).or_default();
                for (ending, has) in case.answers.as_object().unwrap().values().flat_map(endings) {
                    *machine.entry(ending).or_default() |= has;
                }
            }
        }
    }
    assert!(had.len() >= 11, "{:?}", had.keys());
    let lacking: Vec<_> = had
        .iter()
        .flat_map(|(machine, endings)| {
            let lacks = endings.iter().filter(|(_, has)| !**has);
            lacks.map(move |(ending, _)| format!("{machine}: {ending}"))
        })
        .collect();
    assert!(lacking.is_empty(), "no case of {lacking:#?}");
}

/// A directory somewhere else, as a team has it.
fn elsewhere() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    copy(&here().join("examples/team"), directory.path());
    let suite = directory.path().join("tests.json");
    (directory, suite)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_team_tests_its_machines_outside_of_this_repository() {
    let (_directory, suite) = elsewhere();
    test(&suite, &python()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_machine_that_changes_is_told_with_its_cases() {
    let (directory, suite) = elsewhere();
    let file = directory.path().join("contact-sync.asl.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"NORMAL\"", "\"BATCH\"")).unwrap();
    let before = run(&Suite::read(&suite).unwrap(), &python()).unwrap();
    assert!(before.iter().all(|history| history.text.contains("\"BATCH\"")), "{before:?}");
    let Err(Error::Changed { changed }) = test(&suite, &python()) else {
        panic!("nothing changed")
    };
    assert_eq!(changed.len(), before.len(), "{changed:?}");
}

#[test]
fn what_a_suite_names_wrongly_is_told() {
    let table = [
        (
            "\"WriteContact\": \"Written\"",
            "\"WriteContac\": \"Written\"",
            "has no Task WriteContac",
        ),
        ("\"WriteContact\": \"Written\"", "\"WriteContact\": \"Wrote\"", "has no \"Wrote\""),
        ("\"Throw\"", "\"Threw\"", "needs a Return, or a Throw"),
        ("\"Written\": {\n      \"0\"", "\"Written\": {\n      \"first\"", "is no attempt such as"),
        ("\"Written\": {\n      \"0\"", "\"Written\": {\n      \"7\"", "no answer 0 is scripted"),
    ];
    for (right, wrong, told) in table {
        let (_directory, file) = elsewhere();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(right), "{right}");
        fs::write(&file, text.replace(right, wrong)).unwrap();
        let result = Suite::read(&file).and_then(|suite| run(&suite, &python()));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}
