//! The crate knows nothing of the APIs that stand on it.

#[test]
fn it_depends_on_no_crate_of_the_workspace() {
    let manifest = include_str!("../Cargo.toml").parse::<toml::Table>().unwrap();
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let table = manifest.get(table).and_then(toml::Value::as_table);
        let ours = table.into_iter().flatten().filter(|(name, _)| name.starts_with("slowlane"));
        assert_eq!(ours.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
