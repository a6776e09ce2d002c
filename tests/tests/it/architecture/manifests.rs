//! The dependencies that the pages of crates which work alone tell a stranger to have. With another
//! major version than ours a program of his does not compile, and only after minutes.

use anyhow::Context;
use toml::{Table, Value};

use super::tables::{GUARD, LIMITER, block};

const NETSUITE: &str = include_str!("../../../../crates/netsuite/README.md");
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// A dependency's version, however it is written.
fn version(dependency: &Value) -> Option<&str> {
    dependency.as_str().or_else(|| dependency.get("version")?.as_str())
}

#[test]
fn what_a_page_tells_to_depend_on_is_what_its_crate_takes() -> anyhow::Result<()> {
    let workspace: Table = WORKSPACE.parse()?;
    let ours = &workspace["workspace"]["dependencies"];
    let repository = &workspace["workspace"]["package"]["repository"];
    for (name, page) in [("idempotency", GUARD), ("limiter", LIMITER), ("netsuite", NETSUITE)] {
        let manifest: Table = block(page, "toml")?.parse()?;
        let told = manifest["dependencies"].as_table().context("it has dependencies")?;
        assert_eq!(&told[&format!("slowlane-{name}")]["git"], repository, "{name}");
        for (dependency, value) in told.iter().filter(|(_, value)| value.get("git").is_none()) {
            let told = version(value).with_context(|| format!("{name}: {dependency}"))?;
            let ours = ours.get(dependency).and_then(version);
            let ours = ours.with_context(|| format!("{name}: {dependency} is not ours"))?;
            let fits = ours
                .strip_prefix(told)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            assert!(fits, "{name}: {dependency} {told}, and ours is {ours}");
        }
    }
    Ok(())
}
