//! Every check has an example that it finds, and finds nothing else in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use slowlane_asl::{CHECKS, directory};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

#[test]
fn every_check_finds_its_example_and_says_how_to_mend_it() {
    for check in CHECKS {
        let name = format!("{check}.asl.json");
        let problems = directory::check_file(&examples().join(&name)).unwrap();
        let checks: BTreeSet<_> = problems.iter().map(|problem| problem.check).collect();
        assert_eq!(checks, BTreeSet::from([*check]), "{problems:#?}");
        let lines: Vec<_> =
            problems.iter().map(|problem| problem.in_file(Path::new(&name))).collect();
        insta::assert_snapshot!(*check, lines.join("\n"));
    }
}

#[test]
fn every_example_has_its_check() {
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let check = name.strip_suffix(".asl.json").unwrap();
        assert!(CHECKS.contains(&check), "{name}");
    }
}

#[test]
fn the_readme_names_every_check() {
    let readme = include_str!("../../README.md");
    let missing: Vec<_> =
        CHECKS.iter().filter(|check| !readme.contains(&format!("`{check}`"))).collect();
    assert_eq!(missing, [&""; 0]);
}
