//! Which of our crates may use which: the code map of ARCHITECTURE.md says it, this holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Short names of packages, each with those of ours that it uses or may use.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn our_crates_use_only_what_the_code_map_says() -> anyhow::Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests lie in the workspace")?;
    let mapped = code_map(&std::fs::read_to_string(root.join("ARCHITECTURE.md"))?);
    let found = manifests(root)?;
    let names = |uses: &Uses| uses.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&mapped), names(&found), "the code map (left) has a row for each crate");
    let mut wrong = Vec::new();
    for (name, uses) in &found {
        let may_use = &mapped[name];
        let forbidden =
            uses.iter().filter(|used| !may_use.contains(*used) && !may_use.contains("all"));
        wrong.extend(forbidden.map(|used| format!("{name} uses {used}")));
    }
    assert!(wrong.is_empty(), "the code map in ARCHITECTURE.md says otherwise: {wrong:#?}");
    Ok(())
}

/// The rows of the code map: ``| [`name`](path) | what it is for | what, it, uses |``.
fn code_map(architecture: &str) -> Uses {
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| [`")?.split_once("`](")?;
        let uses = rest.strip_suffix(" |")?.rsplit('|').next()?;
        let uses = uses.split(',').map(|used| used.trim().to_owned());
        Some((name.to_owned(), uses.filter(|used| used != "–").collect()))
    };
    architecture.lines().filter_map(row).collect()
}

/// What the manifests say: what a library or a program uses. Its tests may use more.
fn manifests(root: &Path) -> anyhow::Result<Uses> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let short = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        name.strip_prefix("slowlane-").unwrap_or(name).to_owned()
    };
    let uses = |package: &Value| {
        let all = package["dependencies"].as_array().into_iter().flatten();
        let ours = all.filter(|one| one["path"].is_string() && one["kind"] != "dev");
        ours.map(|one| short(&one["name"])).collect()
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages.map(|package| (short(&package["name"]), uses(package))).collect())
}
