//! The crate knows nothing of the programs that run in it.

use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn it_depends_on_no_crate_of_the_workspace() {
    let manifest = std::fs::read_to_string(here("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let table = manifest.get(table).and_then(toml::Value::as_table);
        let ours = table.into_iter().flatten().filter(|(name, _)| name.starts_with("slowlane"));
        assert_eq!(ours.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[test]
fn its_text_names_no_program_that_runs_in_it() {
    let mut files = vec![here("README.md")];
    let mut folders = vec![here("src"), here("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
        let own = text.replace("slowlane-aws-simulator", "").replace("slowlane_aws_simulator", "");
        for foreign in ["slowlane", "enqueuer", "doorbell", "netsuite"] {
            assert!(!own.contains(foreign), "{} speaks of {foreign}", file.display());
        }
    }
}
