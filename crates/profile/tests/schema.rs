//! The checked-in JSON Schema, held to the types.

use std::path::Path;

use slowlane_profile::schema;

#[test]
fn the_checked_in_schema_is_the_current_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/profile.schema.json");
    let hint = "renew it: cargo run -p slowlane-profile --bin slowlane-profile-schema -- --write";
    assert!(std::fs::read_to_string(path).unwrap() == schema::text(), "{hint}");
}
