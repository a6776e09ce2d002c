//! Which of our crates may use which. ARCHITECTURE.md explains the arrows; this holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each package may use of ours, for its library and programs. A package that is not here
/// may not exist.
const MAY_USE: &[(&str, &[&str])] = &[
    ("message", &[]),
    ("policy", &["message"]),
    ("idempotency", &[]),
    ("netsuite", &[]),
    ("netsuite-sandbox", &[]),
    ("lambda", &[]),
    ("enqueuer", &["message", "lambda"]),
    ("worker", &["message", "policy", "idempotency", "netsuite", "lambda"]),
    ("simulator", &[]),
    ("deployer", &["policy"]),
    ("local", &["message", "deployer"]),
    ("tests", &["message", "deployer", "local"]),
    ("xtask", &[]),
];

#[test]
fn our_crates_use_only_what_they_may() -> anyhow::Result<()> {
    let used = uses()?;
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_USE.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (name, uses) in &used {
        let Some(allowed) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} is a new crate: say here what it may use"));
            continue;
        };
        let forbidden = uses.iter().filter(|used| !allowed.contains(used.as_str()));
        wrong.extend(forbidden.map(|used| format!("{name} must not use {used}")));
    }
    let gone = allowed.keys().filter(|name| !used.contains_key(**name));
    wrong.extend(gone.map(|name| format!("{name} is no crate of ours any more")));
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// The packages of the workspace by their short names, each with those of ours that it uses.
/// Of the tests' package everything counts, of the others all but what only their tests use.
fn uses() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let short = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        name.strip_prefix("slowlane-").unwrap_or(name).to_owned()
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages
        .map(|package| {
            let name = short(&package["name"]);
            let ours = |dependency: &&Value| {
                dependency["path"].is_string() && (dependency["kind"] != "dev" || name == "tests")
            };
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let uses =
                dependencies.filter(ours).map(|dependency| short(&dependency["name"])).collect();
            (name, uses)
        })
        .collect())
}
