//! The README's worker of your own, as a stranger would build it: a package of its own, outside the
//! workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The first block of code in `language` in the README's section on your own API.
fn snippet(language: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("\n## Use it for your own API\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let block = section.split(&format!("\n```{language}\n")).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn its_main_is_the_example() {
    let example = include_str!("../../examples/http.rs");
    let code = example.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    let code: Vec<&str> = code.collect();
    assert_eq!(snippet("rust").lines().collect::<Vec<_>>(), code);
}

#[test]
fn it_compiles_outside_the_workspace() {
    let package = tempfile::tempdir().unwrap();
    let manifest = snippet("toml");
    let from_git = r#"{ git = "https://github.com/slowlane/slowlane" }"#;
    assert!(manifest.contains(from_git), "{manifest}");
    let from_here = format!("{{ path = {:?} }}", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(
        package.path().join("Cargo.toml"),
        manifest.replace(from_git, &from_here) + &workspace_profiles(),
    )
    .unwrap();
    std::fs::create_dir(package.path().join("src")).unwrap();
    std::fs::write(package.path().join("src/main.rs"), snippet("rust")).unwrap();
    // The same versions: offline there are no others.
    std::fs::copy(repository().join("Cargo.lock"), package.path().join("Cargo.lock")).unwrap();
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet"])
        .current_dir(package.path())
        .env("CARGO_TARGET_DIR", target_dir())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{errors}");
}

/// Where this test was built, so that what the workspace has compiled alike is not compiled again.
fn target_dir() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().to_owned()
}

/// The workspace's profiles: a crate compiled in another profile is another crate.
fn workspace_profiles() -> String {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let tables = manifest.split("\n[").filter(|table| table.starts_with("profile."));
    tables.map(|table| format!("\n[{table}")).collect()
}
