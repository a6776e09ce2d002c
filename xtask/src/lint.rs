//! Checks that run nothing of ours.

use crate::workspace::{in_ci, repository, target_dir};
use crate::{asl, book, circles, npm, python};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// Every check by name, the quick ones first. Each runs, whichever fails.
pub(crate) fn all(sh: &Shell) -> Vec<(&'static str, anyhow::Result<()>)> {
    let mut results = vec![
        ("format", format(sh)),
        ("circles between files", circles::check(repository())),
        ("state machines", asl::compare(repository())),
    ];
    match python::checks(sh) {
        Ok(programs) => results.extend([
            ("templates", cfn_lint(sh, &programs)),
            ("permissions", permissions(sh, &programs, true)),
            ("dependencies", dependencies(sh, &programs)),
            ("the book", book(sh, &programs)),
        ]),
        Err(error) => results.push(("the programs that check", Err(error))),
    }
    results.extend([
        ("state machines, by another's validator", validate_machines(sh)),
        ("templates, by a scanner for what is unsafe", scan(sh)),
        ("clippy", clippy(sh)),
        ("documentation", documentation(sh)),
        ("message schemas", schema(sh, true)),
    ]);
    results
}

fn format(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

fn dependencies(sh: &Shell, programs: &Path) -> anyhow::Result<()> {
    // Needs no network; advisories would.
    let cargo_deny = programs.join("cargo-deny");
    Ok(cmd!(sh, "{cargo_deny} check bans licenses sources").run()?)
}

fn clippy(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo clippy --profile local --workspace --all-targets -- --deny warnings")
        .run()?)
}

/// The crates' documentation, in which no link may be broken.
fn documentation(sh: &Shell) -> anyhow::Result<()> {
    let build = cmd!(sh, "cargo doc --profile local --workspace --no-deps --quiet");
    Ok(build.env("RUSTDOCFLAGS", "--deny warnings").run()?)
}

/// Writes the JSON Schemas of the messages, or compares them with what is there.
pub(crate) fn schema(sh: &Shell, check: bool) -> anyhow::Result<()> {
    let mode = if check { "--check" } else { "--write" };
    Ok(cmd!(
        sh,
        "cargo run --quiet --profile local --package slowlane-message --bin slowlane-message-schema -- {mode}"
    )
    .run()?)
}

/// Lints the templates, and the state machines and the pages' resources as if they stood in one: the
/// templates only refer to the former, and the latter go into others' templates.
fn cfn_lint(sh: &Shell, programs: &Path) -> anyhow::Result<()> {
    let cfn_lint = programs.join("cfn-lint");
    let templates = files(&repository().join("infra"), ".yaml")?;
    let machines = target_dir(sh)?.join("state-machines.template.json");
    fs::write(&machines, template_of_machines()?.to_string())?;
    let pages = target_dir(sh)?.join("pages.template.yaml");
    fs::write(&pages, template_of_pages()?)?;
    Ok(cmd!(sh, "{cfn_lint} {templates...} {machines} {pages}").run()?)
}

/// The resources that the crates' pages show.
fn template_of_pages() -> anyhow::Result<String> {
    let mut template = "Resources:\n".to_owned();
    for package in fs::read_dir(repository().join("crates"))? {
        let page = fs::read_to_string(package?.path().join("README.md")).unwrap_or_default();
        let blocks =
            page.split("\n```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        for line in blocks.filter(|block| block.contains("Type: AWS::")).flat_map(str::lines) {
            template += &format!("  {line}\n");
        }
    }
    Ok(template)
}

/// Writes what CloudFormation's handlers ask for the templates' resources, or compares it with what
/// is there. `programs` has the Python with cfn-lint, which brings the resources' schemas.
pub(crate) fn permissions(sh: &Shell, programs: &Path, check: bool) -> anyhow::Result<()> {
    let python = programs.join("python");
    let list = "infra/permissions/handlers.json";
    let templates = files(&repository().join("infra"), ".yaml")?;
    let asked = cmd!(sh, "{python} infra/permissions/handlers.py {templates...}").read()?;
    let asked = format!("{asked}\n");
    let path = repository().join(list);
    if !check {
        return Ok(fs::write(path, asked)?);
    }
    let there = fs::read_to_string(path)?;
    ensure!(there == asked, "{list} is not what the schemas say: run `cargo xtask permissions`");
    Ok(())
}

/// Makes the book of all pages. `programs` has mdBook.
pub(crate) fn book(sh: &Shell, programs: &Path) -> anyhow::Result<()> {
    let directory = target_dir(sh)?.join("book");
    let first = book::build(sh, repository(), &programs.join("mdbook"), &directory)?;
    eprintln!("the book is in {}", first.display());
    Ok(())
}

/// A machine that a validator must refuse: one that accepts it has looked at nothing.
const BROKEN_MACHINE: &str = "crates/asl/tests/broken/expression-broken.asl.json";

/// Lets the validator that others wrote look at every machine.
fn validate_machines(sh: &Shell) -> anyhow::Result<()> {
    let validator = npm::asl_validator(sh);
    let Some(validator) = or_skipped(validator, "asl-validator on the state machines")? else {
        return Ok(());
    };
    let mut machines = Vec::new();
    for directory in asl::DIRECTORIES {
        machines.extend(files(&repository().join(directory), ".asl.json")?);
    }
    ensure!(!machines.is_empty(), "there is no state machine");
    for machine in &machines {
        cmd!(sh, "{validator} --silent --json-path {machine}").run()?;
    }
    let broken = cmd!(sh, "{validator} --silent --json-path {BROKEN_MACHINE}");
    let refused = broken.quiet().ignore_status().ignore_stdout().ignore_stderr().output()?;
    ensure!(!refused.status.success(), "asl-validator accepts {BROKEN_MACHINE}");
    Ok(())
}

/// A template in which the scanner must find something: one that passes it has looked at nothing.
const UNSAFE_TEMPLATE: &str = "infra/security/unsafe.yaml";

/// Lets the scanner that others wrote look at every template. What it finds is mended, or answered in
/// `checkov.yaml`. It asks no network.
fn scan(sh: &Shell) -> anyhow::Result<()> {
    let Some(checkov) = or_skipped(python::checkov(sh), "checkov on the templates")? else {
        return Ok(());
    };
    let settings = repository().join(python::SECURITY).join("checkov.yaml");
    let templates = files(&repository().join("infra"), ".yaml")?;
    let report = target_dir(sh)?.join("checkov.json");
    let mut to = OsString::from("console,");
    to.push(&report);
    let outputs = ["--output", "cli", "--output", "json", "--output-file-path"];
    cmd!(sh, "{checkov} --config-file {settings} {outputs...} {to} --file {templates...}").run()?;
    // It also passes what it cannot read.
    let report: Value = serde_json::from_str(&fs::read_to_string(&report)?)?;
    let summary = &report["summary"];
    let read = summary["parsing_errors"] == 0 && summary["passed"].as_u64() > Some(0);
    ensure!(read, "checkov cannot read the templates: {summary}");
    let refused = cmd!(sh, "{checkov} --config-file {settings} --file {UNSAFE_TEMPLATE}").quiet();
    let refused = refused.ignore_status().ignore_stdout().ignore_stderr().output()?;
    ensure!(!refused.status.success(), "checkov passes {UNSAFE_TEMPLATE}");
    Ok(())
}

/// What others wrote, where it can be had. Where not, CI fails, and elsewhere is said what is skipped.
fn or_skipped(found: anyhow::Result<PathBuf>, what: &str) -> anyhow::Result<Option<PathBuf>> {
    match found {
        Ok(program) => Ok(Some(program)),
        Err(error) if in_ci() => Err(error),
        Err(error) => {
            eprintln!("skipped: {what}: {error:#}");
            Ok(None)
        }
    }
}

fn template_of_machines() -> anyhow::Result<Value> {
    let mut resources = serde_json::Map::new();
    for directory in asl::DIRECTORIES {
        for path in files(&repository().join(directory), ".asl.json")? {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mut definition: Value = serde_json::from_str(&text)?;
            take_numbers(&mut definition);
            let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
            let substitutions: serde_json::Map<_, _> =
                names.map(|name| (name.to_owned(), "1".into())).collect();
            let machine = json!({
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/lint",
                    "Definition": definition,
                    "DefinitionSubstitutions": substitutions,
                },
            });
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A resource's name is alphanumeric.
            let name = name.trim_end_matches(".asl.json").replace('-', "");
            resources.insert(name, machine);
        }
    }
    Ok(json!({ "Resources": resources }))
}

/// Puts a number where a state has an expression that gives one: cfn-lint takes no other (E3601), and
/// Step Functions both.
fn take_numbers(definition: &mut Value) {
    match definition {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_number = ["TimeoutSeconds", "MaxConcurrency", "ToleratedFailurePercentage"]
                    .contains(&name.as_str());
                if is_number && value.is_string() {
                    *value = 60.into();
                }
                take_numbers(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(take_numbers),
        _ => {}
    }
}

/// The files of a directory whose names end so, in order.
fn files(directory: &Path, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_pages_are_linted() {
        let template = template_of_pages().unwrap();
        for table in ["  Calls:\n", "  Limits:\n"] {
            assert!(template.contains(table), "{template}");
        }
    }

    #[test]
    fn every_machine_is_linted_with_all_that_its_template_puts_in() {
        let template = template_of_machines().unwrap();
        let machines = template["Resources"].as_object().unwrap();
        for name in ["throttledcall", "salesordersync", "bulkload", "retrycascade"] {
            assert!(machines.contains_key(name), "{name}: {:?}", machines.keys());
        }
        let properties = &machines["throttledcall"]["Properties"];
        let names: Vec<_> =
            properties["DefinitionSubstitutions"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["DefaultDeadlineSeconds", "EnqueuerArn", "GraceSeconds"]);
        assert_eq!(properties["Definition"]["States"]["Call"]["TimeoutSeconds"], 60);
    }
}
