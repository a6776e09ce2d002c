//! What the command line says of itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::process::{Command, Output};

/// Every command that does something; those above them only lead to them.
const COMMANDS: [&[&str]; 27] = [
    &["init"],
    &["check"],
    &["call"],
    &["demo"],
    &["new-target"],
    &["deploy"],
    &["add"],
    &["destroy"],
    &["outputs"],
    &["status"],
    &["why"],
    &["cost"],
    &["logs"],
    &["calls", "find"],
    &["calls", "dead-letters", "list"],
    &["calls", "dead-letters", "show"],
    &["calls", "dead-letters", "restart"],
    &["calls", "dead-letters", "drop"],
    &["calls", "unresolved", "list"],
    &["calls", "unresolved", "resolve"],
    &["limits", "show"],
    &["limits", "set"],
    &["pause"],
    &["drain"],
    &["resume"],
    &["completions"],
    &["usage"],
];

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
    command.env_remove("SLOWLANE_LAMBDAS").env_remove("AWS_ENDPOINT_URL").args(args);
    command.output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_help_is_as_it_was_read_last() {
    let mut all = text(run(&["--help"]).stdout);
    for group in [&["limits"][..], &["calls"], &["calls", "dead-letters"], &["calls", "unresolved"]]
    {
        write!(all, "\n{}\n{}", "=".repeat(80), text(run(&[group, &["--help"]].concat()).stdout))
            .unwrap();
    }
    for command in COMMANDS {
        let help = text(run(&[command, &["--help"]].concat()).stdout);
        write!(all, "\n{}\n{help}", "=".repeat(80)).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_command_that_there_is_is_tested_here() {
    // clap names a command that is not there by those that are.
    let listed = |path: &[&str]| {
        let help = text(run(&[path, &["--help"]].concat()).stdout);
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = lines.take_while(|line| !line.is_empty());
        // What is indented further goes on with the line above.
        let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        names.filter(|name| name != "help").collect::<Vec<_>>()
    };
    let mut open: Vec<Vec<String>> = listed(&[]).into_iter().map(|name| vec![name]).collect();
    while let Some(path) = open.pop() {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let below = listed(&names);
        assert!(COMMANDS.contains(&&names[..]) || !below.is_empty(), "{path:?}");
        open.extend(below.into_iter().map(|name| [path.clone(), vec![name]].concat()));
    }
}

#[test]
fn each_command_teaches_by_an_example_and_a_mistake_shows_its_usage() {
    for command in COMMANDS {
        let help = text(run(&[command, &["--help"]].concat()).stdout);
        let name = command.join(" ");
        let usage = format!("Usage: slowlane {name} ");
        assert!(help.contains(&usage), "{usage}: {help}");
        let example = format!("\n  slowlane {name}");
        assert!(help.contains("\nExample") && help.contains(&example), "{help}");
        let refused = run(&[command, &["--bogus"]].concat());
        assert_eq!(refused.status.code(), Some(2));
        let told = text(refused.stderr);
        assert!(told.contains(&usage), "{told}");
    }
}

/// As `cargo xtask` runs it for a short form of its own.
#[test]
fn a_short_form_is_named_as_it_was_typed() {
    let typed = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slowlane"));
        command.env("SLOWLANE_TYPED", "cargo xtask call=slowlane calls find");
        command.args(["calls", "find"]).args(args).output().unwrap()
    };
    let refused = typed(&["--bogus"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = text(refused.stderr);
    assert!(told.contains("Usage: cargo xtask call "), "{told}");
    let asked = typed(&["--help"]);
    assert_eq!(asked.status.code(), Some(0));
    let told = text(asked.stdout);
    assert!(told.contains("Usage: cargo xtask call "), "{told}");
    assert!(told.contains("\n  cargo xtask call ") && !told.contains("calls find"), "{told}");
}

/// `cargo xtask deploy` has its arguments read so before it builds for minutes.
#[test]
fn help_behind_the_arguments_is_refused_for_what_they_have_wrong() {
    for command in ["deploy", "add"] {
        let refused = run(&[command, "--lamdas", "x", "--help"]);
        assert_eq!(refused.status.code(), Some(2), "{command}");
        assert!(text(refused.stderr).contains("'--lambdas'"), "{command}");
    }
    let taken = ["deploy", "--stack", "x", "-p", "ApiProfile=http", "--yes", "--help"];
    assert_eq!(run(&taken).status.code(), Some(0));
}

#[test]
fn each_command_that_has_a_result_has_it_as_json() {
    for command in COMMANDS {
        let help = text(run(&[command, &["--help"]].concat()).stdout);
        assert!(help.contains("--json") || command == ["completions"], "{command:?}");
    }
}

#[test]
fn a_shell_is_told_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(run(&["completions", shell]).stdout);
        for command in COMMANDS {
            assert!(command.iter().all(|word| script.contains(word)), "{shell}: {command:?}");
        }
    }
}

#[test]
fn a_stage_is_looked_for_in_slowlane_toml() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("slowlane.toml");
    let on = |args: &[&str]| {
        let file = file.to_str().unwrap();
        let output = run(&[args, &["--config", file]].concat());
        (output.status.code(), text(output.stderr).replace(file, "FILE"))
    };
    let (code, told) = on(&["status", "--stage", "prod"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("cannot read FILE (`slowlane init`"), "{told}");

    std::fs::write(&file, "[targets.crm]\nprofil = \"http\"\n[stages.prod]\nregion = \"x\"\n")
        .unwrap();
    let (code, told) = on(&["status", "--stage", "prod"]);
    assert_eq!(code, Some(1));
    let expected = "FILE:2:1: targets.crm.profil: there is no field `profil`; did you mean";
    assert!(told.contains(expected), "{told}");

    let target = "profile = \"netsuite\"\nsecret = \"s\"\n\
                  base_url = \"https://1.suitetalk.api.netsuite.com\"\n";
    let right = format!(
        "[targets.erp]\n{target}[targets.own]\nbinary = \"own\"\nlimits = [{{ rate = \"9000/1m\", largest = 40, per = \"tenant\" }}]\n\
         [stages.prod]\nregion = \"eu-central-1\"\n"
    );
    std::fs::write(&file, right).unwrap();
    for (args, told) in [
        (&["status", "--stage", "pord"][..], "there is no stage `pord`; did you mean `prod`?"),
        (&["status", "--stage", "prod"], "say which by --target: erp, own"),
        (&["status", "--stage", "prod", "--target", "epr"], "did you mean `erp`?"),
        (&["status", "--target", "erp"], "--stage"),
        (&["status", "--stage", "prod", "--stack", "x"], "cannot be used with"),
        (&["deploy", "--stage", "prod", "-p", "A=b"], "say which by --target"),
        (
            &["deploy", "-p", "Limits=[{\"rate\":\"2\"}]"],
            "Limits: limits[1].rate: `2` is no number",
        ),
    ] {
        let (code, found) = on(args);
        assert_eq!(code, Some(2), "{args:?}: {found}");
        assert!(found.contains(told), "{args:?}: {found}");
    }
    // What is wrong with one target is told before another is deployed.
    let (code, told) = on(&["deploy", "--stage", "prod", "--endpoint-url", "http://127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("target own: ")
            && told.contains("limits[1]: a deployed worker does not keep"),
        "{told}"
    );
}

/// The page on what it costs shows what the command prints.
#[test]
fn the_page_on_cost_is_what_the_command_says() {
    const BEGIN: &str = "<!-- slowlane cost -->\n```text\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cost.md");
    let page = std::fs::read_to_string(path).unwrap();
    let told = text(run(&["cost"]).stdout);
    let told: String = told.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    let from = page.find(BEGIN).unwrap() + BEGIN.len();
    let to = from + page[from..].find("```").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{}{told}{}", &page[..from], &page[to..])).unwrap();
    } else {
        assert_eq!(&page[from..to], told, "UPDATE_DOCS=1 cargo test -p slowlane --test usage");
    }
}
