//! The README's comparison names what shows each of its claims.

use std::path::Path;

#[test]
fn each_claim_against_other_clients_names_a_file_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, section) = readme.split_once("## Against other clients").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows: Vec<(&str, &str)> = section
        .lines()
        .filter(|line| !line.starts_with("| |"))
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    assert!(rows.len() > 20, "the table is found: {rows:?}");
    for (feature, ours) in rows.into_iter().filter(|(_, ours)| !ours.starts_with("no,")) {
        let files: Vec<&str> =
            ours.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".rs")).collect();
        assert!(!files.is_empty(), "{feature}: {ours}");
        for file in files {
            assert!(root.join(file).is_file(), "{feature}: there is no {file}");
        }
    }
}
