//! The checked-in JSON Schema and the page on the format, held to the types.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use slowlane_profile::schema;

#[test]
fn the_checked_in_schema_is_the_current_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/profile.schema.json");
    let hint = "renew it: cargo run -p slowlane-profile --bin slowlane-profile-schema -- --write";
    assert!(std::fs::read_to_string(path).unwrap() == schema::text(), "{hint}");
}

/// The page on the format, held to the schema: it names each field and each word.
#[test]
fn the_page_on_the_format_names_every_field() {
    let page = include_str!("../docs/format.md");
    let schema: Value = serde_json::from_str(&schema::text()).unwrap();
    let mut words = BTreeSet::new();
    collect(&schema, &mut words);
    assert!(words.len() > 80, "{}", words.len());
    let page_words: BTreeSet<&str> =
        page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<_> = words.iter().filter(|word| !page_words.contains(word.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The names of all properties, and the words of all enumerations.
fn collect(schema: &Value, words: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                words.extend(properties.keys().cloned());
            }
            for list in ["enum", "const"].iter().filter_map(|name| members.get(*name)) {
                let list = list.as_array().cloned().unwrap_or_else(|| vec![list.clone()]);
                words.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            members.values().for_each(|inner| collect(inner, words));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, words)),
        _ => {}
    }
}
