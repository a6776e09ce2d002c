//! The JSON Schema (draft 2020-12) of a profile, for editors that complete and check TOML.
//!
//! It is checked in as `schema/profile.schema.json`; a test compares it, and
//! `cargo run -p slowlane-profile --bin slowlane-profile-schema -- --write` renews it.

use schemars::generate::SchemaSettings;

use crate::profile::Profile;

/// The schema as text, ending in a newline, as it is checked in.
pub fn text() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Profile>();
    format!("{:#}\n", schema.as_value())
}
