//! Checks that run nothing of ours.

use crate::{asl, python, repository, target_dir};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use xshell::{Shell, cmd};

/// Every check by name, the quick ones first. Each runs, whichever fails.
pub(crate) fn all(sh: &Shell) -> Vec<(&'static str, anyhow::Result<()>)> {
    let mut results = vec![("format", format(sh)), ("state machines", asl::compare(repository()))];
    match python::checks(sh) {
        Ok(programs) => results.extend([
            ("template", cfn_lint(sh, &programs)),
            ("dependencies", dependencies(sh, &programs)),
        ]),
        Err(error) => results.push(("the programs that check", Err(error))),
    }
    results.extend([
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

/// Lints the template, and the state machines as if they stood in one: the template only refers
/// to them.
fn cfn_lint(sh: &Shell, programs: &Path) -> anyhow::Result<()> {
    let cfn_lint = programs.join("cfn-lint");
    let machines = target_dir(sh)?.join("state-machines.template.json");
    fs::write(&machines, template_of_machines(&repository().join("state-machines"))?.to_string())?;
    Ok(cmd!(sh, "{cfn_lint} infra/template.yaml {machines}").run()?)
}

fn template_of_machines(directory: &Path) -> anyhow::Result<Value> {
    let mut resources = serde_json::Map::new();
    for name in ["throttled-call", "sales-order-sync"] {
        let path = directory.join(format!("{name}.asl.json"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut definition: Value = serde_json::from_str(&text)?;
        for state in
            definition["States"].as_object_mut().into_iter().flatten().map(|(_, state)| state)
        {
            // cfn-lint takes only a number here (E3601), Step Functions a JSONata expression too.
            if state["TimeoutSeconds"].is_string() {
                state["TimeoutSeconds"] = 60.into();
            }
        }
        let machine = json!({
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "RoleArn": "arn:aws:iam::123456789012:role/lint",
                "Definition": definition,
                "DefinitionSubstitutions": {
                    "EnqueuerArn": "arn:aws:lambda:us-east-1:123456789012:function:enqueuer",
                    "DefaultDeadlineSeconds": "1",
                    "GraceSeconds": "1",
                },
            },
        });
        resources.insert(name.replace('-', ""), machine);
    }
    Ok(json!({ "Resources": resources }))
}
