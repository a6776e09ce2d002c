//! The JSON Schema (draft 2020-12) of `slowlane.toml`, for editors that complete and check TOML.
//!
//! It is checked in as `schema/slowlane.schema.json`; a test compares it, and renews it if
//! `UPDATE_SCHEMA` is set.

use schemars::generate::SchemaSettings;

use crate::file::Config;

/// The schema as text, ending in a newline, as it is checked in.
pub fn text() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    format!("{:#}\n", schema.as_value())
}
